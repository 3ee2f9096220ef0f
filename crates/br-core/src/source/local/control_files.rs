//! Files that say what the walk excludes: ignore files and the tag of cache folders.

use std::io;

use super::names::Names;
use super::unix::{Folder, Links};

/// Maximum length of an ignore file.
const IGNORE_FILE_MAX: usize = 1 << 20;

/// The name of the file that marks a cache.
pub(super) const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Reads a whole ignore file; `None` when it is not a regular file.
pub(super) fn read_ignore_file(folder: &Folder, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    if !folder.look(name, Links::Keep)?.is_file() {
        return Ok(None);
    }
    let content = folder.read_start(name, IGNORE_FILE_MAX + 1)?;
    if content.len() > IGNORE_FILE_MAX {
        let text = format!("it has more than {IGNORE_FILE_MAX} bytes");
        return Err(io::Error::other(text));
    }
    Ok(Some(content))
}

/// True when a folder is marked as a cache.
pub(super) fn is_cache(folder: &Folder, names: &Names) -> bool {
    names.contains(CACHE_TAG)
        && folder
            .read_start(CACHE_TAG, CACHE_SIGNATURE.len())
            .is_ok_and(|start| start == CACHE_SIGNATURE)
}
