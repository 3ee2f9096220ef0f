//! `br stats`: shows the size of a repository.

use br_core::engine::growth::{BackupGrowth, growth};
use br_core::{Repository, ShortIds};
use clap::Args;
use serde::Serialize;

use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::json::BackupJson;
use crate::output::report::StatsJson;
use crate::output::{Table, format};

const EXAMPLES: &str = "\
  br stats
  br stats --growth
  br stats --json | jq .bytes_stored";

/// Show the size of the repository
///
/// With --growth, br shows for each backup the data that it added (before and after compression), the data that no other backup
/// uses, and about how much space its deletion alone would free.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct StatsArgs {
    /// Show for each backup what it added, and what its deletion would free
    #[arg(long)]
    growth: bool,
}

pub(crate) async fn run(args: &StatsArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    if args.growth {
        return show_growth(&repository, context).await;
    }
    let stats = br_core::engine::stats::stats(&repository, &context.engine()).await?;
    let output = &context.output;
    if output.is_json() {
        output.document(&StatsJson::from(&stats))?;
        return Ok(ExitStatus::Ok);
    }
    let with_ratio = |before, after, what: &str| match format::ratio(before, after) {
        Some(ratio) => format!("{} ({what} {ratio})", format::size(after)),
        None => format::size(after),
    };
    let mut fields = vec![
        ("repository", repository.location().to_owned()),
        ("id", repository.config().id.to_string()),
        (
            "encrypted",
            if repository.is_encrypted() {
                "yes"
            } else {
                "no"
            }
            .to_owned(),
        ),
        ("backups", format::count(stats.backups)),
        ("in backups", format::size(stats.bytes_logical)),
        (
            "distinct",
            with_ratio(stats.bytes_logical, stats.bytes_unique, "deduplication"),
        ),
        (
            "stored",
            with_ratio(stats.bytes_unique, stats.bytes_stored, "compression"),
        ),
        ("chunks", format::count(stats.chunks)),
        ("packs", format::count(stats.packs)),
        ("index segments", format::count(stats.segments)),
    ];
    if stats.packs_condemned > 0 {
        let packs = format::count(stats.packs_condemned);
        fields.push((
            "to delete",
            format!("{packs} packs; `br prune` deletes them"),
        ));
    }
    output.fields(&fields)?;
    Ok(ExitStatus::Ok)
}

#[derive(Serialize)]
struct GrowthJson {
    backups: Vec<BackupGrowthJson>,
}

#[derive(Serialize)]
struct BackupGrowthJson {
    #[serde(flatten)]
    backup: BackupJson,
    bytes_unique: u64,
    bytes_freed: u64,
}

async fn show_growth(repository: &Repository, context: &CommandContext) -> CommandResult {
    let backups = growth(repository, &context.engine()).await?;
    let output = &context.output;
    if output.is_json() {
        let json = |one: &BackupGrowth| BackupGrowthJson {
            backup: BackupJson::from(&one.backup),
            bytes_unique: one.bytes_unique,
            bytes_freed: one.bytes_freed,
        };
        let backups = backups.iter().map(json).collect();
        output.document(&GrowthJson { backups })?;
        return Ok(ExitStatus::Ok);
    }
    let short = ShortIds::new(backups.iter().map(|one| one.backup.id));
    let numbers = ["SIZE", "ADDED", "STORED", "UNIQUE", "FREES"];
    let headings = [
        "ID", "TIME", "HOST", "SIZE", "ADDED", "STORED", "UNIQUE", "FREES", "PATHS",
    ];
    let mut table = Table::new(&headings, &numbers);
    for one in &backups {
        let (backup, changes) = (&one.backup, &one.backup.changes);
        table.row(vec![
            short.get(backup.id),
            format::local_time(backup.started),
            format::text(&backup.host),
            format::size(backup.totals.bytes),
            format::size(changes.bytes_added),
            format::size(changes.bytes_stored),
            format::size(one.bytes_unique),
            format::size(one.bytes_freed),
            format::paths(&backup.full_paths()),
        ]);
    }
    let mut lines = output.lines();
    lines.table(
        table,
        output.terminal_width(),
        &[("PATHS", 10), ("HOST", 4)],
    )?;
    lines.finish()?;
    Ok(ExitStatus::Ok)
}
