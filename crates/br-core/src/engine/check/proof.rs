//! The record of a successful check in the log.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::CheckReport;
use crate::error::Result;
use crate::format::{LogEntry, ProvenBackups};
use crate::model::{Backup, BackupId, ProofMethod};
use crate::repository::{Append, Io, LogPosition, MAX_NOTE_RACES};

/// Records the result of a check, if the repository is writable: damaged backups lose their proof, and if `proves`, sound ones are proven.
/// Best effort: errors are ignored, because the caller has the report.
pub(super) fn record(io: &Io, checked: &[Backup], report: &CheckReport, proves: bool) {
    if !io.may_take_notes() {
        return;
    }
    let damaged: BTreeSet<BackupId> = report.damaged_backups.iter().copied().collect();
    let sound = checked.iter().map(|backup| backup.id);
    let sound: Vec<BackupId> = sound.filter(|id| !damaged.contains(id)).collect();
    let _ = append(io, &report.damaged_backups, None, None);
    if proves {
        // The data may have been read by an earlier check.
        let time = report.verified_since;
        let _ = append(io, &sound, Some(&ProofMethod::Check), time);
    }
}

fn append(
    io: &Io,
    backups: &[BackupId],
    by: Option<&ProofMethod>,
    time: Option<Timestamp>,
) -> Result<()> {
    if backups.is_empty() {
        return Ok(());
    }
    let mut position = LogPosition::read(io)?;
    for _ in 0..MAX_NOTE_RACES {
        let changes = |id: &&BackupId| {
            let backup = position.state.backups.get(id);
            backup.is_some_and(|backup| by.is_some() || backup.proven.is_some())
        };
        let proven = ProvenBackups {
            time: time.unwrap_or_else(|| io.context.runtime.clock.now()),
            by: by.map_or(String::new(), |by| by.name().to_owned()),
            backups: backups.iter().filter(changes).copied().collect(),
        };
        if proven.backups.is_empty() {
            return Ok(());
        }
        if let Append::Done = position.append(io, LogEntry::proof(proven))? {
            return Ok(());
        }
    }
    Ok(())
}
