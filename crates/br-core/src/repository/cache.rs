//! Cache: local copies of small objects, which need not be fetched again.
//!
//! [`CacheOptions`] sets its folder and size. Objects never change, so a valid copy equals the original; each copy ends with a checksum
//! that is verified before the copy is used. Copies stay sealed as in the store, so the cache of an encrypted repository reveals no more
//! than the store. Invariant: nothing depends on the cache; on any problem with it, br reads from the store.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::Layout;
use crate::model::RepositoryId;
use crate::platform::{create_private_file, create_private_folder, open_regular, read_exact_at};
use crate::runtime::Runtime;

/// Length of the checksum at the end of a copy: the BLAKE3 of all bytes before it.
const SUM_LEN: u64 = 32;
/// Maximum number of verified copies that stay open.
const MAX_OPEN: usize = 32;
/// The modification time of a used copy is renewed when it is older than this, so that copies in use are trimmed last.
const RENEW_AFTER: Duration = Duration::from_secs(3600);
/// The cache is trimmed each time this many bytes were written.
const TRIM_EVERY: u64 = 64 << 20;
/// A temporary file or folder that has not been changed for this long is left from a killed process.
const LEFT_AFTER: Duration = Duration::from_secs(2 * 24 * 3600);
/// Marks the folder so that backup programs may skip it.
const TAG: (&str, &str) = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n# Copies of objects of br repositories. Safe to delete.\n",
);

/// Where copies are kept, and how many bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheOptions {
    /// The folder; each repository has a separate folder in it.
    pub folder: PathBuf,
    /// Maximum bytes of the copies of one repository. The least recently used copies are deleted first.
    pub max_bytes: u64,
}

impl CacheOptions {
    /// A cache of at most 2 GiB in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            max_bytes: 2 << 30,
        }
    }

    /// Sets the maximum bytes of the copies.
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }
}

/// The copies of one repository's objects.
pub(crate) struct Cache {
    folder: PathBuf,
    max_bytes: u64,
    runtime: Runtime,
    open: Mutex<HashMap<String, Arc<Copied>>>,
    /// Bytes written since the cache was last trimmed.
    written: AtomicU64,
    /// True once a copy could not be written.
    is_broken: AtomicBool,
    /// The folder is deleted on drop.
    is_temporary: bool,
}

impl Drop for Cache {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A copy with a verified checksum.
#[derive(Debug)]
struct Copied {
    file: File,
    len: u64,
}

impl Cache {
    pub(crate) fn open(
        options: &CacheOptions,
        id: RepositoryId,
        runtime: &Runtime,
    ) -> io::Result<Self> {
        let folder = options.folder.join(id.to_string());
        create_private_folder(&folder)?;
        let tag = options.folder.join(TAG.0);
        if !tag.exists() {
            fs::write(tag, TAG.1)?;
        }
        Ok(Self {
            folder,
            max_bytes: options.max_bytes,
            runtime: runtime.clone(),
            open: Mutex::default(),
            // Trim on the first write: the cache may already be too large.
            written: AtomicU64::new(TRIM_EVERY),
            is_broken: AtomicBool::new(false),
            is_temporary: false,
        })
    }

    /// Creates a cache for one operation: empty at first, and deleted on drop.
    pub(crate) fn fresh(&self) -> io::Result<Self> {
        let folder = self.folder.join(self.runtime.hidden_name());
        create_private_folder(&folder)?;
        Ok(Self {
            folder,
            max_bytes: self.max_bytes,
            runtime: self.runtime.clone(),
            open: Mutex::default(),
            written: AtomicU64::new(0),
            is_broken: AtomicBool::new(false),
            is_temporary: true,
        })
    }

    /// True for a cache made by [`Cache::fresh`], which has only copies of this operation.
    pub(crate) const fn is_temporary(&self) -> bool {
        self.is_temporary
    }

    /// True for objects that are copied whenever they are read or written.
    pub(crate) fn keeps(key: &str) -> bool {
        let folder = key.split('/').next().unwrap_or_default();
        [Layout::INDEX, Layout::LOG, Layout::MANIFESTS].contains(&folder)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(key.replace('/', "-"))
    }

