//! The backup that should have a missing file.
//!
//! A [`Holder`] is a guess from the best available source: the list of a backup, a file index, a catalogue line, the times of the other
//! backups. Invariant: it is used in messages only.

use std::collections::HashMap;
use std::fmt;
use std::io::Cursor;

use super::super::error::Result;
use super::super::file_index::{FileIndexReader, index_ts};
use super::super::files;
use super::super::frame::{FrameReader, Framing};
use super::super::layout::{Archive, ArchiveBackup};
use super::super::tae_list::Row;
use super::candidates::Lost;
use super::is_damage;
use crate::BackupTs;

/// The backup that should have a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// The backup in this folder below the root; empty for the root itself.
    Backup(String),
    /// A backup that is no longer below the root.
    Missing {
        /// Its folder: `full-<id>`.
        dir: String,
    },
    /// A backup that no longer exists; only the times that it must be between are known.
    Between {
        /// It is not earlier than this.
        after: Option<BackupTs>,
        /// It is earlier than this.
        before: Option<BackupTs>,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup(dir) if dir.is_empty() => f.write_str("the backup itself"),
            Self::Backup(dir) => f.write_str(dir),
            Self::Missing { dir } => write!(f, "{dir}, which no longer exists,"),
            Self::Between { after, before } => {
                f.write_str("a backup that no longer exists")?;
                match (after, before) {
                    (Some(after), Some(before)) => {
                        write!(f, ", of a BACKUPTS from {after} to before {before},")
                    }
                    (None, Some(before)) => write!(f, ", of a BACKUPTS before {before},"),
                    (Some(after), None) => write!(f, ", of a BACKUPTS from {after} on,"),
                    (None, None) => Ok(()),
                }
            }
        }
    }
}

/// The sources for a guess.
#[derive(Debug)]
pub(super) struct Holders {
    /// Folders by path, from the file index.
    index: HashMap<String, String>,
    /// Deleted and unfinished backups, by their points in time.
    others: Vec<(BackupTs, Holder)>,
    /// The points in time of the existing backups, up to the chosen one.
    times: Vec<BackupTs>,
}

impl Holders {
    pub(super) fn new(archive: &Archive, backup: &ArchiveBackup, lost: &[Lost]) -> Result<Self> {
        let mut out = Self {
            index: HashMap::new(),
            others: Vec::new(),
            times: Vec::new(),
        };
        let unlisted = lost.iter().filter(|lost| lost.listed_in.is_none());
        let unlisted: Vec<&str> = unlisted.map(|lost| lost.row.path.as_ref()).collect();
        if unlisted.is_empty() {
            return Ok(out);
        }
        let deleted = archive.deleted().iter();
        out.others.extend(deleted.filter_map(|meta| {
            let named = meta.sub_directory.clone();
            let dir = named.unwrap_or_else(|| format!("{}-{}", meta.kind, meta.id));
            Some((meta.backup_ts?, Holder::Missing { dir }))
        }));
        let unfinished = archive.unfinished().iter();
        out.others.extend(unfinished.filter_map(|other| {
            let holder = Holder::Backup(other.dir.clone());
            Some((other.backup_ts?, holder))
        }));
        out.others.sort_by_key(|(time, _)| *time);
        let times = archive.backups().iter().filter_map(|other| other.backup_ts);
        out.times = times.filter(|ts| Some(*ts) <= backup.backup_ts).collect();
        out.read_index(archive, backup, &unlisted)?;
        Ok(out)
    }

    /// Looks up the lost files in the newest index that is not later than the backup.
    fn read_index(
        &mut self,
        archive: &Archive,
        backup: &ArchiveBackup,
        lost: &[&str],
    ) -> Result<()> {
        let named = archive
            .indexes()
            .iter()
            .filter_map(|name| Some((index_ts(name)?, name)));
        let newest = named.filter(|(ts, _)| Some(*ts) <= backup.backup_ts).max();
        let Some((_, name)) = newest else {
            return Ok(());
        };
        let read = files::read(archive.folder(), name, archive.limits().list_bytes);
        let bytes = match read {
            Ok(bytes) => bytes.unwrap_or_default(),
            // The index is only a hint.
            Err(error) if is_damage(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let content: Box<dyn std::io::Read> = match Framing::sniff(&bytes) {
            Framing::Raw => Box::new(Cursor::new(bytes)),
            Framing::Framed => Box::new(FrameReader::new(Cursor::new(bytes))),
        };
        let mut rows = FileIndexReader::new(content, archive.limits());
        while let Ok(Some(row)) = rows.next_row() {
            if lost.binary_search(&row.object.as_str()).is_ok() && !row.dir.is_empty() {
                self.index.insert(row.object, row.dir);
            }
        }
        Ok(())
    }

    /// Guesses. `listed_in` is the backup whose list says that it has the file.
    pub(super) fn of(&self, row: &Row, listed_in: Option<String>) -> Holder {
        if let Some(dir) = listed_in {
            return Holder::Backup(dir);
        }
        if let Some(dir) = self.index.get(row.path.as_ref()) {
            return Holder::Missing { dir: dir.clone() };
        }
        // The first backup after the creation of the object should have copied it.
        let before = self
            .times
            .iter()
            .copied()
            .find(|time| row.ts.is_none_or(|ts| *time >= ts));
        let mut others = self.others.iter().filter(|(time, _)| {
            row.ts.is_none_or(|ts| *time >= ts) && before.is_none_or(|before| *time < before)
        });
        match others.next() {
            Some((_, holder)) => holder.clone(),
            None => Holder::Between {
                after: row.ts,
                before,
            },
        }
    }
}
