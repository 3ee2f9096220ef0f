//! Records of running restores, and removal of the files of killed ones.
//!
//! A [`Record`] is a file that lists the folders in which a restore has unfinished files; [`clear_dead`] removes the files of killed
//! restores. Invariant: a running restore holds a lock on its record, and a file is removed only if it has the digits of a record without
//! a lock.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT,
};

use super::file::write_all;
use super::folders::{Beneath, Folder};
use super::remove;
use crate::model::EntryPath;

/// Names of records: `.br-01234567-restore`. Unfinished files have names of the same length that start with the same twelve bytes.
const PREFIX: &[u8] = b".br-";
const SUFFIX: &[u8] = b"-restore";
const DIGITS: usize = 8;

/// Maximum bytes that are read from a record.
const MAX_LEN: u64 = 256 << 20;

/// Maximum number of recorded folders that are remembered. A folder that was forgotten is recorded twice.
const REMEMBERED: usize = 65_536;

/// The record of a running restore.
#[derive(Debug)]
pub(super) struct Record {
    folder: Folder,
    /// The folder's path, and its modification time before the record was created in it.
    path: Box<[u8]>,
    modified: Timespec,
    name: Vec<u8>,
    file: OwnedFd,
    len: u64,
    noted: HashSet<Box<[u8]>>,
    holds_files: bool,
}

impl Record {
    /// Creates the record of the restore whose unfinished files have names with this number.
    pub(super) fn create(folder: Folder, path: &[u8], number: u64) -> io::Result<Self> {
        let digits = format!("{:08x}", number >> 32);
        let name = [PREFIX, digits.as_bytes(), SUFFIX].concat();
        let stat = rustix::fs::fstat(&folder)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &*name, flags, Mode::RUSR | Mode::WUSR)?;
        let record = Self {
            folder,
            path: path.into(),
            modified: Timespec {
                tv_sec: stat.st_mtime,
                tv_nsec: stat.st_mtime_nsec as _,
            },
            name,
            file,
            len: 0,
            noted: HashSet::new(),
            holds_files: false,
        };
        rustix::fs::flock(&record.file, FlockOperation::NonBlockingLockExclusive)?;
        // Between these two calls, another process may have found the record without a lock and deleted it.
        match rustix::fs::fstat(&record.file)?.st_nlink {
            0 => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(record),
        }
    }

    /// True when the record is also found under its name in another case: the file system ignores case.
    pub(super) fn has_other_case(&self) -> bool {
        let id = rustix::fs::fstat(&self.file).map(|stat| (stat.st_dev, stat.st_ino));
        has_other_case(&self.folder, &self.name, id.ok())
    }

    /// Records a folder before an unfinished file is created in it.
    pub(super) fn note(&mut self, folder: &[u8]) {
        self.holds_files |= *folder == *self.path;
        if self.noted.contains(folder) {
            return;
        }
        if self.noted.len() == REMEMBERED {
            self.noted.clear();
        }
        self.noted.insert(folder.into());
        let line = [folder, b"\0"].concat();
        // Ignore a full disk: little unfinished data can be left behind there.
        if write_all(self.file.as_fd(), self.len, &line).is_ok() {
            self.len += line.len() as u64;
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        rustix::fs::unlinkat(&self.folder, &*self.name, AtFlags::empty()).ok();
        if !self.holds_files {
            set_modified(&self.folder, self.modified);
        }
    }
}

/// True when the inode `id` is also found under the name in another case.
pub(super) fn has_other_case(folder: &Folder, name: &[u8], id: Option<(u64, u64)>) -> bool {
    let other = swap_case(name);
    let stat = rustix::fs::statat(folder, &*other, AtFlags::SYMLINK_NOFOLLOW);
    let found = stat.ok().map(|stat| (stat.st_dev, stat.st_ino));
    other != name && found.is_some() && found == id
}

/// A name with upper and lower case swapped.
fn swap_case(name: &[u8]) -> Vec<u8> {
    let swap = |byte: &u8| {
        if byte.is_ascii_lowercase() {
            byte.to_ascii_uppercase()
        } else {
            byte.to_ascii_lowercase()
        }
    };
    name.iter().map(swap).collect()
}

