//! The log of a server.
//!
//! [`LoginRecord`], [`LoggedStatement`], [`BackupRecord`] and [`KillRecord`] are entries of its log, [`Record`] holds them.
//! Invariant: no entry has a secret.

use std::collections::BTreeMap;

use crate::step::{BackupError, Summary};
use crate::ts::Ts;

/// A login attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRecord {
    /// Its connection.
    pub connection: u32,
    /// The account of the user.
    pub account: String,
    /// The user.
    pub user: String,
    /// Whether the password was right.
    pub accepted: bool,
    /// The attributes that the client sends, such as `program_name`.
    pub attributes: BTreeMap<String, String>,
}

/// A statement that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedStatement {
    /// The connection.
    pub connection: u32,
    /// Its text, without secrets.
    pub text: String,
    /// The error that the server answered, if any.
    pub error: Option<u16>,
}

/// A `KILL` that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillRecord {
    /// The connection.
    pub by: u32,
    /// The connection to kill.
    pub connection: u64,
    /// Whether a statement was running there.
    pub hit: bool,
}

/// How a backup ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is still running.
    Running,
    /// Everything is written. The client got the answer unless the connection was closed.
    Done(Summary),
    /// The client got an error.
    Refused(u16),
    /// The server crashed.
    Crashed,
    /// The connection was closed before everything was written.
    Dropped,
}

impl Outcome {
    pub(crate) fn of(result: &Result<Summary, BackupError>) -> Self {
        match result {
            Ok(summary) => Self::Done(summary.clone()),
            Err(BackupError::Refused { code, .. }) => Self::Refused(*code),
            Err(BackupError::Crashed) => Self::Crashed,
            Err(BackupError::Dropped) => Self::Dropped,
        }
    }
}

/// A `BACKUP` that started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRecord {
    /// The connection.
    pub connection: u32,
    /// The text after `BACKUP`.
    pub label: String,
    /// The folder, or endpoint, bucket and path in S3.
    pub place: String,
    /// The text of `TYPE`.
    pub kind: String,
    /// The text of `TIMESTAMP` as a time stamp.
    pub base: Option<Ts>,
    /// How it ended.
    pub outcome: Outcome,
}

/// All requests.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) logins: Vec<LoginRecord>,
    pub(crate) statements: Vec<LoggedStatement>,
    pub(crate) kills: Vec<KillRecord>,
    pub(crate) backups: Vec<BackupRecord>,
    /// The one slot for protecting objects from garbage collection.
    pub(crate) protection: Option<String>,
    /// Number of backups that a fault holds up.
    pub(crate) waiting: usize,
    /// Highest number of concurrent backups.
    pub(crate) most_running: usize,
}

impl Record {
    pub(crate) fn running(&self) -> usize {
        let backups = self.backups.iter();
        backups
            .filter(|backup| backup.outcome == Outcome::Running)
            .count()
    }
}
