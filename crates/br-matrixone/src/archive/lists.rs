//! Reader of the `tae_list` of a backup.
//!
//! [`read_rows`] passes on its rows in order and computes their digest. Invariant: if it succeeds, the list matches the digest next to it;
//! after an error the caller must discard the rows.

use std::io::{self, Read};

use br_storage::Folder;

use super::error::{Error, ErrorKind, Result};
use super::files;
use super::frame::{BLOCK_BYTES, BadFrame, FrameReader, Framing, read_full};
use super::layout::{ArchiveBackup, TAE_LIST};
use super::limits::Limits;
use super::sha256::{Digest, SUFFIX};
use super::tae_list::{Row, TaeListReader};

/// Facts about a list that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListFacts {
    pub(crate) framing: Framing,
    pub(crate) digest: Digest,
    /// False if no digest was recorded.
    pub(crate) is_proven: bool,
}

/// Passes all rows to `each`.
pub(crate) fn read_rows(
    folder: &Folder,
    backup: &ArchiveBackup,
    limits: &Limits,
    each: &mut dyn FnMut(Row) -> Result<()>,
) -> Result<ListFacts> {
    let path = backup.path(TAE_LIST);
    let read = read_at(folder, &path, limits, each);
    read.map_err(|error| match error.path() {
        // The error is in the list, not in the path that the row names.
        Some(inside) if inside != path && !inside.starts_with(&path) => {
            Error::new(error.kind(), error.to_string()).at(path.clone())
        }
        _ => error.at(path.clone()),
    })
}

fn read_at(
    folder: &Folder,
    path: &str,
    limits: &Limits,
    each: &mut dyn FnMut(Row) -> Result<()>,
) -> Result<ListFacts> {
    let beside = read_digest(folder, path)?;
    let mut file = files::open(folder, path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::damaged("the list of the backup's files is missing"),
        _ => error,
    })?;
    let mut head = vec![0; BLOCK_BYTES];
    let len = read_full(&mut file, &mut head);
    head.truncate(len.map_err(|error| Error::io("cannot read", error))?);
    let framing = match beside {
        Some((_, framing)) => framing,
        None => Framing::sniff(&head),
    };
    let file = io::Cursor::new(head).chain(file);
    let content: Box<dyn Read> = match framing {
        Framing::Raw => Box::new(file),
        Framing::Framed => Box::new(FrameReader::new(file)),
    };
    let mut hashing = Hashing {
        from: content,
        hasher: sha2::Digest::new(),
    };
    let mut reader = TaeListReader::new(&mut hashing, limits);
    // A wrong frame means damage, not an I/O error.
    let framed = |error: Error| match bad_frame(&error) {
        Some(bad) => Error::damaged(bad.to_string()),
        None => error,
    };
    while let Some(row) = reader.next_row().map_err(framed)? {
        each(row)?;
    }
    let found = hashing.finish();
    match beside {
        Some((digest, _)) if digest != found => Err(Error::damaged(format!(
            "its SHA-256 is {found}, not {digest} as in the file next to it"
        ))),
        beside => Ok(ListFacts {
            framing,
            digest: found,
            is_proven: beside.is_some(),
        }),
    }
}

fn bad_frame(error: &Error) -> Option<BadFrame> {
    let cause = std::error::Error::source(error)?;
    BadFrame::of(cause.downcast_ref()?)
}

/// Reads the digest next to a file; `None` if there is none.
pub(crate) fn read_digest(folder: &Folder, path: &str) -> Result<Option<(Digest, Framing)>> {
    let path = format!("{path}{SUFFIX}");
    let Some(bytes) = files::read(folder, &path, Limits::LINE_BYTES as u64)? else {
        return Ok(None);
    };
    let digest = Digest::of_file(&bytes);
    digest.map(Some).map_err(|error| error.at(path))
}

/// Computes the digest of the bytes that are read.
struct Hashing<R> {
    from: R,
    hasher: sha2::Sha256,
}

impl<R> Hashing<R> {
    fn finish(self) -> Digest {
        Digest(sha2::Digest::finalize(self.hasher).into())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        sha2::Digest::update(&mut self.hasher, &buffer[..count]);
        Ok(count)
    }
}
