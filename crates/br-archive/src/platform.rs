//! All that differs between operating systems.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use cap_std::fs::OpenOptionsExt as _;

use crate::writer::Attributes;

/// Opens a file to read it, without following a link in its last place and without waiting for a pipe's other end.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = flags.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Makes a file that only its owner can read: a bundle may hold secrets.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a file with these permission bits in a folder.
pub(crate) fn create_in(folder: &cap_std::fs::Dir, name: &Path, mode: u32) -> io::Result<File> {
    let mut options = cap_std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode);
    folder
        .open_with(name, &options)
        .map(cap_std::fs::File::into_std)
}

/// What two names of one file have in common.
pub(crate) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// What a tar header keeps.
pub(crate) fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: metadata.mode() & 0o7777,
        mtime: u64::try_from(metadata.mtime()).unwrap_or(0),
        uid: metadata.uid().into(),
        gid: metadata.gid().into(),
    }
}

/// Makes sure that a folder's names are on disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)?.sync_all()
}

/// The same for an open folder.
pub(crate) fn sync_cap_dir(dir: &cap_std::fs::Dir) -> io::Result<()> {
    Ok(rustix::fs::fsync(readable(dir)?)?)
}

/// Makes sure that all that was written to the folder's file system is on disk: one call for any number of files.
pub(crate) fn sync_file_system(dir: &cap_std::fs::Dir) -> io::Result<()> {
    Ok(rustix::fs::syncfs(readable(dir)?)?)
}

/// The folder once more: as capabilities they are open for nothing but to find what is in them.
fn readable(dir: &cap_std::fs::Dir) -> io::Result<cap_std::fs::File> {
    dir.open(".")
}

/// What something is that is neither a file nor a folder.
pub(crate) fn kind_of(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match kind {
        kind if kind.is_symlink() => "symbolic links",
        kind if kind.is_fifo() => "named pipes",
        kind if kind.is_socket() => "sockets",
        _ => "devices",
    }
}
