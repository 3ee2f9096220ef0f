//! The operations on a target.
//!
//! A [`Cursor`] performs them for one thread. Invariant: it keeps the last folder open, so that entries in path order open each folder
//! once.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::apply::{self, Subject, Surplus, apply};
use super::file::{self, NewFile};
use super::folders::{Beneath, Folder};
use super::nodes::{self, Existing, is_no_folder};
use super::remove;
use super::shared::SharedFile;
use crate::model::{Entry, EntryKind, EntryPath};
use crate::target::{MetadataOptions, MetadataWarning, TargetError};

/// Writes to a target; each thread has its own cursor.
#[derive(Debug)]
pub struct Cursor {
    beneath: Arc<Beneath>,
    last: Option<Last>,
    /// The last folder that was recorded as one with unfinished files.
    noted: Option<Box<[u8]>>,
}

#[derive(Debug)]
struct Last {
    path: Box<[u8]>,
    folder: Arc<Folder>,
    removals: u64,
}

impl Cursor {
    pub(super) fn new(beneath: Arc<Beneath>) -> Self {
        Self {
            beneath,
            last: None,
            noted: None,
        }
    }

    /// Creates a folder that only its owner can use until its metadata is set, and missing folders above it. Keeps an existing folder.
    /// Replaces another kind of entry at this path, but not at the paths above it. Returns true when the folder is new.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn make_dir(&mut self, path: &EntryPath) -> Result<bool, TargetError> {
        self.make_dir_inner(path)
            .map_err(TargetError::entry(path, "make the folder"))
    }

    /// Returns the entry that exists at a path, if any.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn inspect(&mut self, path: &EntryPath) -> Result<Option<Existing>, TargetError> {
        self.inspect_inner(path)
            .map_err(TargetError::entry(path, "look at"))
    }

    /// Creates an unfinished file in an existing folder.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create_file(&mut self, path: &EntryPath) -> Result<NewFile, TargetError> {
        let folder = self.parent_to_write(path).map(|(folder, _)| folder);
        folder
            .and_then(|folder| NewFile::create(&self.beneath, &folder, path.clone()))
            .map_err(TargetError::entry(path, "make the file"))
    }

    /// Creates an unfinished file in an existing folder, for several threads to write.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create_shared(&mut self, path: &EntryPath) -> Result<SharedFile, TargetError> {
        let folder = self.parent_to_write(path).map(|(folder, _)| folder);
        folder
            .and_then(|folder| SharedFile::create(&self.beneath, &folder, path.clone()))
            .map_err(TargetError::entry(path, "make the file"))
    }

    /// Writes a whole file, with as few system calls as possible.
    ///
    /// # Errors
    /// When the system refuses, or a folder that is not empty is in the way.
    pub fn write_small(
        &mut self,
        entry: &Entry,
        bytes: &[u8],
        options: &MetadataOptions,
    ) -> Result<Vec<MetadataWarning>, TargetError> {
        let written = self
            .parent_to_write(&entry.path)
            .and_then(|(folder, name)| {
                let (temporary, file) = file::create(&self.beneath, &folder)?;
                file::write_all(file.as_fd(), 0, bytes)?;
                file::finish(&self.beneath, file.as_fd(), temporary, name, entry, options)
            });
        written.map_err(TargetError::entry(&entry.path, "write the file"))
    }

    /// Creates a symbolic link, a FIFO, a socket or a device. Replaces an existing file, link or empty folder.
    ///
    /// # Errors
    /// When the system refuses, or the entry is a file or a folder.
    pub fn make_special(
        &mut self,
        entry: &Entry,
        options: &MetadataOptions,
    ) -> Result<Vec<MetadataWarning>, TargetError> {
        let made = self
            .parent_to_write(&entry.path)
            .and_then(|(folder, name)| {
                let make = |folder: &Folder, name: &[u8]| nodes::make(folder, name, &entry.kind);
                let (temporary, ()) = self.beneath.temporary(&folder, make)?;
                let subject = Subject::Named(&folder, &temporary.name);
                let warnings = apply(subject, entry, options, Surplus::in_new(&folder))?;
                temporary.publish(&self.beneath, name)?;
                Ok(warnings)
            });
        made.map_err(TargetError::entry(&entry.path, "make"))
    }

    /// Creates another name for an existing entry.
    ///
    /// # Errors
    /// When the system refuses, or a folder that is not empty is in the way.
    pub fn hard_link(&mut self, existing: &EntryPath, new: &EntryPath) -> Result<(), TargetError> {
        let linked = self.parent(existing).and_then(|(from, from_name)| {
            let (folder, name) = self.parent_to_write(new)?;
            let make = |folder: &Folder, name: &[u8]| {
                rustix::fs::linkat(&from, from_name, folder, name, AtFlags::empty())
            };
            let (temporary, ()) = self.beneath.temporary(&folder, make)?;
            let temporary_name = temporary.name;
            temporary.publish(&self.beneath, name)?;
            // If both names belong to the same file, the rename did nothing and the temporary name still exists.
            match rustix::fs::unlinkat(&folder, &temporary_name[..], AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            }
        });
        linked.map_err(TargetError::entry(new, "make the hard link"))
    }

    /// Sets the metadata of an existing entry, usually a folder, and removes ACLs and `user.` attributes that the backup's entry does not
    /// have. Call it for folders last, children before parents, because writing into a folder changes its times.
    ///
    /// # Errors
    /// When the system refuses, or the existing entry is of another kind.
    pub fn set_metadata(
        &mut self,
        entry: &Entry,
        options: &MetadataOptions,
    ) -> Result<Vec<MetadataWarning>, TargetError> {
        self.set_metadata_inner(entry, options)
            .map_err(TargetError::entry(&entry.path, "set the metadata of"))
    }

    /// True when the existing entry has other ACLs or `user.` attributes than `entry`. Does not open or change it.
    pub(crate) fn attributes_differ(&mut self, entry: &Entry, options: &MetadataOptions) -> bool {
        self.place(&entry.path).is_ok_and(|(folder, name)| {
            apply::attributes_differ(Subject::Named(&folder, name), entry, options)
        })
    }

    /// True for a mount point: another file system, or another part of the same one, is mounted on the folder.
    pub(crate) fn is_mounted(&mut self, path: &EntryPath) -> bool {
        let place = self.place(path).ok().filter(|_| !path.is_root());
        place.is_some_and(|(folder, name)| {
            let is_mounted = self.beneath.is_mounted(folder.as_fd(), name);
            is_mounted.unwrap_or(false)
        })
    }

    /// True when the file system ignores case in names.
    pub(crate) fn folds_case(&self) -> bool {
        self.beneath.folds_case()
    }

    /// Returns the names in a folder, sorted.
    ///
    /// # Errors
    /// When the system refuses, or the path is not a folder.
    pub fn list(&mut self, path: &EntryPath) -> Result<Vec<Vec<u8>>, TargetError> {
        // Open the folder again: the open one may lack the right to list it, or may have been listed already.
        let folder = self.folder(path.as_bytes());
        folder
            .and_then(|folder| self.beneath.listed_folder(folder.as_fd(), b"."))
            .and_then(|folder| remove::list(folder.as_fd()))
            .map_err(TargetError::entry(path, "list the folder"))
    }

    /// Deletes the entry at a path and everything below it. Deletes links without following them; fails at a mount point.
    ///
    /// # Errors
    /// When the system refuses, or the path is the target's folder itself.
    pub fn remove_tree(&mut self, path: &EntryPath) -> Result<(), TargetError> {
        let removed = match self.parent(path) {
            Ok((folder, name)) => remove::remove_tree(&self.beneath, &folder, name),
            Err(error) if is_no_folder(&error) => Ok(()),
            Err(error) => Err(error),
        };
        self.beneath.removals.fetch_add(1, Ordering::Relaxed);
        removed.map_err(TargetError::entry(path, "delete"))
    }

    /// Gives the owner of a folder full access until its metadata is set. If it never is, closing the target restores the permissions in
    /// `mode`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open_up(&mut self, path: &EntryPath, mode: u32) -> Result<(), TargetError> {
        let opened = self.place(path).and_then(|(folder, name)| {
            Subject::Named(&folder, name).set_mode(mode | 0o700)?;
            self.beneath.opened_up(path, mode);
            Ok(())
        });
        opened.map_err(TargetError::entry(path, "set the permissions of"))
    }

    /// As [`Cursor::parent`], for an entry that is about to be created: records the folder first.
    fn parent_to_write<'p>(&mut self, path: &'p EntryPath) -> io::Result<(Arc<Folder>, &'p [u8])> {
        let parent = path.parent().unwrap_or_default();
        if self.noted.as_deref() != Some(parent) {
            self.beneath.note(parent);
            self.noted = Some(parent.into());
        }
        self.parent(path)
    }

    /// A folder and a name in it that denote the existing entry at a path. For the target's folder and for a followed link, this is the
    /// folder itself and `.`.
    fn place<'p>(&mut self, path: &'p EntryPath) -> io::Result<(Arc<Folder>, &'p [u8])> {
        if path.is_root() || self.beneath.follows(path.as_bytes()) {
            return Ok((self.folder(path.as_bytes())?, b"."));
        }
        self.parent(path)
    }

    /// The parent folder of a path, and the entry's name in it.
    fn parent<'p>(&mut self, path: &'p EntryPath) -> io::Result<(Arc<Folder>, &'p [u8])> {
        let Some(parent) = path.parent() else {
            let reason = "it is the target's own folder";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        };
        Ok((self.folder(parent)?, path.name()))
    }

    /// Opens a folder, starting from the last one if the path is below that.
    fn folder(&mut self, path: &[u8]) -> io::Result<Arc<Folder>> {
        let removals = self.beneath.removals.load(Ordering::Relaxed);
        // A followed link can only be resolved from the target's folder.
        let start = self.beneath.start_of(path);
        let is_usable = |last: &&Last| last.removals == removals && last.path.len() >= start;
        let last = self.last.as_ref().filter(is_usable);
        let below = last.and_then(|last| Some((last, path.strip_prefix(&*last.path)?)));
        let opened = match below {
            Some((last, [])) => return Ok(Arc::clone(&last.folder)),
            Some((last, [b'/', rest @ ..])) => {
                self.beneath.folder_from(last.folder.as_fd(), rest)?
            }
            _ => self.beneath.folder(path)?,
        };
        let folder = Arc::new(opened);
        self.last = Some(Last {
            path: path.into(),
            folder: Arc::clone(&folder),
            removals,
        });
        Ok(folder)
    }

    fn make_dir_inner(&mut self, path: &EntryPath) -> io::Result<bool> {
        let Some(parent) = path.parent() else {
            return Ok(false);
        };
        let folder = match self.folder(parent) {
            Err(error) if is_no_folder(&error) => self.make_parents(parent)?,
            other => other?,
        };
        if self.beneath.keeps_all() {
            nodes::ensure_dir(&folder, path.name())
        } else {
            nodes::make_dir(&folder, path.name())
        }
    }

    /// Creates the folders of a path, from the top.
    fn make_parents(&mut self, path: &[u8]) -> io::Result<Arc<Folder>> {
        let mut folder = self.folder(b"")?;
        let mut start = 0;
        for part in path.split(|byte| *byte == b'/') {
            if !self.beneath.follows(&path[..start + part.len()]) {
                nodes::ensure_dir(&folder, part)?;
            }
            start += part.len();
            folder = self.folder(&path[..start])?;
            start += 1;
        }
        Ok(folder)
    }

    fn inspect_inner(&mut self, path: &EntryPath) -> io::Result<Option<Existing>> {
        let (parent, name) = match path.parent() {
            Some(parent) => (parent, path.name()),
            None => (&b""[..], &b"."[..]),
        };
        let folder = match self.folder(parent) {
            Err(error) if is_no_folder(&error) => return Ok(None),
            other => other?,
        };
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Existing::new(&folder, name, &stat)?)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn set_metadata_inner(
        &mut self,
        entry: &Entry,
        options: &MetadataOptions,
    ) -> io::Result<Vec<MetadataWarning>> {
        let (folder, name) = self.place(&entry.path)?;
        let file = nodes::open(&folder, name, &entry.kind)?;
        let subject = match &file {
            Some(file) => Subject::Open(file.as_fd()),
            None => Subject::Named(&folder, name),
        };
        let warnings = apply(subject, entry, options, Surplus::Any)?;
        if entry.kind == EntryKind::Directory {
            self.beneath.has_its_mode(&entry.path);
        }
        Ok(warnings)
    }
}
