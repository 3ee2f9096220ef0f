//! Entries of the commit log (section 8).
//!
//! [`LogRecord`] is an entry as stored, [`LogEntry`] the change that it describes. serde writes entries, and [`decode`] reads them.
//! Invariant: an entry of a type that this version does not know is [`FormatError::Unknown`], not damage.

use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::FormatError;
use super::config::as_text;
use super::manifest::described;
use crate::model::{Backup, BackupId, KeyId, PackId, SegmentId};

mod decode;

/// A log entry as stored.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LogRecord {
    pub(crate) seq: u64,
    /// Digest of the whole previous object, in hexadecimal; empty for the first entry.
    pub(crate) previous: String,
    pub(crate) time: Timestamp,
    pub(crate) program: String,
    pub(crate) entry: LogEntry,
}

/// A change of the repository. [`TYPES`] has the names of the variants.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum LogEntry {
    /// Adds a backup, or changes the labels of one.
    Commit {
        #[serde(serialize_with = "described::serialize")]
        backup: Arc<Backup>,
        /// For a deleted backup that comes back: its predecessor in the order of backups.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<Predecessor>,
        #[serde(with = "as_text::list")]
        segments_added: Vec<SegmentId>,
        #[serde(with = "as_text::list")]
        segments_removed: Vec<SegmentId>,
    },
    /// Removes backups from the backup list.
    Delete {
        #[serde(with = "as_text::list")]
        backups: Vec<BackupId>,
    },
    /// Writers must no longer rely on these packs.
    Condemn {
        #[serde(with = "as_text::list")]
        packs: Vec<PackId>,
        #[serde(with = "as_text::list")]
        segments_added: Vec<SegmentId>,
        #[serde(with = "as_text::list")]
        segments_removed: Vec<SegmentId>,
    },
    /// These condemned packs were deleted.
    Swept {
        #[serde(with = "as_text::list")]
        packs: Vec<PackId>,
    },
    /// The index was merged or rebuilt, the damaged groups of packs changed, backups were proven or found damaged, or key slots are removed.
    Reindex {
        #[serde(with = "as_text::list")]
        segments_added: Vec<SegmentId>,
        #[serde(with = "as_text::list")]
        segments_removed: Vec<SegmentId>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        damaged: Vec<DamagedPack>,
        #[serde(skip_serializing_if = "Option::is_none")]
        proven: Option<ProvenBackups>,
        #[serde(skip_serializing_if = "Option::is_none")]
        examined: Option<ExaminedBackups>,
        #[serde(skip_serializing_if = "Vec::is_empty", with = "as_text::list")]
        keys_removed: Vec<KeyId>,
    },
    /// The complete state before this entry.
    Checkpoint {
        #[serde(serialize_with = "described::serialize_list")]
        backups: Vec<Arc<Backup>>,
        #[serde(with = "as_text::list")]
        segments: Vec<SegmentId>,
        #[serde(with = "as_text::list")]
        condemned: Vec<PackId>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        damaged: Vec<DamagedPack>,
        #[serde(skip_serializing_if = "Vec::is_empty", with = "as_text::list")]
        keys_removed: Vec<KeyId>,
    },
}

impl LogEntry {
    /// Changes the index.
    pub(crate) const fn index(
        segments_added: Vec<SegmentId>,
        segments_removed: Vec<SegmentId>,
    ) -> Self {
        Self::Reindex {
            segments_added,
            segments_removed,
            damaged: Vec::new(),
            proven: None,
            examined: None,
            keys_removed: Vec::new(),
        }
    }

    /// Records damaged groups.
    pub(crate) const fn damage(damaged: Vec<DamagedPack>) -> Self {
        Self::note(damaged, None, None, Vec::new())
    }

    /// Records a proof.
    pub(crate) const fn proof(proven: ProvenBackups) -> Self {
        Self::note(Vec::new(), Some(proven), None, Vec::new())
    }

