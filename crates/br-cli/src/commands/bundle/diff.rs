//! `br bundle diff`: compares two bundles.

use std::path::PathBuf;

use br_archive::{DifferenceKind, MemberDifference, diff};
use br_emqx::config::DifferenceKind as KeyDifference;
use br_emqx::table::TableChanges;
use clap::Args;

use crate::bundles::{self, CODES, LimitArgs};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::bundle::records;
use crate::output::bundle_json::BundleDiffJson;
use crate::output::{Lines, format};

/// Maximum number of record keys listed for each table and kind of change.
const KEYS: usize = 1_000;
/// Maximum number of configuration keys shown without `--verbose`.
const SHOWN_KEYS: usize = 20;

const EXAMPLES: &str = "\
  br bundle diff monday/emqx-export-*.tar.gz tuesday/emqx-export-*.tar.gz
  br bundle diff monday/emqx-export-*.tar.gz tuesday/emqx-export-*.tar.gz -v   # keys of records, too";

/// Show the differences between two bundles
///
/// One line per file: `+` is only in the second bundle, `-` only in the first, `M` has different content. br compares EMQX
/// tables record by record and configurations key by key; with -v it also lists the keys of records. It never shows values.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct DiffArgs {
    /// First bundle
    #[arg(value_name = "FILE")]
    from: PathBuf,

    /// Second bundle
    #[arg(value_name = "FILE")]
    to: PathBuf,

    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) async fn run(args: DiffArgs, context: &CommandContext) -> CommandResult {
    let limits = args.limits.limits();
    let output = &context.output;
    let keys = if output.is_verbose() { KEYS } else { 0 };
    let found = bundles::run(context, move |progress| {
        diff(&args.from, &args.to, &limits, keys, progress)
    })
    .await?;
    if output.is_json() {
        output.document(&BundleDiffJson::from(&found))?;
        return Ok(ExitStatus::Ok);
    }
    let mut lines = output.lines();
    for member in &found.members {
        print(member, output.is_verbose(), &mut lines)?;
    }
    if found.members.is_empty() {
        lines.line("no differences")?;
    }
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

fn print(member: &MemberDifference, verbose: bool, lines: &mut Lines) -> Result<(), CommandError> {
    let sign = match member.kind {
        DifferenceKind::Added => '+',
        DifferenceKind::Removed => '-',
        DifferenceKind::Changed => 'M',
    };
    let path = format::text(member.path.as_str());
    let what = match (&member.table, &member.note) {
        (Some(table), _) => format!("  {}", records(table, "removed")),
        (None, Some(note)) => format!("  {}", format::text(note)),
        (None, None) => String::new(),
    };
    lines.line(&format!("{sign} {path}{what}"))?;
    if let Some(table) = &member.table {
        keys(table, lines)?;
    }
    let Some(config) = &member.config else {
        return Ok(());
    };
    let limit = if verbose { usize::MAX } else { SHOWN_KEYS };
    for key in config.differences.iter().take(limit) {
        let sign = match key.kind {
            KeyDifference::Added => '+',
            KeyDifference::Removed => '-',
            KeyDifference::Changed => 'M',
        };
        lines.line(&format!(
            "    {sign} {}",
            format::text(&key.path.to_string())
        ))?;
    }
    let more = config.differences.len().saturating_sub(limit);
    if more > 0 || config.is_truncated {
        lines.line("    and more (-v shows them)")?;
    }
    Ok(())
}

fn keys(table: &TableChanges, lines: &mut Lines) -> Result<(), CommandError> {
    let lists = [
        ('+', &table.inserted_keys),
        ('M', &table.updated_keys),
        ('-', &table.only_in_base_keys),
    ];
    for (sign, keys) in lists {
        for key in keys {
            lines.line(&format!("    {sign} {}", format::text(key)))?;
        }
    }
    Ok(())
}
