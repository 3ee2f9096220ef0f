//! The folder with the objects, held by an open descriptor.
//!
//! [`Root`] opens the folder once and reaches everything in it from that descriptor with the `*at` calls of
//! Unix. Invariant: if the folder is renamed, unmounted or replaced, nothing is written to the folder that
//! its path leads to afterwards.

use std::{
    ffi::{CStr, OsString},
    fs::{File, Metadata},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid};

/// The mode of folders, unless the root is shared with its group.
const PRIVATE_FOLDER: u32 = 0o700;
/// The mode of files.
const PRIVATE_FILE: u32 = 0o600;
/// New files in a folder with this bit get its group.
const SET_GID: u32 = 0o2000;
/// The group's bits in a shared folder.
const GROUP_WRITES: u32 = 0o070;

/// An open folder and its contents. Names are relative to it.
#[derive(Debug)]
pub(super) struct Root {
    folder: File,
    /// Where the folder was when it was opened.
    path: PathBuf,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder: File = rustix::fs::openat(CWD, &path, flags, Mode::empty())?.into();
        Ok(Self { folder, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the path no longer leads to the open folder.
    pub(super) fn check_place(&self) -> io::Result<()> {
        let open = self.folder.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (open.dev(), open.ino()) => Ok(()),
            Err(error) if !is_absent(&error) => Err(error),
            _ => Err(io::Error::new(
                io::ErrorKind::StaleNetworkFileHandle,
                "the folder was renamed, replaced or unmounted since this run opened it",
            )),
        }
    }

    /// Fails if the folder was removed, because a removed folder is not an empty storage.
    pub(super) fn check_exists(&self) -> io::Result<()> {
        match self.folder.metadata()?.nlink() {
            0 => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the folder was removed",
            )),
            _ => Ok(()),
        }
    }

    /// Returns whether the folder belongs to this user or is shared with its group.
    pub(super) fn is_own(&self) -> io::Result<bool> {
        let owner = self.folder.metadata()?.uid();
        Ok(owner == rustix::process::geteuid().as_raw() || self.group_bits()? != 0)
    }

    /// Opens a file for reading. Any other kind of file is an error. For a FIFO, the call does not wait for a
    /// writer.
    pub(super) fn open_file(&self, name: &str) -> io::Result<(File, Metadata)> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name, flags, Mode::empty());
        let file: File = file
            .map_err(|error| match error {
                // The error for a socket.
                rustix::io::Errno::NXIO => not_a_file(),
                error => error.into(),
            })?
            .into();
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !metadata.is_file() {
            return Err(not_a_file());
        }
        Ok((file, metadata))
    }

    /// Makes a new file.
    pub(super) fn create_file(&self, name: &str) -> io::Result<File> {
        let mode = PRIVATE_FILE | (self.group_bits()? & 0o060);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name, flags, Mode::from_raw_mode(mode))?;
        set_mode(self.hand_over(file.into())?, mode)
    }

    /// Makes a folder. An existing one stays unchanged. The folder above must exist.
    pub(super) fn create_folder(&self, name: &str) -> io::Result<()> {
        let group = self.group_bits()?;
        let mode = PRIVATE_FOLDER | group;
        let mode = if group == 0 { mode } else { mode | SET_GID };
        match rustix::fs::mkdirat(&self.folder, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let made = self.hand_over(self.open_folder(name)?.into())?;
                set_mode(made, mode).map(drop)
            }
            Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file that root made in another user's folder to that user, who could not read it otherwise.
    fn hand_over(&self, made: File) -> io::Result<File> {
        if !rustix::process::geteuid().is_root() {
            return Ok(made);
        }
        let folder = self.folder.metadata()?;
        if folder.uid() != 0 && made.metadata()?.uid() == 0 {
            let owner = (Uid::from_raw(folder.uid()), Gid::from_raw(folder.gid()));
            // Some file systems have no owners; then the file stays unchanged.
            let _ = rustix::fs::fchown(&made, Some(owner.0), Some(owner.1));
        }
        Ok(made)
    }

    /// The group's bits for new files: none, unless the root has the set-gid bit and the group may write to
    /// it.
    fn group_bits(&self) -> io::Result<u32> {
        let mode = self.folder.metadata()?.mode();
        let is_shared = mode & SET_GID != 0 && mode & GROUP_WRITES == GROUP_WRITES;
        Ok(if is_shared { mode & GROUP_WRITES } else { 0 })
    }

    /// Returns whether a name leads to an open file.
    pub(super) fn is_file(&self, name: &str, file: &File) -> io::Result<bool> {
        let open = rustix::fs::fstat(file)?;
        match rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((there.st_dev, there.st_ino) == (open.st_dev, open.st_ino)),
            Err(error) if is_absent(&error.into()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file a second name. Fails if that name is taken.
    pub(super) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let there = &self.folder;
        Ok(rustix::fs::linkat(
            there,
            from,
            there,
            to,
            AtFlags::empty(),
        )?)
    }

    /// Renames a file and replaces a file that has the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, from, &self.folder, to)?)
    }

    pub(super) fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, name, AtFlags::empty())?)
    }

    pub(super) fn remove_folder(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.folder,
            name,
            AtFlags::REMOVEDIR,
        )?)
    }

    fn open_folder(&self, name: &str) -> io::Result<OwnedFd> {
        let name = if name.is_empty() { "." } else { name };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(
            &self.folder,
            name,
            flags,
            Mode::empty(),
        )?)
    }

    /// Flushes the names in a folder; the empty name is the root.
    pub(super) fn sync_folder(&self, name: &str) -> io::Result<()> {
        File::from(self.open_folder(name)?).sync_all()
    }

    /// Calls back for each name in a folder.
    pub(super) fn read_folder(
        &self,
        name: &str,
        visit: &mut dyn FnMut(FolderItem<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let folder = self.open_folder(name)?;
        for item in Dir::read_from(&folder)? {
            let item = item?;
            let name = item.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            visit(FolderItem {
                folder: &folder,
                name,
                kind: item.file_type(),
            })?;
        }
        Ok(())
    }
}

