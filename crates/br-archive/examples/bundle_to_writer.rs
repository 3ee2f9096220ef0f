//! Writes a bundle to standard output, for a pipe or an upload, without a file on this machine.
//!
//! ```sh
//! cargo run -p br-archive --example bundle_to_writer -- /etc/myapp > myapp.tar.gz
//! ```
//!
//! Before it writes, it makes the same bundle in memory and reads it again, as a program on the other end would.

#![expect(clippy::print_stderr, reason = "a program may speak")]

use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use br_archive::{
    Attributes, BundleOptions, BundleReader, BundleTime, BundleWriter, Limits, MemberPath,
    NoBundleProgress, Selection, WriteReport, export, inspect_reader,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("usage: bundle_to_writer FOLDER")?;

    let (bytes, _) = write(Vec::new(), &folder)?;
    let reader = BundleReader::unnamed(Cursor::new(bytes), &Limits::default())?;
    let inspection = inspect_reader(reader, None, &mut NoBundleProgress)?;
    if let Some(error) = inspection.error() {
        return Err(error.into());
    }

    let (_, report) = write(io::stdout().lock(), &folder)?;
    eprintln!("{}: {} members", report.name, report.members);
    Ok(())
}

/// Writes the bundle of a folder to any writer.
fn write<W: Write>(to: W, folder: &Path) -> Result<(W, WriteReport), Box<dyn std::error::Error>> {
    let time = now()?;
    let options = BundleOptions::generic(time)
        .with_prefix("myapp-export")
        .with_origin("myapp", "configuration");
    let mut writer = BundleWriter::new(to, options)?;
    let note = Attributes::plain(time.unix_seconds());
    writer.add_bytes(&MemberPath::new("README")?, b"made by myapp\n", note)?;
    let (everything, below) = (Selection::default(), MemberPath::new("config")?);
    export(
        &mut writer,
        folder,
        Some(&below),
        &everything,
        &mut NoBundleProgress,
    )?;
    Ok(writer.finish_writer()?)
}

/// The time in UTC.
fn now() -> Result<BundleTime, Box<dyn std::error::Error>> {
    #[expect(clippy::disallowed_methods, reason = "here the time comes in")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(BundleTime::new(i64::try_from(since.as_millis())?, 0)?)
}
