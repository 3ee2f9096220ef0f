//! The shapes that `--json` prints; `docs/json.md` describes them.
//!
//! Invariant: fields may be added, but never changed or removed. Raw bytes are text in the form of [`escape`]; the root of a
//! backup is `.`.

use br_core::Repository;
use br_core::model::{Backup, Configuration, Entry, EntryKind, StreamRecord, escape, is_hidden};
use jiff::Timestamp;
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
        if is_hidden(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                out.push_str(&format!("\\u{unit:04x}"));
            });
        } else {
            out.push(c);
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
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<&'a str>,
    },
    Warning {
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<&'a str>,
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
    write_only_keys: bool,
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
            write_only_keys: repository.allows_write_only_keys(),
            created: config.created.to_string(),
            format: config.version.to_string(),
        }
    }
}

/// A backup.
#[derive(Debug, Serialize)]
pub(crate) struct BackupJson {
    id: String,
    kind: &'static str,
    base: Option<String>,
    origin: Option<OriginJson>,
    host: String,
    user: String,
    paths: Vec<String>,
    folder: String,
    tags: Vec<String>,
    started: String,
    finished: String,
    tree: Option<TreeJson>,
    entries: u64,
    files: u64,
    directories: u64,
    bytes: u64,
    files_new: u64,
    files_changed: u64,
    files_unchanged: u64,
    bytes_read: u64,
    bytes_added: u64,
    bytes_stored: u64,
    unread_count: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<UnreadJson>,
    program: String,
    complete: bool,
    pinned: bool,
    note: Option<String>,
    proven: Option<ProofJson>,
    damaged: Option<String>,
    copy_of: Option<String>,
    rewrite_of: Option<String>,
    configuration: Option<Configuration>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    streams: Vec<StreamJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_id: Option<String>,
}

/// What a backup was made from.
#[derive(Debug, Serialize)]
struct OriginJson {
    kind: String,
    version: Option<String>,
    position: Option<String>,
}

/// The last proof that a backup can be restored.
#[derive(Debug, Serialize)]
struct ProofJson {
    time: String,
    by: String,
}

/// Where the entry tree of a backup starts.
#[derive(Debug, Serialize)]
struct TreeJson {
    node: String,
    len: u32,
    height: u8,
}

/// An entry that is missing from a backup or not complete.
#[derive(Debug, Serialize)]
struct UnreadJson {
    path: String,
    reason: String,
}

/// How a stream in a backup came to its end.
#[derive(Debug, Serialize)]
struct StreamJson {
    path: String,
    program: Option<String>,
    server: Option<String>,
    end_mark: Option<String>,
    position: Option<String>,
    compression: Option<String>,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    messages: String,
}

impl From<&StreamRecord> for StreamJson {
    fn from(record: &StreamRecord) -> Self {
        Self {
            path: escape(&record.path),
            program: record.program.clone(),
            server: record.server.clone(),
            end_mark: record.end_mark.clone(),
            position: record.position.clone(),
            compression: record.compression.clone(),
            began: record.began,
            ended: record.ended,
            messages: record.messages.clone(),
        }
    }
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
        let (totals, changes) = (&backup.totals, &backup.changes);
        let unread = backup.unread.iter().map(|unread| UnreadJson {
            path: escape(&unread.path),
            reason: unread.reason.0.clone(),
        });
        Self {
            id: backup.id.to_string(),
            kind: backup.kind.name(),
            base: backup.base.map(|base| base.to_string()),
            origin: backup.origin.as_ref().map(|origin| OriginJson {
                kind: origin.kind.name().to_owned(),
                version: origin.version.clone(),
                position: origin.position.clone(),
            }),
            host: backup.host.clone(),
            user: backup.user.clone(),
            paths: backup.paths.iter().map(|path| escape(path)).collect(),
            folder: escape(&backup.folder),
            tags: backup.tags.clone(),
            started: backup.started.to_string(),
            finished: backup.finished.to_string(),
            tree: backup.tree.map(|root| TreeJson {
                node: root.node.id.to_string(),
                len: root.node.len,
                height: root.height,
            }),
            entries: totals.entries,
            files: totals.files,
            directories: totals.directories,
            bytes: totals.bytes,
            files_new: changes.files_new,
            files_changed: changes.files_changed,
            files_unchanged: changes.files_unchanged,
            bytes_read: changes.bytes_read,
            bytes_added: changes.bytes_added,
            bytes_stored: changes.bytes_stored,
            unread_count: backup.unread_count,
            unread: unread.collect(),
            program: backup.program.clone(),
            complete: backup.is_complete(),
            pinned: backup.pinned,
            note: backup.note.clone(),
            damaged: backup.damaged.map(|time| time.to_string()),
            proven: backup.proven.as_ref().map(|proof| ProofJson {
                time: proof.time.to_string(),
                by: proof.by.name().to_owned(),
            }),
            copy_of: backup.copy_of.map(|id| id.to_string()),
            rewrite_of: backup.rewrite_of.map(|id| id.to_string()),
            configuration: backup.configuration.clone(),
            streams: backup.streams.iter().map(StreamJson::from).collect(),
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
    /// The repositories of `--copy-to`, and the repository itself if it failed.
    pub(crate) copies: Vec<CopyJson>,
}

/// One of several repositories of a backup.
#[derive(Debug, Serialize)]
pub(crate) struct CopyJson {
    pub(crate) location: String,
    /// The id of the copy; `None` if it failed.
    pub(crate) backup: Option<String>,
    pub(crate) bytes_stored: u64,
    /// Earlier backups that it got now, because it failed before.
    pub(crate) caught_up: u64,
    /// Earlier backups that the first repository got from it now, because that one failed before.
    pub(crate) returned: u64,
    /// Why it failed.
    pub(crate) error: Option<String>,
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
