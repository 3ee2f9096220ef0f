//! Decoding of log entries from JSON, directly into values.
//!
//! Invariant: memory is bounded by the decoded values; there is no generic JSON value in between.

use std::sync::Arc;

use serde::Deserialize;

use super::{DamagedPack, ExaminedBackups, LogEntry, LogRecord, ProvenBackups};
use crate::format::FormatError;
use crate::format::bounded::{self, Ids, Listed, Segments};
use crate::format::manifest::Described;
use crate::model::{Backup, BackupId, KeyId, PackId};

#[derive(Deserialize)]
struct RawRecord {
    seq: u64,
    previous: String,
    time: jiff::Timestamp,
    program: String,
    entry: RawEntry,
}

/// The fields of all types of log entry.
#[derive(Deserialize)]
struct RawEntry {
    r#type: String,
    backup: Option<Described>,
    #[serde(default)]
    backups: Option<Listed>,
    packs: Option<Ids<PackId>>,
    condemned: Option<Ids<PackId>>,
    segments: Option<Segments>,
    segments_added: Option<Segments>,
    segments_removed: Option<Segments>,
    #[serde(default, deserialize_with = "bounded::damaged")]
    damaged: Vec<DamagedPack>,
    after: Option<String>,
    proven: Option<Proven>,
    examined: Option<Examined>,
    keys_removed: Option<Ids<KeyId>>,
}

#[derive(Deserialize)]
struct Proven {
    time: jiff::Timestamp,
    by: String,
    backups: Ids<BackupId>,
}

impl From<Proven> for ProvenBackups {
    fn from(proven: Proven) -> Self {
        Self {
            time: proven.time,
            by: proven.by,
            backups: proven.backups.0,
        }
    }
}

#[derive(Deserialize)]
struct Examined {
    time: jiff::Timestamp,
    damaged: Ids<BackupId>,
    sound: Ids<BackupId>,
}

impl From<Examined> for ExaminedBackups {
    fn from(examined: Examined) -> Self {
        Self {
            time: examined.time,
            damaged: examined.damaged.0,
            sound: examined.sound.0,
        }
    }
}

const MALFORMED: FormatError =
    FormatError::Malformed("a field of the log entry is missing or wrong");

pub(super) fn record(bytes: &[u8]) -> Result<LogRecord, FormatError> {
    let Ok(record) = serde_json::from_slice::<RawRecord>(bytes) else {
        return Err(reason(bytes));
    };
    Ok(LogRecord {
        seq: record.seq,
        previous: record.previous,
        time: record.time,
        program: record.program,
        entry: record.entry.try_into()?,
    })
}

/// Finds out why an entry could not be decoded: a newer type of entry may have other fields.
fn reason(bytes: &[u8]) -> FormatError {
    #[derive(Deserialize)]
    struct OnlyType {
        entry: TypeOf,
    }
    #[derive(Deserialize)]
    struct TypeOf {
        r#type: String,
    }
    let known = |kind: &str| super::TYPES.contains(&kind);
    match serde_json::from_slice::<OnlyType>(bytes) {
        Ok(record) if !known(&record.entry.r#type) => FormatError::Unknown("type of log entry"),
        _ => MALFORMED,
    }
}

impl TryFrom<RawEntry> for LogEntry {
    type Error = FormatError;

    fn try_from(entry: RawEntry) -> Result<Self, FormatError> {
        let segments = |segments: Option<Segments>| segments.map(|ids| ids.0).ok_or(MALFORMED);
        let packs = |packs: Option<Ids<PackId>>| packs.map(|ids| ids.0).ok_or(MALFORMED);
        let keys = |keys: Option<Ids<KeyId>>| keys.map_or_else(Vec::new, |ids| ids.0);
        Ok(match entry.r#type.as_str() {
            "commit" => Self::Commit {
                backup: entry.backup.ok_or(MALFORMED)?.0,
                segments_added: segments(entry.segments_added)?,
                segments_removed: segments(entry.segments_removed)?,
                after: entry.after.map(|text| text.parse()).transpose()?,
            },
            "delete" => Self::Delete {
                backups: ids(entry.backups)?,
            },
            "condemn" => Self::Condemn {
                packs: packs(entry.packs)?,
                segments_added: segments(entry.segments_added)?,
                segments_removed: segments(entry.segments_removed)?,
            },
            "swept" => Self::Swept {
                packs: packs(entry.packs)?,
            },
            "reindex" => Self::Reindex {
                segments_added: segments(entry.segments_added)?,
                segments_removed: segments(entry.segments_removed)?,
                damaged: entry.damaged,
                proven: entry.proven.map(ProvenBackups::from),
                examined: entry.examined.map(ExaminedBackups::from),
                keys_removed: keys(entry.keys_removed),
            },
            "checkpoint" => Self::Checkpoint {
                backups: descriptions(entry.backups)?,
                segments: segments(entry.segments)?,
                condemned: packs(entry.condemned)?,
                damaged: entry.damaged,
                keys_removed: keys(entry.keys_removed),
            },
            _ => return Err(FormatError::Unknown("type of log entry")),
        })
    }
}

fn ids(backups: Option<Listed>) -> Result<Vec<BackupId>, FormatError> {
    match backups {
        Some(Listed::Ids(ids)) => Ok(ids),
        Some(Listed::Descriptions(none)) if none.is_empty() => Ok(Vec::new()),
        _ => Err(MALFORMED),
    }
}

fn descriptions(backups: Option<Listed>) -> Result<Vec<Arc<Backup>>, FormatError> {
    match backups {
        Some(Listed::Descriptions(backups)) => Ok(backups),
        _ => Err(MALFORMED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<LogRecord, FormatError> {
        let text = format!(
            r#"{{"seq":1,"previous":"","time":"1970-01-01T00:00:00Z","program":"br","entry":{text}}}"#
        );
        record(text.as_bytes())
    }

    #[test]
    fn log_entry_of_unknown_type_is_unknown_not_malformed() {
        for text in [
            r#"{"type":"purge"}"#,
            r#"{"backup":7,"type":"purge"}"#,
            r#"{"type":"purge","packs":{"a":[1]}}"#,
        ] {
            let unknown = FormatError::Unknown("type of log entry");
            assert_eq!(entry(text).unwrap_err(), unknown, "{text}");
        }
        for text in [
            r#"{"type":"swept"}"#,
            r#"{"type":"delete","backups":[{}]}"#,
            r#"{"type":"swept","packs":["00"]}"#,
            "[]",
        ] {
            assert_eq!(entry(text).unwrap_err(), MALFORMED, "{text}");
        }
        assert!(entry(r#"{"type":"delete","backups":[]}"#).is_ok());
        assert!(
            entry(r#"{"type":"checkpoint","backups":[],"segments":[],"condemned":[],"later":{}}"#)
                .is_ok()
        );
    }

    #[test]
    fn more_segments_than_a_repository_can_have_are_refused() {
        let ids = vec![format!("\"{:032x}\"", 7); bounded::SEGMENTS + 1].join(",");
        let text =
            format!(r#"{{"type":"checkpoint","backups":[],"segments":[{ids}],"condemned":[]}}"#);
        assert_eq!(entry(&text).unwrap_err(), MALFORMED);
    }
}
