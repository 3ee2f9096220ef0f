//! Runs a copy: batches of backups, oldest first.

use std::collections::HashSet;
use std::sync::Arc;

use super::job::{Job, Roots};
use super::options::CopyOptions;
use super::plan::{Planned, Selection, plan, select};
use super::report::{CopiedBackup, CopyReport, DamagedEntry};
use super::sides::{Source, Target};
use super::trees::Lost;
use crate::engine::backup::{Committer, Dedup, Draft, Place};
use crate::error::Result;
use crate::format::Predecessor;
use crate::model::retention::GroupBy;
use crate::model::{Backup, BackupId, References, TreeRoot};
use crate::progress::Event;
use crate::repository::{Io, LogPosition, State};

/// A batch ends with the backup that reaches this many bytes of new chunks, as stored in the source.
const BATCH_BYTES: u64 = 512 << 20;
/// Maximum number of backups in a batch.
const BATCH_BACKUPS: usize = 32;

pub(super) fn run(source_io: Io, target_io: &Io, options: &CopyOptions) -> Result<CopyReport> {
    let (position, log_error) = LogPosition::read_or_rebuild(&source_io)?;
    let target_position = LogPosition::read(target_io)?;
    let state = &target_position.state;
    let Selection {
        wanted,
        present,
        deleted,
        source_missed,
    } = select(&position.state, &source_io, state, target_io, options)?;
    let report = CopyReport {
        present: present.iter().map(|backup| backup.id).collect(),
        deleted,
        source_missed,
        dry_run: options.dry_run,
        ..CopyReport::default()
    };
    if wanted.is_empty() {
        return Ok(report);
    }
    let order = position.state.backups.values().map(Backup::original_id);
    let order = order.collect();
    let source = Source::read(source_io, position, log_error.is_some())?;
    let target = Target::read(target_io, target_position, options.dry_run)?;
    let mut copy = Copy {
        report: CopyReport {
            packs_resumed: target.packs_resumed,
            ..report
        },
        job: Job::new(source, target, options),
        order,
    };
    copy.learn(&wanted, &present)?;
    let dedup = copy.job.dedup();
    let planned = plan(&mut copy.job.source, &dedup, &copy.job.ids, wanted)?;
    if options.dry_run {
        copy.report.copied = planned.into_iter().map(would_copy).collect();
    } else {
        copy.all(planned)?;
    }
    Ok(CopyReport {
        bytes_read: copy.job.bytes_read,
        bytes_added: copy.job.bytes_added,
        bytes_stored: copy.job.bytes_stored,
        ..copy.report
    })
}

fn would_copy(planned: Planned) -> CopiedBackup {
    CopiedBackup {
        source: planned.backup.id,
        bytes_new: planned.bytes_new,
        bytes_to_read: planned.bytes_to_read,
        backup: planned.backup,
    }
}

/// A running copy.
struct Copy {
    job: Job,
    /// The originals of all backups of the source, in order.
    order: Vec<BackupId>,
    report: CopyReport,
}

impl Copy {
    /// Learns ids from the newest backup that both repositories have, of each group of the backups to copy.
    fn learn(&mut self, wanted: &[Backup], present: &[Backup]) -> Result<()> {
        let group = |backup: &Backup| GroupBy::default().key(backup);
        let mut known = Vec::new();
        let mut learned = HashSet::new();
        for backup in wanted {
            let key = group(backup);
            if known.contains(&key) {
                continue;
            }
            // Backups of another group may share chunks, too.
            let alike = present.iter().rfind(|other| group(other) == key);
            let Some(base) = alike.or(present.last()) else {
                return Ok(());
            };
            known.push(key);
            let state = &self.job.target.position.state;
            let copy = find_copy(state, base.original_id()).cloned();
            if let Some(copy) = copy.filter(|copy| learned.insert(copy.id)) {
                self.job.learn(base, &copy)?;
            }
        }
        Ok(())
    }