    /// Returns the copy of an object with at most `limit` bytes.
    pub(crate) fn get(&self, key: &str, limit: u64) -> Option<Bytes> {
        let path = self.path(key);
        let mut file = open_regular(&path).ok()?;
        let len = file.metadata().ok()?.len();
        if !(SUM_LEN..=limit + SUM_LEN).contains(&len) {
            return None;
        }
        let mut bytes = Vec::with_capacity(len as usize);
        file.read_to_end(&mut bytes).ok()?;
        let (content, sum) = bytes.split_last_chunk::<{ SUM_LEN as usize }>()?;
        if blake3::hash(content) != *sum {
            self.remove(key);
            return None;
        }
        let content_len = content.len();
        bytes.truncate(content_len);
        self.renew(&file);
        Some(bytes.into())
    }

    /// Returns a range of an object with `len` bytes.
    pub(crate) fn range(&self, key: &str, len: u64, range: Range<u64>) -> Option<Bytes> {
        let copy = self.verified(key)?;
        if copy.len != len || range.end > len {
            self.remove(key);
            return None;
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        read_exact_at(&copy.file, &mut bytes, range.start).ok()?;
        Some(bytes.into())
    }

    fn verified(&self, key: &str) -> Option<Arc<Copied>> {
        if let Some(copy) = self.open.lock().ok()?.get(key) {
            return Some(Arc::clone(copy));
        }
        let file = open_regular(&self.path(key)).ok()?;
        let len = file.metadata().ok()?.len().checked_sub(SUM_LEN)?;
        let mut hasher = blake3::Hasher::new();
        let mut content = (&file).take(len);
        io::copy(&mut content, &mut hasher).ok()?;
        let mut sum = [0; SUM_LEN as usize];
        (&file).read_exact(&mut sum).ok()?;
        if hasher.finalize() != sum {
            self.remove(key);
            return None;
        }
        self.renew(&file);
        let copy = Arc::new(Copied { file, len });
        let mut open = self.open.lock().ok()?;
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        open.insert(key.to_owned(), Arc::clone(&copy));
        Some(copy)
    }

    /// Stores a copy. A failure is only recorded.
    pub(crate) fn put(&self, key: &str, pieces: &[Bytes]) {
        let Ok(len) = self.write(key, pieces) else {
            self.is_broken.store(true, Ordering::Relaxed);
            return;
        };
        let written = self.written.fetch_add(len, Ordering::Relaxed) + len;
        if written >= TRIM_EVERY {
            self.written.store(0, Ordering::Relaxed);
            let _ = self.trim();
        }
    }

    fn write(&self, key: &str, pieces: &[Bytes]) -> io::Result<u64> {
        let staging = self.folder.join(self.runtime.hidden_name());
        let mut file = create_private_file(&staging)?;
        let mut write = || {
            let mut hasher = blake3::Hasher::new();
            for piece in pieces {
                hasher.update(piece);
                file.write_all(piece)?;
            }
            file.write_all(hasher.finalize().as_bytes())?;
            fs::rename(&staging, self.path(key))
        };
        if let Err(error) = write() {
            let _ = fs::remove_file(&staging);
            return Err(error);
        }
        Ok(pieces.iter().map(|piece| piece.len() as u64).sum::<u64>() + SUM_LEN)
    }

    /// Deletes a copy; true if it existed.
    pub(crate) fn remove(&self, key: &str) -> bool {
        if let Ok(mut open) = self.open.lock() {
            open.remove(key);
        }
        fs::remove_file(self.path(key)).is_ok()
    }

    /// False once a copy could not be written: then no object should be fetched only to copy it.
    pub(crate) fn is_writable(&self) -> bool {
        !self.is_broken.load(Ordering::Relaxed)
    }

    fn renew(&self, file: &File) {
        let now = self.runtime.clock.now().into();
        let old = |meta: fs::Metadata| Some(meta.modified().ok()? + RENEW_AFTER < now);
        if file.metadata().ok().and_then(old) == Some(true) {
            let _ = file.set_modified(now);
        }
    }

    /// The number of the newest log entry that has a copy.
    pub(crate) fn newest_log(&self) -> Option<u64> {
        let names = fs::read_dir(&self.folder).ok()?;
        let numbers = names.filter_map(|item| {
            let name = item.ok()?.file_name();
            let number = name.to_str()?.strip_prefix("log-")?;
            Layout::log_seq(&format!("{}/{number}", Layout::LOG))
        });
        numbers.max()
    }

    /// Deletes all copies of log entries, because the store has another log: it was repaired, or the store is another copy of the
    /// repository. [`LogMemory`](super::LogMemory) decides whether another log is acceptable.
    pub(crate) fn forget_log(&self) {
        for item in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if item.file_name().as_encoded_bytes().starts_with(b"log-") {
                let _ = fs::remove_file(item.path());
            }
        }
    }

