//! Check of the commit log: is every entry readable, and does it name every manifest in the store?

use br_storage::ObjectInfo;

use super::{CheckReport, Finding};
use crate::error::Result;
use crate::repository::{History, Io, Salvage};

/// Checks every log entry, and the manifests that no entry names. The caller must list `manifests` before the log is read.
pub(super) fn look(io: &Io, manifests: &[ObjectInfo], report: &mut CheckReport) -> Result<()> {
    let history = History::read(io)?;
    for problem in &history.problems {
        let message = &problem.reason;
        report.findings.push(match history.checkpoint {
            Some(checkpoint) if problem.last < checkpoint => {
                let message =
                    format!("{message}; a later checkpoint contains its data, so it is not needed");
                Finding::note(problem.entries(), message)
            }
            _ => {
                let message =
                    format!("{message}; `check --repair-log` rebuilds the log from the manifests");
                Finding::damage(problem.entries(), message)
            }
        });
    }
    let salvage = Salvage::make(io, manifests, &history)?;
    for backup in salvage.found {
        let message = format!(
            "a complete backup by {} that no log entry names: it was interrupted just before its commit, or the entry \
             was lost; `check --repair-log` restores it to the backup list, `prune` removes it once it is a day old",
            backup.host
        );
        let key = crate::repository::Layout::manifest(backup.id);
        report.findings.push(Finding::note(key, message));
    }
    for (key, reason) in salvage.useless {
        let message = format!("no log entry names it, and it cannot be used: {reason}");
        report.findings.push(Finding::note(key, message));
    }
    Ok(())
}
