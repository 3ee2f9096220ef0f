//! `br list`: shows the backups there are.

use br_core::ShortIds;
use br_core::model::Backup;
use clap::Args;
use serde::Serialize;

use super::which::FilterArgs;
use crate::cli::{examples, exit_codes};
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::output::json::BackupJson;
use crate::output::{Table, format};

/// Columns that are cut when a terminal is too narrow, the first one first, and how much of them stays.
const SHRINK: [(&str, usize); 3] = [("PATHS", 10), ("TAGS", 4), ("HOST", 4)];

const EXAMPLES: &str = "\
  br list
  br list --tag daily --host $(hostname)
  br list --path /etc --path /home --complete
  br list --json | jq -r '.backups[-1].id'";

/// List the backups, in the order in which they were made
///
/// ID is the end of a backup's id: every command takes it. TIME is when the backup began, in local time, SIZE what a restore
/// writes. A backup is `incomplete` when something could not be read. With --verbose there are whole ids and more columns:
/// STORED is what the backup added to the repository, BASE the backup whose unchanged files were not read again; no backup
/// depends on it.
///
/// The last backup is the latest, whatever the clocks said. On a terminal long cells are cut with `…`; --verbose cuts
/// nothing, and neither does output that goes elsewhere.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct ListArgs {
    // Last, as its heading holds for all that follows.
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct BackupsJson {
    backups: Vec<BackupJson>,
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
        let json = |backup: &Backup| BackupJson::from(backup).with_short_id(short.get(backup.id));
        let backups = backups.iter().map(json).collect();
        output.document(&BackupsJson { backups })?;
        return Ok(ExitStatus::Ok);
    }
    if backups.is_empty() {
        output.console.note(match none {
            true => "the repository has no backup yet; `br backup PATH` makes one",
            false => "no backup matches; `br list` shows all",
        });
        return Ok(ExitStatus::Ok);
    }
    let mut table = table(&backups, &short, output.is_verbose());
    let width = output.terminal_width().filter(|_| !output.is_verbose());
    if let Some(width) = width {
        table.fit(width, &SHRINK);
    }
    let mut lines = output.lines();
    for line in table.lines() {
        lines.line(&width.map_or_else(|| line.clone(), |width| format::cut(&line, width)))?;
    }
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

/// A column: its heading, and what it says of a backup.
type Column<'a> = (&'static str, Box<dyn Fn(&Backup) -> String + 'a>);

fn table(backups: &[Backup], short: &ShortIds, all: bool) -> Table {
    let mut columns: Vec<Column<'_>> = vec![
        (
            "ID",
            Box::new(|b| match all {
                true => b.id.to_string(),
                false => short.get(b.id),
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
    if backups.iter().any(|backup| !backup.is_complete()) {
        columns.push(("STATE", Box::new(|b| state(b).to_owned())));
    }
    columns.push(("PATHS", Box::new(|b| format::paths(&b.full_paths()))));
    let headings: Vec<_> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut table = Table::new(&headings, &["SIZE", "STORED", "DURATION"]);
    for backup in backups {
        table.row(columns.iter().map(|(_, cell)| cell(backup)).collect());
    }
    table
}

/// Whether a backup misses something.
const fn state(backup: &Backup) -> &'static str {
    match backup.is_complete() {
        true => "complete",
        false => "incomplete",
    }
}