    /// Records which backups are damaged.
    pub(crate) const fn examined(examined: ExaminedBackups) -> Self {
        Self::note(Vec::new(), None, Some(examined), Vec::new())
    }

    /// Removes key slots.
    pub(crate) const fn remove_keys(keys: Vec<KeyId>) -> Self {
        Self::note(Vec::new(), None, None, keys)
    }

    /// A `reindex` entry that leaves the index as it is.
    const fn note(
        damaged: Vec<DamagedPack>,
        proven: Option<ProvenBackups>,
        examined: Option<ExaminedBackups>,
        keys_removed: Vec<KeyId>,
    ) -> Self {
        Self::Reindex {
            segments_added: Vec::new(),
            segments_removed: Vec::new(),
            damaged,
            proven,
            examined,
            keys_removed,
        }
    }

    /// Replaces the description of a backup.
    pub(crate) fn describe(backup: &Backup) -> Self {
        Self::commit(backup, None)
    }

    /// Brings a deleted backup back, after its predecessor in the order of backups.
    pub(crate) fn bring_back(backup: &Backup, predecessor: Option<BackupId>) -> Self {
        Self::commit(
            backup,
            Some(predecessor.map_or(Predecessor::None, Predecessor::Backup)),
        )
    }

    fn commit(backup: &Backup, after: Option<Predecessor>) -> Self {
        Self::Commit {
            backup: Arc::new(backup.as_listed()),
            after,
            segments_added: Vec::new(),
            segments_removed: Vec::new(),
        }
    }

    /// The segments that the entry adds to the index and removes from it. A checkpoint returns none: it lists all segments instead.
    pub(crate) fn segments(&self) -> (&[SegmentId], &[SegmentId]) {
        match self {
            Self::Commit {
                segments_added,
                segments_removed,
                ..
            }
            | Self::Condemn {
                segments_added,
                segments_removed,
                ..
            }
            | Self::Reindex {
                segments_added,
                segments_removed,
                ..
            } => (segments_added, segments_removed),
            Self::Delete { .. } | Self::Swept { .. } | Self::Checkpoint { .. } => (&[], &[]),
        }
    }
}

/// The known damaged groups of a pack. An empty list means that the pack was found sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DamagedPack {
    #[serde(with = "as_text")]
    pub(crate) pack: PackId,
    #[serde(deserialize_with = "super::bounded::groups")]
    pub(crate) groups: Vec<u32>,
}

/// Backups that were proven to be restorable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProvenBackups {
    pub(crate) time: Timestamp,
    pub(crate) by: String,
    #[serde(with = "as_text::list")]
    pub(crate) backups: Vec<BackupId>,
}

/// What a check found out about backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ExaminedBackups {
    pub(crate) time: Timestamp,
    /// Some of their data is lost or damaged.
    #[serde(with = "as_text::list")]
    pub(crate) damaged: Vec<BackupId>,
    /// They are no longer damaged.
    #[serde(with = "as_text::list")]
    pub(crate) sound: Vec<BackupId>,
}

/// The backup before another one in the order of backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Predecessor {
    /// None: the other one is the oldest.
    None,
    /// This backup.
    Backup(BackupId),
}

impl Serialize for Predecessor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => to.serialize_str(""),
            Self::Backup(id) => to.collect_str(id),
        }
    }
}

impl FromStr for Predecessor {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        if text.is_empty() {
            return Ok(Self::None);
        }
        let id = text.parse().map(Self::Backup);
        id.map_err(|_| FormatError::Malformed("the predecessor of a backup is not an id"))
    }
}

/// The types of log entry, as stored. Keep these three equal: this list, the variants of [`LogEntry`], whose kebab-case names serde
/// writes, and the `match` in [`decode`].
const TYPES: [&str; 6] = [
    "commit",
    "delete",
    "condemn",
    "swept",
    "reindex",
    "checkpoint",
];

impl LogRecord {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain values become JSON")
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, FormatError> {
        decode::record(bytes)
    }
}
