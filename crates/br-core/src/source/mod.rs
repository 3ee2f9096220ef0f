//! What a backup reads from: the [`Source`] trait, and the sources that need no other crate.
//!
//! [`LocalSource`] walks folders, [`CommandSource`] runs programs and takes their output, [`StreamSource`] is one file whose content is a
//! byte stream (any `Read`), [`MemorySource`] has files in memory, and [`CombinedSource`] merges sources. Everything else that can be backed up is another implementation of [`Source`]. Invariant: a source yields
//! entries in strictly ascending path order. So a backup can compare them with an earlier backup and hold neither in memory.

use std::io::{self, Read};

use crate::model::{Entry, EntryPath, StreamRecord};
use crate::warning::{Note, Warning};

mod combined;
mod command;
mod exclude;
mod folder;
mod gitignore;
mod local;
mod memory;
mod simple;
mod stream;
mod stream_check;

pub use combined::CombinedSource;
pub use command::{CommandSource, CommandStream, LastCheck};
pub(crate) use exclude::MAX_PATTERN;
pub(crate) use exclude::Matcher as EntryMatcher;
pub use exclude::{ExcludeError, Excludes};
pub use folder::{FolderReader, TakeEntry, Unpack};
pub(crate) use local::stored_path;
pub use local::{LocalSource, LocalSourceOptions, SourceError};
pub use memory::MemorySource;
pub use stream::StreamSource;
pub use stream_check::{StreamError, StreamRules};

/// A stream of entries to back up, in ascending path order.
///
/// [`SourceItem::with_content`] and [`SourceItem::without_content`] make items without further types. The example `custom_source` is a
/// complete source.
///
/// # Rules for entries
///
/// If a source breaks one of these two rules, the backup ends with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid):
///
/// - Paths ascend strictly, in the order of [`EntryPath`]: `/` is below every other byte, so `a/b` comes before `a-b`. Sort values of
///   `EntryPath`, not strings.
/// - Nothing is below an entry that is not a folder. Only a symbolic link may have entries below it.
///
/// If an entry breaks one of the following rules, the backup leaves it out or corrects its metadata, and names it in
/// [`Backup::unread`](crate::model::Backup::unread):
///
/// - It passes [`Entry::check`]: the mode has at most twelve bits, nanoseconds are below 1,000,000,000, a symbolic link has a
///   target, and so on.
/// - The root is a folder.
/// - No extended attribute occurs twice. Holes are sorted by offset and do not touch each other.
/// - Entries with one `link_group` are names of one file: they have the same metadata and the same content.
///
/// These are conventions:
///
/// - Folders above a file may lack entries. Then a restore creates them with default metadata, and
///   [`Snapshot::children`](crate::Snapshot::children) does not find them.
/// - A file has its size, or 0 if it is not known, and no content: [`Details::open`] returns a reader of the bytes outside of holes.
///   If there are more or fewer bytes than the entry says, the backup has the bytes that came, and says that the file changed
///   meanwhile.
/// - `ctime` and `inode` serve only to recognise unchanged files, see [`Source::can_skip_unchanged`]. A file with
///   [`FileTime::UNKNOWN`](crate::model::FileTime::UNKNOWN) is always read again, and so is one that changed shortly before the
///   earlier backup began.
///
/// # Threads
///
/// One thread calls [`Source::next`]; several worker threads call the methods of [`Details`] and [`ContentReader`]. All of them
/// may block. A cancelled backup ends after the calls that are running.
pub trait Source: Send {
    /// Returns the next item; `None` at the end.
    fn next(&mut self) -> Option<SourceItem>;

    /// Takes the entries that are to be read before all others, in any order of paths: [`Source::next`] does not return them afterwards. The backup calls this once,
    /// reads them all, and only then begins with [`Source::next`]. So a file to which a dump of a database refers is read after the dump.
    fn take_first(&mut self) -> Vec<SourceItem> {
        Vec::new()
    }

    /// The paths that the source was created with. A backup without [`BackupOptions::paths`](crate::engine::backup::BackupOptions::paths) uses
    /// them. Empty for a source that has none.
    fn paths(&self) -> SourcePaths {
        SourcePaths::default()
    }

    /// True when a file with the same size, times and inode as in an earlier backup must have the same content. Then the backup
    /// uses the content of the earlier backup and does not read the file. Return true only if this is certain. If false, every
    /// backup reads every file. Files without a known `ctime` are always read: see [`Entry::with_change_time`].
    fn can_skip_unchanged(&self) -> bool {
        false
    }

    /// True when a backup that lacks an entry is useless, as for a single stream. Then an entry that cannot be read fails the
    /// backup with [`ErrorKind::Io`](crate::ErrorKind::Io), and nothing is committed. If false, the backup leaves the entry out
    /// and names it.
    fn needs_everything(&self) -> bool {
        false
    }
}

/// The paths of a source, for the description of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourcePaths {
    /// The paths as typed, raw bytes.
    pub paths: Vec<Vec<u8>>,
    /// The folder that relative ones start from; empty when no path is relative.
    pub folder: Vec<u8>,
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn paths(&self) -> SourcePaths {
        (**self).paths()
    }

    fn next(&mut self) -> Option<SourceItem> {
        (**self).next()
    }

    fn take_first(&mut self) -> Vec<SourceItem> {
        (**self).take_first()
    }

    fn can_skip_unchanged(&self) -> bool {
        (**self).can_skip_unchanged()
    }

    fn needs_everything(&self) -> bool {
        (**self).needs_everything()
    }
}

