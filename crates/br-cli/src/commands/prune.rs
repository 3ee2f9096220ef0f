//! `br prune`: removes unused data.

use std::sync::Arc;
use std::time::Duration;

use br_core::engine::prune::{self, PruneOptions, PrunePlan, PruneReport};
use clap::Args;

use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::format;
use crate::output::json::Summary;
use crate::output::report::{PlanJson, PruneReportJson, PruneSummary};

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Partial, ExitStatus::Conflict];

const EXAMPLES: &str = "\
  br prune --dry-run
  br prune
  br prune --keep-deleted 30d   # `br undelete` can still bring back what was deleted in the last 30 days
  br prune --max-unused 0%   # free as much as possible, and copy more";

/// Remove unused data to free space
///
/// br deletes packs that no backup uses. From packs that contain much unused data, br copies the used data to new packs.
/// Backups can run at the same time. If a prune is interrupted, run it again.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct PruneArgs {
    /// Show what br would do
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Unused data that may remain, as a share of all data: a lower value frees more and copies more
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = format::parse_percent)]
    max_unused: f64,

    /// Keep data of unfinished backups that is younger than this
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = format::parse_duration)]
    grace: Duration,

    /// Keep the data of backups that were deleted within this time, so that `br undelete` brings them back
    ///
    /// What counts is the time at which the storage got the deletion, so neither a wrong clock nor an attacker can make it look older.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = format::parse_age)]
    keep_deleted: Duration,
}

pub(crate) async fn run(args: &PruneArgs, context: &CommandContext) -> CommandResult {
    let options = PruneOptions::default()
        .with_max_unused(args.max_unused)
        .with_grace(args.grace)
        .with_keep_deleted(args.keep_deleted);
    let repository = context.open().await?;
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let plan = prune::plan(&repository, &options, &engine).await?;
    let output = &context.output;
    drop(guard);
    if !output.is_json() {
        output.summary(&plan_fields(&plan))?;
    }
    let mut report = None;
    if !args.dry_run {
        let (engine, guard) = context.engine_with(&reporter);
        let done = prune::prune(&repository, &plan, &engine).await?;
        drop(guard);
        // Even with an empty plan, remove partial writes of killed processes.
        report = Some(done).filter(|done| !plan.is_empty() || done.unfinished_removed > 0);
    }
    if output.is_json() {
        output.document(&Summary::new(PruneSummary {
            dry_run: args.dry_run,
            plan: PlanJson::from(&plan),
            report: report.as_ref().map(PruneReportJson::from),
        }))?;
    } else if let Some(report) = &report {
        output.summary(&report_fields(report))?;
    } else if plan.is_empty() {
        output.console.note("there is nothing to do");
    }
    match report {
        Some(PruneReport { failed: 1.., .. }) => {
            output
                .console
                .hint("run `br prune` again: it retries the objects that could not be deleted");
            Ok(ExitStatus::Partial)
        }
        _ => Ok(ExitStatus::Ok),
    }
}

fn plan_fields(plan: &PrunePlan) -> Vec<(&'static str, String)> {
    let packs = |number| format::counted(number, "pack", "packs");
    let mut fields = vec![("keep", packs(plan.packs_kept))];
    if plan.deleted_kept > 0 {
        let backups = format::counted(plan.deleted_kept, "deleted backup", "deleted backups");
        fields.push(("keep", format!("{backups}, see --keep-deleted")));
    }
    if plan.packs_unused > 0 {
        fields.push((
            "delete",
            format!("{} without used data", packs(plan.packs_unused)),
        ));
    }
    if plan.packs_rewritten > 0 {
        let copied = format::size(plan.bytes_copied);
        let packs = packs(plan.packs_rewritten);
        fields.push((
            "rewrite",
            format!("{packs} with {copied} of used data (uncompressed)"),
        ));
    }
    if plan.packs_leftover > 0 {
        fields.push((
            "delete",
            format!("{} of unfinished backups", packs(plan.packs_leftover)),
        ));
    }
    if plan.packs_spared > 0 {
        let packs = packs(plan.packs_spared);
        fields.push((
            "keep",
            format!("{packs} that may belong to a running backup, see --grace"),
        ));
    }
    if plan.packs_condemned > 0 {
        fields.push((
            "delete",
            format!(
                "{} that an earlier prune condemned",
                packs(plan.packs_condemned)
            ),
        ));
    }
    if plan.objects_leftover > 0 {
        let objects = format::counted(plan.objects_leftover, "object", "objects");
        fields.push(("delete", format!("{objects} that nothing uses")));
    }
    fields.push(("removes", format::size(plan.bytes_removed)));
    fields
}

fn report_fields(report: &PruneReport) -> Vec<(&'static str, String)> {
    let packs = format::counted(report.packs_deleted, "pack", "packs");
    let freed = report.bytes_deleted.saturating_sub(report.bytes_written);
    let deleted = format!("{packs}, {}", format::size(report.bytes_deleted));
    let mut fields = vec![("deleted", deleted)];
    if report.objects_deleted > 0 {
        let objects = format::counted(report.objects_deleted, "object", "objects");
        fields.push(("deleted", format!("{objects} that nothing uses")));
    }
    if report.unfinished_removed > 0 {
        let writes = format::counted(
            report.unfinished_removed,
            "unfinished write",
            "unfinished writes",
        );
        fields.push(("deleted", format!("{writes} of killed processes")));
    }
    if report.bytes_written > 0 {
        fields.push(("written", format::size(report.bytes_written)));
    }
    fields.push(("freed", format::size(freed)));
    if let Some(until) = report.locked_until {
        let objects = format::counted(report.locked, "object", "objects");
        let until = format::local_time(until);
        fields.push(("kept", format!("{objects}, locked until {until}")));
    }
    if report.failed > 0 {
        let objects = format::counted(report.failed, "object", "objects");
        fields.push(("failed", format!("{objects} could not be deleted")));
    }
    fields
}
