//! The steps of a backup, and how it ends.
//!
//! [`Event`] is a step that is about to be made, [`Verdict`] what happens instead, [`Observer`] who decides; [`Summary`] and
//! [`BackupError`] are the ends. Invariant: there is one event for each file, before it is written.

use std::fmt;
use std::io::{self, ErrorKind};

use crate::ts::Ts;

/// What came of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Its time stamp.
    pub backup_ts: Ts,
    /// The sum in `tae_sum`: bytes of all that is listed, copied or not.
    pub listed_bytes: u64,
    /// How many files are listed.
    pub listed: usize,
    /// How many files were written, with those of digests.
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

/// What a backup is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing is written yet.
    Start,
    /// Configuration files.
    Configs,
    /// Objects; no release before 4.2 stops here when it is cancelled.
    Objects,
    /// Everything after the objects.
    Rest,
    /// All is written.
    Written,
}

/// A step that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// What the backup is at.
    pub phase: Phase,
    /// The file that comes next, relative to the archive; empty at the start and at the end.
    pub name: &'a str,
    /// How many files are written.
    pub written: usize,
}

/// What happens then.
#[derive(Debug)]
pub enum Verdict {
    /// The step.
    Go,
    /// The object is left out, and its row too unless it is to be listed.
    Skip {
        /// Whether the row stays.
        listed: bool,
    },
    /// An end in the middle of the file.
    Crash,
    /// An end before the file.
    Stop(BackupError),
}

/// Who decides about the steps.
pub type Observer<'a> = dyn FnMut(&Event<'_>) -> Verdict + 'a;

/// Why there is no archive.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// The server answers this.
    Refused {
        /// The number of the error.
        code: u16,
        /// Its text.
        text: String,
    },
    /// The server is gone in the middle.
    Crashed,
    /// The connection is gone, on purpose or by the client.
    Dropped,
}

impl BackupError {
    pub(crate) fn refused(code: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Refused { code, text }
    }

    /// The object is gone.
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
