//! `br undelete`: brings deleted backups back.

use br_core::engine::undelete::{self, Candidate};
use br_core::{BackupSelector, ErrorKind, ShortIds};
use clap::Args;
use serde::Serialize;

use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::json::{BackupJson, Summary};
use crate::output::{Output, Table, format};

const EXAMPLES: &str = "\
  br undelete              # list the backups that can come back
  br undelete 8c90d327";

/// Bring deleted backups back
///
/// Without an ID, br lists the backups that can come back: those deleted since the last prune, and those that `br prune --keep-deleted`
/// kept. A backup returns to its old place in the list.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Conflict]),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Conflict]))
)]
pub(crate) struct UndeleteArgs {
    /// Deleted backups: ids, or short ids from `br undelete`
    #[arg(value_name = "ID")]
    ids: Vec<BackupSelector>,
}

#[derive(Serialize)]
struct UndeleteSummary {
    restored: Vec<BackupJson>,
    deleted: Vec<DeletedJson>,
}

/// A backup that can come back.
#[derive(Serialize)]
struct DeletedJson {
    deleted: String,
    backup: BackupJson,
}

pub(crate) async fn run(args: &UndeleteArgs, context: &CommandContext) -> CommandResult {
    if let Some(id) = args.ids.iter().find(|id| !id.is_id()) {
        let message = format!("`{id}` does not name a deleted backup");
        let hint = "`br undelete` shows the backups that can come back, and their ids";
        return Err(CommandError::usage(message, hint));
    }
    let repository = context.open().await?;
    let output = &context.output;
    if args.ids.is_empty() {
        let candidates = undelete::candidates(&repository, &context.engine()).await?;
        return list(&candidates, output);
    }
    let restored = undelete::undelete(&repository, &args.ids, &context.engine()).await;
    let restored = restored.map_err(|error| match error.kind() {
        ErrorKind::BackupNotFound => CommandError::from(error)
            .with_hint("`br undelete` shows the backups that can come back, and their ids"),
        _ => error.into(),
    })?;
    if output.is_json() {
        output.document(&Summary::new(UndeleteSummary {
            restored: restored.iter().map(BackupJson::from).collect(),
            deleted: Vec::new(),
        }))?;
    } else {
        let many = format::counted(restored.len() as u64, "backup is", "backups are");
        output.console.note(&format!("{many} back"));
    }
    Ok(ExitStatus::Ok)
}

fn list(candidates: &[Candidate], output: &Output) -> CommandResult {
    if output.is_json() {
        let deleted = candidates.iter().map(|one| DeletedJson {
            deleted: one.deleted.to_string(),
            backup: BackupJson::from(&one.backup),
        });
        output.document(&Summary::new(UndeleteSummary {
            restored: Vec::new(),
            deleted: deleted.collect(),
        }))?;
        return Ok(ExitStatus::Ok);
    }
    if candidates.is_empty() {
        output.console.note("no deleted backup can come back");
        return Ok(ExitStatus::Ok);
    }
    print(candidates, output)?;
    Ok(ExitStatus::Ok)
}

fn print(candidates: &[Candidate], output: &Output) -> Result<(), CommandError> {
    let short = ShortIds::new(candidates.iter().map(|one| one.backup.id));
    let mut table = Table::new(
        &["ID", "TIME", "DELETED", "HOST", "SIZE", "PATHS"],
        &["SIZE"],
    );
    for one in candidates {
        table.row(vec![
            short.get(one.backup.id),
            format::local_time(one.backup.started),
            format::local_time(one.deleted),
            format::text(&one.backup.host),
            format::size(one.backup.totals.bytes),
            format::paths(&one.backup.full_paths()),
        ]);
    }
    let mut lines = output.lines();
    lines.table(table, None, &[])?;
    lines.finish()
}
