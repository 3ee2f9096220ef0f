//! Deletion of a backup.
//!
//! [`delete`] removes the files of a backup without any check: call [`dependents`](super::dependents()) before. Invariant: it deletes the
//! marker of completeness first, so that a partly deleted backup never counts as complete.

use br_storage::Folder;

use super::error::Result;
use super::files;
use super::layout::{BACKUP_META, MO_META};
use super::path::join;
use super::sha256::SUFFIX;

/// Folders of a backup.
const FOLDERS: [&str; 3] = ["config", "hakeeper", "tae"];

/// Deletes the existing files of the backup in the folder `dir` below `root`, and the line about `id` next to it. If the root itself is the
/// backup, other files in it stay. Missing files are not an error, so that an interrupted deletion can be repeated.
///
/// # Errors
/// If the storage does not answer or refuses.
pub fn delete(root: &Folder, dir: &str, id: &str) -> Result<()> {
    for name in with_digests(MO_META).into_iter().rev() {
        files::delete(root, &join(dir, &name))?;
    }
    let own = [dir];
    let folders = if dir.is_empty() {
        FOLDERS.as_slice()
    } else {
        own.as_slice()
    };
    for folder in folders {
        let mut paths = Vec::new();
        files::list(root, folder, &mut |entry| {
            paths.push(join(folder, &entry.path));
            Ok(())
        })?;
        for path in paths {
            files::delete(root, &path)?;
        }
        root.remove_empty_folders(folder)?;
    }
    for name in with_digests(BACKUP_META) {
        files::delete(root, &join(dir, &name))?;
    }
    for name in with_digests(&format!("{id}.meta")) {
        files::delete(root, &name)?;
    }
    Ok(())
}

/// The names of a file and its digest file.
fn with_digests(name: &str) -> [String; 2] {
    [name.to_owned(), format!("{name}{SUFFIX}")]
}
