//! Backs up something that is not a file system: here the rows of a table, one file for each row.
//!
//! A source yields entries in ascending path order, a folder before its content. The backup opens the content of an entry only if it
//! reads the entry: the second backup opens no row that has not changed.

#![expect(clippy::print_stdout, reason = "an example")]

use std::io::Cursor;
use std::time::{Duration, SystemTime};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::{Entry, EntryPath};
use br_core::source::{Source, SourceItem};
use br_core::{Context, InitOptions, Location, Repository};

/// A table, sorted by name. Each row has a name, a text, and the time when it changed last.
struct Table {
    rows: std::vec::IntoIter<Row>,
    has_begun: bool,
}

type Row = (&'static str, &'static str, SystemTime);

impl Table {
    fn row((name, text, changed): Row) -> br_core::Result<SourceItem> {
        let path = EntryPath::try_from(format!("table/{name}"))?;
        // The next backup compares this time.
        let entry = Entry::file(path, text.len() as u64).with_change_time(changed);
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
        let row = self.rows.next()?;
        // A source continues after a row that it cannot name, and says so.
        Some(Self::row(row).unwrap_or_else(|error| {
            SourceItem::Warning(format!("row `{}` is left out: {error}", row.0).into())
        }))
    }

    /// The time of a row changes with its text.
    fn can_skip_unchanged(&self) -> bool {
        true
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let location = Location::Local(folder.path().join("repository"));
    let repository = Repository::init(&location, &InitOptions::default(), &context).await?;

    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let rows = vec![("anna", "admin", changed), ("bert", "guest", changed)];
    let options = BackupOptions::new("my-host", "me", vec![b"table".to_vec()]);
    for _ in 0..2 {
        let table = Table {
            rows: rows.clone().into_iter(),
            has_begun: false,
        };
        let report = backup(&repository, table, &options, &context).await?;
        let report = report.into_complete()?;
        let (rows, changes) = (report.backup.totals.files, report.backup.changes);
        println!("backed up {rows} rows, read {} bytes", changes.bytes_read);
    }
    Ok(())
}
