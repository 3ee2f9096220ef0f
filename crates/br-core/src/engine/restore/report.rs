//! The result of a restore.
//!
//! [`RestoreReport`] is returned to the caller, [`Shared`] collects it from the planner and the workers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::{Overwrite, RestoreOptions};
use crate::engine::view::View;
use crate::error::{Error, Result, in_one_line};
use crate::model::{Backup, BackupId, Entry, EntryKind, EntryPath, Xattr};
use crate::progress::Event;
use crate::repository::Io;
use crate::target::{Existing, MetadataOptions, MetadataWarning, Refused, TargetError};
use crate::warning::Warning;

/// The result of a restore.
#[derive(Debug, Clone, Serialize)]
#[must_use = "it names what was not restored"]
#[non_exhaustive]
pub struct RestoreReport {
    /// The backup that was restored.
    pub backup: BackupId,
    /// Entries of the backup that were examined.
    pub entries: u64,
    /// Files written.
    pub files_restored: u64,
    /// Existing files that already match the backup.
    pub files_unchanged: u64,
    /// Existing files that differ from the backup and were kept, because nothing may be overwritten.
    pub files_kept: u64,
    /// Bytes written.
    pub bytes_restored: u64,
    /// Paths that were deleted or, in a dry run, would be deleted.
    pub deleted: Vec<EntryPath>,
    /// Entries that could not be restored, with the reason; at most [`Backup::MAX_UNREAD`] of them.
    pub failed: Vec<(EntryPath, String)>,
    /// Number of entries that could not be restored.
    pub failed_count: u64,
    /// True when stored data was missing or altered; false when only the target caused failures.
    pub damaged: bool,
    /// Number of attributes that could not be set.
    pub attributes_refused: u64,
    /// Number of entries that lost set-user-ID bits, set-group-ID bits or file capabilities, because their owner differs from the backup.
    pub privileges_dropped: u64,
    /// Number of entries that were left out, or lost bits or attributes, because the options exclude these.
    pub left_out: u64,
    /// Number of entries that have no path in the target, because the options leave out the first parts of all paths. Does not include
    /// folders that contain other entries.
    pub stripped: u64,
    /// Number of names that became separate files, because they could not be linked to the other names of their file.
    pub links_separate: u64,
    /// Unfinished files of earlier, killed restores that were removed.
    pub leftovers_removed: u64,
}

/// State that the planner and the workers share.
pub(super) struct Shared {
    pub(super) io: Io,
    pub(super) reader: Arc<crate::repository::ChunkReader>,
    pub(super) metadata: MetadataOptions,
    report: Mutex<RestoreReport>,
    /// True when nothing may be overwritten.
    keeps_all: bool,
    /// Entries that could not be restored; `true` means that stored data is damaged, so their other names fail as well. Also contains
    /// entries that were kept because another program created a file with their name: no other name may be linked to that file.
    failed: Mutex<HashMap<EntryPath, bool>>,
}

