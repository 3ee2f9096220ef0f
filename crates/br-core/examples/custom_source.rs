//! Backs up something that is not a file system: here the rows of a table, one file for each row.
//!
//! A source yields entries in ascending path order, a folder before its content. The backup opens the content of an entry only if it
//! reads the entry.

#![expect(clippy::print_stdout, reason = "an example")]

use std::io::Cursor;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::{Entry, EntryPath, FileTime};
use br_core::source::{Source, SourceItem};
use br_core::{Context, InitOptions, Location, Repository};

/// A table with a name and a text in each row, sorted by name.
struct Table {
    rows: std::vec::IntoIter<(&'static str, &'static str)>,
    has_begun: bool,
}

impl Table {
    fn row(name: &str, text: &'static str) -> br_core::Result<SourceItem> {
        let path = EntryPath::try_from(format!("table/{name}"))?;
        let entry = Entry {
            // The next backup compares this time, and does not open rows that have not changed.
            mtime: FileTime::default(),
            ..Entry::file(path, text.len() as u64)
        };
        let open = move || Ok(Cursor::new(text));
        Ok(SourceItem::with_content(entry, open))
    }
}

impl Source for Table {
    fn next(&mut self) -> Option<SourceItem> {
        if !self.has_begun {
            self.has_begun = true;
            let folder = Entry::directory("table".parse().ok()?);
            return Some(SourceItem::without_content(folder));
        }
        let (name, text) = self.rows.next()?;
        // A source continues after a row that it cannot name, and says so.
        Some(Self::row(name, text).unwrap_or_else(|error| {
            SourceItem::Warning(format!("row `{name}` is left out: {error}").into())
        }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let location = Location::Local(folder.path().join("repository"));
    let repository = Repository::init(&location, &InitOptions::default(), &context).await?;

    let rows = vec![("anna", "admin"), ("bert", "guest")].into_iter();
    let has_begun = false;
    let options = BackupOptions::new("my-host", "me", vec![b"table".to_vec()]);
    let report = backup(&repository, Table { rows, has_begun }, &options, &context).await?;
    let report = report.into_complete()?;
    println!("backed up {} rows", report.backup.totals.files);
    Ok(())
}
