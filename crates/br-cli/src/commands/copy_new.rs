//! Copies a new backup into a further repository of `br backup`.
//!
//! [`copy_one`] also copies what an earlier run missed, and [`bring_back`] does the same in the other direction. Invariant: a problem with an
//! earlier backup does not keep the new one from being copied.

use std::sync::Arc;

use br_core::Repository;
use br_core::engine::backup::BackupReport;
use br_core::engine::copy::{CopyOptions, CopyReport, copy};
use br_core::model::{Backup, BackupId};

use super::copy_to::CopyMode;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;

/// What a repository got.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) backup: Option<BackupId>,
    pub(super) bytes: u64,
    /// Earlier backups that it got now.
    pub(super) caught_up: u64,
    /// Backups that it has and that the first repository missed.
    pub(super) source_missed: Vec<BackupId>,
    /// The number of those that the first repository got now.
    pub(super) returned: u64,
}

impl From<BackupReport> for Stored {
    fn from(report: BackupReport) -> Self {
        Self {
            backup: Some(report.backup.id),
            bytes: report.backup.changes.bytes_stored,
            ..Self::default()
        }
    }
}

/// Copies the new backup, and the earlier ones that the target missed.
pub(super) async fn copy_one(
    source: &Repository,
    target: &Repository,
    backup: &Backup,
    mode: CopyMode,
    context: &CommandContext,
) -> Result<Stored, CommandError> {
    if source.config().id == target.config().id {
        let message = "it is the same repository, or a copy of its files";
        let hint = "name other repositories; `br init` or --init creates one";
        return Err(CommandError::usage(message, hint));
    }
    let report = copy_missed(source, target, backup.id, Vec::new(), mode, context).await?;
    if report
        .damaged
        .iter()
        .any(|damaged| damaged.backup.id == backup.id)
    {
        let message = format!("a part of its data in {} is damaged", source.location());
        let hint = "`br check --read-data` of this repository names the damage";
        return Err(CommandError::new(ExitStatus::Damaged, message, hint));
    }
    warn_of_damage(&report, source, target, context);
    let (mine, earlier): (Vec<_>, Vec<_>) =
        (report.copied.iter()).partition(|one| one.source == backup.id);
    // If another process copied it meanwhile, the original id finds the copy.
    let copied = mine.first();
    Ok(Stored {
        backup: Some(copied.map_or(backup.id, |copied| copied.backup.id)),
        bytes: report.bytes_stored,
        caught_up: earlier.len() as u64,
        source_missed: report.source_missed,
        returned: 0,
    })
}

/// Copies a backup and the earlier ones that the target missed; `missed` are some of them that are known already.
async fn copy_missed(
    source: &Repository,
    target: &Repository,
    backup: BackupId,
    missed: Vec<BackupId>,
    mode: CopyMode,
    context: &CommandContext,
) -> Result<CopyReport, CommandError> {
    let options = CopyOptions::default()
        .with_backups([backup])
        .with_catch_up(true)
        .with_missed(missed)
        .with_verify_known(mode.verify_known);
    let reporter = Arc::new(context.reporter());
    let (engine, _guard) = context.engine_with(&reporter);
    Ok(copy(source, target, &options, &engine).await?)
}

/// Copies into the first repository the backups that it missed because it failed. Only an interruption is an error: the new backup is already
/// in both.
pub(super) async fn bring_back(
    first: &Repository,
    other: &Repository,
    stored: Stored,
    mode: CopyMode,
    context: &CommandContext,
) -> Result<Stored, CommandError> {
    let Some(newest) = stored.backup else {
        return Ok(stored);
    };
    // The copy to the other repository may have moved the newest common backup past these.
    let missed = stored.source_missed.clone();
    match copy_missed(other, first, newest, missed, mode, context).await {
        Ok(report) => {
            warn_of_damage(&report, other, first, context);
            Ok(Stored {
                returned: report.copied.len() as u64,
                ..stored
            })
        }
        Err(error) if error.status == ExitStatus::Interrupted => Err(error),
        Err(error) => {
            context.output.console.warning(&format!(
                "{} still lacks earlier backups of {}: {}",
                first.location(),
                other.location(),
                error.reasons()
            ));
            Ok(stored)
        }
    }
}

fn warn_of_damage(
    report: &CopyReport,
    source: &Repository,
    target: &Repository,
    context: &CommandContext,
) {
    for damaged in &report.damaged {
        context.output.console.warning(&format!(
            "the earlier backup {} is not copied to {}: a part of its data in {} is damaged",
            damaged.backup.id,
            target.location(),
            source.location()
        ));
    }
}
