//! Reads parts of a file in a backup, as a file system or a viewer would, without reading the rest.
//!
//! A snapshot reads the commit log and the index once. A file reader fetches only the groups that have the bytes.

#![expect(clippy::print_stdout, reason = "an example")]

use std::io::{Read as _, Seek as _, SeekFrom};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::source::MemorySource;
use br_core::{BackupSelector, Context, InitOptions, Location, Repository};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let location = Location::Local(folder.path().join("repository"));
    let repository = Repository::init(&location, &InitOptions::default(), &context).await?;
    let lines: String = (0..500_000).map(|n| format!("line {n:06}\n")).collect();
    let source = MemorySource::new([("app.log", lines)])?;
    let options = BackupOptions::new("my-host", "me", vec![b"/".to_vec()]);
    let _ = backup(&repository, source, &options, &context).await?;

    let snapshot = repository
        .snapshot(BackupSelector::Latest, &context)
        .await?;
    let file = snapshot.open_file(&"app.log".parse()?).await?;
    println!("{} bytes", file.len());
    let middle = file.read_at(12 * 250_000, 11).await?;
    println!("{}", String::from_utf8_lossy(&middle));

    // For a library that takes `Read` and `Seek`. It blocks, so it gets a thread of its own.
    let mut stream = file.into_stream()?;
    let last = tokio::task::spawn_blocking(move || {
        let mut last = String::new();
        stream.seek(SeekFrom::End(-12))?;
        stream.read_to_string(&mut last)?;
        Ok::<_, std::io::Error>(last)
    });
    print!("{}", last.await??);
    Ok(())
}
