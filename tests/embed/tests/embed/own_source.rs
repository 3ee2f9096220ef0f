//! Backs up the rows of a table: a source that knows by a version number which rows changed.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use br_core::Context;
use br_core::engine::backup::{BackupOptions, backup};
use br_core::model::{Entry, EntryPath, FileTime};
use br_core::source::{Source, SourceItem};

use crate::TestResult;

/// A row: its number, its version, its text.
type Row = (u64, i64, String);

struct Table<I> {
    rows: I,
    has_folder: bool,
    reads: Arc<AtomicUsize>,
}

impl<I> Table<I> {
    /// Rows in the order of their numbers, which is that of their paths.
    fn new(rows: I, reads: &Arc<AtomicUsize>) -> Self {
        Self {
            rows,
            has_folder: false,
            reads: Arc::clone(reads),
        }
    }

    fn row(&self, (number, version, text): Row) -> Result<SourceItem, br_core::Error> {
        let path = EntryPath::try_from(format!("rows/{number:08}").as_str())?;
        let entry = Entry {
            // What did not change has the same times and the same number as in the backup before.
            mtime: FileTime::new(version, 0)?,
            ctime: FileTime::new(version, 0)?,
            inode: number,
            ..Entry::file(path, text.len() as u64)
        };
        let reads = Arc::clone(&self.reads);
        Ok(SourceItem::with_content(entry, move || {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(Cursor::new(text.into_bytes()))
        }))
    }
}

impl<I: Iterator<Item = Row> + Send> Source for Table<I> {
    fn next(&mut self) -> Option<SourceItem> {
        if !self.has_folder {
            self.has_folder = true;
            let folder = EntryPath::try_from("rows").ok()?;
            return Some(SourceItem::without_content(Entry::directory(folder)));
        }
        let row = self.rows.next()?;
        let item = self.row(row);
        Some(item.unwrap_or_else(|error| SourceItem::Warning(error.to_string().into())))
    }

    /// A row that changes gets another version.
    fn can_skip_unchanged(&self) -> bool {
        true
    }
}

struct Broken(Option<EntryPath>);

impl Source for Broken {
    fn next(&mut self) -> Option<SourceItem> {
        let path = self.0.take()?;
        let error = std::io::Error::other("the row is locked");
        Some(SourceItem::Unreadable { path, error })
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_makes_the_backup_incomplete() -> TestResult {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let repository = br_embed::repository(folder.path(), &context).await?;
    let options = BackupOptions::new("db", "me", vec![b"table".to_vec()]);
    let source = Broken(Some("rows/00000001".parse()?));
    let report = backup(&repository, source, &options, &context).await?;
    let incomplete = report.into_complete().unwrap_err();
    assert!(incomplete.to_string().contains("lacks 1"), "{incomplete}");
    let id = incomplete.report().backup.id;
    let described = repository.describe(id, &context).await?;
    assert_eq!(described.unread[0].path, b"rows/00000001");
    Ok(())
}

#[tokio::test]
async fn only_rows_with_another_version_are_read_again() -> TestResult {
    let folder = tempfile::tempdir()?;
    let context = Context::system();
    let repository = br_embed::repository(folder.path(), &context).await?;
    let options = BackupOptions::new("db", "me", vec![b"table".to_vec()]);
    let mut rows: Vec<Row> = (0..100).map(|n| (n, 1, format!("row {n}"))).collect();
    let reads = Arc::new(AtomicUsize::new(0));
    let first = backup(
        &repository,
        Table::new(rows.clone().into_iter(), &reads),
        &options,
        &context,
    )
    .await?;
    assert_eq!(first.into_complete()?.backup.totals.files, 100);
    assert_eq!(reads.swap(0, Ordering::Relaxed), 100);

    rows[7] = (7, 2, "changed".to_owned());
    let second = backup(
        &repository,
        Table::new(rows.clone().into_iter(), &reads),
        &options,
        &context,
    )
    .await?;
    assert_eq!(second.into_complete()?.backup.changes.files_unchanged, 99);
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    Ok(())
}
