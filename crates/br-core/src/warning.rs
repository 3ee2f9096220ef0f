//! What an operation reports in addition to its result: [`Warning`] and [`Note`].
//!
//! A program matches on the variants, or prints the text of [`Display`](fmt::Display). Both types gain variants over time; `kind` has
//! a word for each of them that never changes.

use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::error::{Error, in_one_line};
use crate::model::{BackupId, EntryPath, SegmentId};
use crate::source::ExcludeError;
use crate::target::{MetadataWarning, TargetError};

/// Something that the user should know, and that does not stop the operation.
#[derive(Debug)]
#[non_exhaustive]
pub enum Warning {
    /// The store does not refuse to create an object twice, so two writers at the same time can damage the repository.
    NoExclusiveCreate,
    /// The commit log cannot be read. The operation continues with the backups whose manifests it found.
    LogUnreadable {
        /// Why, in one line.
        reason: String,
        /// Number of manifests that cannot be used.
        unusable: u64,
    },
    /// This machine cannot remember the newest log entry.
    NewestLogNotSaved {
        /// Why.
        error: io::Error,
    },
    /// This machine cannot read which log entry was the newest, and so cannot check whether the repository was rolled back.
    NewestLogUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An index segment cannot be read, and was rebuilt in memory from the packs.
    SegmentRebuilt {
        /// The segment.
        segment: SegmentId,
        /// Why, in one line.
        reason: String,
    },
    /// A backup or a copy does not use an index segment, because it cannot be read.
    SegmentSetAside {
        /// The segment.
        segment: SegmentId,
        /// Why, in one line.
        reason: String,
    },
    /// The manifest of a backup names packs that no longer exist; prune walks the backup's tree.
    PacksMissing {
        /// The backup.
        backup: BackupId,
    },
    /// Backup: a file changed while it was read. The backup has the content that br read.
    ChangedDuringRead {
        /// The file.
        path: EntryPath,
    },
    /// Backup: a stream was compressed already, so br finds little of it in earlier backups.
    CompressedStream {
        /// The stream.
        path: EntryPath,
        /// The format, such as `gzip`.
        format: String,
    },
    /// Backup: part of the base cannot be read. The files there are read again.
    BaseUnreadable {
        /// Why.
        error: Error,
    },
    /// Backup: there is no journal, so the backup cannot be resumed if it is interrupted.
    NoJournal {
        /// Why.
        error: Error,
    },
    /// Backup: an ignore file is not a regular file. Its patterns are not used.
    IgnoreFileNotRegular {
        /// The file.
        path: EntryPath,
    },
    /// Backup: a line of an ignore file is not a valid pattern. It excludes nothing.
    IgnoreLine {
        /// The file.
        path: EntryPath,
        /// Number of the line, from 1.
        line: u64,
        /// Why.
        error: ExcludeError,
    },
    /// Backup: an ignore file has more invalid lines than were reported one by one.
    IgnoreLines {
        /// The file.
        path: EntryPath,
        /// The number of the other lines.
        more: u64,
    },
    /// Restore: some metadata of an entry was not set.
    Metadata(MetadataWarning),
    /// Restore: another program created a file during the restore, and the restore may not overwrite files.
    CreatedDuringRestore {
        /// The file.
        path: EntryPath,
    },
    /// Restore: a name became a separate file, because it could not be linked to the other name of the file.
    NotLinked {
        /// The name.
        path: EntryPath,
        /// The other name.
        to: EntryPath,
        /// Why.
        error: TargetError,
    },
    /// Restore: nothing was deleted, because part of the backup cannot be listed.
    NothingDeletedUnlisted,
    /// Restore: nothing was deleted, because the backup does not name all entries that it could not read.
    NothingDeletedUnread {
        /// Number of entries that the backup could not read.
        unread: u64,
    },
    /// Restore: a folder was not emptied, because another file system is mounted there.
    MountPointKept {
        /// The folder.
        path: EntryPath,
    },
    /// Restore: an entry was not deleted, because br keeps its own data there.
    OwnDataKept {
        /// Where.
        path: EntryPath,
    },
    /// Prune: an object was not deleted.
    NotDeleted {
        /// Its key.
        key: String,
        /// Why.
        error: br_storage::Error,
    },
    /// Prune: objects are locked, so the store does not delete them yet. A later prune deletes them.
    StillLocked {
        /// Number of objects.
        objects: u64,
        /// The latest end of their locks.
        until: Timestamp,
    },
    /// Lock: an object that a backup needs does not exist.
    NeededMissing {
        /// Its key.
        key: String,
    },
    /// Lock: this machine cannot remember what it locked.
    LocksNotSaved {
        /// Why.
        error: io::Error,
    },
    /// Prune: unfinished files and uploads of killed writers were not removed.
    UnfinishedNotRemoved {
        /// Why.
        error: Error,
    },
    /// Prune: there is no space to copy the used data of some packs. The packs stay.
    NoSpaceToCopy {
        /// Number of packs.
        packs: u64,
    },
    /// Prune: there is no space to finish.
    NoSpaceToFinish,
    /// The text of a [`Source`](crate::source::Source) outside of this library.
    Source(String),
}

