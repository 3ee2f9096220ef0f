//! `br copy`: copies backups into another repository.

use std::sync::Arc;

use br_core::BackupSelector;
use br_core::engine::copy::{self, CopyOptions, CopyReport, DamagedBackup};
use br_core::model::Backup;
use clap::Args;
use serde::Serialize;

use super::source_repository::SourceArgs;
use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::create::Init;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::json::{BackupJson, Summary};
use crate::output::{Output, format};

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Partial, ExitStatus::Conflict];

const EXAMPLES: &str = "\
  br -r /mnt/usb/backup copy --init --from /srv/backup     # everything that is not there yet
  br -r /mnt/usb/backup copy --init --from /srv/backup latest
  br copy --from /srv/backup --to s3://bucket/backups --init --tag weekly
  br copy --from s3://bucket/backups --from-password-file /etc/br.from -r /srv/backup --dry-run";

/// Copy backups from another repository
///
/// br copies the backups that the repository lacks, oldest first, and only the data that it lacks. It checks all data that it reads. The
/// repositories can have different passwords and be in different stores. br only reads the source.
///
/// Times, host, paths, tags, note and pin stay. A copy has its own id; every command also finds it by the id of the original. A backup
/// that was deleted here is copied again only if you name its id.
///
/// If a copy is interrupted, run it again. Backups with damaged data are reported and not copied (exit code 3).
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct CopyArgs {
    /// Backups of the source: ids, short ids from `br list`, `latest`, or `latest~1` for the one before [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<BackupSelector>,

    /// Location of the repository to copy from
    #[arg(long, value_name = "URL|PATH")]
    from: String,

    /// Location of the repository to copy to, instead of --repo
    #[arg(long, value_name = "URL|PATH")]
    to: Option<String>,

    /// Create the repository if it is missing
    #[arg(long)]
    init: bool,

    /// Read existing data in the repository before relying on it
    ///
    /// If br cannot read some of the data, it copies it again and records the damage.
    #[arg(long, hide_short_help = true)]
    verify_known: bool,

    /// Show what br would copy
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    source: SourceArgs,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

pub(crate) async fn run(args: &CopyArgs, context: &CommandContext) -> CommandResult {
    if args.to.is_some() && context.names_repository() {
        let message = "--repo and --to both name the repository to copy to";
        return Err(CommandError::usage(message, "leave one of them out"));
    }
    let options = if args.ids.is_empty() {
        CopyOptions::default().with_filter(args.filter.filter())
    } else {
        CopyOptions::default().with_backups(args.filter.apply_list(&args.ids)?)
    };
    context.use_repository(args.to.as_deref())?;
    let source = args.source.open("--from", &args.from, context).await?;
    if source.is_write_only() {
        let message =
            "a copy needs the content of files, and the key that opened the source only writes";
        let hint = "give the password of another key of the source: `br key list` shows the keys and what they can do";
        return Err(CommandError::new(ExitStatus::AccessDenied, message, hint));
    }
    let place = context.place()?;
    let init = Init::for_copy(args.init, &source);
    let target = context.open_or_init(place, init, args.dry_run).await?;
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let options = options
        .with_dry_run(args.dry_run)
        .with_verify_known(args.verify_known);
    let report = copy::copy(&source, &target, &options, &engine).await;
    drop(guard);
    let report = report.map_err(refused)?;
    print(&report, &context.output)
}

fn refused(error: br_core::Error) -> CommandError {
    let is_same = error.kind() == br_core::ErrorKind::Invalid;
    let error = CommandError::from(error);
    if is_same {
        error.with_hint("name another repository with --repo or --to; `br copy --init` creates it")
    } else {
        error
    }
}

#[derive(Serialize)]
struct CopySummary {
    dry_run: bool,
    copied: Vec<CopiedJson>,
    present: Vec<String>,
    deleted: Vec<BackupJson>,
    damaged: Vec<DamagedJson>,
    bytes_read: u64,
    bytes_added: u64,
    bytes_stored: u64,
    packs_resumed: u64,
}

#[derive(Serialize)]
struct CopiedJson {
    source: String,
    backup: BackupJson,
    bytes_new: u64,
    bytes_to_read: u64,
}

#[derive(Serialize)]
struct DamagedJson {
    backup: BackupJson,
    entries: u64,
    first: Vec<DamagedEntryJson>,
}

#[derive(Serialize)]
struct DamagedEntryJson {
    path: String,
    reason: String,
}

fn print(report: &CopyReport, output: &Output) -> CommandResult {
    if output.is_json() {
        output.document(&Summary::new(summary(report)))?;
    } else {
        let mut lines = output.lines();
        for copied in &report.copied {
            lines.line(&line(report.dry_run, &copied.backup))?;
        }
        lines.finish()?;
        output.summary(&fields(report))?;
    }
    for backup in &report.deleted {
        output.console.note(&format!(
            "{} was deleted in this repository earlier and is not copied: name its id to copy it",
            backup.id
        ));
    }
    for damaged in &report.damaged {
        let many = format::counted(damaged.entries, "entry", "entries");
        output.console.warning(&format!(
            "backup {} was not copied: {many} of it cannot be read",
            damaged.backup.id
        ));
    }
    if report.is_complete() {
        return Ok(ExitStatus::Ok);
    }
    output.console.hint(
        "`br check --read-data` of the source names the damage; after a repair, run `br copy` again",
    );
    Ok(ExitStatus::Partial)
}

/// `copied 01a1…  2026-11-20 09:30  1.2 GiB  /etc /home`.
fn line(dry_run: bool, backup: &Backup) -> String {
    let verb = if dry_run { "would copy" } else { "copied" };
    format!(
        "{verb} {}  {}  {}  {}",
        backup.original_id(),
        format::local_time(backup.started),
        format::size(backup.totals.bytes),
        format::paths(&backup.full_paths())
    )
}

fn fields(report: &CopyReport) -> Vec<(&'static str, String)> {
    let backups = |number: usize| format::counted(number as u64, "backup", "backups");
    let verb = if report.dry_run { "to copy" } else { "copied" };
    let mut fields = vec![(verb, backups(report.copied.len()))];
    if !report.present.is_empty() {
        let present = backups(report.present.len());
        fields.push(("present", format!("{present} already in this repository")));
    }
    if !report.deleted.is_empty() {
        fields.push(("skipped", backups(report.deleted.len())));
    }
    if report.copied.is_empty() && report.bytes_read == 0 {
        return fields;
    }
    if report.dry_run {
        let sum = |of: fn(&copy::CopiedBackup) -> u64| report.copied.iter().map(of).sum();
        let (new, read) = (sum(|one| one.bytes_new), sum(|one| one.bytes_to_read));
        let text = format!(
            "{}, about {} as stored",
            format::size(new),
            format::size(read)
        );
        fields.push(("new data", text));
    } else {
        fields.push(("read", format::size(report.bytes_read)));
        let (added, stored) = (report.bytes_added, report.bytes_stored);
        let text = format!(
            "{}, stored as {}",
            format::size(added),
            format::size(stored)
        );
        fields.push(("added", text));
    }
    if report.packs_resumed > 0 {
        let packs = format::counted(report.packs_resumed, "pack", "packs");
        fields.push(("resumed", format!("{packs} of an interrupted run")));
    }
    fields
}

fn summary(report: &CopyReport) -> CopySummary {
    let copied = report.copied.iter().map(|copied| CopiedJson {
        source: copied.source.to_string(),
        backup: BackupJson::from(&copied.backup),
        bytes_new: copied.bytes_new,
        bytes_to_read: copied.bytes_to_read,
    });
    CopySummary {
        dry_run: report.dry_run,
        copied: copied.collect(),
        present: report.present.iter().map(ToString::to_string).collect(),
        deleted: report.deleted.iter().map(BackupJson::from).collect(),
        damaged: report.damaged.iter().map(damaged).collect(),
        bytes_read: report.bytes_read,
        bytes_added: report.bytes_added,
        bytes_stored: report.bytes_stored,
        packs_resumed: report.packs_resumed,
    }
}

fn damaged(damaged: &DamagedBackup) -> DamagedJson {
    let entry = |entry: &copy::DamagedEntry| DamagedEntryJson {
        path: entry.path.to_string(),
        reason: entry.reason.clone(),
    };
    DamagedJson {
        backup: BackupJson::from(&damaged.backup),
        entries: damaged.entries,
        first: damaged.first.iter().map(entry).collect(),
    }
}
