//! The shapes that `--json` prints; `docs/json.md` describes them.
//!
//! Invariant: fields may be added, but never changed or removed. Raw bytes are text in the form of [`escape`]; the root of a
//! backup is `.`.

use br_core::model::{Backup, Entry, EntryKind, escape, is_hidden};
use br_core::{BackupV1, Repository};
use serde::Serialize;

use super::format::file_time_exact;
use crate::error::CommandError;

/// A line of JSON. Invisible characters, and characters that move others, have JSON escapes, because the output may go to a
/// terminal.
pub(crate) fn to_line(value: &impl Serialize) -> String {
    let line = serde_json::to_string(value).expect("plain values become JSON");
    if !line.contains(is_hidden) {
        return line;
    }
    let mut out = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        match is_hidden(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                out.push_str(&format!("\\u{unit:04x}"));
            }),
            false => out.push(c),
        }
    }
    out
}

/// A line on stderr.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Message<'a> {
    Note {
        message: &'a str,
    },
    Warning {
        message: &'a str,
    },
    Hint {
        message: &'a str,
    },
    Failed {
        path: &'a str,
        reason: &'a str,
    },
    Entry {
        path: &'a str,
        action: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Status(Status),
    Error {
        code: u8,
        message: &'a str,
        causes: &'a [String],
        hint: &'a str,
    },
}

impl<'a> From<&'a CommandError> for Message<'a> {
    fn from(error: &'a CommandError) -> Self {
        let CommandError {
            status,
            message,
            causes,
            hint,
            ..
        } = error;
        Self::Error {
            code: status.code(),
            message,
            causes,
            hint,
        }
    }
}

/// The progress of an operation.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) seconds: f64,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_expected: Option<u64>,
    pub(crate) entries_done: u64,
    pub(crate) entries_expected: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<String>,
}

/// The result of a command, its last or only line.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    value: T,
}

impl<T> Summary<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            kind: "summary",
            value,
        }
    }
}

/// The result of `init`.
#[derive(Debug, Serialize)]
pub(crate) struct RepositoryJson<'a> {
    location: &'a str,
    id: String,
    encrypted: bool,
    created: String,
    format: String,
}

impl<'a> From<&'a Repository> for RepositoryJson<'a> {
    fn from(repository: &'a Repository) -> Self {
        let config = repository.config();
        Self {
            location: repository.location(),
            id: config.id.to_string(),
            encrypted: repository.is_encrypted(),
            created: config.created.to_string(),
            format: config.version.to_string(),
        }
    }
}

/// A backup with its stored and derived fields.
#[derive(Debug, Serialize)]
pub(crate) struct BackupJson {
    #[serde(flatten)]
    backup: BackupV1,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_id: Option<String>,
}

impl BackupJson {
    /// Adds the short id.
    pub(crate) fn with_short_id(mut self, short_id: String) -> Self {
        self.short_id = Some(short_id);
        self
    }
}

impl From<&Backup> for BackupJson {
    fn from(backup: &Backup) -> Self {
        Self {
            backup: BackupV1::from(backup),
            complete: backup.is_complete(),
            short_id: None,
        }
    }
}

/// The result of `backup`.
#[derive(Debug, Serialize)]
pub(crate) struct BackupSummary {
    pub(crate) backup: BackupJson,
    pub(crate) torn: u64,
    pub(crate) packs_resumed: u64,
    pub(crate) dry_run: bool,
    pub(crate) duration_seconds: f64,
}

/// An entry of a backup.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson<'a> {
    path: String,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    user: &'a str,
    group: &'a str,
    size: u64,
    mtime: String,
    sha256: Option<String>,
    target: Option<String>,
}

impl<'a> EntryJson<'a> {
    pub(crate) fn new(entry: &'a Entry, sha256: Option<String>) -> Self {
        Self {
            path: entry.path.to_string(),
            kind: entry.kind.name(),
            mode: format!("{:04o}", entry.mode),
            uid: entry.owner.uid,
            gid: entry.owner.gid,
            user: &entry.owner.user,
            group: &entry.owner.group,
            size: entry.size(),
            mtime: file_time_exact(entry.mtime),
            sha256,
            target: match &entry.kind {
                EntryKind::Symlink(target) => Some(escape(target)),
                _ => None,
            },
        }
    }
}

/// A difference between entries.
#[derive(Debug, Serialize)]
pub(crate) struct DifferenceJson<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) path: String,
    pub(crate) from: Option<EntryJson<'a>>,
    pub(crate) to: Option<EntryJson<'a>>,
}

/// The numbers of differences.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct DiffSummary {
    pub(crate) added: u64,
    pub(crate) removed: u64,
    pub(crate) content: u64,
    pub(crate) metadata: u64,
}
