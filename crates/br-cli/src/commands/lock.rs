//! `br lock`: keeps everyone from deleting what backups need, in a bucket with object lock.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use br_core::engine::lock::{self, LockOptions, LockPlan, LockReport, LockStatus};
use br_core::{Error, ErrorKind, RetentionMode, StorageError, StorageErrorKind};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::format;
use crate::output::json::Summary;

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Conflict];

const EXAMPLES: &str = "\
  br lock extend --for 30d   # every night
  br lock status";

const EXTEND_EXAMPLES: &str = "\
  br lock extend --for 30d --dry-run
  br lock extend --for 30d
  br lock extend --for 30d --at-least 29d     # extend nearly every lock, for more requests
  br lock extend --for 90d --mode compliance  # nobody can end the locks earlier";

/// Keep everyone from deleting what backups need, in a bucket with object lock
///
/// The server refuses to delete a locked object for good before its time, whatever key is used. br locks the newest state only for the
/// time that you choose, so run `br lock extend` regularly: it extends the locks of everything that the backups need. Data that no
/// backup needs any more is not extended, so a prune can delete it after that time.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct LockCommand {
    #[command(subcommand)]
    action: LockAction,
}

#[derive(Debug, Subcommand)]
enum LockAction {
    /// Extend the locks of all objects that backups need
    ///
    /// br sends one request for each object and reads no data. A lock is never shortened. If the command is interrupted, run it again.
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
        after_long_help = examples(EXTEND_EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
    )]
    Extend(ExtendArgs),
    /// Show until when the objects that backups need are locked
    ///
    /// br asks the server about each object.
    #[command(
        after_help = exit_codes_and(ExitStatus::REPOSITORY, &[]),
        after_long_help = examples("  br lock status", &exit_codes_and(ExitStatus::REPOSITORY, &[]))
    )]
    Status,
}

#[derive(Debug, Args)]
struct ExtendArgs {
    /// Lock for this time from now on: 30d, 12w or 1y
    #[arg(long = "for", value_name = "TIME", value_parser = format::parse_age)]
    period: Duration,

    /// Leave out objects that stay locked for at least this time [default: half of --for]
    ///
    /// br remembers in its cache folder until when it locked each object. Without that folder it extends all locks.
    #[arg(long, value_name = "TIME", value_parser = format::parse_age)]
    at_least: Option<Duration>,

    /// Who can end a lock earlier: users with a special right (governance), or nobody (compliance) [default: as for new objects of the bucket, or governance]
    ///
    /// Nobody can undo compliance: the objects stay, and cost money, until the end.
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    mode: Option<RetentionMode>,

    /// Show what br would do, and how many requests it needs
    #[arg(short = 'n', long)]
    dry_run: bool,
}

fn parse_mode(text: &str) -> Result<RetentionMode, String> {
    let parsed = text.parse();
    parsed.map_err(|_| format!("`{text}` is neither governance nor compliance"))
}

#[derive(Serialize)]
struct ExtendSummary {
    dry_run: bool,
    objects: u64,
    packs: u64,
    fresh: u64,
    to_extend: u64,
    mode: &'static str,
    until: String,
    report: Option<ReportJson>,
}

#[derive(Serialize)]
struct ReportJson {
    extended: u64,
    longer: u64,
    still_governance: u64,
    missing: u64,
    requests: u64,
    all_until: Option<String>,
}

#[derive(Serialize)]
struct StatusSummary {
    objects: u64,
    packs: u64,
    governance: u64,
    compliance: u64,
    unlocked: u64,
    missing: u64,
    first_until: Option<String>,
    last_until: Option<String>,
    default_mode: Option<&'static str>,
    default_seconds: Option<u64>,
}

pub(crate) async fn run(args: &LockCommand, context: &CommandContext) -> CommandResult {
    match &args.action {
        LockAction::Extend(args) => extend(args, context).await,
        LockAction::Status => status(context).await,
    }
}

/// Says what to do about a store without object lock, and about missing permissions.
pub(super) fn advise(error: Error) -> CommandError {
    let store = error.source().and_then(|source| source.downcast_ref());
    let store = store.map(StorageError::kind);
    let hint = match (error.kind(), store) {
        (_, Some(StorageErrorKind::Unsupported)) => {
            "turn on object lock for the bucket: on AWS at any time, on other servers when you create it; `br copy` copies the \
             backups into another bucket"
        }
        (ErrorKind::Denied, _) => {
            "the key needs the permissions s3:GetBucketObjectLockConfiguration, s3:GetObjectRetention and, to extend locks, \
             s3:PutObjectRetention"
        }
        (ErrorKind::Invalid, None) => "`br help lock extend` explains the options",
        _ => return error.into(),
    };
    CommandError::from(error).with_hint(hint)
}

