//! The result of a check in the log: which backups are damaged, and which are proven.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::CheckReport;
use crate::engine::references::ReferenceFinder;
use crate::error::Result;
use crate::format::{ExaminedBackups, LogEntry, ProvenBackups};
use crate::model::{Backup, BackupId, PackId, ProofMethod};
use crate::repository::{Append, ChunkReader, Index, Io, LogPosition, MAX_RACES, State, conflict};

/// Records the result of a check, if the repository is writable: which of the checked backups are damaged, and if `proves`, that the others
/// are proven. Best effort: errors are ignored, because the caller has the report.
pub(super) fn record(io: &Io, checked: &[Backup], report: &CheckReport, proves: bool) {
    if !io.may_take_notes() {
        return;
    }
    let damaged: BTreeSet<BackupId> = report.damaged_backups.iter().copied().collect();
    let sound = checked.iter().map(|backup| backup.id);
    let sound: Vec<BackupId> = sound.filter(|id| !damaged.contains(id)).collect();
    let is_marked = |backup: &Backup| backup.damaged.is_some();
    if !damaged.is_empty() || checked.iter().any(is_marked) {
        let _ = append_examined(io, &report.damaged_backups, &sound);
    }
    if proves {
        // The data may have been read by an earlier check.
        let time = report.verified_since;
        let _ = append_proof(io, &sound, time);
    }
}

/// Records which backups use slots that are lost, before a repair drops them from the index. Otherwise only the end of the check would say
/// that the newest backups are useless, and until then `forget` could delete the good ones.
///
/// # Errors
/// When a manifest cannot be read, or the log cannot be read or added to.
pub(super) fn record_losses(
    io: &Io,
    position: &LogPosition,
    index: Index,
    is_lost: impl Fn(&PackId, &RoaringBitmap) -> bool,
) -> Result<()> {
    let reader = Arc::new(ChunkReader::new(io, Arc::new(index)));
    let finder = ReferenceFinder::new(&reader);
    let mut damaged = Vec::new();
    for backup in position.state.backups.values() {
        match finder.of_backup(backup) {
            Ok(used) if used.iter().any(|(pack, slots)| is_lost(pack, slots)) => {
                damaged.push(backup.id);
            }
            Ok(_) => {}
            // Its manifest is lost, or a part of its tree.
            Err(error) if error.is_damage() => damaged.push(backup.id),
            Err(error) => return Err(error),
        }
    }
    append_examined(io, &damaged, &[])
}

/// Appends what changes in the marks of these backups.
fn append_examined(io: &Io, damaged: &[BackupId], sound: &[BackupId]) -> Result<()> {
    append(io, |state| {
        let is_marked = |id: &BackupId| state.backups.get(id).map(|one| one.damaged.is_some());
        let with_mark = |ids: &[BackupId], wanted| {
            let ids = ids.iter().filter(|id| is_marked(id) == Some(wanted));
            ids.copied().collect::<Vec<_>>()
        };
        let examined = ExaminedBackups {
            time: io.context.runtime.clock.now(),
            damaged: with_mark(damaged, false),
            sound: with_mark(sound, true),
        };
        let is_news = !examined.damaged.is_empty() || !examined.sound.is_empty();
        is_news.then(|| LogEntry::examined(examined))
    })
}

fn append_proof(io: &Io, backups: &[BackupId], time: Option<Timestamp>) -> Result<()> {
    append(io, |state| {
        let there = backups.iter().filter(|id| state.backups.contains_key(id));
        let proven = ProvenBackups {
            time: time.unwrap_or_else(|| io.context.runtime.clock.now()),
            by: ProofMethod::Check.name().to_owned(),
            backups: there.copied().collect(),
        };
        let is_news = !proven.backups.is_empty();
        is_news.then(|| LogEntry::proof(proven))
    })
}

/// Appends an entry, made again from the newest state when another process appends first.
fn append(io: &Io, entry: impl Fn(&State) -> Option<LogEntry>) -> Result<()> {
    let mut position = LogPosition::read(io)?;
    for _ in 0..MAX_RACES {
        let Some(entry) = entry(&position.state) else {
            return Ok(());
        };
        if let Append::Done = position.append(io, entry)? {
            return Ok(());
        }
    }
    Err(conflict())
}
