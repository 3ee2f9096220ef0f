//! Where the programs of a server run: on this machine, or in a container.

use std::ffi::{OsStr, OsString};
use std::process::Command;

/// How to start the programs of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launcher {
    before: Vec<String>,
    hidden_variables: Vec<String>,
}

/// What `docker exec` and a shell exit with if there is no such program.
const NOT_FOUND: [i32; 2] = [126, 127];

impl Launcher {
    /// Starts programs through a command that takes another one as its last arguments, such as `docker exec -i db`. It must pass on
    /// standard input, standard output and the exit code, and take each argument as it is: `ssh` does not.
    #[must_use]
    pub const fn through(command: Vec<String>) -> Self {
        Self {
            before: command,
            hidden_variables: Vec::new(),
        }
    }

    /// Sets environment variables that the programs do not get, such as passwords of this program.
    #[must_use]
    pub fn with_hidden_variables(mut self, names: Vec<String>) -> Self {
        self.hidden_variables = names;
        self
    }

    /// True if programs run on this machine.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.before.is_empty()
    }

    /// The program to start, and its first arguments.
    pub(crate) fn start(&self, program: impl Into<OsString>) -> (OsString, Vec<OsString>) {
        let mut words = self.before.iter().map(OsString::from);
        match words.next() {
            None => (program.into(), Vec::new()),
            Some(first) => (first, words.chain([program.into()]).collect()),
        }
    }

    /// A command that starts the program.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let (first, arguments) = self.start(program.as_ref());
        let mut command = Command::new(first);
        command.args(arguments);
        for name in &self.hidden_variables {
            command.env_remove(name);
        }
        command
    }

    /// True if this exit code means that the container does not have the program.
    pub(crate) fn lacks_program(&self, code: Option<i32>) -> bool {
        !self.is_local() && code.is_some_and(|code| NOT_FOUND.contains(&code))
    }
}
