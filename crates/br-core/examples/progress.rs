//! Shows what a backup does, and handles its warnings by kind.
//!
//! Events come from any thread, so the receiver shares its state with the program and must not block.

#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::source::{LocalSource, LocalSourceOptions};
use br_core::{Context, Event, InitOptions, Location, Note, Progress, Repository, Warning};

#[derive(Default)]
struct Counts {
    entries: AtomicU64,
    bytes: AtomicU64,
}

struct Show(Arc<Counts>);

impl Progress for Show {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Advance { bytes, entries } => {
                self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.0.entries.fetch_add(entries, Ordering::Relaxed);
            }
            Event::Failed { path, reason } => println!("not backed up: {path}: {reason}"),
            // A program decides by the variant and its data, and prints the text of all others.
            Event::Warning(Warning::IgnoreLine { line, .. }) => println!("bad line {line}"),
            Event::Warning(warning) => println!("{}: {warning}", warning.kind()),
            Event::Note(Note::PatternUnused { pattern, .. }) => println!("unused: {pattern}"),
            Event::Note(note) => println!("{}: {note}", note.kind()),
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    std::fs::write(data.join("notes.txt"), "to keep")?;
    std::fs::write(data.join(".ignore"), "*.o\na[\n")?;

    let counts = Arc::new(Counts::default());
    let context = Context::system().with_progress(Show(Arc::clone(&counts)));
    let location = Location::Local(folder.path().join("repository"));
    let repository = Repository::init(&location, &InitOptions::default(), &context).await?;
    let path = data.as_os_str().as_encoded_bytes().to_vec();
    let options = LocalSourceOptions::default().with_ignore_files(vec![".ignore".into()]);
    let source = LocalSource::new(&[data], options)?;
    let options = BackupOptions::new("my-host", "me", vec![path]);
    let report = backup(&repository, source, &options, &context).await?;
    let bytes = counts.bytes.load(Ordering::Relaxed);
    println!("{} files, {bytes} bytes", report.backup.totals.files);
    Ok(())
}
