//! `br stats`: shows the size of a repository.

use clap::Args;

use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::report::StatsJson;

const EXAMPLES: &str = "\
  br stats
  br stats --json | jq .bytes_stored";

/// Show the size of the repository
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct StatsArgs {}

pub(crate) async fn run(_: &StatsArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
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
