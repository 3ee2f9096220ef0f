//! How a backup is made.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::model::Origin;
use crate::repository::BackupSelector;

/// Levels of compression.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// How a backup is made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Name of the machine.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// The paths as typed, raw bytes: for the catalog, to find the base, and for a restore, to which a folder above one of them
    /// is one that was not backed up itself: it keeps its metadata and what else it holds. Give the paths that a source was made
    /// with: every folder with an entry that is above none of them counts as backed up, and a restore that deletes clears it of
    /// what has no entry. `.` and `..` are resolved in what is stored, as text and without following links.
    pub paths: Vec<Vec<u8>>,
    /// The folder that relative paths start from; empty when there are none.
    pub folder: Vec<u8>,
    /// What the backup is made from.
    pub origin: Option<Origin>,
    /// Words to find the backup by.
    pub tags: Vec<String>,
    /// Which previous backup tells what is unchanged.
    pub base: Base,
    /// Level of zstd, 1 to 19.
    pub level: i32,
    /// Worker threads; as many as the machine has cores when `None`.
    pub threads: Option<usize>,
    /// Folder for the journal. What an interrupted run stored is used by the next one in any case and not stored again. With a
    /// journal, that run on this machine knows the packs without a listing, and files that were finished are not read again.
    /// Without one, each run lists the packs of the repository (on a server, one request for a thousand) and reads the footers of
    /// those that no commit names.
    pub journal: Option<PathBuf>,
    /// Whether new data may be stored as differences from what its place held in the base, which then is read again. Where reading is
    /// cheap when `None`: on local disk, and not on a server.
    pub deltas: Option<bool>,
    /// Read what the repository already has of the data before relying on it, and store again what cannot be read.
    pub verify_known: bool,
    /// Do everything but store.
    pub dry_run: bool,
}

/// Which previous backup tells what is unchanged, and what new data may resemble.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Base {
    /// The newest backup of the same host and paths, if there is one. Neither the order of paths matters nor in which folder they
    /// were typed, as long as they lead to the same place and are stored alike.
    #[default]
    Auto,
    /// None: read everything.
    None,
    /// This one.
    Backup(BackupSelector),
    /// The newest of the backups that have most of these tags, and at least the first of them; none when there is none. For sources whose
    /// paths are different each time.
    Tagged(Vec<String>),
}

impl BackupOptions {
    /// The defaults for a host, a user and the paths as typed.
    #[must_use]
    pub fn new(host: impl Into<String>, user: impl Into<String>, paths: Vec<Vec<u8>>) -> Self {
        Self {
            host: host.into(),
            user: user.into(),
            paths,
            folder: Vec::new(),
            origin: None,
            tags: Vec::new(),
            base: Base::Auto,
            level: 3,
            threads: None,
            journal: None,
            deltas: None,
            verify_known: false,
            dry_run: false,
        }
    }

    /// Sets the folder that relative paths start from.
    #[must_use]
    pub fn with_folder(mut self, folder: Vec<u8>) -> Self {
        self.folder = folder;
        self
    }

    /// Sets what the backup is made from.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<String>) -> Self {
        self.tags = tags;
        self
    }

    /// Sets the base.
    #[must_use]
    pub fn with_base(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    /// Refuses values that mean nothing.
    pub(super) fn check(&self) -> Result<()> {
        let message = if self.host.trim().is_empty() {
            "a backup needs the name of its machine, and the one given is empty".to_owned()
        } else if !LEVELS.contains(&self.level) {
            let (from, to) = (LEVELS.start(), LEVELS.end());
            format!(
                "the level of compression is from {from} to {to}, and {} was given",
                self.level
            )
        } else if self.threads == Some(0) {
            "a backup needs at least one worker thread, and 0 was given".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::invalid(message))
    }

    /// Sets the level of zstd, from 1 to 19.
    #[must_use]
    pub const fn with_level(mut self, level: i32) -> Self {
        self.level = level;
        self
    }

    /// Sets the number of worker threads.
    #[must_use]
    pub const fn with_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the folder for the journal.
    #[must_use]
    pub fn with_journal(mut self, folder: Option<PathBuf>) -> Self {
        self.journal = folder;
        self
    }

    /// Sets whether new data may be stored as differences.
    #[must_use]
    pub const fn with_deltas(mut self, deltas: Option<bool>) -> Self {
        self.deltas = deltas;
        self
    }

    /// Sets whether stored data is read before the backup relies on it.
    #[must_use]
    pub const fn with_verify_known(mut self, verify: bool) -> Self {
        self.verify_known = verify;
        self
    }

    /// Makes it a dry run.
    #[must_use]
    pub const fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// Refuses a description that would make the log too long to be read.
pub(super) fn check_description(options: &BackupOptions) -> Result<()> {
    const MAX_LEN: usize = 4 << 20;
    let texts = options.tags.iter().map(String::len);
    let paths = options.paths.iter().map(Vec::len);
    let len = options.host.len() + options.user.len() + options.folder.len();
    let origin = options.origin.iter().map(|origin| {
        let texts = [&origin.version, &origin.position].into_iter().flatten();
        origin.kind.name().len() + texts.map(String::len).sum::<usize>()
    });
    let len = len + texts.sum::<usize>() + paths.sum::<usize>() + origin.sum::<usize>();
    match len <= MAX_LEN {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "host, user, paths, tags and origin have {len} bytes together, and at most {MAX_LEN} are possible: name a folder above the paths"
        ))),
    }
}
