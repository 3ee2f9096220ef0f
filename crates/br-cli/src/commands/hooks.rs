//! Runs the commands of a set, around its backup and its restore.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use br_core::{ProgramError, run_program};
use tokio_util::sync::CancellationToken;

use super::stream::{command, message, name_of};
use crate::config::HookCommand;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::thread::on_thread;

/// The variables that tell a command of what set it is, and how the backup ended.
const SET: &str = "BR_HOOK_SET";
const STATUS: &str = "BR_HOOK_STATUS";

/// Number of lines of a command that are shown.
const MAX_SHOWN: u32 = 1_000;
const MORE: u32 = MAX_SHOWN + 1;

/// What a command needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct HookRun<'h> {
    /// The name of the set.
    pub(super) set: &'h str,
    /// How the backup ended, for commands after it.
    pub(super) status: Option<&'h str>,
    /// How long it may run.
    pub(super) time_limit: Duration,
}

impl HookRun<'_> {
    /// Runs a command, and returns what it printed. It does not get the passwords of br. What it prints goes to standard error.
    pub(super) async fn run(
        &self,
        hook: &HookCommand,
        cancel: &CancellationToken,
        context: &CommandContext,
    ) -> Result<String, CommandError> {
        let (program, arguments) = hook.words.split_first().unwrap_or((&hook.text, &[]));
        let mut program_command = command(OsStr::new(program), arguments);
        program_command.env(SET, self.set);
        if let Some(status) = self.status {
            program_command.env(STATUS, status);
        }
        let name = name_of(OsStr::new(program));
        let console = Arc::clone(&context.output.console);
        let mut shown = 0;
        let print = move |line: &str| {
            shown += 1;
            match shown {
                ..=MAX_SHOWN => console.note(&message(&name, line)),
                MORE => console.note(&message(&name, "further lines are not shown")),
                _ => {}
            }
        };
        let (limit, cancel) = (self.time_limit, cancel.clone());
        let run = move || run_program(program_command, Some(limit), print, &cancel);
        let ended = on_thread(run).await?;
        ended.map_err(|error| match error {
            ProgramError::Interrupted => CommandError::interrupted(),
            error => {
                let message = format!("`{}`: {error}", hook.text);
                let hint = "run the command yourself, or correct it in the configuration file";
                CommandError::new(ExitStatus::Failure, message, hint)
            }
        })
    }

    /// Runs commands in turn, until one fails.
    pub(super) async fn run_all(
        &self,
        hooks: &[HookCommand],
        context: &CommandContext,
    ) -> Result<(), CommandError> {
        for hook in hooks {
            self.note(hook, context);
            self.run(hook, &context.cancel, context).await?;
        }
        Ok(())
    }

    /// Says which command runs next.
    pub(super) fn note(&self, hook: &HookCommand, context: &CommandContext) {
        let console = &context.output.console;
        console.note(&format!("set {}: {}", self.set, hook.text));
    }
}
