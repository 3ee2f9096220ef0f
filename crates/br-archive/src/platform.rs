//! Functions that differ between operating systems.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use cap_std::fs::OpenOptionsExt as _;

use crate::writer::Attributes;

/// Opens a file for reading. Does not follow a link as the last part of the path, and does not wait for the other end of a pipe.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = flags.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Creates a file that only its owner can read, because a bundle may contain secrets.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Creates a file with these permission bits in a folder.
pub(crate) fn create_in(folder: &cap_std::fs::Dir, name: &Path, mode: u32) -> io::Result<File> {
    let mut options = cap_std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode);
    folder
        .open_with(name, &options)
        .map(cap_std::fs::File::into_std)
}

/// The device and inode of a file, which all its names share.
pub(crate) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The metadata for a tar header.
pub(crate) fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: metadata.mode() & 0o7777,
        mtime: u64::try_from(metadata.mtime()).unwrap_or(0),
        uid: metadata.uid().into(),
        gid: metadata.gid().into(),
    }
}

/// Syncs the names in a folder to disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)?.sync_all()
}

/// Syncs the names in an open folder to disk.
pub(crate) fn sync_cap_dir(dir: &cap_std::fs::Dir) -> io::Result<()> {
    Ok(rustix::fs::fsync(readable(dir)?)?)
}

/// Syncs the folder's whole file system to disk: one call for any number of files.
pub(crate) fn sync_file_system(dir: &cap_std::fs::Dir) -> io::Result<()> {
    Ok(rustix::fs::syncfs(readable(dir)?)?)
}

/// Opens the folder again for reading: a capability folder is open for lookups only, and cannot be synced.
fn readable(dir: &cap_std::fs::Dir) -> io::Result<cap_std::fs::File> {
    dir.open(".")
}

/// The name of a file type that is neither a file nor a folder.
pub(crate) fn kind_of(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match kind {
        kind if kind.is_symlink() => "symbolic links",
        kind if kind.is_fifo() => "named pipes",
        kind if kind.is_socket() => "sockets",
        _ => "devices",
    }
}
