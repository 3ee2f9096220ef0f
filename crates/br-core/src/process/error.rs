//! How a program failed.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why a program did not do what it was started for. Programs are named without their folder and their arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// It could not be started.
    #[error("{program} cannot be started: {reason}")]
    NotStarted {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// It ended and reported a failure.
    #[error("{program} {end}{}", after_colon(.messages))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        end: ProgramEnd,
        /// The last lines of its standard error.
        messages: String,
    },
    /// It did not end in time, and was ended.
    #[error("{program} did not end within {limit:?}{}", after_colon(.messages))]
    TimedOut {
        /// The program.
        program: String,
        /// The time that it had.
        limit: Duration,
        /// The last lines of its standard error.
        messages: String,
    },
    /// It wanted to read from the terminal, and was ended.
    #[error("{program} waits for input from the terminal, and gets none")]
    WaitsForTerminal {
        /// The program.
        program: String,
    },
    /// The operation was cancelled, and the program was ended.
    #[error("interrupted")]
    Interrupted,
}

/// How a program ended that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramEnd {
    /// It exited with this code.
    Code(i32),
    /// A signal with this number ended it.
    Signal(i32),
}

impl fmt::Display for ProgramEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "failed with exit code {code}"),
            Self::Signal(number) => write!(f, "was ended by signal {number}"),
        }
    }
}

impl From<ProgramError> for io::Error {
    fn from(error: ProgramError) -> Self {
        Self::other(error)
    }
}

/// Messages as the end of a sentence.
pub(crate) fn after_colon(messages: &str) -> String {
    let messages = messages.trim();
    if messages.is_empty() {
        return String::new();
    }
    format!(": {}", messages.replace('\n', "; "))
}
