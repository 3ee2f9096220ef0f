//! `br list`: lists the backups.

use br_core::ShortIds;
use br_core::model::Backup;
use clap::Args;
use serde::{Serialize, Serializer};

use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::json::BackupJson;
use crate::output::{Table, format};

/// Columns to shorten on a narrow terminal, in this order, and their minimum width.
const SHRINK: [(&str, usize); 3] = [("PATHS", 10), ("TAGS", 4), ("HOST", 4)];

const EXAMPLES: &str = "\
  br list
  br list --tag daily --host $(hostname)
  br list --path /etc --path /home --complete
  br list --json | jq -r '.backups[-1].id'";

/// List backups, oldest first
///
/// ID is a short id that every command accepts. TIME is the start of the backup in local time, SIZE is what a restore writes.
/// A backup is `incomplete` if br could not read something, `damaged` if a check found that some of its data is lost, and `pinned`
/// after `br pin`. With --verbose there are full ids and more
/// columns: STORED is what the backup added to the repository, BASE is the backup whose unchanged files br did not read again; no
/// backup depends on its base.
///
/// `latest` is the last backup in the list, even if clocks were wrong. On a terminal, br shortens long cells with `…`;
/// --verbose shows them in full, and so does output to a file or a pipe.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct ListArgs {
    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct BackupsJson<'a> {
    backups: ListJson<'a>,
}

/// The backups, converted one at a time.
struct ListJson<'a>(&'a [Backup], &'a ShortIds);

impl Serialize for ListJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(backups, short) = self;
        let json = |backup: &Backup| BackupJson::from(backup).with_short_id(short.get(backup.id));
        to.collect_seq(backups.iter().map(json))
    }
}

pub(crate) async fn run(args: &ListArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    let mut backups = repository.backups(&context.engine()).await?;
    let none = backups.is_empty();
    let short = ShortIds::new(backups.iter().map(|backup| backup.id));
    let filter = args.filter.filter();
    backups.retain(|backup| filter.matches(backup));
    let output = &context.output;
    if output.is_json() {
        let backups = ListJson(&backups, &short);
        output.document(&BackupsJson { backups })?;
        return Ok(ExitStatus::Ok);
    }
    if backups.is_empty() {
        output.console.note(if none {
            "the repository has no backups yet; `br backup PATH` makes one"
        } else {
            "no backup matches; `br list` shows all"
        });
        return Ok(ExitStatus::Ok);
    }
    let table = table(&backups, &short, output.is_verbose());
    let width = output.terminal_width().filter(|_| !output.is_verbose());
    let mut lines = output.lines();
    lines.table(table, width, &SHRINK)?;
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

/// A column: its heading, and the function for its cells.
type Column<'a> = (&'static str, Box<dyn Fn(&Backup) -> String + 'a>);

fn table(backups: &[Backup], short: &ShortIds, all: bool) -> Table {
    let mut columns: Vec<Column<'_>> = vec![
        (
            "ID",
            Box::new(|b| {
                if all {
                    b.id.to_string()
                } else {
                    short.get(b.id)
                }
            }),
        ),
        ("TIME", Box::new(|b| format::local_time(b.started))),
    ];
    if all {
        let duration = |b: &Backup| format::duration(format::between(b.started, b.finished));
        columns.push(("DURATION", Box::new(duration)));
    }
    columns.push(("HOST", Box::new(|b| format::text(&b.host))));
    columns.push(("TAGS", Box::new(|b| format::text(&b.tags.join(",")))));
    columns.push(("SIZE", Box::new(|b| format::size(b.totals.bytes))));
    if all {
        let stored = |b: &Backup| format::size(b.changes.bytes_stored);
        columns.push(("STORED", Box::new(stored)));
        columns.push(("TYPE", Box::new(|b| b.kind.name().to_owned())));
        let base = |b: &Backup| b.base.map_or_else(String::new, |base| short.get(base));
        columns.push(("BASE", Box::new(base)));
    }
    if backups
        .iter()
        .any(|backup| !backup.is_intact() || backup.pinned)
    {
        columns.push(("STATE", Box::new(state)));
    }
    columns.push(("PATHS", Box::new(|b| format::paths(&b.full_paths()))));
    let headings: Vec<_> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut table = Table::new(&headings, &["SIZE", "STORED", "DURATION"]);
    for backup in backups {
        table.row(columns.iter().map(|(_, cell)| cell(backup)).collect());
    }
    table
}

/// Whether a backup is complete, damaged, and pinned.
fn state(backup: &Backup) -> String {
    let complete = if backup.is_complete() {
        "complete"
    } else {
        "incomplete"
    };
    let damaged = if backup.damaged.is_some() {
        ",damaged"
    } else {
        ""
    };
    let pinned = if backup.pinned { ",pinned" } else { "" };
    format!("{complete}{damaged}{pinned}")
}
