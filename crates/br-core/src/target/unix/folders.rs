//! Folders inside a target.
//!
//! [`Beneath`] opens them from the target's folder, [`Folder`] is an open one, [`Temporary`] is an unfinished file or node in it.
//! Invariant: opening a path either ends inside the target or fails. A symbolic link on the path is an error, except a link that
//! [`Beneath::follow`] checked before anything was written.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use super::apply::Subject;
use super::record::{self, Record};
use super::shared::OpenFiles;
use crate::model::EntryPath;
use crate::platform::os_path;

/// Maximum length of a path in one system call; Linux allows 4,095 bytes.
const PIECE_MAX: usize = 4_000;

/// Maximum retries when other processes move folders at the same time.
const ATTEMPTS: usize = 32;

/// The target's folder and the state that its cursors share.
#[derive(Debug)]
pub(super) struct Beneath {
    root: OwnedFd,
    /// The folder's path, with links resolved.
    real_root: Option<PathBuf>,
    next_name: AtomicU64,
    /// Number of removed folders. When it changes, an open folder may have been deleted.
    pub(super) removals: AtomicU64,
    has_openat2: AtomicBool,
    /// Never replace an existing entry.
    keeps_all: AtomicBool,
    /// The file system ignores case in names.
    folds_case: AtomicBool,
    pub(super) open_files: OpenFiles,
    /// The followed links.
    followed: Vec<Followed>,
    record: Mutex<Option<Record>>,
    /// Folders whose owner temporarily has more rights, with their original permissions.
    opened_up: Mutex<Vec<(EntryPath, u32)>>,
}

