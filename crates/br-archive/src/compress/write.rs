//! Compression on all cores.

use std::fmt;
use std::io::{self, Write};

use super::gzip::GzipWriter;
use crate::name::Format;

/// Compresses what the caller writes. The output does not depend on the number of threads.
///
/// If it is dropped before [`finish`](Self::finish), it writes nothing more.
pub(crate) struct Compressor<W: Write> {
    inner: Inner<W>,
    /// A write failed, so the output is incomplete.
    has_failed: bool,
}

enum Inner<W: Write> {
    Gzip(GzipWriter<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Starts to compress into `to`; levels are those of gzip (0 to 9) and zstd (1 to 19).
    pub(crate) fn new(to: W, format: Format, level: u32, threads: usize) -> io::Result<Self> {
        let inner = match format {
            Format::TarGz => Inner::Gzip(GzipWriter::new(to, level, threads)?),
            Format::TarZst => {
                let level = i32::try_from(level).map_err(io::Error::other)?;
                let mut encoder = zstd::stream::write::Encoder::new(to, level)?;
                // At least one worker: without workers, zstd writes different bytes.
                encoder.multithread(u32::try_from(threads.max(1)).map_err(io::Error::other)?)?;
                encoder.include_checksum(true)?;
                Inner::Zstd(encoder)
            }
        };
        Ok(Self {
            inner,
            has_failed: false,
        })
    }

    /// Ends the stream and returns the writer.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self.inner {
            _ if self.has_failed => Err(failed()),
            Inner::Gzip(writer) => writer.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.inner {
            _ if self.has_failed => Err(failed()),
            Inner::Gzip(writer) => writer.write(bytes),
            Inner::Zstd(encoder) => encoder.write(bytes),
        };
        self.has_failed |= written.is_err();
        written
    }

    /// Does nothing, because shorter blocks would compress worse.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed() -> io::Error {
    io::Error::other("the compressor failed before")
}

impl<W: Write> fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}
