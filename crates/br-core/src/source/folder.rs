//! A folder whose entries come in one pass, such as an archive that a program writes.
//!
//! [`FolderReader`] reads it, and [`Unpack`] takes the output of a program apart. Invariant: the entries may come in any order, because the backup sorts them;
//! if reading fails, the backup has none of them.

use std::io::{self, Read};

use crate::model::{Entry, EntryPath, StreamRecord};

/// Takes an entry, and reads the content of a file to its end. Fails if the entry cannot be a part of the folder, or if the backup was cancelled: the
/// reader must then end with this error.
///
/// A file has its size. An entry with the path of the folder replaces that of the folder. Holes and names of one file are not supported.
pub type TakeEntry<'a> = dyn FnMut(Entry, &mut dyn Read) -> io::Result<()> + 'a;

/// Reads the entries of a folder.
pub trait FolderReader: Send {
    /// Gives all entries below the folder to `take`, and returns what is known of their stream. Runs on a worker thread, and may block.
    ///
    /// # Errors
    /// When an entry cannot be read, or is not what it should be. The backup then has nothing of the folder.
    fn read(self: Box<Self>, take: &mut TakeEntry<'_>) -> io::Result<Option<StreamRecord>>;
}

/// Takes the output of a program apart.
pub trait Unpack: Send {
    /// Gives all entries of `stream` to `take`, with paths below `folder`, and reads it to its end. Returns the position of the database, if the
    /// stream says it.
    ///
    /// # Errors
    /// When the stream cannot be read, or is not what it should be.
    fn unpack(
        self: Box<Self>,
        folder: &EntryPath,
        stream: &mut dyn Read,
        take: &mut TakeEntry<'_>,
    ) -> io::Result<Option<String>>;
}
