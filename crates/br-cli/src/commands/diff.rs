//! `br diff`: compares two backups.

use std::ffi::OsString;

use br_core::BackupSelector;
use br_core::engine::diff::Difference;
use br_core::model::Entry;
use clap::Args;

use super::paths::{find_paths, paths_in_backup};
use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::json::{DiffSummary, DifferenceJson, EntryJson, Summary};

const EXAMPLES: &str = "\
  br diff latest~1 latest --path /etc
  br diff latest~1 latest etc/nginx
  br diff 8c90d327 latest --json | jq -r 'select(.type == \"removed\") | .path'";

/// Show the differences between two backups
///
/// One line per entry: `+` is only in the second backup, `-` only in the first, `M` has different content, `m` has the same
/// content but different metadata (mode, owner, modification time, extended attributes).
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct DiffArgs {
    /// First backup: an id, a short id from `br list`, `latest`, or `latest~1` for the one before
    #[arg(value_name = "ID")]
    from: BackupSelector,

    /// Second backup
    #[arg(value_name = "ID")]
    to: BackupSelector,

    /// Only these paths and everything below them
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

pub(crate) async fn run(args: &DiffArgs, context: &CommandContext) -> CommandResult {
    let [from, to] = args.filter.apply_all([&args.from, &args.to])?;
    let typed = paths_in_backup(&args.paths)?;
    let repository = context.open().await?;
    let from = context.find(&repository, &from).await?;
    let to = context.find(&repository, &to).await?;
    let engine = context.engine();
    let paths = find_paths(&typed, &repository, &to, context).await?;
    let mut feed = br_core::engine::diff::diff(&repository, from.id, to.id, paths, &engine);
    let output = &context.output;
    let mut lines = output.lines();
    let mut summary = DiffSummary::default();
    while let Some(difference) = feed.next().await {
        let difference = difference?;
        let Some(shown) = Shown::new(&difference) else {
            continue;
        };
        *shown.counter(&mut summary) += 1;
        if output.is_json() {
            lines.document(&shown.json())?;
        } else {
            lines.line(&format!("{} {}", shown.sign, shown.entry.path))?;
        }
    }
    if output.is_json() {
        lines.document(&Summary::new(summary))?;
    } else {
        lines.line(&describe(summary))?;
    }
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

/// A difference for output.
struct Shown<'a> {
    sign: char,
    entry: &'a Entry,
    from: Option<&'a Entry>,
    to: Option<&'a Entry>,
}

impl<'a> Shown<'a> {
    /// `None` for a kind of difference that this program does not know.
    fn new(difference: &'a Difference) -> Option<Self> {
        Some(match difference {
            Difference::Added(entry) => Self {
                sign: '+',
                entry,
                from: None,
                to: Some(entry),
            },
            Difference::Removed(entry) => Self {
                sign: '-',
                entry,
                from: Some(entry),
                to: None,
            },
            Difference::Changed { from, to, content } => {
                let sign = if *content { 'M' } else { 'm' };
                Self {
                    sign,
                    entry: to,
                    from: Some(from),
                    to: Some(to),
                }
            }
            _ => return None,
        })
    }

    fn counter<'s>(&self, summary: &'s mut DiffSummary) -> &'s mut u64 {
        match self.sign {
            '+' => &mut summary.added,
            '-' => &mut summary.removed,
            'M' => &mut summary.content,
            _ => &mut summary.metadata,
        }
    }

    fn json(&self) -> DifferenceJson<'a> {
        let kind = match self.sign {
            '+' => "added",
            '-' => "removed",
            'M' => "content",
            _ => "metadata",
        };
        let entry = |entry: &'a Entry| EntryJson::new(entry, super::ls::sum(entry));
        DifferenceJson {
            kind,
            path: self.entry.path.to_string(),
            from: self.from.map(entry),
            to: self.to.map(entry),
        }
    }
}

fn describe(summary: DiffSummary) -> String {
    let DiffSummary {
        added,
        removed,
        content,
        metadata,
    } = summary;
    if added + removed + content + metadata == 0 {
        return "no differences".to_owned();
    }
    let count = format::count;
    format!(
        "{} added, {} removed, {} changed, {} with different metadata",
        count(added),
        count(removed),
        count(content),
        count(metadata)
    )
}
