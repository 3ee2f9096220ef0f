//! Compressing on all cores.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use gzp::par::compress::{ParCompress, ParCompressBuilder};
use gzp::{GzpError, ZWriter};

use super::gzip::UnixGzip;
use crate::name::Format;

/// Compresses what is written to it. The bytes that come out do not depend on the number of threads.
///
/// Dropped unfinished, it writes nothing more.
pub(crate) struct Compressor<W: Write + Send + 'static> {
    /// `None` once it is finished.
    inner: Option<Inner<W>>,
    given_up: Arc<AtomicBool>,
    /// A write failed: its threads are gone, and asking them for more panics.
    broken: bool,
}

enum Inner<W: Write + Send + 'static> {
    Gzip(ParCompress<'static, UnixGzip, Abandonable<W>>),
    Zstd(zstd::stream::write::Encoder<'static, Abandonable<W>>),
}

impl<W: Write + Send + 'static> Compressor<W> {
    /// Starts to compress into `to`; levels are those of gzip (0 to 9) and zstd (1 to 19).
    pub(crate) fn new(to: W, format: Format, level: u32, threads: usize) -> io::Result<Self> {
        let given_up = Arc::new(AtomicBool::new(false));
        let to = Abandonable {
            inner: to,
            given_up: Arc::clone(&given_up),
        };
        let inner = match format {
            Format::TarGz => {
                let builder = ParCompressBuilder::new().num_threads(threads.max(1));
                let builder = builder.map_err(io::Error::other)?;
                let level = Compression::new(level);
                Inner::Gzip(builder.compression_level(level).from_writer(to))
            }
            Format::TarZst => {
                let level = i32::try_from(level).map_err(io::Error::other)?;
                let mut encoder = zstd::stream::write::Encoder::new(to, level)?;
                // With one worker as well: without any, the bytes would be others.
                encoder.multithread(u32::try_from(threads.max(1)).map_err(io::Error::other)?)?;
                encoder.include_checksum(true)?;
                Inner::Zstd(encoder)
            }
        };
        Ok(Self {
            inner: Some(inner),
            given_up,
            broken: false,
        })
    }

    /// Ends the stream and gives the writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        match self.inner.take() {
            _ if self.broken => Err(broken()),
            Some(Inner::Gzip(mut writer)) => match writer.finish() {
                Ok(to) => Ok(to.inner),
                Err(GzpError::Io(error)) => Err(error),
                Err(error) => Err(io::Error::other(error)),
            },
            Some(Inner::Zstd(encoder)) => encoder.finish().map(|to| to.inner),
            None => Err(io::Error::other("the compressor is finished")),
        }
    }
}

impl<W: Write + Send + 'static> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.inner {
            _ if self.broken => Err(broken()),
            Some(Inner::Gzip(writer)) => writer.write(bytes),
            Some(Inner::Zstd(encoder)) => encoder.write(bytes),
            None => Err(io::Error::other("the compressor is finished")),
        };
        self.broken |= written.is_err();
        written
    }

    /// Does nothing: blocks that end early would compress worse.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write + Send + 'static> Drop for Compressor<W> {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        // Left to itself it would finish when it is dropped, and panic if that fails. After a failure it has nothing to finish.
        if let Some(Inner::Gzip(writer)) = self.inner.as_mut().filter(|_| !self.broken) {
            drop(writer.finish());
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("the compressor failed before")
}

impl<W: Write + Send + 'static> fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// A writer that swallows everything once the compressor was given up.
struct Abandonable<W> {
    inner: W,
    given_up: Arc<AtomicBool>,
}

impl<W: Write> Write for Abandonable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.given_up.load(Ordering::Relaxed) {
            true => Ok(bytes.len()),
            false => self.inner.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.given_up.load(Ordering::Relaxed) {
            true => Ok(()),
            false => self.inner.flush(),
        }
    }
}
