//! Folders beneath a target.
//!
//! [`Beneath`] opens them from the target's folder, [`Folder`] is an open one, [`Temporary`] something unfinished in it.
//! Invariant: opening a path beneath the target ends beneath it or fails; a link anywhere on it is a failure.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::shared::OpenFiles;

/// The system takes paths of up to 4,095 bytes.
const PIECE_MAX: usize = 4_000;

/// How often to try once more when folders are moved about at the same time.
const ATTEMPTS: usize = 32;

/// The target's folder and what its cursors share.
#[derive(Debug)]
pub(super) struct Beneath {
    root: OwnedFd,
    next_name: AtomicU64,
    /// Counts removed folders: an open one may be gone from the tree when this changed.
    pub(super) removals: AtomicU64,
    has_openat2: AtomicBool,
    pub(super) open_files: OpenFiles,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    /// What is made in it gets an ACL from it.
    pub(super) inherits_acl: bool,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Beneath {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            next_name: AtomicU64::new(0),
            removals: AtomicU64::new(0),
            has_openat2: AtomicBool::new(true),
            open_files: OpenFiles::default(),
        }
    }

    pub(super) fn seed(&self, seed: u64) {
        self.next_name.store(seed, Ordering::Relaxed);
    }

    /// Opens the folder at a path from the target's folder.
    pub(super) fn folder(&self, path: &[u8]) -> io::Result<Folder> {
        self.folder_from(self.root.as_fd(), path)
    }

    /// Opens the folder at a path from another one beneath the target.
    pub(super) fn folder_from(&self, from: BorrowedFd<'_>, path: &[u8]) -> io::Result<Folder> {
        // Listing a folder takes more rights than writing below it; only its default ACL stays unknown without them.
        let fd = match self.open(from, path, OFlags::RDONLY) {
            Err(Errno::ACCESS) => self.open(from, path, OFlags::PATH)?,
            other => other?,
        };
        let default_acl = rustix::fs::fgetxattr(&fd, "system.posix_acl_default", &mut [0; 1]);
        let inherits_acl = !matches!(default_acl, Err(Errno::NODATA | Errno::OPNOTSUPP));
        Ok(Folder { fd, inherits_acl })
    }

    /// Opens a folder, from another one beneath the target, to read its names.
    pub(super) fn listed_folder(&self, from: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
        Ok(self.open(from, path, OFlags::RDONLY)?)
    }

    /// Opens a folder in another for reading its names, unless something else is mounted there.
    pub(super) fn folder_on_same_device(
        &self,
        from: BorrowedFd<'_>,
        name: &[u8],
    ) -> io::Result<OwnedFd> {
        let mounted = || io::Error::other("something else is mounted there");
        let fd = match self.open_piece(from, name, OFlags::RDONLY, ResolveFlags::NO_XDEV) {
            Err(Errno::XDEV) => return Err(mounted()),
            other => other?,
        };
        if rustix::fs::fstat(&fd)?.st_dev != rustix::fs::fstat(from)?.st_dev {
            return Err(mounted());
        }
        Ok(fd)
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
                // An old system, or one that lets programs use only the calls it knows.
                Err(Errno::NOSYS | Errno::PERM) => {
                    self.has_openat2.store(false, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        open_by_parts(from, path, flags)
    }

    /// Makes something under a name that is still free.
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

    /// Gives something unfinished its name, and takes that from a file, a link or an empty folder.
    pub(super) fn publish(&self, folder: &Folder, temporary: &[u8], name: &[u8]) -> io::Result<()> {
        match rustix::fs::renameat(folder, temporary, folder, name) {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {}
            other => return Ok(other?),
        }
        rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
        self.removals.fetch_add(1, Ordering::Relaxed);
        Ok(rustix::fs::renameat(folder, temporary, folder, name)?)
    }
}

/// Opens a folder part by part, which takes one call for each.
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

/// The name of something unfinished.
pub(super) type TemporaryName = [u8; NAME_LEN];

fn temporary_name(number: u64) -> TemporaryName {
    let mut name = *b".br-0000000000000000";
    for (at, digit) in name[4..].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15];
    }
    name
}

/// Something unfinished in a folder, deleted when dropped before it got its name.
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

    /// Leaves it to others to give it a name or to delete it.
    pub(super) fn release(mut self) -> TemporaryName {
        self.is_pending = false;
        self.name
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_pending {
            // Nobody is left to be told; what stays behind has a name that shows what it is.
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
    fn without_openat2_links_are_no_way_either() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
        let root = std::fs::File::open(folder.path()).unwrap();
        for has_openat2 in [true, false] {
            let beneath = Beneath::new(root.try_clone().unwrap().into());
            beneath.has_openat2.store(has_openat2, Ordering::Relaxed);
            assert!(beneath.folder(b"a/b").is_ok() && beneath.folder(b"").is_ok());
            assert!(beneath.folder(b"link/b").is_err() && beneath.folder(b"link").is_err());
            assert!(beneath.folder(b"a/c").is_err());
        }
    }
}
