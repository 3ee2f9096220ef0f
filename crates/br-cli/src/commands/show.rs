//! `br show`: describes one backup.

use br_core::BackupSelector;
use br_core::model::{Backup, StreamRecord, escape};
use clap::Args;
use serde::Serialize;

use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::json::BackupJson;
use crate::output::{Lines, format};

/// Maximum number of unread entries shown without `--verbose`.
const SHOWN: usize = 20;

const EXAMPLES: &str = "\
  br show latest
  br show 8c90d327
  br show latest~1 --host web1 --path /etc
  br show latest --json | jq .backup.bytes_stored";

/// Show the details of one backup
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct ShowArgs {
    /// Backup: an id, a short id from `br list`, `latest`, or `latest~1` for the one before
    #[arg(value_name = "ID")]
    id: BackupSelector,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct ShowJson {
    backup: BackupJson,
}

pub(crate) async fn run(args: &ShowArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    let id = args.filter.apply(&args.id)?;
    let backup = repository.describe(&id, &context.engine()).await?;
    let output = &context.output;
    if output.is_json() {
        output.document(&ShowJson {
            backup: BackupJson::from(&backup),
        })?;
        return Ok(ExitStatus::Ok);
    }
    output.fields(&fields(&backup))?;
    let mut lines = output.lines();
    if !backup.unread.is_empty() {
        lines.line("\nmissing from this backup or incomplete, because br could not read them:")?;
    }
    let shown = if output.is_verbose() {
        usize::MAX
    } else {
        SHOWN
    };
    for unread in backup.unread.iter().take(shown) {
        lines.line(&format!(
            "  {}: {}",
            escape(&unread.path),
            format::text(&unread.reason.0)
        ))?;
    }
    let more = backup
        .unread_count
        .saturating_sub(backup.unread.len().min(shown) as u64);
    if more > 0 {
        lines.line(&format!("  and {} more", format::count(more)))?;
    }
    print_messages(&backup, &mut lines)?;
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

/// What programs wrote to their standard error during the backup.
fn print_messages(backup: &Backup, lines: &mut Lines) -> Result<(), CommandError> {
    for stream in backup.streams.iter().filter(|one| !one.messages.is_empty()) {
        let program = stream.program.as_deref().unwrap_or_default();
        lines.line(&format!("\nmessages of {}:", format::text(program)))?;
        for line in stream.messages.lines() {
            lines.line(&format!("  {}", format::text(line)))?;
        }
    }
    Ok(())
}

fn fields(backup: &Backup) -> Vec<(&'static str, String)> {
    let (totals, changes) = (&backup.totals, &backup.changes);
    let mut fields = vec![
        ("backup", backup.id.to_string()),
        ("type", kind(backup)),
        ("origin", origin(backup)),
        (
            "made by",
            format!(
                "{}@{}",
                format::text(&backup.user),
                format::text(&backup.host)
            ),
        ),
    ];
    for (at, path) in backup.paths.iter().enumerate() {
        fields.push((if at == 0 { "paths" } else { "" }, escape(path)));
    }
    if !backup.folder.is_empty() {
        fields.push(("in folder", escape(&backup.folder)));
    }
    if !backup.tags.is_empty() {
        let tags: Vec<_> = backup.tags.iter().map(|tag| format::text(tag)).collect();
        fields.push(("tags", tags.join(", ")));
    }
    let duration = format::duration(format::between(backup.started, backup.finished));
    fields.push(("began", format::local_time(backup.started)));
    fields.push((
        "complete",
        format!("{}, after {duration}", format::local_time(backup.finished)),
    ));
    fields.push(("size", contents(totals)));
    fields.extend(change_fields(changes));
    if !backup.is_complete() {
        let entries = format::counted(backup.unread_count, "entry", "entries");
        let text = format!("{entries} could not be read and are missing");
        fields.push(("incomplete", text));
    }
    if let Some(found) = backup.damaged {
        let found = format::local_time(found);
        let text = format!("a check at {found} found that some of its data is lost or damaged");
        fields.push(("damaged", text));
    }
    if let Some(original) = backup.copy_of {
        fields.push(("copy of", original.to_string()));
    }
    if let Some(original) = backup.rewrite_of {
        fields.push(("rewrite of", original.to_string()));
    }
    if let Some(configuration) = &backup.configuration {
        let files = format::counted(configuration.files.len() as u64, "file", "files");
        let set = format::text(&configuration.set);
        let text = format!("{files}, of the set {set}; `br bootstrap` writes them");
        fields.push(("configuration", text));
    }
    fields.extend(backup.streams.iter().map(|one| ("stream", stream(one))));
    let began = || backup.streams.iter().filter_map(|one| one.began);
    if let (Some(first), Some(last), true) = (began().min(), began().max(), began().count() > 1) {
        let apart = format::duration(format::between(first, last));
        fields.push(("skew", format!("the streams began {apart} apart")));
    }
    if backup.pinned {
        fields.push(("pinned", "yes".to_owned()));
    }
    if let Some(note) = &backup.note {
        fields.push(("note", format::text(note)));
    }
    if let Some(proof) = &backup.proven {
        let (time, by) = (
            format::local_time(proof.time),
            format::text(proof.by.name()),
        );
        fields.push(("verified", format!("{time}, by {by}")));
    }
    fields.push(("program", format::text(&backup.program)));
    fields
}

/// `matrixone 3.0.11 at 1735893768313706438-1`.
fn origin(backup: &Backup) -> String {
    let Some(origin) = &backup.origin else {
        return "not recorded".to_owned();
    };
    let mut out = format::text(origin.kind.name());
    if let Some(version) = &origin.version {
        out += &format!(" {}", format::text(version));
    }
    if let Some(position) = &origin.position {
        out += &format!(" at {}", format::text(position));
    }
    out
}

/// `shop.sql, by mysqldump, ends with "-- Dump completed"`.
fn stream(record: &StreamRecord) -> String {
    let mut out = escape(&record.path);
    if let Some(program) = &record.program {
        out += &format!(", by {}", format::text(program));
    }
    if let Some(server) = &record.server {
        out += &format!(", of {}", format::text(server));
    }
    if let Some(mark) = &record.end_mark {
        out += &format!(", ends with `{}`", format::text(mark));
    }
    if let Some(position) = &record.position {
        out += &format!(", at {}", format::text(position));
    }
    if let Some(began) = record.began {
        out += &format!(", began {}", format::local_time(began));
    }
    if let Some(compression) = &record.compression {
        out += &format!(", compressed by {}", format::text(compression));
    }
    out
}

/// `incremental, on 0197…`.
pub(super) fn kind(backup: &Backup) -> String {
    match backup.base {
        Some(base) => format!("{}, based on {base}", backup.kind.name()),
        None => backup.kind.name().to_owned(),
    }
}

/// `1.2 GiB in 12 files and 3 folders`.
pub(super) fn contents(totals: &br_core::model::Totals) -> String {
    format!(
        "{} in {} and {}",
        format::size(totals.bytes),
        format::counted(totals.files, "file", "files"),
        format::counted(totals.directories, "folder", "folders")
    )
}

/// The changes that a backup found, and what it stored.
pub(super) fn change_fields(changes: &br_core::model::Changes) -> [(&'static str, String); 3] {
    let stored = format::size(changes.bytes_stored);
    let added = match format::ratio(changes.bytes_added, changes.bytes_stored) {
        Some(ratio) => {
            format!(
                "{}, stored as {stored} ({ratio})",
                format::size(changes.bytes_added)
            )
        }
        None => format!("{}, stored as {stored}", format::size(changes.bytes_added)),
    };
    let files = format!(
        "{} new, {} changed, {} unchanged",
        format::count(changes.files_new),
        format::count(changes.files_changed),
        format::count(changes.files_unchanged)
    );
    [
        ("files", files),
        ("read", format::size(changes.bytes_read)),
        ("added", added),
    ]
}