/// Something that may be worth knowing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Note {
    /// Backup: an exclude pattern matched nothing.
    PatternUnused {
        /// The pattern as given.
        pattern: String,
        /// Whether it includes entries again that an earlier pattern excluded.
        is_negated: bool,
    },
    /// Backup: more exclude patterns matched nothing than were reported one by one.
    PatternsUnused {
        /// The number of the other patterns.
        more: u64,
    },
    /// Backup: files and folders have attributes of `chattr`, which a backup does not keep.
    AttributesNotKept {
        /// Number of files and folders.
        count: u64,
        /// One of them.
        first: EntryPath,
        /// The attributes, as the letters of `chattr`.
        letters: Vec<char>,
    },
    /// The text of a [`Source`](crate::source::Source) outside of this library.
    Source(String),
}

impl Warning {
    /// A word for the variant, which never changes.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoExclusiveCreate => "no_exclusive_create",
            Self::LogUnreadable { .. } => "log_unreadable",
            Self::NewestLogNotSaved { .. } => "newest_log_not_saved",
            Self::NewestLogUnreadable { .. } => "newest_log_unreadable",
            Self::SegmentRebuilt { .. } => "segment_rebuilt",
            Self::SegmentSetAside { .. } => "segment_set_aside",
            Self::PacksMissing { .. } => "packs_missing",
            Self::ChangedDuringRead { .. } => "changed_during_read",
            Self::CompressedStream { .. } => "compressed_stream",
            Self::BaseUnreadable { .. } => "base_unreadable",
            Self::NoJournal { .. } => "no_journal",
            Self::IgnoreFileNotRegular { .. } => "ignore_file_not_regular",
            Self::IgnoreLine { .. } => "ignore_line",
            Self::IgnoreLines { .. } => "ignore_lines",
            Self::Metadata(_) => "metadata",
            Self::CreatedDuringRestore { .. } => "created_during_restore",
            Self::NotLinked { .. } => "not_linked",
            Self::NothingDeletedUnlisted => "nothing_deleted_unlisted",
            Self::NothingDeletedUnread { .. } => "nothing_deleted_unread",
            Self::MountPointKept { .. } => "mount_point_kept",
            Self::OwnDataKept { .. } => "own_data_kept",
            Self::NotDeleted { .. } => "not_deleted",
            Self::StillLocked { .. } => "still_locked",
            Self::NeededMissing { .. } => "needed_missing",
            Self::LocksNotSaved { .. } => "locks_not_saved",
            Self::UnfinishedNotRemoved { .. } => "unfinished_not_removed",
            Self::NoSpaceToCopy { .. } => "no_space_to_copy",
            Self::NoSpaceToFinish => "no_space_to_finish",
            Self::Source(_) => "source",
        }
    }
}