async fn extend(args: &ExtendArgs, context: &CommandContext) -> CommandResult {
    let options = LockOptions::new(args.period)
        .with_at_least(args.at_least)
        .with_mode(args.mode);
    let repository = context.open().await?;
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let (plan, report) = if args.dry_run {
        let plan = lock::plan(&repository, &options, &engine).await;
        (plan.map_err(advise)?, None)
    } else {
        let report = lock::extend(&repository, &options, &engine).await;
        let report = report.map_err(advise)?;
        (report.plan, Some(report))
    };
    drop(guard);
    let output = &context.output;
    if output.is_json() {
        output.document(&Summary::new(summary(args.dry_run, &plan, report.as_ref())))?;
    } else {
        output.summary(&fields(&plan, report.as_ref()))?;
    }
    let Some(report) = report else {
        return Ok(ExitStatus::Ok);
    };
    if report.still_governance > 0 {
        output.console.hint(
            "locks in governance mode become compliance locks only with a key that has the permission \
             s3:BypassGovernanceRetention",
        );
    }
    if report.missing > 0 {
        output.console.hint("`br check` shows what is lost");
        return Ok(ExitStatus::Damaged);
    }
    Ok(ExitStatus::Ok)
}

fn summary(dry_run: bool, plan: &LockPlan, report: Option<&LockReport>) -> ExtendSummary {
    ExtendSummary {
        dry_run,
        objects: plan.objects,
        packs: plan.packs,
        fresh: plan.fresh,
        to_extend: plan.to_extend,
        mode: plan.mode.as_str(),
        until: plan.until.to_string(),
        report: report.map(|report| ReportJson {
            extended: report.extended,
            longer: report.longer,
            still_governance: report.still_governance,
            missing: report.missing,
            requests: report.requests,
            all_until: report.all_until.map(|until| until.to_string()),
        }),
    }
}

fn objects(number: u64) -> String {
    format::counted(number, "object", "objects")
}

fn fields(plan: &LockPlan, report: Option<&LockReport>) -> Vec<(&'static str, String)> {
    let packs = format::counted(plan.packs, "pack", "packs");
    let mut fields = vec![("needed", format!("{}, {packs}", objects(plan.objects)))];
    if plan.fresh > 0 {
        let fresh = objects(plan.fresh);
        fields.push(("left out", format!("{fresh} that stay locked long enough")));
    }
    let until = format::local_time(plan.until);
    let (label, number) = match report {
        None => ("would lock", plan.to_extend),
        Some(report) => ("locked", report.extended),
    };
    let number = objects(number);
    fields.push((
        label,
        format!("{number} until {until}, in {} mode", plan.mode),
    ));
    let Some(report) = report else {
        let requests = format::counted(plan.to_extend, "request", "requests");
        fields.push(("costs", requests));
        return fields;
    };
    for (label, number, what) in [
        ("left", report.longer, "that are locked for longer"),
        ("left", report.still_governance, "in governance mode"),
        ("missing", report.missing, "that backups need"),
    ] {
        if number > 0 {
            fields.push((label, format!("{} {what}", objects(number))));
        }
    }
    let requests = format::counted(report.requests, "request", "requests");
    fields.push(("cost", requests));
    if let Some(until) = report.all_until {
        fields.push(("all until", format::local_time(until)));
    }
    fields
}

async fn status(context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let status = lock::status(&repository, &engine).await.map_err(advise)?;
    drop(guard);
    let output = &context.output;
    if output.is_json() {
        output.document(&Summary::new(StatusSummary {
            objects: status.objects,
            packs: status.packs,
            governance: status.governance,
            compliance: status.compliance,
            unlocked: status.unlocked,
            missing: status.missing,
            first_until: status.first_until.map(|until| until.to_string()),
            last_until: status.last_until.map(|until| until.to_string()),
            default_mode: status.default_mode.map(RetentionMode::as_str),
            default_seconds: status.default_period.map(|period| period.as_secs()),
        }))?;
    } else {
        output.fields(&status_fields(&status))?;
    }
    if status.unlocked > 0 {
        let hint = "`br lock extend --for 30d` locks everything that backups need";
        output.console.hint(hint);
    }
    Ok(ExitStatus::Ok)
}

fn status_fields(status: &LockStatus) -> Vec<(&'static str, String)> {
    let packs = format::counted(status.packs, "pack", "packs");
    let mut fields = vec![("needed", format!("{}, {packs}", objects(status.objects)))];
    for (label, number, what) in [
        ("locked", status.governance, "in governance mode"),
        ("locked", status.compliance, "in compliance mode"),
        ("not locked", status.unlocked, ""),
        ("missing", status.missing, "that backups need"),
    ] {
        if number > 0 {
            let text = format!("{} {what}", objects(number));
            fields.push((label, text.trim_end().to_owned()));
        }
    }
    if let (Some(first), Some(last)) = (status.first_until, status.last_until) {
        fields.push(("first until", format::local_time(first)));
        fields.push(("last until", format::local_time(last)));
    }
    let default = match (status.default_mode, status.default_period) {
        (Some(mode), Some(period)) => {
            let days = format::counted(period.as_secs() / 86400, "day", "days");
            format!("locked for {days}, in {mode} mode")
        }
        _ => "not locked by the bucket".to_owned(),
    };
    fields.push(("new objects", default));
    fields
}
