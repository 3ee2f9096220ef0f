//! Is the commit log whole, and does it name every backup that is there?

use br_storage::ObjectInfo;

use super::{CheckReport, Finding};
use crate::error::Result;
use crate::repository::{History, Io, Salvage};

/// Looks at every log entry and at manifests that none of them names. `manifests` must have been listed before.
pub(super) fn look(io: &Io, manifests: &[ObjectInfo], report: &mut CheckReport) -> Result<()> {
    let history = History::read(io)?;
    for problem in &history.problems {
        let message = &problem.reason;
        report.findings.push(match history.checkpoint {
            Some(checkpoint) if problem.last < checkpoint => {
                let message =
                    format!("{message}; a later checkpoint has what it said, so nothing needs it");
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
            "a complete backup by {}, and no log entry names it: its run was interrupted at the very end, or the entry \
             was lost; `check --repair-log` brings it back, `prune` removes it once it is a day old",
            backup.host
        );
        let key = crate::repository::Layout::manifest(backup.id);
        report.findings.push(Finding::note(key, message));
    }
    for (key, reason) in salvage.useless {
        let message = format!("no log entry names it, and it is of no use: {reason}");
        report.findings.push(Finding::note(key, message));
    }
    Ok(())
}