/// A link to a folder, checked before anything was written.
#[derive(Debug)]
struct Followed {
    path: Box<[u8]>,
    folder: OwnedFd,
    real: PathBuf,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    /// New entries in the folder inherit an ACL from it.
    pub(super) inherits_acl: bool,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Beneath {
    pub(super) fn new(root: OwnedFd, real_root: Option<PathBuf>) -> Self {
        Self {
            root,
            real_root,
            next_name: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            has_openat2: AtomicBool::new(true),
            keeps_all: AtomicBool::new(false),
            folds_case: AtomicBool::new(false),
            open_files: OpenFiles::default(),
            followed: Vec::new(),
            record: Mutex::default(),
            opened_up: Mutex::default(),
        }
    }

    pub(super) fn seed(&self, seed: u64) {
        self.next_name.store(seed, Ordering::Relaxed);
    }

    pub(super) fn keep_all(&self, yes: bool) {
        self.keeps_all.store(yes, Ordering::Relaxed);
    }

    /// True when existing entries must not be replaced.
    pub(super) fn keeps_all(&self) -> bool {
        self.keeps_all.load(Ordering::Relaxed)
    }

    /// Opens the folder at a path from the target's folder.
    pub(super) fn folder(&self, path: &[u8]) -> io::Result<Folder> {
        match self.followed_on(path) {
            Some(followed) => {
                let rest = &path[followed.path.len()..];
                let rest = rest.strip_prefix(b"/").unwrap_or(rest);
                self.folder_from(followed.folder.as_fd(), rest)
            }
            None => self.folder_from(self.root.as_fd(), path),
        }
    }

    /// Follows a link from now on, if it leads to a folder inside the target; otherwise returns false.
    ///
    /// An absolute link has two possible meanings: a path on this machine or, in a copy of a whole system, a path that starts at the
    /// target. The first is used if it leads inside the target.
    pub(super) fn follow(&mut self, path: &EntryPath) -> io::Result<bool> {
        let parent = self.folder(path.parent().unwrap_or_default())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(&parent, path.name(), flags, Mode::empty());
        let plain = open(flags).or_else(|_| open(flags | OFlags::PATH));
        let in_target = |folder: OwnedFd| {
            let real = real_path(folder.as_fd())?;
            let is_beneath = real.starts_with(self.real_root.as_ref()?);
            is_beneath.then_some((folder, real))
        };
        let found = plain.ok().and_then(in_target).or_else(|| {
            let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            let from_root = |flags| {
                rustix::fs::openat2(&self.root, path.as_bytes(), flags, Mode::empty(), resolve)
            };
            let found = from_root(flags).or_else(|_| from_root(flags | OFlags::PATH));
            found.ok().and_then(in_target)
        });
        let Some((folder, real)) = found else {
            return Ok(false);
        };
        self.followed.push(Followed {
            path: path.as_bytes().into(),
            folder,
            real,
        });
        Ok(true)
    }

    /// The last followed link on a path.
    fn followed_on(&self, path: &[u8]) -> Option<&Followed> {
        let leads = |followed: &&Followed| {
            path.strip_prefix(&*followed.path)
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        let on_the_way = self.followed.iter().filter(leads);
        on_the_way.max_by_key(|followed| followed.path.len())
    }

    /// True for a link that is followed.
    pub(super) fn follows(&self, path: &[u8]) -> bool {
        self.followed.iter().any(|followed| *followed.path == *path)
    }

    /// The length of the part of a path that is a followed link.
    pub(super) fn start_of(&self, path: &[u8]) -> usize {
        let followed = self.followed_on(path);
        followed.map_or(0, |followed| followed.path.len())
    }

    /// The path of an entry on this machine; `None` when it is unknown.
    pub(super) fn real_path(&self, path: &EntryPath) -> Option<PathBuf> {
        let bytes = path.as_bytes();
        let (real, rest) = match self.followed_on(bytes) {
            Some(followed) => (&followed.real, &bytes[followed.path.len()..]),
            None => (self.real_root.as_ref()?, bytes),
        };
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        let mut real = real.clone();
        if !rest.is_empty() {
            real.push(os_path(rest));
        }
        Some(real)
    }

    /// Records that this folder will have unfinished files.
    pub(super) fn note(&self, folder: &[u8]) {
        if let Some(record) = &mut *lock(&self.record) {
            record.note(folder);
        }
    }

    /// Removes the unfinished files of killed restores, and creates the record of this one. Returns the number of removed files.
    pub(super) fn begin(&self, folders: &[EntryPath]) -> u64 {
        let number = self.next_name.load(Ordering::Relaxed);
        let mut cleared = 0;
        let mut record = None;
        for path in folders {
            let Ok(folder) = self.folder(path.as_bytes()) else {
                continue;
            };
            cleared += record::clear_dead(self, &folder);
            if record.is_none() {
                record = Record::create(folder, path.as_bytes(), number).ok();
            }
        }
        let folds_case = record.as_ref().is_some_and(Record::has_other_case);
        self.folds_case.store(folds_case, Ordering::Relaxed);
        *lock(&self.record) = record;
        cleared
    }

    /// Finds out whether the file system is case-sensitive, from the names in one of these folders and without writing.
    pub(super) fn look_at_case(&self, folders: &[EntryPath]) {
        let mut open = folders
            .iter()
            .filter_map(|path| self.folder(path.as_bytes()).ok());
        let folds_case = open.find_map(|folder| record::folds_case(self, &folder));
        self.folds_case
            .store(folds_case.unwrap_or(false), Ordering::Relaxed);
    }

    /// True when the file system is known to ignore case in names.
    pub(super) fn folds_case(&self) -> bool {
        self.folds_case.load(Ordering::Relaxed)
    }

    /// Removes the record of this restore. No file may be unfinished.
    pub(super) fn end(&self) {
        lock(&self.record).take();
    }

    pub(super) fn opened_up(&self, path: &EntryPath, mode: u32) {
        lock(&self.opened_up).push((path.clone(), mode));
    }

    /// Records that a folder has its final permissions.
    pub(super) fn has_its_mode(&self, path: &EntryPath) {
        let mut opened_up = lock(&self.opened_up);
        if !opened_up.is_empty() {
            opened_up.retain(|(opened, _)| opened != path);
        }
    }

    /// Restores the original permissions of opened folders, the deepest first.
    fn close_up(&self) {
        for (path, mode) in lock(&self.opened_up).drain(..).rev() {
            let place = match path.parent() {
                Some(parent) if !self.follows(path.as_bytes()) => (parent, path.name()),
                _ => (path.as_bytes(), &b"."[..]),
            };
            if let Ok(folder) = self.folder(place.0) {
                // It is too late to report an error.
                Subject::Named(&folder, place.1).set_mode(mode).ok();
            }
        }
    }

    /// Opens the folder at a path, starting from another folder inside the target.
    pub(super) fn folder_from(&self, from: BorrowedFd<'_>, path: &[u8]) -> io::Result<Folder> {
        // Without read permission, open the folder only as a path: that is enough to write below it. Only its default ACL stays unknown.
        let fd = match self.open(from, path, OFlags::RDONLY) {
            Err(Errno::ACCESS) => self.open(from, path, OFlags::PATH)?,
            other => other?,
        };
        let default_acl = rustix::fs::fgetxattr(&fd, "system.posix_acl_default", &mut [0; 1]);
        let inherits_acl = !matches!(default_acl, Err(Errno::NODATA | Errno::OPNOTSUPP));
        Ok(Folder { fd, inherits_acl })
    }

    /// Opens a folder for listing, starting from another folder inside the target.
    pub(super) fn listed_folder(&self, from: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
        Ok(self.open(from, path, OFlags::RDONLY)?)
    }

    /// Opens a subfolder for listing; fails if it is a mount point.
    pub(super) fn folder_on_same_device(
        &self,
        from: BorrowedFd<'_>,
        name: &[u8],
    ) -> io::Result<OwnedFd> {
        let mounted = || io::Error::other("something is mounted there");
        let fd = match self.open_piece(from, name, OFlags::RDONLY, ResolveFlags::NO_XDEV) {
            Err(Errno::XDEV) => return Err(mounted()),
            other => other?,
        };
        if rustix::fs::fstat(&fd)?.st_dev != rustix::fs::fstat(from)?.st_dev {
            return Err(mounted());
        }
        Ok(fd)
    }

    /// True when a subfolder is a mount point.
    pub(super) fn is_mounted(&self, from: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
        let fd = match self.open_piece(from, name, OFlags::PATH, ResolveFlags::NO_XDEV) {
            Err(Errno::XDEV) => return Ok(true),
            other => other?,
        };
        Ok(rustix::fs::fstat(&fd)?.st_dev != rustix::fs::fstat(from)?.st_dev)
    }

    fn open(&self, from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut at: Option<OwnedFd> = None;
        let mut rest = path;
        while rest.len() > PIECE_MAX {
            let end = rest[..PIECE_MAX].iter().rposition(|byte| *byte == b'/');
            let end = end.ok_or(Errno::NAMETOOLONG)?;
            let next = {
                let from = at.as_ref().map_or(from, AsFd::as_fd);
                self.open_piece(from, &rest[..end], OFlags::PATH, ResolveFlags::empty())?
            };
            at = Some(next);
            rest = &rest[end + 1..];
        }
        let from = at.as_ref().map_or(from, AsFd::as_fd);
        let rest = if rest.is_empty() { b"." } else { rest };
        self.open_piece(from, rest, flags, ResolveFlags::empty())
    }

    fn open_piece(
        &self,
        from: BorrowedFd<'_>,
        path: &[u8],
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = resolve
            | ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS;
        let mut attempts = 0;
        while self.has_openat2.load(Ordering::Relaxed) {
            match rustix::fs::openat2(from, path, flags, Mode::empty(), resolve) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if attempts < ATTEMPTS => attempts += 1,
                // An old system without this call, or a sandbox that forbids it.
                Err(Errno::NOSYS | Errno::PERM) => {
                    self.has_openat2.store(false, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        open_by_parts(from, path, flags)
    }

    /// Calls `make` with temporary names until one is free.
    pub(super) fn temporary<T>(
        &self,
        folder: &Arc<Folder>,
        mut make: impl FnMut(&Folder, &[u8]) -> Result<T, Errno>,
    ) -> io::Result<(Temporary, T)> {
        loop {
            let name = temporary_name(self.next_name.fetch_add(1, Ordering::Relaxed));
            match make(folder, &name) {
                Ok(made) => {
                    let folder = Arc::clone(folder);
                    return Ok((
                        Temporary {
                            folder,
                            name,
                            is_pending: true,
                        },
                        made,
                    ));
                }
                Err(Errno::EXIST | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Renames an unfinished entry to its final name. Replaces an existing file, link or empty folder, unless existing entries are kept.
    pub(super) fn publish(&self, folder: &Folder, temporary: &[u8], name: &[u8]) -> io::Result<()> {
        if self.keeps_all() {
            return Ok(publish_if_free(folder, temporary, name)?);
        }
        match rustix::fs::renameat(folder, temporary, folder, name) {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {}
            other => return Ok(other?),
        }
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
        self.removals.fetch_add(1, Ordering::Relaxed);
        Ok(rustix::fs::renameat(folder, temporary, folder, name)?)
    }
}

impl Drop for Beneath {
    fn drop(&mut self) {
        self.close_up();
    }
}

/// Renames an unfinished entry to its final name; `EXIST` when the name is taken.
fn publish_if_free(folder: &Folder, temporary: &[u8], name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::renameat_with(folder, temporary, folder, name, RenameFlags::NOREPLACE) {
        // The system or the file system does not support this flag.
        Err(Errno::INVAL | Errno::NOSYS) => link_if_free(folder, temporary, name),
        other => other,
    }
}

/// The same, with system calls that older systems have.
fn link_if_free(folder: &Folder, temporary: &[u8], name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::linkat(folder, temporary, folder, name, AtFlags::empty()) {
        Ok(()) => return rustix::fs::unlinkat(folder, temporary, AtFlags::empty()),
        Err(Errno::EXIST) => return Err(Errno::EXIST),
        // The file system has no hard links: check the name just before the rename.
        Err(_) => {}
    }
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => rustix::fs::renameat(folder, temporary, folder, name),
        Err(error) => Err(error),
    }
}

/// The path of an open folder, as reported by the system.
fn real_path(folder: BorrowedFd<'_>) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()
}

/// Locks a list. Ignores poisoning, because a thread that panics leaves the list intact.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a folder part by part, with one system call per part.
fn open_by_parts(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let flags = if parts.peek().is_some() {
            on_the_way
        } else {
            flags
        };
        let from = at.as_ref().map_or(from, AsFd::as_fd);
        let next = rustix::fs::openat(from, part, flags, Mode::empty())?;
        at = Some(next);
    }
    at.ok_or(Errno::NOENT)
}

/// The length of [`temporary_name`].
const NAME_LEN: usize = 20;

/// The name of an unfinished entry.
pub(super) type TemporaryName = [u8; NAME_LEN];

fn temporary_name(number: u64) -> TemporaryName {
    let mut name = *b".br-0000000000000000";
    for (at, digit) in name[4..].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15];
    }
    name
}

/// An unfinished entry in a folder. Deleted when it is dropped before it got its final name.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) folder: Arc<Folder>,
    pub(super) name: TemporaryName,
    is_pending: bool,
}

impl Temporary {
    pub(super) fn publish(mut self, beneath: &Beneath, name: &[u8]) -> io::Result<()> {
        beneath.publish(&self.folder, &self.name, name)?;
        self.is_pending = false;
        Ok(())
    }

    /// Gives up ownership: the caller must rename or delete the entry.
    pub(super) fn release(mut self) -> TemporaryName {
        self.is_pending = false;
        self.name
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_pending {
            // It is too late to report an error. The name shows that the file is unfinished.
            rustix::fs::unlinkat(&self.folder, &self.name[..], AtFlags::empty()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_count() {
        assert_eq!(&temporary_name(0), b".br-0000000000000000");
        assert_eq!(
            &temporary_name(0xfedc_ba98_7654_3210),
            b".br-fedcba9876543210"
        );
    }

    #[test]
    fn existing_file_is_not_replaced_by_publish() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for publish in [publish_if_free, link_if_free] {
            for name in ["new", "taken", "made"] {
                std::fs::write(at(name), name).unwrap();
            }
            std::fs::remove_file(at("made")).unwrap();
            let root = std::fs::File::open(dir.path()).unwrap();
            let folder = Beneath::new(root.into(), None).folder(b"").unwrap();
            assert_eq!(publish(&folder, b"new", b"taken"), Err(Errno::EXIST));
            assert_eq!(std::fs::read_to_string(at("taken")).unwrap(), "taken");
            assert_eq!(publish(&folder, b"new", b"made"), Ok(()));
            assert_eq!(std::fs::read_to_string(at("made")).unwrap(), "new");
            assert!(!at("new").exists());
        }
    }

    #[test]
    fn without_openat2_links_are_not_followed_either() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
        let root = std::fs::File::open(folder.path()).unwrap();
        for has_openat2 in [true, false] {
            let beneath = Beneath::new(root.try_clone().unwrap().into(), None);
            beneath.has_openat2.store(has_openat2, Ordering::Relaxed);
            assert!(beneath.folder(b"a/b").is_ok() && beneath.folder(b"").is_ok());
            assert!(beneath.folder(b"link/b").is_err() && beneath.folder(b"link").is_err());
            assert!(beneath.folder(b"a/c").is_err());
        }
    }
}
