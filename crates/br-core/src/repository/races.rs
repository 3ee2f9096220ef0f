//! How often an operation starts over because another process changed the repository first.
//!
//! The loops are in the operations. [`crate::engine::backup::backup_with_retry`] also repeats a whole backup. br-storage repeats requests.

/// Maximum attempts of an operation that reads the index or all manifests in each attempt: an attempt takes seconds or more.
pub(crate) const MAX_RACES: u32 = 20;
/// Maximum attempts to commit a backup, a deletion, or a change of labels or keys. More than [`MAX_RACES`]: an attempt needs only a few
/// requests, and a backup that gives up has read all files for nothing.
pub(crate) const MAX_COMMIT_RACES: u32 = 100;
/// Maximum attempts to record damaged groups. Few, because nothing is lost: the next reader finds the same damage.
pub(crate) const MAX_NOTE_RACES: u32 = 4;
