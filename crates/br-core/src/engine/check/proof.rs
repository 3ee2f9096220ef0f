//! The record of a successful check in the log.

use crate::error::Result;
use crate::format::{LogEntry, ProvenBackups};
use crate::model::{BackupId, ProofMethod};
use crate::repository::{Append, Io, LogPosition, MAX_NOTE_RACES};

/// Records that all data of these backups was read and is sound, if the repository is writable. Best effort: errors are ignored, because the
/// caller has the report.
pub(super) fn record(io: &Io, backups: &[BackupId]) {
    let config = io.repository.config();
    let may_write = config.version.check_writable().is_ok() && config.store.exclusive_create;
    if !backups.is_empty() && may_write && io.storage().is_own() {
        let _ = append(io, backups);
    }
}

fn append(io: &Io, backups: &[BackupId]) -> Result<()> {
    let mut position = LogPosition::read(io)?;
    for _ in 0..MAX_NOTE_RACES {
        let live = |id: &&BackupId| position.state.backups.contains_key(id);
        let proven = ProvenBackups {
            time: io.context.runtime.clock.now(),
            by: ProofMethod::Check.name().to_owned(),
            backups: backups.iter().filter(live).copied().collect(),
        };
        if proven.backups.is_empty() {
            return Ok(());
        }
        let entry = LogEntry::Reindex {
            segments_added: Vec::new(),
            segments_removed: Vec::new(),
            damaged: Vec::new(),
            proven: Some(proven),
        };
        if let Append::Done = position.append(io, entry)? {
            return Ok(());
        }
    }
    Ok(())
}
