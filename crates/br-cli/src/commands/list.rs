//! `br list`: shows the backups there are.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use br_core::BackupV1;
use br_core::model::Backup;
use clap::Args;
use serde::Serialize;

use crate::cli::{examples, exit_codes};
use crate::context::CommandContext;
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::output::{Table, format};

/// Paths are cut to so many characters on a terminal.
const PATH_WIDTH: usize = 32;

const EXAMPLES: &str = "\
  br list
  br list --tag daily --host $(hostname)
  br list --json | jq -r '.backups[-1].id'";

/// List the backups, oldest first
///
/// SIZE is what a restore writes, STORED what the backup added to the repository. AT TIME is when it began, COMPLETE TIME
/// when everything was stored, both in local time. BASE is the backup whose unchanged files were not read again; no backup
/// depends on it.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct ListArgs {
    /// Only backups with this tag (can be repeated: with all of them)
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,

    /// Only backups of this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Only backups of this path, as it was given to `br backup`
    #[arg(long, value_name = "PATH")]
    path: Option<OsString>,
}

#[derive(Serialize)]
struct BackupsJson {
    backups: Vec<BackupV1>,
}

pub(crate) async fn run(args: &ListArgs, context: &CommandContext) -> CommandResult {
    let repository = context.open().await?;
    let mut backups = repository.backups(&context.engine()).await?;
    let none = backups.is_empty();
    backups.retain(|backup| args.matches(backup));
    let output = &context.output;
    if output.is_json() {
        let backups = backups.iter().map(BackupV1::from).collect();
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
    let cut = (output.is_terminal() && !output.is_verbose()).then_some(PATH_WIDTH);
    let mut lines = output.lines();
    for line in table(&backups, cut).lines() {
        lines.line(&line)?;
    }
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

impl ListArgs {
    fn matches(&self, backup: &Backup) -> bool {
        let trim = |path: &[u8]| {
            let end = path
                .iter()
                .rposition(|byte| *byte != b'/')
                .map_or(path.len().min(1), |at| at + 1);
            path[..end].to_vec()
        };
        let path = self.path.as_ref().map(|path| trim(path.as_bytes()));
        self.tag.iter().all(|tag| backup.tags.contains(tag))
            && self.host.as_ref().is_none_or(|host| *host == backup.host)
            && path.is_none_or(|path| {
                let full = backup.full_paths();
                backup
                    .paths
                    .iter()
                    .chain(&full)
                    .any(|other| trim(other) == path)
            })
    }
}

fn table(backups: &[Backup], cut: Option<usize>) -> Table {
    let columns = [
        "ID",
        "SIZE",
        "STORED",
        "PATH",
        "AT TIME",
        "DURATION",
        "COMPLETE TIME",
        "TYPE",
        "BASE",
    ];
    let mut table = Table::new(&columns, &["SIZE", "STORED", "DURATION"]);
    for backup in backups {
        table.row(vec![
            backup.id.to_string(),
            format::size(backup.totals.bytes),
            format::size(backup.changes.bytes_stored),
            format::paths(&backup.full_paths(), cut),
            format::local_time(backup.started),
            format::duration(format::between(backup.started, backup.finished)),
            format::local_time(backup.finished),
            backup.kind.name().to_owned(),
            backup
                .base
                .map_or_else(|| "-".to_owned(), |base| base.to_string()),
        ]);
    }
    table
}
