//! `br rewrite`: stores backups again without some entries.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use br_core::engine::delete;
use br_core::engine::rewrite::{RewriteOptions, RewriteReport, Rewritten, rewrite};
use br_core::{BackupSelector, Repository};
use clap::Args;
use serde::Serialize;

use super::sources::patterns;
use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::json::{BackupJson, Summary};
use crate::output::{Console, format};

const EXAMPLES: &str = "\
  br rewrite latest --exclude '*.iso' --dry-run
  br rewrite latest latest~1 --exclude /home/anna/secret --delete
  br rewrite latest --host web1 --exclude cache/ --delete --yes && br prune --max-unused 0%";

/// Store backups again without some entries
///
/// The new backup has the time, host, paths, tags, note, pin and origin of its original, follows it in `br list`, and names it. br
/// reads and stores no data of files. Without --delete, the original stays. `br prune` frees the space of what only deleted backups
/// have.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Conflict]),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Conflict]))
)]
pub(crate) struct RewriteArgs {
    /// Backups: ids, short ids from `br list`, `latest`, or `latest~1` for the one before
    #[arg(value_name = "ID", required = true)]
    ids: Vec<BackupSelector>,

    /// Leave out entries that match a pattern, and everything below them, as in .gitignore (can be repeated)
    ///
    /// `name` and `src/name` match at any depth. A pattern that starts with a slash is a path in the backup. A pattern that ends with
    /// a slash matches only folders; `!` includes entries again that an earlier pattern left out.
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,

    /// Read patterns from a file, one per line (can be repeated)
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// As --exclude, but ignore the case of ASCII letters (can be repeated)
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<OsString>,

    /// Delete the originals afterwards, as `br delete` does
    #[arg(long)]
    delete: bool,

    /// Store and delete nothing; list what the new backups would not have
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Do not ask for confirmation of --delete
    #[arg(short, long, requires = "delete")]
    yes: bool,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct RewriteSummary {
    dry_run: bool,
    rewritten: Vec<RewrittenJson>,
    deleted: Vec<BackupJson>,
}

#[derive(Serialize)]
struct RewrittenJson {
    original: String,
    backup: Option<BackupJson>,
    entries_removed: u64,
    files_removed: u64,
    bytes_removed: u64,
}

pub(crate) async fn run(args: RewriteArgs, context: &CommandContext) -> CommandResult {
    let excludes = patterns(&args.exclude, &args.exclude_file, &args.iexclude)?;
    if excludes.is_empty() {
        let hint = "name what to leave out, such as --exclude '*.iso'";
        return Err(CommandError::usage("there is no pattern", hint));
    }
    excludes.check_for_entries().map_err(|error| {
        let hint = "write a path in the backup, such as /home/anna/cache, or a name";
        CommandError::usage(error.to_string(), hint)
    })?;
    let ids = args.filter.apply_list(&args.ids)?;
    let repository = context.open().await?;
    if args.delete && !may_delete(&args, &repository, &ids, context).await? {
        context.output.console.note("nothing was changed");
        return Ok(ExitStatus::Ok);
    }
    let lists = args.dry_run || context.output.is_verbose();
    let reporter = Arc::new(context.reporter().with_entries(lists));
    let (engine, guard) = context.engine_with(&reporter);
    let options = RewriteOptions::default()
        .with_excludes(excludes)
        .with_dry_run(args.dry_run);
    let report = rewrite(&repository, ids, &options, &engine).await;
    drop(guard);
    let report = report?;
    let deleted = if args.delete {
        delete_originals(&repository, &report, context).await?
    } else {
        Vec::new()
    };
    print(&args, &report, deleted, context)?;
    Ok(ExitStatus::Ok)
}

/// Refuses pinned originals before anything is stored, and asks for confirmation.
async fn may_delete(
    args: &RewriteArgs,
    repository: &Repository,
    ids: &[BackupSelector],
    context: &CommandContext,
) -> Result<bool, CommandError> {
    let plan = delete::plan(repository, ids.to_vec(), &context.engine()).await?;
    if let Some(pinned) = plan.backups.iter().find(|backup| backup.pinned) {
        let message = format!("backup {} is pinned: br changes nothing", pinned.id);
        let hint = format!("`br unpin {}` allows it, or leave out --delete", pinned.id);
        return Err(CommandError::usage(message, hint));
    }
    if args.yes || args.dry_run || !Console::can_confirm() {
        return Ok(true);
    }
    let many = format::counted(plan.backups.len() as u64, "backup", "backups");
    let question = format!("Rewrite {many}, and delete the originals?");
    context.confirm(question).await
}

/// Deletes the originals of the new backups.
async fn delete_originals(
    repository: &Repository,
    report: &RewriteReport,
    context: &CommandContext,
) -> Result<Vec<BackupJson>, CommandError> {
    let rewritten = report.backups.iter().filter(|one| one.backup.is_some());
    let ids: Vec<_> = rewritten.map(|one| one.original.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let plan = delete::plan(repository, ids, &engine).await?;
    let deleted = delete::delete(repository, &plan, &engine).await;
    drop(guard);
    deleted?;
    Ok(plan.backups.iter().map(BackupJson::from).collect())
}

fn print(
    args: &RewriteArgs,
    report: &RewriteReport,
    deleted: Vec<BackupJson>,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let output = &context.output;
    if output.is_json() {
        let rewritten = report.backups.iter().map(RewrittenJson::from).collect();
        return output.document(&Summary::new(RewriteSummary {
            dry_run: args.dry_run,
            rewritten,
            deleted,
        }));
    }
    let mut lines = output.lines();
    for one in &report.backups {
        let removed = &one.removed;
        if removed.entries == 0 {
            let id = one.original.id;
            output.console.note(&format!(
                "no entry of {id} matches: there is no new backup of it"
            ));
            continue;
        }
        let entries = format::counted(removed.entries, "entry", "entries");
        let size = format::size(removed.bytes);
        let new = match &one.backup {
            Some(backup) => backup.id.to_string(),
            None => "none: dry run, nothing was stored".to_owned(),
        };
        if !output.console.quiet {
            lines.line(&format!("original  {}", one.original.id))?;
            lines.line(&format!("backup    {new}"))?;
            lines.line(&format!("without   {entries}, {size}"))?;
        }
    }
    lines.finish()?;
    if !deleted.is_empty() {
        let many = format::counted(deleted.len() as u64, "original", "originals");
        output.console.note(&format!(
            "{many} deleted. `br prune` frees the space; until then, `br undelete` brings backups back"
        ));
    }
    Ok(())
}

impl From<&Rewritten> for RewrittenJson {
    fn from(one: &Rewritten) -> Self {
        Self {
            original: one.original.id.to_string(),
            backup: one.backup.as_ref().map(BackupJson::from),
            entries_removed: one.removed.entries,
            files_removed: one.removed.files,
            bytes_removed: one.removed.bytes,
        }
    }
}
