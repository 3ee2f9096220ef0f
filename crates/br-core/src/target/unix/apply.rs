//! Setting metadata.
//!
//! [`Subject`] is the file whose metadata is set. Invariant: owner first, then attributes, then permissions, then times. A change of owner
//! clears set-user-ID bits and an ACL changes permissions, so only this order gives the stored permissions.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::fs::{FileType, XattrFlags};
use rustix::io::Errno;

use super::folders::Folder;
use crate::model::{Entry, EntryKind};
use crate::target::{MetadataOptions, MetadataWarning, Refused};

/// Maximum length of a list of attribute names on Linux.
const NAMES_MAX: usize = 64 * 1024;

/// The file whose metadata is set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// An open file or folder.
    Open(BorrowedFd<'a>),
    /// An entry that cannot be opened: a link, a device, or a file without read permission.
    Named(&'a Folder, &'a [u8]),
}

/// Which attributes may exist on the file although the entry does not have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surplus {
    /// None: the file is new.
    None,
    /// An ACL: the file is new and inherited it from its folder.
    Acl,
    /// Any attribute.
    Any,
}

impl Surplus {
    /// The surplus of a new file in this folder.
    pub(super) fn in_new(folder: &Folder) -> Self {
        if folder.inherits_acl {
            Self::Acl
        } else {
            Self::None
        }
    }
}

/// File capabilities: let a program run with rights that its user does not have.
const CAPABILITY: &[u8] = b"security.capability";

/// Sets all metadata of an entry. Metadata that cannot be set becomes a warning, because missing metadata must not fail the file itself.
pub(super) fn apply(
    subject: Subject<'_>,
    entry: &Entry,
    options: &MetadataOptions,
    surplus: Surplus,
) -> io::Result<Vec<MetadataWarning>> {
    let mut warnings = Vec::new();
    if options.owner {
        note(
            subject.set_owner(entry),
            entry,
            Refused::Owner,
            &mut warnings,
        );
    }
    let rights = Rights::of(subject, entry, options)?;
    remove_surplus(subject, entry, surplus)?;
    for xattr in &entry.xattrs {
        if options.skips_attribute(&xattr.name) {
            continue;
        }
        let result = if rights.capability || xattr.name != CAPABILITY {
            subject.set_attribute(&xattr.name, &xattr.value)
        } else {
            Err(Errno::PERM)
        };
        let refused = Refused::Attribute(xattr.name.clone());
        note(result, entry, refused, &mut warnings);
    }
    if !matches!(entry.kind, EntryKind::Symlink(_)) {
        let mode = entry.mode & 0o7777 & !rights.refused_bits;
        note(subject.set_mode(mode), entry, Refused::Mode, &mut warnings);
        if options.set_id && rights.refused_bits != 0 {
            warnings.push(MetadataWarning {
                path: entry.path.clone(),
                refused: Refused::SetId,
                source: io::Error::other("it has another owner than in the backup"),
                is_failure: false,
            });
        }
    }
    note(
        subject.set_times(entry),
        entry,
        Refused::Times,
        &mut warnings,
    );
    Ok(warnings)
}

/// Which of the entry's privileges may be set: the bits and capabilities that give rights to every user who runs the file.
struct Rights {
    /// Permission bits that are not set.
    refused_bits: u32,
    /// Whether it may have file capabilities.
    capability: bool,
}

impl Rights {
    /// Refuses privileges if the file's owner differs from the entry's: they would grant the rights of the wrong user.
    fn of(subject: Subject<'_>, entry: &Entry, options: &MetadataOptions) -> io::Result<Self> {
        let bits = entry.mode & 0o6000;
        let has_capability = entry.xattrs.iter().any(|xattr| xattr.name == CAPABILITY);
        let mut refused_bits = if options.set_id { 0 } else { bits };
        let mut capability = true;
        if bits != 0 || has_capability {
            let (uid, gid) = subject.owner()?;
            if uid != entry.owner.uid {
                refused_bits |= bits & 0o4000;
                capability = false;
            }
            if gid != entry.owner.gid {
                refused_bits |= bits & 0o2000;
                capability = false;
            }
        }
        Ok(Self {
            refused_bits,
            capability,
        })
    }
}

/// Turns an error into a warning.
fn note(
    result: Result<(), Errno>,
    entry: &Entry,
    refused: Refused,
    warnings: &mut Vec<MetadataWarning>,
) {
    let Err(error) = result else { return };
    let is_refusal = match error {
        Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS => true,
        // An id that this container does not map, or a value that this system does not support.
        Errno::INVAL => refused != Refused::Mode,
        // Attributes have separate permissions and limited space.
        Errno::ACCESS | Errno::NOSPC | Errno::TOOBIG | Errno::RANGE | Errno::DQUOT => {
            matches!(refused, Refused::Attribute(_))
        }
        _ => false,
    };
    warnings.push(MetadataWarning {
        path: entry.path.clone(),
        refused,
        source: error.into(),
        is_failure: !is_refusal,
    });
}

