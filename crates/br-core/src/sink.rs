//! What an export writes to: the [`Sink`] trait.
//!
//! A sink may write a bundle, fill a database or only count entries. It is the counterpart of a [`Source`](crate::source::Source).
//! Invariant: a sink gets entries in strictly ascending path order, a folder before its contents, and only verified bytes.

use std::io::{self, Read};

use crate::model::Entry;

/// Takes the entries of a backup with their content, in ascending path order.
pub trait Sink: Send {
    /// Takes one entry. `content` yields exactly the `size` bytes of a file, holes as zeros. For other entries it is empty.
    /// Names of one file (hard links) are entries with the same `link_group`, and each yields the content.
    ///
    /// `content` yields the bytes of a chunk after verifying the chunk, and the last bytes of a file after comparing the file's SHA-256
    /// with that in the backup. Bytes read before that may be the start of a damaged file, so read to the end before you rely on them.
    /// A sink may leave content unread, partly or completely. Unread content is not verified.
    ///
    /// # Errors
    /// When the sink cannot take the entry: the export ends with this error. If `content` returned an error, the export ends with the
    /// cause of that error, whatever the sink returns.
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()>;
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        (**self).entry(entry, content)
    }
}