impl Shared {
    pub(super) fn new(
        io: &Io,
        view: &View,
        backup: &Backup,
        options: &RestoreOptions,
    ) -> Arc<Self> {
        let report = RestoreReport {
            backup: backup.id,
            entries: 0,
            files_restored: 0,
            files_unchanged: 0,
            files_kept: 0,
            bytes_restored: 0,
            deleted: Vec::new(),
            failed: Vec::new(),
            failed_count: 0,
            damaged: false,
            attributes_refused: 0,
            privileges_dropped: 0,
            left_out: 0,
            stripped: 0,
            links_separate: 0,
            leftovers_removed: 0,
        };
        Arc::new(Self {
            io: io.clone(),
            reader: Arc::clone(&view.reader),
            metadata: options.metadata(),
            report: Mutex::new(report),
            keeps_all: options.overwrite == Overwrite::Never,
            failed: Mutex::default(),
        })
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut RestoreReport)) {
        // A poisoned lock means that a thread panicked. Then there is no report.
        if let Ok(mut report) = self.report.lock() {
            change(&mut report);
        }
    }

    pub(super) fn failed(&self, path: &EntryPath, reason: String, damaged: bool) {
        self.io.context.progress.event(Event::Failed {
            path,
            reason: &reason,
        });
        if let Ok(mut failed) = self.failed.lock() {
            failed.insert(path.clone(), damaged);
        }
        self.update(|report| {
            report.failed_count += 1;
            report.damaged |= damaged;
            if report.failed.len() < Backup::MAX_UNREAD {
                report.failed.push((path.clone(), reason));
            }
        });
    }

    /// Returns whether an entry failed: `Some(true)` when stored data is damaged, `Some(false)` for any other reason.
    pub(super) fn failure(&self, path: &EntryPath) -> Option<bool> {
        self.failed.lock().ok()?.get(path).copied()
    }

    pub(super) fn target_failed(&self, path: &EntryPath, error: &TargetError) {
        self.failed(path, in_one_line(error), false);
    }

    /// Counts metadata that was not set, and reports it.
    pub(super) fn warn(&self, warnings: Vec<MetadataWarning>) {
        self.count(&warnings);
        for warning in warnings {
            self.io.warn(&Warning::Metadata(warning));
        }
    }

    fn count(&self, warnings: &[MetadataWarning]) {
        let (mut refused, mut failures) = (0, Vec::new());
        let mut dropped = HashSet::new();
        for warning in warnings {
            match &warning.refused {
                Refused::SetId => {
                    dropped.insert(&warning.path);
                }
                Refused::Attribute(name) if name == b"security.capability" => {
                    dropped.insert(&warning.path);
                }
                _ if warning.is_failure => failures.push(warning),
                _ => refused += 1,
            }
        }
        if warnings.is_empty() {
            return;
        }
        self.update(|report| {
            report.attributes_refused += refused;
            report.privileges_dropped += dropped.len() as u64;
            for warning in failures {
                report.failed_count += 1;
                if report.failed.len() < Backup::MAX_UNREAD {
                    let reason = format!("{warning}: {}", warning.source);
                    report.failed.push((warning.path.clone(), reason));
                }
            }
        });
    }

    /// Records the result of writing an entry.
    pub(super) fn wrote(&self, entry: &Entry, result: Result<Vec<MetadataWarning>, TargetError>) {
        match result {
            Ok(warnings) => {
                self.warn(warnings);
                self.note_left_out(entry);
                if matches!(entry.kind, EntryKind::File(_)) {
                    self.update(|report| report.files_restored += 1);
                }
            }
            Err(error) if self.is_kept(&error) => self.keep_what_appeared(entry),
            Err(error) => self.target_failed(&entry.path, &error),
        }
    }

    /// True when an entry was not written because another program created its name, and nothing may be overwritten.
    pub(super) fn is_kept(&self, error: &TargetError) -> bool {
        self.keeps_all && error.is_taken()
    }

    fn keep_what_appeared(&self, entry: &Entry) {
        let path = &entry.path;
        self.io
            .warn(&Warning::CreatedDuringRestore { path: path.clone() });
        if let Ok(mut failed) = self.failed.lock() {
            failed.insert(path.clone(), false);
        }
        let files = u64::from(matches!(entry.kind, EntryKind::File(_)));
        self.update(|report| report.files_kept += files);
    }

    /// Counts an entry if the options exclude some of its bits or attributes.
    pub(super) fn note_left_out(&self, entry: &Entry) {
        let bits = !self.metadata.set_id && entry.mode & 0o6000 != 0;
        let skipped = |xattr: &Xattr| self.metadata.skips_attribute(&xattr.name);
        if bits || entry.xattrs.iter().any(skipped) {
            self.update(|report| report.left_out += 1);
        }
    }

    /// Counts the bits and attributes that an unchanged entry lacks because of the options or its owner.
    pub(super) fn note_lacking(&self, entry: &Entry, existing: &Existing) {
        self.note_left_out(entry);
        if self.metadata.set_id && entry.mode & 0o6000 & !existing.mode != 0 {
            self.update(|report| report.privileges_dropped += 1);
        }
    }

    pub(super) fn advance(&self, bytes: u64, entries: u64) {
        self.io
            .context
            .progress
            .event(Event::Advance { bytes, entries });
    }

    pub(super) fn into_report(self: Arc<Self>) -> Result<RestoreReport> {
        let shared = Arc::into_inner(self).ok_or_else(|| Error::internal("a worker still runs"))?;
        shared
            .report
            .into_inner()
            .map_err(|_| Error::internal("a worker panicked"))
    }
}
