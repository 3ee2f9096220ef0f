//! How often an operation starts over because another process changed the repository first.

/// Maximum attempts of an operation that reads the index or all manifests in each attempt: an attempt takes seconds or more.
pub(crate) const MAX_RACES: u32 = 20;
/// Maximum attempts to commit a backup or a deletion. More than [`MAX_RACES`]: an attempt is a few requests, and a backup that gives up
/// has read all files for nothing.
pub(crate) const MAX_COMMIT_RACES: u32 = 100;
/// Maximum attempts to record damage. Few, because nothing is lost: the next reader finds the same damage.
pub(crate) const MAX_NOTE_RACES: u32 = 4;
