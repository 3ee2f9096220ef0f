//! A program that takes the content of a file from its standard input.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::platform;
use crate::process::{LOOK_EVERY, OnMessage, Process, ProgramError, program_name};

/// A program that takes the content of a file, such as `mysql` or `psql`.
pub struct CommandTarget {
    command: Command,
    time_limit: Option<Duration>,
    on_message: Option<OnMessage>,
}

impl CommandTarget {
    /// The program. Its standard streams are replaced. A [`Command`] passes arguments as they are: no shell interprets them. On Unix the program
    /// gets a process group of its own, and a second process, `/bin/sh`, ends it if this process is killed.
    #[must_use]
    pub const fn new(command: Command) -> Self {
        Self {
            command,
            time_limit: None,
            on_message: None,
        }
    }

    /// Sets how long the program may run.
    #[must_use]
    pub const fn with_time_limit(mut self, limit: Option<Duration>) -> Self {
        self.time_limit = limit;
        self
    }

    /// Sets what takes each line that the program writes to its standard output and standard error, on a thread of its own.
    #[must_use]
    pub fn with_on_message(mut self, take: impl FnMut(&str) + Send + 'static) -> Self {
        self.on_message = Some(Box::new(take));
        self
    }

    /// The input of the program, which starts with the first write.
    pub(crate) const fn start(self, cancel: CancellationToken) -> CommandInput {
        CommandInput {
            state: State::Waiting(self, cancel),
            held: VecDeque::new(),
            written: 0,
        }
    }
}

impl fmt::Debug for CommandTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandTarget")
            .field("program", &program_name(&self.command))
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}

/// Why a program did not take a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandTargetError {
    /// It failed.
    #[error("{error}{}", bytes_got(*.written))]
    Program {
        /// How.
        error: ProgramError,
        /// Bytes that it got.
        written: u64,
    },
    /// It exited with code 0 and did not read all of its input.
    #[error(
        "{program} ended without an error and did not read all of its input; it got {written} bytes"
    )]
    NotRead {
        /// The program, without its folder and its arguments.
        program: String,
        /// Bytes that it got.
        written: u64,
    },
    /// The system did not pass the bytes on.
    #[error("cannot write to the program: {0}")]
    Write(String),
}

/// How many bytes a program got, as the end of a sentence.
fn bytes_got(written: u64) -> String {
    match written {
        0 => String::new(),
        written => format!("; it got {written} bytes, and what it did with them is not undone"),
    }
}

/// How long to wait until the program has read more.
const PAUSE: Duration = Duration::from_millis(2);
/// Bytes that are held back until all of the content is verified.
const HELD_BACK: usize = 128 << 10;

/// The standard input of a program. The last bytes are held back until [`CommandInput::finish`].
#[derive(Debug)]
pub(crate) struct CommandInput {
    state: State,
    held: VecDeque<u8>,
    written: u64,
}

#[derive(Debug)]
enum State {
    Waiting(CommandTarget, CancellationToken),
    Running(Process, ChildStdin),
    /// It failed, or has ended.
    Ended(Option<CommandTargetError>),
}

impl CommandInput {
    /// Writes the bytes that were held back, closes the input and waits for the end of the program. Returns what it wrote.
    pub(crate) fn finish(mut self) -> Result<String, CommandTargetError> {
        let rest: Vec<u8> = std::mem::take(&mut self.held).into();
        self.pass_on(&rest)?;
        self.start()?;
        let State::Running(mut process, input) =
            std::mem::replace(&mut self.state, State::Ended(None))
        else {
            return Ok(String::new());
        };
        let written = self.written;
        let failed = |error| CommandTargetError::Program { error, written };
        // Bytes in the pipe have no reader yet. After the end of the pipe, nothing would show that the program did not read them.
        while platform::unread(&input) > 0 {
            process.look().map_err(failed)?;
            if process.has_succeeded() {
                let program = process.program.clone();
                return Err(CommandTargetError::NotRead { program, written });
            }
            thread::sleep(PAUSE);
        }
        // The guard must not hold the pipe any more: its end is what the program waits for.
        process.guard(None);
        drop(input);
        process.wait(Process::look).map_err(failed)?;
        Ok(process.messages().all())
    }

    /// Why the program failed, after a write that failed.
    pub(crate) fn failure(self) -> Option<CommandTargetError> {
        match self.state {
            State::Ended(failure) => failure,
            _ => None,
        }
    }

    fn start(&mut self) -> Result<(), CommandTargetError> {
        match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Waiting(mut target, cancel) => {
                target
                    .command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped());
                let CommandTarget {
                    command,
                    time_limit,
                    on_message,
                } = target;
                let failed = |error| CommandTargetError::Program { error, written: 0 };
                let process = Process::start(command, time_limit, on_message, cancel);
                let mut process = process.map_err(failed)?;
                if let Some(stdout) = process.child().stdout.take() {
                    process.messages().read(stdout);
                }
                let input = process.child().stdin.take().ok_or_else(|| {
                    let (program, reason) = (process.program.clone(), "it has no input".to_owned());
                    failed(ProgramError::NotStarted { program, reason })
                })?;
                process.guard(platform::same_input(&input));
                self.state = State::Running(process, input);
            }
            other => self.state = other,
        }
        Ok(())
    }

    /// Gives bytes to the program.
    fn pass_on(&mut self, mut bytes: &[u8]) -> Result<(), CommandTargetError> {
        while !bytes.is_empty() {
            self.start()?;
            let State::Running(process, input) = &mut self.state else {
                return Err(CommandTargetError::Write("it has ended".to_owned()));
            };
            let written = self.written;
            process
                .look()
                .map_err(|error| CommandTargetError::Program { error, written })?;
            let sent = match platform::wait_writable(input, LOOK_EVERY) {
                Ok(true) => input.write(bytes),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            match sent {
                Ok(len) => {
                    self.written += len as u64;
                    bytes = &bytes[len..];
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    io::ErrorKind::BrokenPipe => return Err(self.refused()),
                    _ => return Err(CommandTargetError::Write(error.to_string())),
                },
            }
        }
        Ok(())
    }

    /// The program has closed its input: finds out why.
    fn refused(&mut self) -> CommandTargetError {
        let written = self.written;
        let State::Running(mut process, input) =
            std::mem::replace(&mut self.state, State::Ended(None))
        else {
            return CommandTargetError::Write("it has ended".to_owned());
        };
        // The program has closed the pipe, so its end tells it nothing.
        process.guard(None);
        drop(input);
        match process.wait(Process::look) {
            Ok(()) => CommandTargetError::NotRead {
                program: process.program.clone(),
                written,
            },
            Err(error) => CommandTargetError::Program { error, written },
        }
    }
}

impl Write for CommandInput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let surplus = (self.held.len() + bytes.len()).saturating_sub(HELD_BACK);
        let old: Vec<u8> = self.held.drain(..surplus.min(self.held.len())).collect();
        let new = surplus - old.len();
        let passed = self
            .pass_on(&old)
            .and_then(|()| self.pass_on(&bytes[..new]));
        if let Err(error) = passed {
            let text = error.to_string();
            self.state = State::Ended(Some(error));
            return Err(io::Error::other(text));
        }
        self.held.extend(&bytes[new..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
