//! Programs that write a stream for a backup, take one from a restore, or do something before and after.
//!
//! [`Process`] runs a program and watches it, [`ProgramError`] says how it failed, `messages` keeps what it writes to its standard error, `timer`
//! limits its time, and `guard` ends it if br dies. Invariant: a program never outlives its [`Process`], unless it ended by itself. No shell
//! interprets arguments, and they are neither stored nor printed, because they may contain passwords.

mod error;
mod guard;
mod messages;
mod run;
mod timer;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use self::error::after_colon;
pub use self::error::{ProgramEnd, ProgramError};
use self::guard::Guard;
pub(crate) use self::messages::{Messages, OnMessage};
pub use self::run::run_program;
use self::timer::Timer;
use crate::platform::{self, ChildState};

/// How often a waiting read or write looks whether the program may go on.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a program that must end has for its own clean-up.
const GRACE: Duration = Duration::from_secs(3);

/// The name of a program, without its folder and its arguments.
pub(crate) fn program_name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    name.to_string_lossy().into_owned()
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) program: String,
    child: Child,
    messages: Messages,
    timer: Option<Timer>,
    cancel: CancellationToken,
    guard: Option<Guard>,
    has_ended: bool,
}

impl Process {
    /// Starts a program whose standard streams the caller has set, standard error as a pipe.
    pub(crate) fn start(
        mut command: Command,
        time_limit: Option<Duration>,
        on_message: Option<OnMessage>,
        cancel: CancellationToken,
    ) -> Result<Self, ProgramError> {
        let program = program_name(&command);
        platform::set_own_group(&mut command);
        let mut child = command.spawn().map_err(|error| ProgramError::NotStarted {
            program: program.clone(),
            reason: error.to_string(),
        })?;
        let messages = Messages::new(on_message);
        if let Some(stderr) = child.stderr.take() {
            messages.read(stderr);
        }
        Ok(Self {
            program,
            child,
            messages,
            timer: time_limit.map(Timer::start),
            cancel,
            guard: None,
            has_ended: false,
        })
    }

    /// The pipes that the caller has set up.
    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) const fn messages(&self) -> &Messages {
        &self.messages
    }

    /// Makes sure that the program ends if br is killed, before `held` closes. Replaces an earlier guard.
    pub(crate) fn guard(&mut self, held: Option<Stdio>) {
        // The earlier guard ends after the new one has begun.
        let _earlier = std::mem::replace(&mut self.guard, Guard::start(&self.child, held));
    }

    /// Fails if the program must not go on, or has failed.
    pub(crate) fn look(&self) -> Result<(), ProgramError> {
        let program = || self.program.clone();
        if self.cancel.is_cancelled() {
            return Err(ProgramError::Interrupted);
        }
        match platform::child_state(&self.child) {
            ChildState::WaitsForTerminal => {
                return Err(ProgramError::WaitsForTerminal { program: program() });
            }
            ChildState::Ended(Some(end)) => {
                self.messages.wait();
                return Err(ProgramError::Failed {
                    program: program(),
                    end,
                    messages: self.messages.last_lines(),
                });
            }
            ChildState::Running | ChildState::Ended(None) => {}
        }
        self.look_at_limits()
    }

    /// Fails if the program must not go on. Does not look at the program, so it takes no time.
    pub(crate) fn look_at_limits(&self) -> Result<(), ProgramError> {
        if self.cancel.is_cancelled() {
            return Err(ProgramError::Interrupted);
        }
        match &self.timer {
            Some(timer) if timer.is_over() => Err(ProgramError::TimedOut {
                program: self.program.clone(),
                limit: timer.limit,
                messages: self.messages.last_lines(),
            }),
            _ => Ok(()),
        }
    }

    /// True if the program exited with code 0.
    pub(crate) fn has_succeeded(&self) -> bool {
        matches!(platform::child_state(&self.child), ChildState::Ended(None))
    }

    /// Waits until the program has exited with code 0. Fails if it failed, or if it must not go on. `look` is called again and again.
    pub(crate) fn wait<E: From<ProgramError>>(
        &mut self,
        look: impl Fn(&Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pause = Duration::from_millis(1);
        loop {
            look(self)?;
            if self.has_succeeded() {
                break;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LOOK_EVERY);
        }
        self.has_ended = true;
        self.messages.wait();
        // It has ended, so this does not wait. Its end is known already.
        let _ = self.child.wait();
        Ok(())
    }
}

impl Drop for Process {
    /// Ends the program and all that it started, unless it succeeded.
    fn drop(&mut self) {
        if !self.has_ended {
            platform::end_group(&mut self.child, GRACE);
        }
    }
}
