//! Sends the content of a backup somewhere else: here to a program that counts lines.
//!
//! A sink gets entries in ascending path order. Every byte that it gets was verified.

#![expect(clippy::print_stdout, reason = "an example")]

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::export::{ExportOptions, export};
use br_core::model::{Entry, EntryKind};
use br_core::sink::Sink;
use br_core::source::MemorySource;
use br_core::{BackupSelector, Context, InitOptions, Location, Repository};

/// The number of lines of each file.
#[derive(Default)]
struct Lines(BTreeMap<String, usize>);

impl Sink for Lines {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        if matches!(entry.kind, EntryKind::File(_)) {
            let mut lines = 0;
            for line in BufReader::new(content).lines() {
                line?;
                lines += 1;
            }
            self.0.insert(entry.path.to_string(), lines);
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let location = Location::Local(folder.path().join("repository"));
    let repository = Repository::init(&location, &InitOptions::default(), &context).await?;
    let source = MemorySource::new([("etc/app.toml", "a = 1\nb = 2\n"), ("notes.txt", "one\n")])?;
    let options = BackupOptions::new("my-host", "me", vec![b"/".to_vec()]);
    let _ = backup(&repository, source, &options, &context).await?;

    let everything = ExportOptions::default();
    let latest = BackupSelector::Latest;
    let (lines, _) = export(&repository, latest, Lines::default(), &everything, &context).await?;
    for (path, lines) in lines.0 {
        println!("{lines} {path}");
    }
    Ok(())
}
