//! Where a backup reads: the [`Source`] trait and the sources that need nothing but the system.
//!
//! [`LocalSource`] walks folders, [`StreamSource`] is one file made of a byte stream. Whatever else can be backed up is
//! another implementation of [`Source`]. Invariant: a source yields entries in strictly ascending path order, so that they
//! can be compared with those of an earlier backup without holding either in memory.

use std::io::{self, Read};

use crate::model::{Entry, EntryPath};

mod exclude;
mod local;
mod stream;

pub use exclude::{ExcludeError, Excludes};
pub(crate) use local::stored_path;
pub use local::{LocalSource, LocalSourceOptions, SourceError};
pub use stream::StreamSource;

/// A stream of entries to back up, in ascending path order.
pub trait Source: Send {
    /// Returns the next item; `None` at the end.
    fn next(&mut self) -> Option<SourceItem>;

    /// True when an entry of an earlier backup with the same size, times and inode has the same content. A stream is read
    /// again each time.
    fn can_skip_unchanged(&self) -> bool {
        true
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next(&mut self) -> Option<SourceItem> {
        (**self).next()
    }

    fn can_skip_unchanged(&self) -> bool {
        (**self).can_skip_unchanged()
    }
}

/// What a [`Source`] yields.
pub enum SourceItem {
    /// An entry. Its content and extended attributes are still missing: `details` has them.
    Entry {
        /// The entry; files have their size and no content.
        entry: Entry,
        /// Access to the rest.
        details: Box<dyn Details>,
    },
    /// Something that could not be looked at. It will be missing from the backup.
    ///
    /// A folder that cannot be listed is yielded first as an entry, its metadata being known, and then as unreadable
    /// with the same path: what it holds is missing. Only the paths of entries ascend strictly.
    Unreadable {
        /// Where it would have been.
        path: EntryPath,
        /// Why.
        error: io::Error,
    },
}

/// Access to what the walk left out, called on a worker thread and only for entries that may have changed.
pub trait Details: Send {
    /// Fills in the extended attributes of an entry that is not a regular file.
    ///
    /// # Errors
    /// When the system refuses; the entry counts as unreadable.
    fn complete(&mut self, entry: &mut Entry) -> io::Result<()>;

    /// Opens a regular file, fills in its extended attributes and its holes, and corrects size and times if they
    /// changed since the walk.
    ///
    /// # Errors
    /// When the file vanished, is no regular file any more, or may not be read.
    fn open(self: Box<Self>, entry: &mut Entry) -> io::Result<Box<dyn ContentReader>>;
}

/// Reads a file's bytes outside of its holes.
pub trait ContentReader: Read + Send {
    /// Looks at the file once more after the last byte was read. Returns false when it changed since it was opened, so
    /// that the bytes may mix two states.
    ///
    /// # Errors
    /// When the system refuses.
    fn finish(&mut self) -> io::Result<bool>;
}

impl std::fmt::Debug for SourceItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry { entry, .. } => f.debug_tuple("Entry").field(entry).finish(),
            Self::Unreadable { path, error } => f
                .debug_struct("Unreadable")
                .field("path", path)
                .field("error", error)
                .finish(),
        }
    }
}
