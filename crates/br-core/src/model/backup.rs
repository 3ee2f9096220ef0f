//! The description of one backup.

use jiff::Timestamp;
use serde::Serialize;

use super::text::{escaped, escaped_list};
use super::{BackupId, ChunkRef, Configuration, Origin, StreamRecord};

/// One backup, as it is in the backup list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// Whether everything was read, or only what changed since `base`.
    pub kind: BackupKind,
    /// The backup that this one was compared with: files that are unchanged since then were not read. A restore does not need it.
    pub base: Option<BackupId>,
    /// What it was made from; `None` if its maker did not say.
    pub origin: Option<Origin>,
    /// Name of the machine.
    pub host: String,
    /// Name of the user who made it.
    pub user: String,
    /// The paths as typed, raw bytes, without `.` and `..` parts.
    #[serde(serialize_with = "escaped_list")]
    pub paths: Vec<Vec<u8>>,
    /// The folder that relative paths started from; empty when there were none.
    #[serde(serialize_with = "escaped")]
    pub folder: Vec<u8>,
    /// The tags that the user gave.
    pub tags: Vec<String>,
    /// When it began.
    pub started: Timestamp,
    /// When everything was stored.
    pub finished: Timestamp,
    /// The entry tree; `None` when there is no entry at all.
    #[serde(skip)]
    pub tree: Option<TreeRoot>,
    /// Totals of its entries.
    pub totals: Totals,
    /// What changed since the base, and what the backup read and stored.
    pub changes: Changes,
    /// Entries that are missing because they could not be read, and entries that lack some of their metadata: at most
    /// [`Backup::MAX_UNREAD`] of them. Empty in listings; the manifest has them.
    pub unread: Vec<Unread>,
    /// The number of these entries, which may be larger than the list.
    pub unread_count: u64,
    /// The program that made it, with its version.
    pub program: String,
    /// A note of a user.
    pub note: Option<String>,
    /// True when it must not be deleted.
    pub pinned: bool,
    /// The last proof that it can be restored.
    pub proven: Option<Proof>,
    /// When a check found that some of its data is lost or damaged; `None` if none did, or if a later check found all of it. Such a backup
    /// does not count for retention.
    pub damaged: Option<Timestamp>,
    /// The backup that this one is a copy of, in another repository. A copy of a copy names the first one.
    pub copy_of: Option<BackupId>,
    /// The backup that this one was made from without some of its entries. That backup may be deleted, or in another repository.
    pub rewrite_of: Option<BackupId>,
    /// The configuration of the machine that made it, if it was recorded. Without files in listings; the manifest has them.
    pub configuration: Option<Configuration>,
    /// How the streams in it came to their ends. Empty in listings; the manifest has them.
    pub streams: Vec<StreamRecord>,
}

/// A proof that a backup can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Proof {
    /// When the proof was made.
    pub time: Timestamp,
    /// How the proof was made.
    pub by: ProofMethod,
}

impl Proof {
    /// A proof found at this time.
    #[must_use]
    pub const fn new(time: Timestamp, by: ProofMethod) -> Self {
        Self { time, by }
    }
}

/// How a backup was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofMethod {
    /// All its data was read and verified.
    Check,
    /// It was restored and examined.
    Drill,
    /// A method that this version of the library has no name for.
    Other(String),
}

impl ProofMethod {
    /// One word for people, for JSON and for the repository.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Check => "check",
            Self::Drill => "drill",
            Self::Other(name) => name,
        }
    }
}

impl Serialize for ProofMethod {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl From<String> for ProofMethod {
    fn from(name: String) -> Self {
        match name.as_str() {
            "check" => Self::Check,
            "drill" => Self::Drill,
            _ => Self::Other(name),
        }
    }
}

impl Backup {
    /// This backup with the tags, the note and the pin of another description.
    pub(crate) fn with_labels_of(&self, other: &Self) -> Self {
        Self {
            tags: other.tags.clone(),
            note: other.note.clone(),
            pinned: other.pinned,
            ..self.clone()
        }
    }

    /// Maximum number of unread entries that a backup names. Further ones are only counted.
    pub const MAX_UNREAD: usize = 1_000;

    /// The paths with the folder that relative ones started from.
    #[must_use]
    pub fn full_paths(&self) -> Vec<Vec<u8>> {
        let full = |path: &Vec<u8>| match path.as_slice() {
            _ if self.folder.is_empty() || path.starts_with(b"/") => path.clone(),
            b"." => self.folder.clone(),
            relative => {
                let folder = self.folder.strip_suffix(b"/").unwrap_or(&self.folder);
                [folder, b"/", relative].concat()
            }
        };
        self.paths.iter().map(full).collect()
    }

    /// The id of the backup that was made first: of the original if this is a copy, or else its own. Copies in several repositories have
    /// the same.
    #[must_use]
    pub fn original_id(&self) -> BackupId {
        self.copy_of.unwrap_or(self.id)
    }

    /// The same description as the commit log stores it: without the names of unread entries, configuration files and records of streams. The
    /// manifest has all of them.
    #[must_use]
    pub fn as_listed(&self) -> Self {
        let configuration = self.configuration.as_ref();
        let names = |one: &Configuration| Configuration::new(&*one.set, &*one.system);
        Self {
            unread: Vec::new(),
            configuration: configuration.map(names),
            streams: Vec::new(),
            ..self.clone()
        }
    }

    /// This description with what only the manifest has.
    pub(crate) fn with_parts_of(self, manifest: Self) -> Self {
        Self {
            unread: manifest.unread,
            configuration: manifest.configuration,
            streams: manifest.streams,
            ..self
        }
    }

    /// True when the backup is complete and no check found it damaged.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.is_complete() && self.damaged.is_none()
    }

    /// True when every entry of the source is in the backup, with all its metadata.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.unread_count == 0
    }
}

/// How much a backup read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackupKind {
    /// Every file was read.
    Full,
    /// Files that looked unchanged since the base were not read.
    Incremental,
}

impl BackupKind {
    /// One word for people and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// Where the entry tree starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeRoot {
    /// The root node's chunk.
    pub node: ChunkRef,
    /// Levels above the leaves: 0 when the root is a leaf.
    pub height: u8,
}

/// Totals over entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// All entries.
    pub entries: u64,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of all regular files, holes included.
    pub bytes: u64,
}

impl Totals {
    /// Adds the totals of another part of the tree. Saturates, because the numbers may come from a damaged store.
    pub fn add(&mut self, other: &Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.files = self.files.saturating_add(other.files);
        self.directories = self.directories.saturating_add(other.directories);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What a backup found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Changes {
    /// Files that the base does not have.
    pub files_new: u64,
    /// Files that differ from the base.
    pub files_changed: u64,
    /// Files that were not read, because their metadata shows no change.
    pub files_unchanged: u64,
    /// Bytes read from files.
    pub bytes_read: u64,
    /// Bytes of chunks that the repository did not have, before compression.
    pub bytes_added: u64,
    /// Bytes that were written to the repository for them.
    pub bytes_stored: u64,
}

/// An entry that br could not read, or could not read completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unread {
    /// Its path in the backup.
    #[serde(serialize_with = "escaped")]
    pub path: Vec<u8>,
    /// Why.
    pub reason: Reason,
}

/// Why an entry is missing from a backup, or what of its metadata is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason(pub String);
