//! `br restore --to-command`: restores a file into a program, such as the client of a database.

use std::ffi::{OsStr, OsString};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use br_core::engine::dump::{dump, dump_to_command};
use br_core::model::{BackupId, EntryPath};
use br_core::target::{CommandTarget, CommandTargetError};
use br_core::{BackupSelector, Error, ProgramError, Repository, Site};
use clap::Args;
use serde::Serialize;

use super::paths::PathInBackup;
use super::stream::{command, message, name_of};
use super::which::BackupAndPath;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::json::Summary;
use crate::output::{Output, format};
use crate::thread::on_thread;

/// Options for a restore into a folder.
pub(super) const OF_FOLDERS: [&str; 14] = [
    "target",
    "strip_components",
    "overwrite",
    "include",
    "exclude",
    "ignore_case",
    "delete",
    "no_owner",
    "no_devices",
    "no_setid",
    "no_xattrs",
    "trust_repository",
    "dry_run",
    "threads",
];

/// A restore into a program.
#[derive(Debug, Args)]
#[command(next_help_heading = "Restore into a program")]
pub(super) struct ToCommandArgs {
    /// Give the file PATH to a program as its standard input; what follows `--` is the program with its arguments
    ///
    /// br runs the program without a shell, and verifies the whole file before it passes on the last part of it. br fails if the program exits with
    /// another code than 0. What the program did until then is not undone.
    #[arg(
        long,
        conflicts_with_all = OF_FOLDERS
    )]
    pub(super) to_command: bool,

    /// The program of --to-command with its arguments; without that option, further paths
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,

    /// Verify the whole file before the program starts; reads it twice
    ///
    /// If the program passes the file on to another machine or a container, as ssh, docker and kubectl do, br cannot stop what runs there when it finds damage in
    /// the middle.
    #[arg(long, requires = "to_command")]
    verify_first: bool,

    /// End the program after this time
    #[arg(long, value_name = "TIME", requires = "to_command", value_parser = format::parse_duration)]
    command_timeout: Option<Duration>,
}

/// The result of a restore into a program.
#[derive(Serialize)]
struct ToCommandSummary {
    backup: String,
    path: String,
    program: String,
    bytes: u64,
    messages: String,
    duration_seconds: f64,
}

impl ToCommandArgs {
    /// The paths on the command line.
    pub(super) fn paths(&self, paths: &[OsString]) -> Vec<OsString> {
        paths.iter().chain(&self.program).cloned().collect()
    }

    /// Runs the restore. `paths` has one path, unless `from` has it.
    pub(super) async fn run(
        &self,
        from: &BackupAndPath,
        id: &BackupSelector,
        paths: &[OsString],
        context: &CommandContext,
    ) -> CommandResult {
        let example = "for example, write `br restore latest shop.sql --to-command -- mysql shop`";
        let path = match (from.path(paths)?, paths) {
            (Some(path), _) => path,
            (None, [path]) => PathInBackup::parse(path)?,
            (None, []) => return Err(CommandError::usage("no path to restore", example)),
            (None, _) => {
                return Err(CommandError::usage(
                    "write one path, and `--` before the program",
                    example,
                ));
            }
        };
        let Some((program, arguments)) = self.program.split_first() else {
            return Err(CommandError::usage("--to-command needs a program", example));
        };
        let (repository, backup, path) = path.open(id, context).await?;
        if self.verify_first {
            let engine = context.engine();
            dump(
                &repository,
                backup.id,
                path.clone(),
                std::io::sink(),
                &engine,
            )
            .await?;
        }
        let taker = Taker {
            program,
            arguments,
            time_limit: self.command_timeout,
        };
        let given = taker
            .take(&repository, backup.id, &path, |_| true, context)
            .await?;
        given.print(&context.output)?;
        Ok(ExitStatus::Ok)
    }
}

/// A program that takes a file.
pub(super) struct Taker<'t> {
    pub(super) program: &'t OsStr,
    pub(super) arguments: &'t [OsString],
    pub(super) time_limit: Option<Duration>,
}

impl Taker<'_> {
    /// Gives the file to the program, and shows those of its messages for which `is_shown` is true.
    pub(super) async fn take(
        &self,
        repository: &Repository,
        backup: BackupId,
        path: &EntryPath,
        mut is_shown: impl FnMut(&str) -> bool + Send + 'static,
        context: &CommandContext,
    ) -> Result<Taken, CommandError> {
        let name = name_of(self.program);
        let (console, label) = (Arc::clone(&context.output.console), name.clone());
        // A terminal that takes no output must not keep br from seeing the messages.
        let (to_printer, messages) = mpsc::channel::<String>();
        let printer = thread::spawn(move || messages.iter().for_each(|line| console.note(&line)));
        let target = CommandTarget::new(command(self.program, self.arguments))
            .with_time_limit(self.time_limit)
            .with_on_message(move |line| {
                if is_shown(line) {
                    // Fails only if the thread has ended.
                    let _ = to_printer.send(message(&label, line));
                }
            });
        let reporter = Arc::new(context.reporter());
        let (engine, guard) = context.engine_with(&reporter);
        let restored = dump_to_command(repository, backup, path.clone(), target, &engine).await;
        drop(guard);
        on_thread(move || printer.join()).await?.ok();
        let (entry, messages) = restored.map_err(|error| explain(error, &name))?;
        Ok(Taken(ToCommandSummary {
            backup: backup.to_string(),
            path: path.to_string(),
            program: name,
            bytes: entry.size(),
            messages,
            duration_seconds: format::round_seconds(reporter.elapsed().as_secs_f64()),
        }))
    }
}

/// A file that a program has taken.
pub(super) struct Taken(ToCommandSummary);

impl Taken {
    pub(super) fn print(self, output: &Output) -> Result<(), CommandError> {
        let Self(summary) = self;
        if output.is_json() {
            return output.document(&Summary::new(summary));
        }
        let ToCommandSummary { path, program, .. } = &summary;
        output.summary(&[
            ("backup", summary.backup.clone()),
            ("restored", format!("{path} into {program}")),
            (
                "duration",
                format::speed(summary.bytes, summary.duration_seconds),
            ),
        ])
    }
}

/// Says what is left to do after a failure.
fn explain(error: Error, program: &str) -> CommandError {
    let is_of_program = error.site() == Site::Output;
    let cause = std::error::Error::source(&error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<CommandTargetError>());
    let is_missing = matches!(
        cause,
        Some(CommandTargetError::Program {
            error: ProgramError::NotStarted { .. },
            ..
        })
    );
    let error = CommandError::from(error);
    if is_missing {
        return error.with_hint("check the name of the program and the variable PATH");
    }
    if error.status == ExitStatus::Interrupted {
        return error.with_hint(format!(
            "undo what {program} has done, and run the command again"
        ));
    }
    if error.status == ExitStatus::Damaged {
        return error.with_hint(format!(
            "br ended {program}: undo what it has done; `br check --read-data` lists the damage and how to repair it"
        ));
    }
    if is_of_program {
        let hint = format!(
            "look at the messages of {program}, undo what it has done, and run the command again"
        );
        return error.with_hint(hint);
    }
    error
}
