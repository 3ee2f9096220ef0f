//! `br dump`: writes one file of a backup to stdout.

use std::ffi::OsString;

use br_core::BackupSelector;
use clap::Args;

use super::paths::PathInBackup;
use super::which::FilterArgs;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult, is_broken_pipe};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};

const EXAMPLES: &str = "\
  br dump latest etc/fstab > fstab
  br dump latest --path dump.sql dump.sql | psql shop";

/// Write the content of one file to stdout
///
/// br verifies each chunk before it writes it, and the SHA-256 of the whole file at the end: check the exit code before you use
/// the output.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct DumpArgs {
    /// Backup: an id, a short id from `br list`, `latest`, or `latest~1` for the one before
    #[arg(value_name = "ID")]
    id: BackupSelector,

    /// Path of the file in the backup
    #[arg(value_name = "PATH")]
    path: OsString,

    /// Write even to a terminal
    #[arg(short, long)]
    force: bool,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

pub(crate) async fn run(args: &DumpArgs, context: &CommandContext) -> CommandResult {
    let output = &context.output;
    if output.is_terminal() && !args.force {
        return Err(CommandError::usage(
            "the content of a file may confuse the terminal",
            "redirect it to a file with `> FILE`, or give --force",
        ));
    }
    let id = args.filter.apply(&args.id)?;
    let path = PathInBackup::parse(&args.path)?;
    let repository = context.open().await?;
    let backup = context.find(&repository, &id).await?;
    let path = path.find(&repository, &backup, context).await?;
    let (stdout, engine) = (output.raw()?, context.engine());
    let dumped = br_core::engine::dump::dump(&repository, backup.id, path, stdout, &engine).await;
    match dumped {
        Ok(_) => Ok(ExitStatus::Ok),
        // The reader has closed the pipe.
        Err(error) if is_broken_pipe(&error) => Ok(ExitStatus::Ok),
        Err(error) => Err(error.into()),
    }
}
