//! `br delete`: deletes backups from the backup list.

use std::sync::Arc;

use br_core::BackupSelector;
use br_core::engine::delete::{self, DeletePlan};
use clap::Args;
use serde::Serialize;

use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::json::{BackupJson, Summary};
use crate::output::{Console, Output, format};

const EXAMPLES: &str = "\
  br delete 8c90d327 4f1d22ab --dry-run
  br delete 8c90d327 --yes && br prune";

/// Delete backups
///
/// Other backups do not depend on deleted ones, even if they are based on them: br keeps shared data. `br prune` frees the
/// space.
///
/// On a terminal, br shows what it will delete and asks for confirmation; --yes skips that. Without a terminal, for example in a
/// cron job, br does not ask.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Conflict]),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Conflict]))
)]
pub(crate) struct DeleteArgs {
    /// Backups: ids, short ids from `br list`, `latest`, or `latest~1` for the one before
    #[arg(value_name = "ID", required = true)]
    ids: Vec<BackupSelector>,

    /// Show what br would delete
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct DeleteSummary {
    dry_run: bool,
    deleted: Vec<BackupJson>,
}

pub(crate) async fn run(args: DeleteArgs, context: &CommandContext) -> CommandResult {
    let ids = args.filter.apply_list(&args.ids)?;
    let repository = context.open().await?;
    let plan = delete::plan(&repository, ids, &context.engine()).await?;
    if let Some(pinned) = plan.backups.iter().find(|backup| backup.pinned) {
        let message = format!("backup {} is pinned: br deletes nothing", pinned.id);
        let hint = format!("`br unpin {}` allows it", pinned.id);
        return Err(CommandError::usage(message, hint));
    }
    let output = &context.output;
    let asks = !args.yes && !args.dry_run && Console::can_confirm();
    if !output.is_json() && (asks || !output.console.quiet) {
        print(&plan, args.dry_run, output)?;
    }
    for id in &plan.last_complete {
        output.console.warning(&format!(
            "{id} is the last complete backup of its host and paths: the others are incomplete"
        ));
    }
    if asks {
        let many = format::counted(plan.backups.len() as u64, "backup", "backups");
        if !context.confirm(format!("Delete {many}?")).await? {
            output.console.note("nothing was deleted");
            return Ok(ExitStatus::Ok);
        }
    }
    if !args.dry_run {
        // With a reporter, because the engine may have a warning.
        let reporter = Arc::new(context.reporter());
        let (engine, guard) = context.engine_with(&reporter);
        let deleted = delete::delete(&repository, &plan, &engine).await;
        drop(guard);
        deleted?;
    }
    if output.is_json() {
        let deleted = plan.backups.iter().map(BackupJson::from).collect();
        output.document(&Summary::new(DeleteSummary {
            dry_run: args.dry_run,
            deleted,
        }))?;
    } else if !args.dry_run {
        let many = format::counted(plan.backups.len() as u64, "backup", "backups");
        output.console.note(&format!(
            "{many} deleted; other backups are not affected. `br prune` frees the space; until then, `br undelete` brings backups back"
        ));
    }
    Ok(ExitStatus::Ok)
}

fn print(plan: &DeletePlan, dry_run: bool, output: &Output) -> Result<(), CommandError> {
    let verb = if dry_run { "would delete" } else { "delete" };
    let mut lines = output.lines();
    for backup in &plan.backups {
        lines.line(&format!(
            "{verb} {}  {}  {}  {}",
            backup.id,
            format::local_time(backup.started),
            format::size(backup.totals.bytes),
            format::paths(&backup.paths)
        ))?;
    }
    lines.finish()
}
