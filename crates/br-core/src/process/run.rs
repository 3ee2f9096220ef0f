//! Runs a program for what it does, not for what it writes.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Process, ProgramError, program_name};

/// Runs a program until it ends, and returns what it wrote to its standard output and its standard error, at most
/// [`StreamRecord::MAX_MESSAGES`](crate::model::StreamRecord::MAX_MESSAGES) bytes. Blocks meanwhile.
///
/// The program gets no input, no shell, and a process group of its own. `on_line` takes each line that it writes, on a thread of its own. If `cancel` is cancelled or
/// the time is over, the program and all that it has started are ended. A program that it leaves behind goes on running when it succeeds.
///
/// # Errors
/// When the program cannot be started, exits with another code than 0, is killed, waits for the terminal, or takes longer than `time_limit`.
pub fn run_program(
    mut command: Command,
    time_limit: Option<Duration>,
    on_line: impl FnMut(&str) + Send + 'static,
    cancel: &CancellationToken,
) -> Result<String, ProgramError> {
    let failed = |error: io::Error| ProgramError::NotStarted {
        program: program_name(&command),
        reason: error.to_string(),
    };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let other = writer.try_clone().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(writer).stderr(other);
    let mut process = Process::start(command, time_limit, Some(Box::new(on_line)), cancel.clone())?;
    process.messages.read(reader);
    process.wait(Process::look)?;
    Ok(process.messages.all())
}