/// What a [`Source`] yields.
#[non_exhaustive]
pub enum SourceItem {
    /// An entry, without content and extended attributes: `details` has these.
    Entry {
        /// The entry; files have their size and no content.
        entry: Entry,
        /// Access to the rest.
        details: Box<dyn Details>,
    },
    /// A folder whose entries come in one pass and in any order, such as the members of an archive. No other item may be below it. The
    /// backup has all of it or, if reading fails, nothing; it then counts as unreadable.
    Folder {
        /// The folder itself.
        folder: Entry,
        /// What reads the entries below it.
        reader: Box<dyn FolderReader>,
    },
    /// Something that could not be read. It will be missing from the backup.
    ///
    /// For a folder that cannot be listed, the source yields an entry with the folder's metadata and then this item with the same
    /// path: the contents of the folder are missing. Only the paths of entries ascend strictly.
    Unreadable {
        /// Its path.
        path: EntryPath,
        /// Why.
        error: io::Error,
    },
    /// A problem that the user should know about and that does not make the backup incomplete.
    Warning(Warning),
    /// Information that the user may ignore.
    Note(Note),
    /// Something that the source left out on purpose; it does not make the backup incomplete. Only a source with the option to report
    /// this yields it.
    LeftOut {
        /// Its path.
        path: EntryPath,
        /// Why.
        reason: Exclusion,
    },
}

impl SourceItem {
    /// The entry, or the folder itself; `None` for what is no entry.
    pub(crate) const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Entry { entry, .. } | Self::Folder { folder: entry, .. } => Some(entry),
            _ => None,
        }
    }
}

/// Why something was left out of a backup on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exclusion {
    /// A pattern that was given for the backup.
    Pattern(String),
    /// A line of an ignore file.
    IgnoreFile {
        /// The line.
        pattern: String,
        /// The folder in which the file is.
        folder: EntryPath,
    },
    /// A repository or a cache of br.
    OwnFolder,
    /// The contents of a folder with a `CACHEDIR.TAG` file.
    Cache,
    /// The contents of a folder that has a file with this name.
    Marked(String),
    /// A file that is too large.
    TooLarge {
        /// Its length in bytes.
        size: u64,
    },
    /// The contents of another file system that is mounted there.
    OtherFileSystem,
}

/// Access to the parts of an entry that the walk did not read. A worker thread calls it, only for entries that may have changed.
pub trait Details: Send {
    /// Fills in the extended attributes of an entry that is not a regular file.
    ///
    /// # Errors
    /// When the entry no longer exists: it counts as unreadable. Attributes that cannot be read are no error, see
    /// [`Details::incomplete`].
    fn complete(&mut self, entry: &mut Entry) -> io::Result<()>;

    /// A text that says what [`Details::complete`] could not read; `None` when nothing is missing. The backup stores the entry without
    /// it, and names the entry and the reason.
    fn incomplete(&self) -> Option<String> {
        None
    }

    /// Opens a regular file, fills in its extended attributes and its holes, and corrects size and times if they
    /// changed since the walk.
    ///
    /// # Errors
    /// When the file no longer exists, is no longer a regular file, or may not be read.
    fn open(self: Box<Self>, entry: &mut Entry) -> io::Result<Box<dyn ContentReader>>;
}

/// Reads a file's bytes outside of its holes.
pub trait ContentReader: Read + Send {
    /// Checks the file again after the last byte was read. Returns false when the file changed since it was opened: the bytes may
    /// then come from two versions of the file.
    ///
    /// # Errors
    /// When the content cannot be relied on at all: the file counts as unreadable.
    fn finish(&mut self) -> io::Result<bool>;

    /// A text that says which metadata of the file could not be read; `None` when nothing is missing. The backup calls it after
    /// [`ContentReader::finish`], stores the file without this metadata, and names the file and the reason.
    fn incomplete(&self) -> Option<String> {
        None
    }

    /// What is known of a stream that has ended; `None` for a file. The backup calls it after [`ContentReader::finish`], and keeps it in
    /// [`Backup::streams`](crate::model::Backup::streams).
    fn record(&mut self) -> Option<StreamRecord> {
        None
    }

    /// False when the size in the metadata is meaningless, as in `/proc`. Then content of another length does not count as a change.
    /// The backup calls it after [`ContentReader::finish`].
    fn is_size_reliable(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for SourceItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry { entry, .. } => f.debug_tuple("Entry").field(entry).finish(),
            Self::Folder { folder, .. } => f.debug_tuple("Folder").field(folder).finish(),
            Self::Unreadable { path, error } => f
                .debug_struct("Unreadable")
                .field("path", path)
                .field("error", error)
                .finish(),
            Self::Warning(warning) => f.debug_tuple("Warning").field(warning).finish(),
            Self::Note(note) => f.debug_tuple("Note").field(note).finish(),
            Self::LeftOut { path, reason } => f
                .debug_struct("LeftOut")
                .field("path", path)
                .field("reason", reason)
                .finish(),
        }
    }
}
