use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::model::{Configuration, Origin};
use crate::repository::BackupSelector;

/// Valid compression levels.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// Options of a backup.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Name of the machine.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// The paths as typed, raw bytes. They are stored in the backup list, select the base, and matter to a restore: it treats a folder above
    /// one of these paths as not backed up, so the folder keeps its metadata and its other contents. Pass the paths that the source was
    /// created with: every folder entry that is not above one of them counts as backed up, and a restore that deletes removes everything
    /// in it that has no entry. `.` and `..` are resolved in the stored paths, as text and without following links.
    ///
    /// Empty: the paths of [`Source::paths`](crate::source::Source::paths), which [`LocalSource`](crate::source::LocalSource) has.
    ///
    /// Retention groups backups by host and paths, and a group loses its older backups. So give different data another host or other
    /// paths, also if its source has no paths.
    pub paths: Vec<Vec<u8>>,
    /// The folder that relative paths start from; empty when no path is relative.
    pub folder: Vec<u8>,
    /// The source that the backup is made from.
    pub origin: Option<Origin>,
    /// The configuration of this machine, which the backup keeps for another one.
    pub configuration: Option<Configuration>,
    /// Tags to find the backup by.
    pub tags: Vec<String>,
    /// The base: which earlier backup to compare with.
    pub base: Base,
    /// Compression level of zstd, 1 to 19.
    pub level: i32,
    /// Number of worker threads; `None` means one per core.
    pub threads: Option<usize>,
    /// Folder for the journal. With or without a journal, a backup uses the packs that an interrupted run stored and does not store their
    /// chunks again. With a journal, the next run on this machine knows the packs without listing them, and does not read finished files
    /// again. Without a journal, each run lists the packs of the repository (on a server, one request per thousand) and reads the footers
    /// of those that no commit names.
    pub journal: Option<PathBuf>,
    /// Whether new data may be stored as deltas to the previous version of a file in the base, which must be read again for this. `None`
    /// enables deltas where reading is cheap: on a local disk, but not on a server.
    pub deltas: Option<bool>,
    /// Read chunks that the repository already has before relying on them, and store unreadable ones again.
    pub verify_known: bool,
    /// Do everything except storing data.
    pub dry_run: bool,
}

/// The base: the earlier backup that shows which files are unchanged, and whose data new data may resemble.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Base {
    /// The newest backup of the same host and paths, if any. The order of the paths does not matter, nor the folder they were typed in, if
    /// they lead to the same location and have the same paths in the backup.
    #[default]
    Auto,
    /// No base: read every file.
    None,
    /// The selected backup.
    Backup(BackupSelector),
    /// Of the backups with the first of these tags, the one that shares most of the tags, and the newest of several such; none if no
    /// backup has the first tag. For sources whose paths are different each time.
    Tagged(Vec<String>),
}

impl BackupOptions {
    /// Default options for a host, a user and the paths as typed.
    #[must_use]
    pub fn new(host: impl Into<String>, user: impl Into<String>, paths: Vec<Vec<u8>>) -> Self {
        Self {
            host: host.into(),
            user: user.into(),
            paths,
            folder: Vec::new(),
            origin: None,
            configuration: None,
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

    /// Sets the configuration of this machine. It must have no secrets.
    #[must_use]
    pub fn with_configuration(mut self, configuration: Option<Configuration>) -> Self {
        self.configuration = configuration;
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

    /// Refuses invalid values.
    pub(super) fn check(&self) -> Result<()> {
        if self.host.trim().is_empty() {
            return Err(Error::invalid(
                "the host name of a backup must not be empty",
            ));
        }
        check_work("a backup", self.level, self.threads)
    }

    /// Sets the compression level of zstd, from 1 to 19.
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

    /// Sets whether new data may be stored as deltas.
    #[must_use]
    pub const fn with_deltas(mut self, deltas: Option<bool>) -> Self {
        self.deltas = deltas;
        self
    }

    /// Sets whether the backup reads stored chunks before it relies on them.
    #[must_use]
    pub const fn with_verify_known(mut self, verify: bool) -> Self {
        self.verify_known = verify;
        self
    }

    /// Sets whether this is a dry run.
    #[must_use]
    pub const fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// Refuses a compression level and a number of worker threads that `what` cannot work with.
pub(in crate::engine) fn check_work(what: &str, level: i32, threads: Option<usize>) -> Result<()> {
    if !LEVELS.contains(&level) {
        let (from, to) = (LEVELS.start(), LEVELS.end());
        let message = format!("the compression level must be from {from} to {to}, not {level}");
        return Err(Error::invalid(message));
    }
    if threads == Some(0) {
        let message = format!("{what} needs at least one worker thread, not 0");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Refuses a description that would make the log entry too long.
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
    if len <= MAX_LEN {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "host, user, paths, tags and origin together have {len} bytes, more than the maximum of {MAX_LEN}: name a folder above the paths"
        )))
    }
}
