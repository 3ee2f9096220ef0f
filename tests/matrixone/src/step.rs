//! The steps of a backup, and how it ends.
//!
//! [`Event`] is the next step, [`Verdict`] the decision about it, [`Observer`] the function that decides; [`Summary`] and [`BackupError`]
//! are the results. Invariant: there is one event for each file, before it is written.

use std::fmt;
use std::io::{self, ErrorKind};

use crate::ts::Ts;

/// The result of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Its time stamp.
    pub backup_ts: Ts,
    /// The sum in `tae_sum`: the bytes of all listed files, copied or not.
    pub listed_bytes: u64,
    /// Number of listed files.
    pub listed: usize,
    /// Number of written files, including digest files.
    pub written: usize,
    /// The names of objects that were left out.
    pub skipped: Vec<String>,
}

impl Summary {
    pub(crate) fn new(backup_ts: Ts) -> Self {
        Self {
            backup_ts,
            listed_bytes: 0,
            listed: 0,
            written: 0,
            skipped: Vec::new(),
        }
    }
}

/// The phase of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing is written yet.
    Start,
    /// Configuration files.
    Configs,
    /// Objects; releases before 4.2 do not stop here after a cancellation.
    Objects,
    /// Everything after the objects.
    Rest,
    /// All is written.
    Written,
}

/// The next step of a backup.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// What the backup is at.
    pub phase: Phase,
    /// The next file, relative to the archive; empty at the start and at the end.
    pub name: &'a str,
    /// Number of files written so far.
    pub written: usize,
}

/// The decision about a step.
#[derive(Debug)]
pub enum Verdict {
    /// The step is made.
    Go,
    /// The object is left out, and so is its row unless `listed` is set.
    Skip {
        /// Whether the row stays.
        listed: bool,
    },
    /// An end in the middle of the file.
    Crash,
    /// An end before the file.
    Stop(BackupError),
}

/// A function that decides about the steps.
pub type Observer<'a> = dyn FnMut(&Event<'_>) -> Verdict + 'a;

/// Why there is no archive.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// The server answers with this error.
    Refused {
        /// The number of the error.
        code: u16,
        /// Its text.
        text: String,
    },
    /// The server crashed during the backup.
    Crashed,
    /// The connection was closed, by a fault or by the client.
    Dropped,
}

impl BackupError {
    pub(crate) fn refused(code: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Refused { code, text }
    }

    /// The error for a missing object.
    #[must_use]
    pub fn not_found(name: &str) -> Self {
        Self::refused(20405, format!("file {name} is not found"))
    }

    pub(crate) fn of_put(name: &str, error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::AlreadyExists => Self::refused(20406, format!("file {name} already exists")),
            _ => Self::refused(20101, format!("internal error: {name}: {error}")),
        }
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, text } => write!(f, "error {code}: {text}"),
            Self::Crashed => f.write_str("the server crashed"),
            Self::Dropped => f.write_str("the connection was dropped"),
        }
    }
}

impl std::error::Error for BackupError {}
