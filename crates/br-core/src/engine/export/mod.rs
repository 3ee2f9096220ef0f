//! Export: writes the entries of a backup with their content, in tree order, to a sink.
//!
//! ```text
//! plan (tree, requests ahead) ──► openers (open, verify) ──► in order: content (holes, SHA-256) ──► sink
//! ```
//!
//! [`export`] runs it with a [`Sink`], [`ExportOptions`] select the entries, [`ExportReport`] has the result. Invariant: an export is
//! complete, or it is an error. Damaged or missing data ends it, because a reader of a bundle cannot see that something is missing.

mod ahead;
mod content;
mod groups;
mod hand_over;

use serde::Serialize;

use crate::error::{Error, Result, Site};
use crate::model::{Backup, Entry, EntryKind, EntryPath, Totals};
use crate::progress::{Context, Event};
use crate::repository::{BackupSelector, Gap, Io, Repository};
use crate::sink::Sink;

use super::view::{BackupView, no_such_path};
pub(super) use hand_over::hand_over;

/// Options of an export.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Only these entries and everything below them, without the folders above them; all entries when empty.
    pub paths: Vec<EntryPath>,
}

impl ExportOptions {
    /// Exports only these entries and everything below them.
    #[must_use]
    pub fn with_paths(mut self, paths: Vec<EntryPath>) -> Self {
        self.paths = paths;
        self
    }
}

/// The result of an export.
#[derive(Debug, Clone, Serialize)]
#[must_use]
#[non_exhaustive]
pub struct ExportReport {
    /// The backup that was exported, as the backup list has it.
    pub backup: Backup,
    /// The entries that the sink got.
    pub totals: Totals,
}

/// Writes the entries of a backup, or of a part of it, to a sink, and returns the sink.
///
/// The sink runs on its own thread, while other threads read and verify about 32 MiB ahead of it, for a backup of any size. Cancellation
/// takes effect between entries and whenever the sink reads content.
///
/// # Errors
/// As [`Repository::find`] when the backup is unknown, and [`ErrorKind::PathNotFound`](crate::ErrorKind::PathNotFound) when it does
/// not have a requested path; then the sink got no entry. [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) with the path when stored
/// data is missing or altered. The error of the sink if it fails. After an error, discard what the sink has written.
pub async fn export<S: Sink + 'static>(
    repository: &Repository,
    selector: impl Into<BackupSelector>,
    sink: S,
    options: &ExportOptions,
    context: &Context,
) -> Result<(S, ExportReport)> {
    repository.check_reads_content("an export")?;
    let (selector, options) = (selector.into(), options.clone());
    repository
        .run(context, move |io| run(io, &selector, sink, options))
        .await
}

fn run<S: Sink>(
    io: &Io,
    selector: &BackupSelector,
    mut sink: S,
    options: ExportOptions,
) -> Result<(S, ExportReport)> {
    let view = BackupView::open(io, selector)?;
    let paths = options.paths;
    for path in &paths {
        // Find this out before the sink has written for hours.
        if !view.has(path).map_err(unlisted)? {
            return Err(no_such_path(&view.backup, path));
        }
    }
    if paths.is_empty() {
        io.context.progress.event(Event::Expect {
            bytes: view.backup.totals.bytes,
            entries: view.backup.totals.entries,
        });
    }
    let selected = |path: &EntryPath| {
        paths.is_empty() || paths.iter().any(|selected| path.is_within(selected))
    };
    let entries = view
        .entries(paths.clone())
        .filter(|entry| entry.as_ref().map_or(true, |entry| selected(&entry.path)))
        .map(|entry| entry.map_err(unlisted));
    let mut totals = Totals::default();
    hand_over(&view.reader, entries, |entry, content| {
        let taken = sink.entry(entry, content);
        let named = |error| Error::io(format!("cannot pass on {}", entry.path), error);
        taken.map_err(|error| named(error).at(Site::Output))?;
        totals.add(&totals_of(entry));
        Ok(())
    })?;
    let backup = view.backup;
    Ok((sink, ExportReport { backup, totals }))
}

/// The error for a part of the tree that cannot be read.
fn unlisted(gap: Gap) -> Error {
    if !gap.error.is_damage() {
        return gap.error;
    }
    let message = match gap.entries {
        0 | 1 => format!("cannot read {}", gap.first),
        more => format!("cannot list {more} entries from {} on", gap.first),
    };
    Error::new(gap.error.kind(), message).with_source(gap.error)
}

fn totals_of(entry: &Entry) -> Totals {
    Totals {
        entries: 1,
        files: u64::from(matches!(entry.kind, EntryKind::File(_))),
        directories: u64::from(matches!(entry.kind, EntryKind::Directory)),
        bytes: entry.size(),
    }
}
