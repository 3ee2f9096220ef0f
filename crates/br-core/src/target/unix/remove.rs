//! Listing and deleting.
//!
//! [`remove_tree`] deletes an entry and everything below it. Invariant: links are deleted, not followed, and mounted file systems are left
//! unchanged.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::vec;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::folders::{Beneath, Folder};

/// Maximum number of folders that stay open while their contents are deleted.
const MAX_OPEN: usize = 64;

/// Buffer size for one system call that lists a folder.
const LISTING_SIZE: usize = 32 * 1024;

/// The names in a folder, sorted.
pub(super) fn list(folder: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut buffer: Box<[MaybeUninit<u8>]> = Box::new_uninit_slice(LISTING_SIZE);
    let mut listing = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(item) = listing.next() {
        let item = item?;
        let name = item.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A folder whose contents are being deleted.
struct Level {
    fd: Option<OwnedFd>,
    name: Vec<u8>,
    remaining: vec::IntoIter<Vec<u8>>,
}

/// Deletes an entry, if it exists. An error says how many entries are already deleted.
pub(super) fn remove_tree(beneath: &Beneath, folder: &Folder, name: &[u8]) -> io::Result<()> {
    let mut deleted = 0;
    let removed = remove_counted(beneath, folder, name, &mut deleted);
    removed.map_err(|error| match deleted {
        0 => error,
        1 => partly(&error, "1 of the entries in it is deleted already"),
        _ => partly(
            &error,
            &format!("{deleted} of the entries in it are deleted already"),
        ),
    })
}

fn partly(error: &io::Error, words: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{error}; {words}"))
}

/// Deletes a tree from the bottom up, and counts the deleted entries in `deleted`.
fn remove_counted(
    beneath: &Beneath,
    folder: &Folder,
    name: &[u8],
    deleted: &mut u64,
) -> io::Result<()> {
    let mut levels: Vec<Level> = Vec::new();
    let mut next = Some(name.to_vec());
    loop {
        let from = deepest(beneath, folder, &mut levels)?;
        if let Some(name) = next.take() {
            if unlink(from, &name)? {
                *deleted += 1;
            } else {
                open_up(from, &name);
                let fd = beneath.folder_on_same_device(from, &name)?;
                let remaining = list(fd.as_fd())?.into_iter();
                levels.push(Level {
                    fd: Some(fd),
                    name,
                    remaining,
                });
                if let Some(upper) = levels.len().checked_sub(MAX_OPEN + 1) {
                    levels[upper].fd = None;
                }
            }
        } else {
            let Some(level) = levels.pop() else {
                return Ok(());
            };
            let from = deepest(beneath, folder, &mut levels)?;
            match rustix::fs::unlinkat(from, &level.name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => *deleted += 1,
                Err(error) => return Err(error.into()),
            }
        }
        next = levels.last_mut().and_then(|level| level.remaining.next());
        if next.is_none() && levels.is_empty() {
            return Ok(());
        }
    }
}

/// Gives the owner the rights needed to empty a folder that is about to be deleted. A failure shows when deleting.
fn open_up(from: BorrowedFd<'_>, name: &[u8]) {
    let me = rustix::process::geteuid();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if me.is_root() {
        return;
    }
    let Ok(folder) = rustix::fs::openat(from, name, flags, Mode::empty()) else {
        return;
    };
    let Ok(stat) = rustix::fs::fstat(&folder) else {
        return;
    };
    let mode = stat.st_mode & 0o7777;
    if stat.st_uid == me.as_raw() && mode & 0o700 != 0o700 {
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let mode = Mode::from_raw_mode(mode | 0o700);
        rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()).ok();
    }
}

/// Deletes an entry that is not a folder. Returns false for a folder.
fn unlink(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The folder of the deepest level, opened again from the top if it was closed.
fn deepest<'a>(
    beneath: &Beneath,
    folder: &'a Folder,
    levels: &'a mut [Level],
) -> io::Result<BorrowedFd<'a>> {
    let Some((last, upper)) = levels.split_last_mut() else {
        return Ok(folder.as_fd());
    };
    if last.fd.is_none() {
        let names: Vec<_> = upper.iter().map(|level| level.name.as_slice()).collect();
        let path = names
            .into_iter()
            .chain([last.name.as_slice()])
            .collect::<Vec<_>>();
        last.fd = Some(beneath.listed_folder(folder.as_fd(), &path.join(&b'/'))?);
    }
    Ok(last.fd.as_ref().map_or(folder.as_fd(), AsFd::as_fd))
}
