//! `br dump`: writes a file of a backup, or a folder as an archive, to stdout.

use std::ffi::OsString;
use std::io::{self, BufWriter};

use br_core::engine::export::{ExportOptions, export};
use br_core::model::{BackupId, EntryPath};
use br_core::sink::Sink;
use br_core::{ErrorKind, Repository};
use br_sources::tar::TarSink;
use br_sources::zip::ZipSink;
use clap::{Args, ValueEnum};

use super::paths::PathInBackup;
use super::which::{BackupAndPath, FilterArgs};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult, is_broken_pipe};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};

/// Bytes written at once.
const BUFFER: usize = 256 << 10;

const EXAMPLES: &str = "\
  br dump latest etc/fstab > fstab
  br dump latest --path dump.sql dump.sql | psql shop
  br dump latest home/anna --format tar > anna.tar
  br dump latest home/anna --format zip > anna.zip";

/// Write the content of a file, or a folder as a tar or zip archive, to stdout
///
/// br verifies each chunk before it writes it, and the SHA-256 of each file at its end: check the exit code before you use
/// the output. An archive has the paths of the backup. A tar archive has owners, exact times, hard links and extended attributes; a
/// zip archive has permissions, links and times in seconds. If something does not fit into a zip archive, br leaves it out, names it and exits
/// with 3.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Partial]),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Partial]))
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
    /// POSIX (pax), uncompressed, with everything that a backup has except sockets
    Tar,
    /// Compressed, for programs that read nothing else: no owners, hard links, attributes, devices and names that are not UTF-8
    Zip,
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
    let (repository, backup, path) = path.open(&id, context).await?;
    let (stdout, engine) = (output.raw()?, context.engine());
    let archive = Archive {
        repository: &repository,
        backup: backup.id,
        path: path.clone(),
        context,
    };
    match args.format {
        Some(Format::Tar) => {
            let sink = TarSink::new(BufWriter::with_capacity(BUFFER, stdout));
            return archive
                .write(sink, TarSink::finish)
                .await
                .map(|_| ExitStatus::Ok);
        }
        Some(Format::Zip) => {
            let sink = ZipSink::new(BufWriter::with_capacity(BUFFER, stdout));
            let left_out = archive.write(sink, ZipSink::finish).await?;
            return Ok(if left_out == 0 {
                ExitStatus::Ok
            } else {
                ExitStatus::Partial
            });
        }
        None => {}
    }
    let dumped = br_core::engine::dump::dump(&repository, backup.id, path, stdout, &engine).await;
    match dumped {
        Ok(_) => Ok(ExitStatus::Ok),
        Err(error) => explain(error),
    }
}

/// The part of a backup that an archive gets.
struct Archive<'a> {
    repository: &'a Repository,
    backup: BackupId,
    path: EntryPath,
    context: &'a CommandContext,
}

impl Archive<'_> {
    /// Writes the archive with a sink. `finish` writes its end and returns the entries that the archive cannot hold.
    async fn write<S: Sink + 'static, W>(
        self,
        sink: S,
        finish: impl FnOnce(S) -> io::Result<(W, Vec<EntryPath>)>,
    ) -> Result<usize, CommandError> {
        let mut options = ExportOptions::default();
        if !self.path.is_root() {
            options = options.with_paths(vec![self.path]);
        }
        let engine = self.context.engine();
        let written = export(self.repository, self.backup, sink, &options, &engine).await;
        let (sink, _) = match written {
            Ok(written) => written,
            Err(error) => return explain(error).map(|_| 0),
        };
        let (_, left_out) = finish(sink).map_err(|error| CommandError::output(&error))?;
        for path in &left_out {
            let console = &self.context.output.console;
            console.note(&format!(
                "{path} is not in the archive: its type or its name does not fit, and `--format tar` may hold it"
            ));
        }
        Ok(left_out.len())
    }
}

fn explain(error: br_core::Error) -> CommandResult {
    match error.kind() {
        // The reader has closed the pipe.
        _ if is_broken_pipe(&error) => Ok(ExitStatus::Ok),
        ErrorKind::Invalid => Err(CommandError::from(error)
            .with_hint("add `--format tar` or `--format zip` to get it as an archive; `br ls ID` shows the entries")),
        _ => Err(error.into()),
    }
}