    /// Deletes the least recently used copies until the rest fits, and the temporary files of killed processes.
    fn trim(&self) -> io::Result<()> {
        let mut copies = Vec::new();
        let long_ago = self.runtime.before(LEFT_AFTER);
        for item in fs::read_dir(&self.folder)? {
            let item = item?;
            let meta = item.metadata()?;
            if item.file_name().as_encoded_bytes().starts_with(b".") {
                if meta.modified()? < long_ago {
                    let remove = if meta.is_dir() {
                        fs::remove_dir_all
                    } else {
                        fs::remove_file
                    };
                    remove(&item.path())?;
                }
                continue;
            }
            copies.push((meta.modified()?, meta.len(), item.path()));
        }
        let mut total: u64 = copies.iter().map(|(_, len, _)| len).sum();
        copies.sort();
        for (_, len, path) in copies {
            if total <= self.max_bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn cache_in(folder: &Path, max_bytes: u64) -> Cache {
        let options = CacheOptions::new(folder).with_max_bytes(max_bytes);
        Cache::open(
            &options,
            RepositoryId(uuid::Uuid::nil()),
            &Runtime::system(),
        )
        .unwrap()
    }

    #[test]
    fn damaged_copy_is_not_returned() {
        let dir = tempfile::tempdir().unwrap();
        let key = "index/ab";
        for at in [0, 5, 9, 10, 41] {
            let cache = cache_in(dir.path(), 1 << 20);
            cache.put(
                key,
                &[Bytes::from_static(b"01234"), Bytes::from_static(b"56789")],
            );
            assert_eq!(cache.get(key, 10).unwrap(), "0123456789");
            assert_eq!(
                cache.get(key, 9),
                None,
                "an entry that is too long is not kept"
            );
            assert_eq!(cache.range(key, 10, 3..6).unwrap(), "345");
            let path = cache.path(key);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let other = cache_in(dir.path(), 1 << 20);
            assert_eq!(other.range(key, 10, 3..6), None, "{at}");
            assert!(!path.exists(), "a damaged copy is deleted");
            assert_eq!(other.get(key, 10), None);
        }
        let cache = cache_in(dir.path(), 1 << 20);
        cache.put(key, &[Bytes::from_static(b"0123456789")]);
        fs::write(cache.path(key), b"short").unwrap();
        assert_eq!(cache.get(key, 10), None);
        assert_eq!(cache.range(key, 10, 0..1), None);
    }

    #[test]
    fn it_stays_within_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache_in(dir.path(), 3 << 20);
        let piece = Bytes::from(vec![7; 1 << 20]);
        for number in 0..70 {
            cache.put(&format!("index/{number:03}"), std::slice::from_ref(&piece));
        }
        let _ = cache.trim();
        let size: u64 = fs::read_dir(&cache.folder)
            .unwrap()
            .map(|item| item.unwrap().metadata().unwrap().len())
            .sum();
        assert!(size <= 3 << 20, "{size}");
        assert!(
            cache.get("index/069", 1 << 20).is_some(),
            "the newest copy stays"
        );
    }

    #[test]
    fn log_entries_can_be_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache_in(dir.path(), 1 << 20);
        assert_eq!(cache.newest_log(), None);
        for seq in [3, 12, 7] {
            cache.put(&Layout::log(seq), &[Bytes::from_static(b"x")]);
        }
        assert_eq!(cache.newest_log(), Some(12));
        cache.forget_log();
        assert_eq!(cache.newest_log(), None);
    }
}
