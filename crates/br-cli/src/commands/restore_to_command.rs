//! `br restore --to-command`: restores a file into a program, such as the client of a database.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use br_core::engine::dump::dump_to_command;
use br_core::target::{CommandTarget, CommandTargetError};
use br_core::{BackupSelector, Error, ProgramError, Site};
use clap::Args;
use serde::Serialize;

use super::paths::PathInBackup;
use super::stream::message;
use super::which::BackupAndPath;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::output::json::Summary;

/// A restore into a program.
#[derive(Debug, Args)]
#[command(next_help_heading = "Restore into a program")]
pub(super) struct ToCommandArgs {
    /// Give the file PATH to a program as its standard input; what follows PATH is the program with its arguments
    ///
    /// br runs the program without a shell, and verifies the whole file before it passes on the last part of it. br fails if the program exits with
    /// another code than 0. What the program did until then is not undone.
    #[arg(
        long,
        conflicts_with_all = [
            "target", "strip_components", "overwrite", "include", "exclude", "ignore_case", "delete", "no_owner", "no_devices",
            "no_setid", "no_xattrs", "trust_repository", "dry_run", "threads",
        ]
    )]
    pub(super) to_command: bool,

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
    /// Runs the restore. `words` are the path, unless `from` has it, and the program with its arguments.
    pub(super) async fn run(
        &self,
        from: &BackupAndPath,
        id: &BackupSelector,
        words: &[OsString],
        context: &CommandContext,
    ) -> CommandResult {
        let example = "for example, write `br restore latest shop.sql --to-command -- mysql shop`";
        let (path, words) = match (from.path(&[])?, words.split_first()) {
            (Some(path), _) => (path, words),
            (None, Some((path, words))) => (PathInBackup::parse(path)?, words),
            (None, None) => return Err(CommandError::usage("no path to restore", example)),
        };
        let Some((program, arguments)) = words.split_first() else {
            return Err(CommandError::usage("--to-command needs a program", example));
        };
        let repository = context.open().await?;
        let backup = context.find(&repository, id).await?;
        let path = path.find(&repository, &backup, context).await?;
        let mut command = Command::new(program);
        command.args(arguments);
        let name = Path::new(program).file_name().unwrap_or(program);
        let name = format::text(&name.to_string_lossy());
        let (console, label) = (Arc::clone(&context.output.console), name.clone());
        let target = CommandTarget::new(command)
            .with_time_limit(self.command_timeout)
            .with_on_message(move |line| console.note(&message(&label, line)));
        let reporter = Arc::new(context.reporter());
        let (engine, guard) = context.engine_with(&reporter);
        let restored = dump_to_command(&repository, backup.id, path.clone(), target, &engine).await;
        drop(guard);
        let (entry, messages) = restored.map_err(|error| explain(error, &name))?;
        let seconds = reporter.elapsed().as_secs_f64();
        let output = &context.output;
        if output.is_json() {
            output.document(&Summary::new(ToCommandSummary {
                backup: backup.id.to_string(),
                path: path.to_string(),
                program: name,
                bytes: entry.size(),
                messages,
                duration_seconds: format::round_seconds(seconds),
            }))?;
            return Ok(ExitStatus::Ok);
        }
        output.summary(&[
            ("backup", backup.id.to_string()),
            ("restored", format!("{path} into {name}")),
            ("duration", format::speed(entry.size(), seconds)),
        ])?;
        Ok(ExitStatus::Ok)
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
    if is_of_program {
        let hint = format!(
            "look at the messages of {program}, undo what it has done, and run the command again"
        );
        return error.with_hint(hint);
    }
    error
}