impl Note {
    /// A word for the variant, which never changes.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PatternUnused { .. } => "pattern_unused",
            Self::PatternsUnused { .. } => "patterns_unused",
            Self::AttributesNotKept { .. } => "attributes_not_kept",
            Self::Source(_) => "source",
        }
    }
}

impl fmt::Display for Warning {
    #[expect(
        clippy::too_many_lines,
        reason = "one text for each variant, nothing else"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoExclusiveCreate => f.write_str(
                "this store does not refuse to overwrite an object: make sure that no other br writes to this repository at the \
                 same time",
            ),
            Self::LogUnreadable { reason, unusable } => {
                write!(f, "{reason}; br uses the backups whose manifests it found")?;
                if *unusable > 0 {
                    write!(f, ", except {unusable} that cannot be used")?;
                }
                f.write_str("; these may include deleted backups")
            }
            Self::NewestLogNotSaved { error } => write!(
                f,
                "cannot save the number of the newest log entry on this machine: {error}; without it, br may not notice that the \
                 repository was rolled back"
            ),
            Self::NewestLogUnreadable { path, error } => write!(
                f,
                "{} cannot be read ({error}): this time br cannot check whether the repository was rolled back; br tries to \
                 write this file again",
                path.display()
            ),
            Self::SegmentRebuilt { segment, reason } => write!(
                f,
                "index segment {segment} cannot be read, so br rebuilt it in memory; `check --repair-index` repairs it: {reason}"
            ),
            Self::SegmentSetAside { segment, reason } => {
                write!(
                    f,
                    "index segment {segment} cannot be read, so br does not use it; `check --repair-index` repairs it: {reason}"
                )
            }
            Self::PacksMissing { backup } => write!(
                f,
                "backup {backup} names packs that no longer exist, so br reads its tree to find its data; `check` shows whether data \
                 is missing"
            ),
            Self::ChangedDuringRead { path } => write!(
                f,
                "{path} changed while it was read: the backup may have a mix of its old and new content"
            ),
            Self::CompressedStream { path, format } => write!(
                f,
                "{path} was compressed already ({format}): br compresses data itself, and without that compression a backup stores only what \
                 changed"
            ),
            Self::BaseUnreadable { error } => write!(
                f,
                "part of the base cannot be read, so br reads the files there again: {error}"
            ),
            Self::NoJournal { error } => {
                let reason = in_one_line(error);
                write!(
                    f,
                    "br cannot write the journal, so this backup cannot be resumed if it is interrupted: {reason}"
                )
            }
            Self::IgnoreFileNotRegular { path } => {
                write!(
                    f,
                    "{path} is not a regular file, so br does not use its patterns"
                )
            }
            Self::IgnoreLine { path, line, error } => {
                write!(
                    f,
                    "line {line} of {path} is not a valid pattern, so br ignores it: {error}"
                )
            }
            Self::IgnoreLines { path, more } => {
                write!(
                    f,
                    "{more} more lines of {path} are not valid patterns, so br ignores them"
                )
            }
            Self::Metadata(warning) => write!(f, "{warning}: {}", warning.source),
            Self::CreatedDuringRestore { path } => write!(
                f,
                "another program created {path} during the restore, and br keeps that file; to replace it, run `restore` again with \
                 `--overwrite always`"
            ),
            Self::NotLinked { path, to, error } => write!(
                f,
                "{path} is restored as a separate file, because it cannot be linked to {to}: {}",
                in_one_line(error)
            ),
            Self::NothingDeletedUnlisted => {
                f.write_str(
                    "nothing was deleted, because part of the backup cannot be listed; `check` shows the damage",
                )
            }
            Self::NothingDeletedUnread { unread } => write!(
                f,
                "nothing was deleted: the backup could not read {unread} entries of its source and does not name all of them, so br \
                 cannot know which files of the target were in the source"
            ),
            Self::MountPointKept { path } => write!(
                f,
                "{path} was not emptied: another file system is mounted there; to empty the folder, unmount it or delete its content"
            ),
            Self::OwnDataKept { path } => {
                write!(f, "{path} was not deleted: br keeps its own data there")
            }
            Self::NotDeleted { key, error } => write!(
                f,
                "{key} was not deleted; the next prune tries again: {error}"
            ),
            Self::StillLocked { objects, until } => write!(
                f,
                "{objects} objects are locked until {} at the latest, so they stay; a later prune deletes them",
                until.strftime("%Y-%m-%d %H:%M UTC")
            ),
            Self::NeededMissing { key } => {
                write!(f, "{key} is missing, and a backup needs it: run `check`")
            }
            Self::LocksNotSaved { error } => write!(
                f,
                "cannot remember on this machine which objects were locked, so the next run locks all of them again: {error}"
            ),
            Self::UnfinishedNotRemoved { error } => write!(
                f,
                "cannot remove unfinished files and uploads of killed writers; the next prune tries again: {}",
                in_one_line(error)
            ),
            Self::NoSpaceToCopy { packs } => write!(
                f,
                "there is no space to copy the used data of {packs} packs, so the packs stay; free some space and run `prune` again"
            ),
            Self::NoSpaceToFinish => {
                f.write_str(
                    "there is no space to finish the prune: free some space and run `prune` again",
                )
            }
            Self::Source(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PatternUnused {
                pattern,
                is_negated: true,
            } => write!(f, "the pattern `{pattern}` re-included nothing"),
            Self::PatternUnused { pattern, .. } => {
                write!(f, "the pattern `{pattern}` excluded nothing")
            }
            Self::PatternsUnused { more } => write!(f, "{more} more patterns had no effect"),
            Self::AttributesNotKept {
                count,
                first,
                letters,
            } => {
                let letters: Vec<_> = letters.iter().map(|letter| format!("+{letter}")).collect();
                let letters = letters.join(", ");
                match count {
                    1 => write!(
                        f,
                        "{first} has attributes of chattr ({letters}), which a backup does not keep"
                    ),
                    _ => write!(
                        f,
                        "{count} files and folders have attributes of chattr ({letters}), which a backup does not keep; \
                         the first is {first}"
                    ),
                }
            }
            Self::Source(text) => f.write_str(text),
        }
    }
}