/// Removes attributes that the entry does not have, of the kinds that every user may set.
fn remove_surplus(subject: Subject<'_>, entry: &Entry, surplus: Surplus) -> io::Result<()> {
    let names = match surplus {
        Surplus::None => return Ok(()),
        Surplus::Acl => b"system.posix_acl_access\0system.posix_acl_default".to_vec(),
        Surplus::Any => match subject.attribute_names() {
            Ok(names) => names,
            // Surplus attributes are no reason to fail the entry.
            Err(_) => return Ok(()),
        },
    };
    for name in names.split(|byte| *byte == 0) {
        if !is_ours(name) || entry.xattrs.iter().any(|xattr| xattr.name == name) {
            continue;
        }
        match subject.remove_attribute(name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::ACCESS | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// True for attributes of the kinds that every user may set: a restore removes them if the entry does not have them.
fn is_ours(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")
}

/// True when the existing file has other attributes than the entry, of the kinds that a restore sets and removes. Needs one system call
/// when the file has none and the entry has none.
pub(super) fn attributes_differ(
    subject: Subject<'_>,
    entry: &Entry,
    options: &MetadataOptions,
) -> bool {
    // If attributes cannot be listed, they cannot be set either.
    let Ok(names) = subject.attribute_names() else {
        return false;
    };
    let names: Vec<_> = names
        .split(|byte| *byte == 0)
        .filter(|name| is_ours(name))
        .collect();
    let wanted = |name: &[u8]| entry.xattrs.iter().any(|xattr| xattr.name == name);
    if names.iter().any(|name| !wanted(name)) {
        return true;
    }
    let mut compared = entry
        .xattrs
        .iter()
        .filter(|xattr| is_ours(&xattr.name) && !options.skips_attribute(&xattr.name));
    compared.any(|xattr| {
        !names.contains(&xattr.name.as_slice()) || !subject.has_attribute(&xattr.name, &xattr.value)
    })
}

/// Removes the ACL that a new folder inherited: it may deny access even to the folder's owner, and new entries would inherit it.
pub(super) fn drop_acl(folder: &Folder, name: &[u8]) -> io::Result<()> {
    let subject = Subject::Named(folder, name);
    for acl in ["system.posix_acl_default", "system.posix_acl_access"] {
        // An ACL that cannot be removed now is removed when the folder's metadata is set.
        subject.remove_attribute(acl.as_bytes()).ok();
    }
    match subject.set_mode(0o700) {
        Ok(()) | Err(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Subject<'_> {
    fn set_owner(self, entry: &Entry) -> Result<(), Errno> {
        // To the system, the highest number means "leave unchanged"; no file can have it as its owner.
        let uid = (entry.owner.uid != u32::MAX).then(|| Uid::from_raw(entry.owner.uid));
        let gid = (entry.owner.gid != u32::MAX).then(|| Gid::from_raw(entry.owner.gid));
        match self {
            Self::Open(fd) => rustix::fs::fchown(fd, uid, gid),
            Self::Named(folder, name) => {
                rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    /// The current user and group.
    fn owner(self) -> Result<(u32, u32), Errno> {
        let stat = match self {
            Self::Open(fd) => rustix::fs::fstat(fd)?,
            Self::Named(folder, name) => {
                rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?
            }
        };
        Ok((stat.st_uid, stat.st_gid))
    }

    pub(super) fn set_mode(self, mode: u32) -> Result<(), Errno> {
        let wanted = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => rustix::fs::fchmod(fd, wanted),
            Self::Named(folder, name) => {
                // A file that is not open and must not be followed can only be changed through `/proc`.
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(folder, name, flags, Mode::empty())?;
                let stat = rustix::fs::fstat(&fd)?;
                if stat.st_mode & 0o7777 == mode {
                    return Ok(());
                }
                if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                    return Err(Errno::LOOP);
                }
                let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
                match rustix::fs::chmodat(CWD, path, wanted, AtFlags::empty()) {
                    Err(Errno::NOENT) => Err(Errno::NOSYS),
                    other => other,
                }
            }
        }
    }

    fn set_times(self, entry: &Entry) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: entry.mtime.secs,
                tv_nsec: entry.mtime.nanos.into(),
            },
        };
        match self {
            Self::Open(fd) => rustix::fs::futimens(fd, &times),
            Self::Named(folder, name) => {
                rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn set_attribute(self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        let flags = XattrFlags::empty();
        match self {
            Self::Open(fd) => rustix::fs::fsetxattr(fd, name, value, flags),
            Self::Named(folder, file) => {
                rustix::fs::lsetxattr(path(folder, file), name, value, flags)
            }
        }
    }

    /// True when an attribute has this value; false when it cannot be read.
    fn has_attribute(self, name: &[u8], value: &[u8]) -> bool {
        // Read one byte more, to detect a longer value.
        let mut found = vec![0; value.len() + 1];
        let read = match self {
            Self::Open(fd) => rustix::fs::fgetxattr(fd, name, &mut found[..]),
            Self::Named(folder, file) => {
                rustix::fs::lgetxattr(path(folder, file), name, &mut found[..])
            }
        };
        read.is_ok_and(|len| found[..len] == *value)
    }

    fn remove_attribute(self, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => rustix::fs::fremovexattr(fd, name),
            Self::Named(folder, file) => rustix::fs::lremovexattr(path(folder, file), name),
        }
    }

    fn attribute_names(self) -> Result<Vec<u8>, Errno> {
        let list = |buffer: &mut [u8]| match self {
            Self::Open(fd) => rustix::fs::flistxattr(fd, buffer),
            Self::Named(folder, file) => rustix::fs::llistxattr(path(folder, file), buffer),
        };
        let mut small = [0; 512];
        match list(&mut small) {
            Ok(len) => return Ok(small[..len].to_vec()),
            Err(Errno::RANGE) => {}
            // `/proc` is not mounted: the names cannot be listed.
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let mut large = vec![0; NAMES_MAX];
        let len = list(&mut large)?;
        large.truncate(len);
        Ok(large)
    }
}

/// A path to a name in an open folder, for system calls that only accept paths.
fn path(folder: &Folder, name: &[u8]) -> Vec<u8> {
    let folder = format!("/proc/self/fd/{}/", folder.as_fd().as_raw_fd());
    [folder.as_bytes(), name].concat()
}
