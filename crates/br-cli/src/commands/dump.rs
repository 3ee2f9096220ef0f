//! `br dump`: writes a file of a backup, or a folder as an archive, to stdout.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;

use br_core::engine::export::{ExportOptions, export};
use br_core::model::{BackupId, EntryPath};
use br_core::{ErrorKind, Repository};
use br_sources::tar::TarSink;
use clap::{Args, ValueEnum};

use super::paths::PathInBackup;
use super::which::{BackupAndPath, FilterArgs};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult, is_broken_pipe};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};

/// Bytes written at once.
const BUFFER: usize = 256 << 10;

const EXAMPLES: &str = "\
  br dump latest etc/fstab > fstab
  br dump latest --path dump.sql dump.sql | psql shop
  br dump latest home/anna --format tar > anna.tar";

/// Write the content of a file, or a folder as a tar archive, to stdout
///
/// br verifies each chunk before it writes it, and the SHA-256 of each file at its end: check the exit code before you use
/// the output. An archive has the paths of the backup, with owners, exact times, hard links and extended attributes.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct DumpArgs {
    /// Backup: an id, a short id from `br list`, `latest`, or `latest~1` for the one before; or a path in it: `ID:PATH`
    #[arg(value_name = "ID", value_parser = BackupAndPath::parser())]
    id: BackupAndPath,

    /// Path of the file or the folder in the backup; `.` is the whole backup
    #[arg(value_name = "PATH")]
    path: Option<OsString>,

    /// Write an archive: of a folder with everything below it, or of one entry
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Write even to a terminal
    #[arg(short, long)]
    force: bool,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    filter: FilterArgs,
}

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// POSIX (pax), uncompressed
    Tar,
}

pub(crate) async fn run(args: &DumpArgs, context: &CommandContext) -> CommandResult {
    let output = &context.output;
    if output.is_terminal() && !args.force {
        return Err(CommandError::usage(
            "the content of a file may confuse the terminal",
            "redirect it to a file with `> FILE`, or give --force",
        ));
    }
    let id = args.filter.apply(&args.id.id)?;
    let path = match (args.id.path(args.path.as_slice())?, &args.path) {
        (Some(path), _) => path,
        (None, Some(path)) => PathInBackup::parse(path)?,
        (None, None) => {
            let hint = "name a file or a folder as `br ls` shows it; `.` is the whole backup";
            return Err(CommandError::usage("no path to write", hint));
        }
    };
    let repository = context.open().await?;
    let backup = context.find(&repository, &id).await?;
    let path = path.find(&repository, &backup, context).await?;
    let (stdout, engine) = (output.raw()?, context.engine());
    if args.format == Some(Format::Tar) {
        return write_tar(&repository, backup.id, path, stdout, context).await;
    }
    let dumped = br_core::engine::dump::dump(&repository, backup.id, path, stdout, &engine).await;
    match dumped {
        Ok(_) => Ok(ExitStatus::Ok),
        Err(error) => explain(error),
    }
}

async fn write_tar(
    repository: &Repository,
    backup: BackupId,
    path: EntryPath,
    stdout: File,
    context: &CommandContext,
) -> CommandResult {
    let mut options = ExportOptions::default();
    if !path.is_root() {
        options = options.with_paths(vec![path]);
    }
    let sink = TarSink::new(BufWriter::with_capacity(BUFFER, stdout));
    let written = export(repository, backup, sink, &options, &context.engine()).await;
    let (sink, _) = match written {
        Ok(written) => written,
        Err(error) => return explain(error),
    };
    let (_, left_out) = sink
        .finish()
        .map_err(|error| CommandError::output(&error))?;
    for path in &left_out {
        let console = &context.output.console;
        console.note(&format!("{path} is a socket, and is not in the archive"));
    }
    Ok(ExitStatus::Ok)
}

fn explain(error: br_core::Error) -> CommandResult {
    match error.kind() {
        // The reader has closed the pipe.
        _ if is_broken_pipe(&error) => Ok(ExitStatus::Ok),
        ErrorKind::Invalid => Err(CommandError::from(error)
            .with_hint("add `--format tar` to get it as an archive; `br ls ID` shows the entries")),
        _ => Err(error.into()),
    }
}