/// The text of a source outside of this library.
impl From<String> for Warning {
    fn from(text: String) -> Self {
        Self::Source(text)
    }
}

impl From<&str> for Warning {
    fn from(text: &str) -> Self {
        Self::Source(text.to_owned())
    }
}

/// The text of a source outside of this library.
impl From<String> for Note {
    fn from(text: String) -> Self {
        Self::Source(text)
    }
}

impl From<&str> for Note {
    fn from(text: &str) -> Self {
        Self::Source(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_data_and_kind_has_one_word() {
        let path = "a/b".parse::<EntryPath>().unwrap();
        for (warning, kind, text) in [
            (
                Warning::ChangedDuringRead { path: path.clone() },
                "changed_during_read",
                "a/b changed while it was read: the backup may have a mix of its old and new content",
            ),
            (
                Warning::LogUnreadable {
                    reason: "log/1 is damaged".to_owned(),
                    unusable: 2,
                },
                "log_unreadable",
                "log/1 is damaged; br uses the backups whose manifests it found, except 2 that cannot be used; these may include \
                 deleted backups",
            ),
            (Warning::from("a text"), "source", "a text"),
        ] {
            assert_eq!((warning.kind(), &*warning.to_string()), (kind, text));
        }
        let note = Note::AttributesNotKept {
            count: 2,
            first: path,
            letters: vec!['a', 'i'],
        };
        assert_eq!(
            note.to_string(),
            "2 files and folders have attributes of chattr (+a, +i), which a backup does not keep; the first is a/b"
        );
    }
}