    fn all(&mut self, planned: Vec<Planned>) -> Result<()> {
        let bytes = planned.iter().map(|planned| planned.bytes_new).sum();
        let progress = Arc::clone(&self.job.target.io.context.progress);
        progress.event(Event::Expect { bytes, entries: 0 });
        batches(planned)
            .into_iter()
            .try_for_each(|batch| self.batch(batch))
    }

    fn batch(&mut self, batch: Vec<Planned>) -> Result<()> {
        let roots = self.job.transfer(&batch)?;
        self.commit_all(batch, roots)
    }

    fn commit_all(&mut self, batch: Vec<Planned>, roots: Roots) -> Result<()> {
        let dedup = self.job.dedup();
        let mut committer = self.job.committer();
        for (planned, root) in batch.into_iter().zip(roots) {
            match root {
                Ok(root) => self.commit(&mut committer, &dedup, planned, root)?,
                Err(lost) => self.report_damage(planned.backup, lost),
            }
        }
        self.job.finish(committer)
    }

    fn commit(
        &mut self,
        committer: &mut Committer,
        dedup: &Dedup,
        planned: Planned,
        root: Option<u32>,
    ) -> Result<()> {
        let job = &self.job;
        let source = &planned.backup;
        let mut tree = source.tree;
        let mut references = References::default();
        if let (Some(number), Some(TreeRoot { node, .. })) = (root, &mut tree) {
            *node = job.trees.node(number).target;
            references = job.trees.references(number, dedup)?;
        }
        let original = source.original_id();
        let id_here = |base| {
            let original = job.source.original_of(base);
            find_copy(committer.state(), original).map_or(base, |copy| copy.id)
        };
        let mut draft = Draft {
            backup: Backup {
                copy_of: Some(original),
                base: source.base.map(id_here),
                tree,
                // This repository has not proven it.
                proven: None,
                damaged: None,
                ..source.clone()
            },
            references,
            counts_writes: false,
        };
        let place = |state: &State| place(state, original, &self.order);
        if !committer.commit(&job.target.io, &mut draft, place)? {
            // Another process copied it meanwhile.
            self.report.present.push(source.id);
            return Ok(());
        }
        let backup = draft.backup.as_listed();
        let planned = would_copy(planned);
        self.report.copied.push(CopiedBackup { backup, ..planned });
        Ok(())
    }

    fn report_damage(&mut self, backup: Backup, lost: Lost) {
        let progress = &self.job.target.io.context.progress;
        for DamagedEntry { path, reason } in &lost.first {
            progress.event(Event::Failed { path, reason });
        }
        self.report.damaged.push(lost.of(backup));
    }
}

/// Divides the work into batches.
pub(super) fn batches(planned: Vec<Planned>) -> Vec<Vec<Planned>> {
    let mut batches = Vec::new();
    let mut batch: Vec<Planned> = Vec::new();
    let mut bytes = 0;
    for one in planned {
        bytes += one.bytes_to_read;
        batch.push(one);
        if batch.len() >= BATCH_BACKUPS || bytes >= BATCH_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// The backup with this original.
pub(super) fn find_copy(state: &State, original: BackupId) -> Option<&Backup> {
    let mut backups = state.backups.values();
    backups.find(|backup| backup.original_id() == original)
}

/// The place of a copy in the order of backups: before the first backup that is newer in the source, or at the end. `None` if the
/// target has a copy already.
fn place(state: &State, original: BackupId, order: &[BackupId]) -> Option<Place> {
    let from = order.iter().skip_while(|id| **id != original);
    let newer: HashSet<BackupId> = from.skip(1).copied().collect();
    let mut predecessor = Predecessor::None;
    let mut place = Place::Last;
    for backup in state.backups.values() {
        if backup.original_id() == original {
            return None;
        }
        if place == Place::Last && newer.contains(&backup.original_id()) {
            place = Place::After(predecessor);
        }
        predecessor = Predecessor::Backup(backup.id);
    }
    Some(place)
}
