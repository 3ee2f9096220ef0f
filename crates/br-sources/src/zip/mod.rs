//! A part of a backup as a zip archive, for programs that read nothing else.
//!
//! [`ZipSink`] writes it. Invariant: an archive with a central directory is complete; after an error it lacks the directory.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use br_core::jiff::{Timestamp, tz::TimeZone};
use br_core::model::{Entry, EntryKind, EntryPath, FileTime};
use br_core::sink::Sink;
use zip::write::{FullFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Files that are at least this long are stored with sizes of 64 bits. Less than 4 GiB: what deflate adds must fit, too.
const LARGE: u64 = 0xf000_0000;
/// The extra field with times in seconds since 1970.
const EXTENDED_TIME: u16 = 0x5455;
/// Maximum length of a name.
const MAX_NAME: usize = 65_534;

/// Writes entries as a zip archive: content, permissions, symbolic links, and times in seconds. Owners, hard links, extended attributes and
/// the set-user-ID and set-group-ID bits have no place in it: every name of a file becomes a file. Holes are zeros. Devices, pipes, sockets and entries
/// with a name or a link target that is not UTF-8 are left out and reported.
pub struct ZipSink<W: Write> {
    /// `None` only while the sink is taken apart.
    zip: Option<ZipWriter<StreamWriter<Gate<W>>>>,
    left_out: Vec<EntryPath>,
    is_closed: Arc<AtomicBool>,
}

/// A writer that discards everything once it is closed: `ZipWriter` writes the end of an archive also when it is dropped after an error.
#[derive(Debug)]
struct Gate<W> {
    to: W,
    is_closed: Arc<AtomicBool>,
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Ok(bytes.len());
        }
        let written = self.to.write(bytes);
        if let Err(error) = &written
            && error.kind() != io::ErrorKind::Interrupted
        {
            // What follows must not look like the end of an archive.
            self.is_closed.store(true, Ordering::Relaxed);
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> std::fmt::Debug for ZipSink<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZipSink")
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}

impl<W: Write> Drop for ZipSink<W> {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl<W: Write> ZipSink<W> {
    /// Writes the archive to `to`, in small pieces: use a buffer.
    pub fn new(to: W) -> Self {
        let is_closed = Arc::new(AtomicBool::new(false));
        let gate = Gate {
            to,
            is_closed: Arc::clone(&is_closed),
        };
        Self {
            zip: Some(ZipWriter::new_stream(gate)),
            left_out: Vec::new(),
            is_closed,
        }
    }

    /// Writes the end of the archive. Returns the writer, and the entries that were left out.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(mut self) -> io::Result<(W, Vec<EntryPath>)> {
        let zip = self.zip.take().ok_or_else(taken)?;
        let Gate { mut to, .. } = zip.finish()?.into_inner();
        to.flush()?;
        Ok((to, std::mem::take(&mut self.left_out)))
    }
}

impl<W: Write + Send> Sink for ZipSink<W> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        if entry.path.is_root() {
            return Ok(());
        }
        let zip = self.zip.as_mut().ok_or_else(taken)?;
        let name = std::str::from_utf8(entry.path.as_bytes()).ok();
        let Some(name) = name.filter(|name| name.len() <= MAX_NAME) else {
            self.left_out.push(entry.path.clone());
            return Ok(());
        };
        let options = options(entry)?;
        match &entry.kind {
            EntryKind::Directory => zip.add_directory(format!("{name}/"), options)?,
            EntryKind::File(file) => {
                zip.start_file(name, options.large_file(file.size >= LARGE))?;
                io::copy(content, zip)?;
            }
            EntryKind::Symlink(target) => match std::str::from_utf8(target) {
                Ok(target) => zip.add_symlink(name, target, options)?,
                Err(_) => self.left_out.push(entry.path.clone()),
            },
            _ => self.left_out.push(entry.path.clone()),
        }
        Ok(())
    }
}

fn taken() -> io::Error {
    io::Error::other("the archive is finished")
}

fn options(entry: &Entry) -> io::Result<FullFileOptions<'static, 'static>> {
    let mut options = FullFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(entry.mode)
        .last_modified_time(dos_time(entry.mtime));
    if let Ok(secs) = i32::try_from(entry.mtime.secs) {
        let mut field = vec![1];
        field.extend(secs.to_le_bytes());
        options.add_extra_field(EXTENDED_TIME, field, false)?;
    }
    Ok(options)
}

/// The time in UTC, from 1980 to 2107. Programs that know the extra field ignore it.
fn dos_time(time: FileTime) -> DateTime {
    let Ok(time) = Timestamp::from_second(time.secs) else {
        return DateTime::default();
    };
    let time = time.to_zoned(TimeZone::UTC);
    let part = |part: i8| u8::try_from(part).unwrap_or_default();
    let year = u16::try_from(time.year()).unwrap_or_default();
    let (month, day) = (part(time.month()), part(time.day()));
    let (hour, minute, second) = (part(time.hour()), part(time.minute()), part(time.second()));
    DateTime::from_date_and_time(year, month, day, hour, minute, second).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outside_of_the_range_is_the_first_of_1980() {
        let of = |secs| dos_time(FileTime { secs, nanos: 0 }).to_string();
        assert_eq!(of(1_700_000_000), "2023-11-14 22:13:20");
        for secs in [0, -1, i64::MIN, i64::MAX, 5_000_000_000_000] {
            assert_eq!(of(secs), "1980-01-01 00:00:00", "{secs}");
        }
    }
}
