//! `br find`: searches all backups for files and folders.

use br_core::ShortIds;
use br_core::engine::find::{FindOptions, FoundEntry, find};
use br_core::model::BackupId;
use br_core::model::EntryKind;
use clap::Args;
use serde::Serialize;

use super::ls::sum;
use super::paths::bad_pattern;
use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::format;
use crate::output::json::EntryJson;

const MORE_CODES: &[ExitStatus] = &[ExitStatus::Partial];

const EXAMPLES: &str = "\
  br find report.odt
  br find -i '*.jpg' --host web1
  br find 'src/**/*.rs' --json | jq -r '.backups[0] + \" \" + .path'";

/// Search all backups for files and folders
///
/// br shows every version of each match, the newest first, with the number of backups that have it and the id of the newest of them. To get a
/// version back, give the id after `in` or `newest` and the path to `br restore` or `br dump`.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, MORE_CODES))
)]
pub(crate) struct FindArgs {
    /// Names or paths to search for; `*`, `?`, `[abc]` and `{a,b}` as in a shell, and `**` for any folders
    ///
    /// `notes.txt` matches this name in every folder, `docs/*.txt` the end of a path, and `/home/*/notes.txt` a whole path.
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,

    /// Ignore the case of letters
    #[arg(short, long)]
    ignore_case: bool,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

pub(crate) async fn run(args: &FindArgs, context: &CommandContext) -> CommandResult {
    let mut options = FindOptions::default().with_filter(args.filter.filter());
    for pattern in &args.patterns {
        let with_pattern = options.with_pattern(pattern, args.ignore_case);
        options = with_pattern.map_err(bad_pattern)?;
    }
    let repository = context.open().await?;
    let engine = context.engine();
    let report = find(&repository, &options, &engine).await?;
    let output = &context.output;
    let mut lines = output.lines();
    if output.is_json() {
        for found in &report.found {
            lines.document(&FoundJson::new(found))?;
        }
    } else {
        let short = ShortIds::new(repository.backups(&engine).await?.iter().map(|one| one.id));
        let mut path = None;
        for found in &report.found {
            if path != Some(&found.entry.path) {
                path = Some(&found.entry.path);
                lines.line(&found.entry.path.to_string())?;
            }
            lines.line(&line(found, &short))?;
        }
    }
    lines.finish()?;
    if report.found.is_empty() && !output.is_json() {
        let backups = format::counted(report.backups, "backup", "backups");
        output
            .console
            .note(&format!("nothing matches in {backups}"));
    }
    if report.unreadable == 0 {
        return Ok(ExitStatus::Ok);
    }
    let entries = format::counted(report.unreadable, "entry", "entries");
    let message = format!("{entries} could not be searched, because trees are damaged");
    output.console.warning(&message);
    output.console.hint("`br check` names the damage");
    Ok(ExitStatus::Partial)
}

/// `  2026-11-20 09:30:11  12.3 KiB  in 3 backups, newest 01a1b2c3`.
fn line(found: &FoundEntry, short: &ShortIds) -> String {
    let entry = &found.entry;
    let what = match &entry.kind {
        EntryKind::File(_) => format::size(entry.size()),
        other => other.name().to_owned(),
    };
    let newest = found.backups.first().map(|id| short.get(*id));
    let newest = newest.unwrap_or_default();
    let time = format::file_time(entry.mtime);
    let where_found = match found.backups.len() {
        1 => format!("in {newest}"),
        many => format!("in {many} backups, newest {newest}"),
    };
    format!("  {time}  {what:>10}  {where_found}")
}

/// A found version, as `--json` shows it.
#[derive(Serialize)]
struct FoundJson<'a> {
    #[serde(flatten)]
    entry: EntryJson<'a>,
    backups: Vec<String>,
}

impl<'a> FoundJson<'a> {
    fn new(found: &'a FoundEntry) -> Self {
        Self {
            entry: EntryJson::new(&found.entry, sum(&found.entry)),
            backups: found.backups.iter().map(BackupId::to_string).collect(),
        }
    }
}
