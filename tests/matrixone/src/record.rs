//! What a server was asked for.
//!
//! [`LoginRecord`], [`LoggedStatement`], [`BackupRecord`] and [`KillRecord`] are entries of its log, [`Record`] holds them.
//! Invariant: no entry has a secret.

use std::collections::BTreeMap;

use crate::step::{BackupError, Summary};
use crate::ts::Ts;

/// A client that wanted in.
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
    /// What it says about itself, such as `program_name`.
    pub attributes: BTreeMap<String, String>,
}

/// A statement that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedStatement {
    /// Whose connection.
    pub connection: u32,
    /// Its text, without secrets.
    pub text: String,
    /// The error it was answered with, if it was.
    pub error: Option<u16>,
}

/// A `KILL` that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillRecord {
    /// Whose connection.
    pub by: u32,
    /// The connection that is meant.
    pub connection: u64,
    /// Whether something was running there.
    pub hit: bool,
}

/// How a backup ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has not.
    Running,
    /// Everything is written. The client was told unless the connection was gone.
    Done(Summary),
    /// The client was told an error.
    Refused(u16),
    /// The server broke down.
    Crashed,
    /// The connection was gone before everything was written.
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

/// A `BACKUP` that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRecord {
    /// Whose connection.
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

/// All that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) logins: Vec<LoginRecord>,
    pub(crate) statements: Vec<LoggedStatement>,
    pub(crate) kills: Vec<KillRecord>,
    pub(crate) backups: Vec<BackupRecord>,
    /// The one slot for protecting objects from garbage collection.
    pub(crate) protection: Option<String>,
    /// How many backups are held up by a fault.
    pub(crate) waiting: usize,
    /// How many backups ran at once, at most.
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
