//! Where an export goes: the [`Sink`] trait.
//!
//! A bundle, a database that is filled again, a program that only counts: each is an implementation of [`Sink`], as whatever
//! can be backed up is one of [`Source`](crate::source::Source). Invariant: a sink is given entries in strictly ascending
//! path order, a folder before what is in it, and no byte that was not verified.

use std::io::{self, Read};

use crate::model::Entry;

/// Takes the entries of a backup with their content, in ascending path order.
pub trait Sink: Send {
    /// Takes one entry. `content` yields exactly the `size` bytes of a file, holes as zeros, and nothing for whatever is no
    /// file. Names of one file (hard links) come as entries with the same `link_group`, each with the content.
    ///
    /// Every chunk was verified before its bytes come, and a file's last bytes come only when all of it has the SHA-256
    /// that the backup noted. Until then, what came may be the start of a damaged file: who reads must read to the end
    /// before relying on it. Content may be left unread, in part or as a whole; then it is not looked at further.
    ///
    /// # Errors
    /// When the entry cannot be taken, which ends the export with this error. An error of `content` may be passed on as it
    /// is: the export ends with what caused it, whatever becomes of it here.
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()>;
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        (**self).entry(entry, content)
    }
}
