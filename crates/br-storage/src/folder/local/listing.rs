//! Listing folders on local disk.
//!
//! [`LocalListing`] returns the files below a folder, [`Names`] the names in one folder. Invariant: a link is
//! listed, but never followed.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, Dir, FileType, statat},
    io::Errno,
};

use super::{LocalFolder, MAX_DEPTH, join};
use crate::{
    error::{Error, ErrorKind, Operation, Result},
    folder::FileInfo,
};

pub(super) enum Kind {
    Folder,
    File { size: u64, is_regular: bool },
}

/// The names in one folder.
pub(super) struct Names {
    pub(super) folder: OwnedFd,
    pub(super) entries: Dir,
}

impl Names {
    pub(super) fn next(&mut self) -> io::Result<Option<(String, Kind)>> {
        for entry in self.entries.by_ref() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                // It was removed meanwhile.
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Kind::Folder,
                kind => Kind::File {
                    size: u64::try_from(stat.st_size).unwrap_or(0),
                    is_regular: kind == FileType::RegularFile,
                },
            };
            return Ok(Some((name.to_string_lossy().into_owned(), kind)));
        }
        Ok(None)
    }
}

/// The files below a folder.
pub(in crate::folder) struct LocalListing {
    pub(super) folder: LocalFolder,
    pub(super) path: String,
    /// Folders that remain to be listed, relative to `path`.
    pub(super) left: Vec<String>,
    /// The folder that is being listed.
    pub(super) now: Option<(String, Names)>,
}

impl LocalListing {
    pub(in crate::folder) fn next(&mut self) -> Option<Result<FileInfo>> {
        let next = self.advance();
        if next.is_err() {
            self.left.clear();
            self.now = None;
        }
        next.transpose()
    }

    fn advance(&mut self) -> Result<Option<FileInfo>> {
        loop {
            let Some((below, names)) = &mut self.now else {
                let Some(below) = self.left.pop() else {
                    return Ok(None);
                };
                let names = self.folder.names(&join(&self.path, &below))?;
                self.now = names.map(|names| (below, names));
                continue;
            };
            let next = names.next().map_err(|error| {
                let path = join(&self.path, below);
                self.folder.list_error(&path, error)
            })?;
            match next {
                None => self.now = None,
                Some((name, Kind::File { size, is_regular })) => {
                    return Ok(Some(FileInfo {
                        path: join(below, &name),
                        size,
                        is_regular,
                    }));
                }
                Some((name, Kind::Folder)) => {
                    let path = join(below, &name);
                    if path.split('/').count() > MAX_DEPTH {
                        let cause = "the folders are nested too deeply";
                        let place = self.folder.to_string();
                        let (kind, what) = (ErrorKind::TooLarge, Operation::List);
                        return Err(Error::new(kind, what, Some(&path), &place, cause));
                    }
                    self.left.push(path);
                }
            }
        }
    }
}
