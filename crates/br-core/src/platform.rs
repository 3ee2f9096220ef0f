//! Functions that depend on the operating system and belong neither to sources nor to targets.
//!
//! Invariant: files and folders created here are readable only by their owner.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Creates a folder and missing folders above it.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Bytes as a path of this system.
pub(crate) fn os_path(bytes: &[u8]) -> &Path {
    #[cfg(unix)]
    let text: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    #[cfg(not(unix))]
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    Path::new(text)
}

/// Creates a new file; fails if it exists.
pub(crate) fn create_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Replaces a file at once, or leaves it as it is. `name` is the name of the temporary file next to it.
pub(crate) fn replace_private_file(path: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let staging = path.with_file_name(name);
    let write = || {
        let mut file = create_private_file(&staging)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&staging, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&staging)))
}

/// Opens a regular file for reading; fails for any other kind of file. Does not block on a FIFO.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Fills `bytes` from an offset of a file.
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(not(unix))]
    {
        use std::io::{Read as _, Seek as _};
        let mut file = file.try_clone()?;
        file.seek(io::SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}
