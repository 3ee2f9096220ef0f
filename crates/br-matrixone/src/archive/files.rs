//! The files of an archive and of a restore target.
//!
//! These functions are operations of a [`Folder`] with the errors of this module. Invariant: every path passes [`path::check`] before it is
//! used, so it is never a reserved name of this module.

use std::io;

use br_storage::{
    Creation, ErrorKind as StorageErrorKind, FileInfo, FileReader, FileWriter, Folder,
    FolderContents, FolderLock,
};

use super::error::{Error, ErrorKind, Result};
use super::limits::Limits;
use super::path;

/// Passes all files below `dir`, at any depth, to `each`. A missing folder counts as empty.
pub(crate) fn list(
    folder: &Folder,
    dir: &str,
    each: &mut dyn FnMut(FileInfo) -> Result<()>,
) -> Result<()> {
    check_dir(dir)?;
    for file in folder.list(dir).map_err(Error::of(dir))? {
        let file = file.map_err(Error::of(dir))?;
        if file.path.matches('/').count() > Limits::PATH_PARTS {
            return Err(Error::refused("too many folders within each other").at(file.path));
        }
        each(file).map_err(|error| error.at(dir))?;
    }
    Ok(())
}

/// Lists one folder, which must not contain more than `limit` files and folders. A missing folder is empty.
pub(crate) fn contents(folder: &Folder, dir: &str, limit: usize) -> Result<FolderContents> {
    check_dir(dir)?;
    folder.contents(dir, limit).map_err(Error::of(dir))
}

/// Opens a file to read all of it.
pub(crate) fn open(folder: &Folder, path: &str) -> Result<FileReader> {
    path::check(path)?;
    folder.open(path).map_err(Error::of(path))
}

/// Reads a whole file of at most `limit` bytes; `None` if there is none.
pub(crate) fn read(folder: &Folder, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    path::check(path)?;
    match folder.read(path, limit) {
        Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(Error::of(path)),
    }
}

/// Begins a new file of about `size` bytes. [`finish`] publishes it.
pub(crate) fn create(folder: &Folder, path: &str, size: u64) -> Result<FileWriter> {
    path::check(path)?;
    folder.create(path, size).map_err(Error::of(path))
}

/// Publishes a file, unless its name exists.
pub(crate) fn finish(writer: FileWriter, path: &str) -> Result<()> {
    match writer.finish().map_err(Error::of(path))? {
        Creation::Created => Ok(()),
        Creation::AlreadyExists => {
            let text = "another file already has this name";
            Err(Error::new(ErrorKind::Exists, text).at(path))
        }
    }
}

/// Deletes a file; a missing file is not an error.
pub(crate) fn delete(folder: &Folder, path: &str) -> Result<()> {
    path::check(path)?;
    folder.delete(path).map_err(Error::of(path))
}

/// Creates a folder and locks it against other restores. An object store has no locks.
pub(crate) fn lock(folder: &Folder) -> Result<FolderLock> {
    folder.lock().map_err(|error| match error.io_kind() {
        Some(io::ErrorKind::WouldBlock) => Error::new(
            ErrorKind::Exists,
            format!("another restore into {folder} is running"),
        ),
        _ => error.into(),
    })
}

fn check_dir(dir: &str) -> Result<()> {
    match dir {
        "" => Ok(()),
        dir => path::check(dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_out_of_the_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::local(dir.path());
        for path in ["../x", "/etc/passwd", "a/../../x", "", ".br-restore"] {
            let errors = [
                open(&folder, path).map(drop),
                read(&folder, path, 1).map(drop),
                create(&folder, path, 0).map(drop),
                delete(&folder, path),
            ];
            for error in errors {
                assert_eq!(error.unwrap_err().kind(), ErrorKind::Refused, "{path}");
            }
        }
        assert!(list(&folder, "..", &mut |_| Ok(())).is_err());
        assert!(contents(&folder, "..", 1).is_err());
    }

    #[test]
    fn errors_of_a_folder_have_the_kinds_of_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::local(dir.path());
        std::fs::write(dir.path().join("a"), "first").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        assert_eq!(read(&folder, "x", 9).unwrap(), None);
        let error = open(&folder, "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.path(), Some("x"));
        let error = open(&folder, "link").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(
            error.to_string(),
            "link: it is a symbolic link; links and devices are not followed"
        );
        let error = read(&folder, "a", 4).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        let writer = create(&folder, "a", 0).unwrap();
        let error = finish(writer, "a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert_eq!(error.path(), Some("a"));
        let error = contents(&folder, "", 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        let held = lock(&folder).unwrap();
        assert_eq!(lock(&folder).unwrap_err().kind(), ErrorKind::Exists);
        drop(held);
    }
}
