//! What came of a restore.
//!
//! [`RestoreReport`] is what the caller gets, [`Shared`] collects it from planner and workers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::{Overwrite, RestoreOptions};
use crate::engine::view::View;
use crate::error::{Error, Result, in_one_line};
use crate::model::{Backup, BackupId, Entry, EntryKind, EntryPath, Xattr};
use crate::progress::Event;
use crate::repository::Io;
use crate::target::{Existing, MetadataOptions, Refused, TargetError, Warning};

/// What came of a restore.
#[derive(Debug, Clone)]
#[must_use = "it names what was not restored"]
#[non_exhaustive]
pub struct RestoreReport {
    /// The backup that was restored.
    pub backup: BackupId,
    /// Entries of the backup that were looked at.
    pub entries: u64,
    /// Files written.
    pub files_restored: u64,
    /// Files that were there already, and are as in the backup.
    pub files_unchanged: u64,
    /// Files that differ from what is there, which stays as nothing is overwritten.
    pub files_kept: u64,
    /// Bytes written.
    pub bytes_restored: u64,
    /// What was deleted, or would be in a dry run.
    pub deleted: Vec<EntryPath>,
    /// Entries that could not be restored, at most [`Backup::MAX_UNREAD`] of them, with the reason.
    pub failed: Vec<(EntryPath, String)>,
    /// How many could not be restored.
    pub failed_count: u64,
    /// True when stored data was missing or altered, and not only the target refused.
    pub damaged: bool,
    /// How many attributes could not be set.
    pub attributes_refused: u64,
    /// How many entries lost set-user-ID or set-group-ID bits or file capabilities, as they have another owner than in the
    /// backup.
    pub privileges_dropped: u64,
    /// How many entries were left out, or lost bits or attributes, as the options say so.
    pub left_out: u64,
    /// How many names became files of their own, as they could not be linked to the file that they are names of.
    pub links_separate: u64,
    /// Unfinished files of dead restores that were removed.
    pub leftovers_removed: u64,
}

/// What planner and workers share.
pub(super) struct Shared {
    pub(super) io: Io,
    pub(super) reader: Arc<crate::repository::ChunkReader>,
    pub(super) metadata: MetadataOptions,
    report: Mutex<RestoreReport>,
    /// True when nothing may be overwritten.
    keeps_all: bool,
    /// Every entry that could not be restored, and whether that is for damage: its other names then cannot be either. Those of
    /// which the name was taken meanwhile are here, too: no other name may be linked to them.
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
        // A poisoned lock means that a thread panicked, and then there is no report.
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

    /// Whether an entry could not be restored; `Some(true)` when stored data is damaged.
    pub(super) fn failure(&self, path: &EntryPath) -> Option<bool> {
        self.failed.lock().ok()?.get(path).copied()
    }

    pub(super) fn message(&self, message: &str) {
        self.io.context.progress.event(Event::Warning { message });
    }

    pub(super) fn target_failed(&self, path: &EntryPath, error: &TargetError) {
        self.failed(path, in_one_line(error), false);
    }

    pub(super) fn warn(&self, warnings: &[Warning]) {
        let (mut refused, mut failures) = (0, Vec::new());
        let mut dropped = HashSet::new();
        for warning in warnings {
            self.message(&format!("{warning}: {}", warning.source));
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

    /// Notes what became of an entry that was written.
    pub(super) fn wrote(&self, entry: &Entry, result: Result<Vec<Warning>, TargetError>) {
        match result {
            Ok(warnings) => {
                self.warn(&warnings);
                self.note_left_out(entry);
                if matches!(entry.kind, EntryKind::File(_)) {
                    self.update(|report| report.files_restored += 1);
                }
            }
            Err(error) if self.is_kept(&error) => self.keep_what_appeared(entry),
            Err(error) => self.target_failed(&entry.path, &error),
        }
    }

    /// True when an entry was not written as something appeared under its name, and nothing may be overwritten.
    pub(super) fn is_kept(&self, error: &TargetError) -> bool {
        self.keeps_all && error.is_taken()
    }

    fn keep_what_appeared(&self, entry: &Entry) {
        let path = &entry.path;
        self.message(&format!(
            "{path} was made by another program meanwhile, and is kept"
        ));
        if let Ok(mut failed) = self.failed.lock() {
            failed.insert(path.clone(), false);
        }
        let files = u64::from(matches!(entry.kind, EntryKind::File(_)));
        self.update(|report| report.files_kept += files);
    }

    /// Counts an entry of which the options leave something out.
    pub(super) fn note_left_out(&self, entry: &Entry) {
        let bits = !self.metadata.set_id && entry.mode & 0o6000 != 0;
        let skipped = |xattr: &Xattr| self.metadata.skips_attribute(&xattr.name);
        if bits || entry.xattrs.iter().any(skipped) {
            self.update(|report| report.left_out += 1);
        }
    }

    /// Counts what an entry that stays as it is lacks: it was restored before, with the same options.
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
        let shared = Arc::into_inner(self).ok_or_else(|| Error::internal("a worker goes on"))?;
        shared
            .report
            .into_inner()
            .map_err(|_| Error::internal("a worker panicked"))
    }
}