/// True when a name in the folder is also found in another case, and that spelling is not itself a name in the folder.
pub(super) fn folds_case(beneath: &Beneath, folder: &Folder) -> Option<bool> {
    let listed = beneath.listed_folder(folder.as_fd(), b".").ok()?;
    let names = remove::list(listed.as_fd()).ok()?;
    let is_useful = |name: &&Vec<u8>| {
        let other = swap_case(name);
        other != **name && names.binary_search(&other).is_err()
    };
    let name = names.iter().find(is_useful)?;
    let stat = rustix::fs::statat(folder, &**name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(has_other_case(
        folder,
        name,
        Some((stat.st_dev, stat.st_ino)),
    ))
}

/// Restores the folder's modification time if only the record was created and deleted in it.
fn set_modified(folder: &Folder, modified: Timespec) {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: modified,
    };
    rustix::fs::utimensat(folder, ".", &times, AtFlags::empty()).ok();
}

/// Removes the unfinished files of killed restores that have their record in this folder, and these records. Returns the number of removed
/// files.
pub(super) fn clear_dead(beneath: &Beneath, folder: &Folder) -> u64 {
    let names = beneath.listed_folder(folder.as_fd(), b".");
    let Ok(names) = names.and_then(|listed| remove::list(listed.as_fd())) else {
        return 0;
    };
    let mut cleared = 0;
    for name in names {
        if let Some(digits) = digits_of(&name) {
            cleared += clear(beneath, folder, &name, digits).unwrap_or(0);
        }
    }
    cleared
}

/// The digits in the name of a record.
fn digits_of(name: &[u8]) -> Option<&[u8]> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    (digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit)).then_some(digits)
}

/// Removes the files of one restore if it was killed.
fn clear(beneath: &Beneath, folder: &Folder, name: &[u8], digits: &[u8]) -> io::Result<u64> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == rustix::process::geteuid().as_raw();
    if !is_ours {
        return Ok(0);
    }
    // Fails if the restore is running, because it holds the lock.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let len = u64::try_from(stat.st_size).unwrap_or(0).min(MAX_LEN);
    let mut noted = vec![0; len as usize];
    let mut read = 0;
    while read < noted.len() {
        match rustix::io::pread(&file, &mut noted[read..], read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    noted.truncate(read);
    let (mut cleared, mut is_done) = (0, true);
    let mut folders: Vec<_> = noted.split(|byte| *byte == 0).collect();
    folders.pop();
    folders.sort_unstable();
    folders.dedup();
    for path in folders {
        match EntryPath::new(path)
            .map_err(io::Error::other)
            .and_then(|path| clear_folder(beneath, &path, digits))
        {
            Ok(removed) => cleared += removed,
            Err(error) => is_done &= error.kind() == io::ErrorKind::NotFound,
        }
    }
    if is_done {
        rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
    }
    Ok(cleared)
}

/// Removes the unfinished files with these digits from one folder.
fn clear_folder(beneath: &Beneath, path: &EntryPath, digits: &[u8]) -> io::Result<u64> {
    let folder = beneath.folder(path.as_bytes())?;
    let start = [PREFIX, digits].concat();
    let listed = beneath.listed_folder(folder.as_fd(), b".")?;
    let mut removed = 0;
    for name in remove::list(listed.as_fd())? {
        let is_unfinished = name
            .strip_prefix(&*start)
            .is_some_and(|rest| rest.len() == DIGITS && rest.iter().all(u8::is_ascii_hexdigit));
        if is_unfinished && rustix::fs::unlinkat(&folder, &*name, AtFlags::empty()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_under_two_spellings_shows_that_target_ignores_case() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let beneath = Beneath::new(root.into(), None);
        let folder = beneath.folder(b"").unwrap();
        assert_eq!(folds_case(&beneath, &folder), None, "an empty folder");
        std::fs::write(dir.path().join(".br-0aF"), "").unwrap();
        let stat = rustix::fs::statat(&folder, ".br-0aF", AtFlags::empty()).unwrap();
        let id = Some((stat.st_dev, stat.st_ino));
        assert_eq!(folds_case(&beneath, &folder), Some(false));
        assert!(!has_other_case(&folder, b".br-0aF", id));
        // A second name of the file simulates a file system that ignores case.
        std::fs::hard_link(dir.path().join(".br-0aF"), dir.path().join(".BR-0Af")).unwrap();
        assert!(has_other_case(&folder, b".br-0aF", id));
        assert!(!has_other_case(&folder, b"123", id), "no letters");
    }

    #[test]
    fn names_of_records() {
        assert_eq!(digits_of(b".br-0123abcd-restore").unwrap(), b"0123abcd");
        for other in [
            ".br-0123abcd-restored",
            ".br-0123abc-restore",
            ".br-0123456789abcdef",
        ] {
            assert_eq!(digits_of(other.as_bytes()), None, "{other}");
        }
    }
}