/// A name in a folder. It may be a dangling link, and its file may be deleted at any time.
pub(super) struct FolderItem<'a> {
    folder: &'a OwnedFd,
    name: &'a CStr,
    /// The type that the folder knows: a link, or unknown on some file systems.
    kind: FileType,
}

impl FolderItem<'_> {
    pub(super) fn name(&self) -> OsString {
        OsString::from_vec(self.name.to_bytes().to_vec())
    }

    /// Returns the type of the file. Reads its metadata only if the folder does not know the type.
    pub(super) fn kind(&self) -> io::Result<Option<FileType>> {
        match self.kind {
            FileType::Unknown | FileType::Symlink => Ok(self
                .stat()?
                .map(|stat| FileType::from_raw_mode(stat.st_mode))),
            kind => Ok(Some(kind)),
        }
    }

    /// Returns the metadata of the file; `None` if there is none. Follows links, so that folders may be on other disks.
    pub(super) fn stat(&self) -> io::Result<Option<rustix::fs::Stat>> {
        stat(self.folder, self.name)
    }
}

fn stat(folder: &OwnedFd, name: &CStr) -> io::Result<Option<rustix::fs::Stat>> {
    match rustix::fs::statat(folder.as_fd(), name, AtFlags::empty()) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if is_absent(&error.into()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sets the mode if the umask changed it.
fn set_mode(made: File, mode: u32) -> io::Result<File> {
    if made.metadata()?.mode() & 0o7777 != mode {
        rustix::fs::fchmod(&made, Mode::from_raw_mode(mode))?;
    }
    Ok(made)
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file")
}

/// Returns whether an error means that no file has the name.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
