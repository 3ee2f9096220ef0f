//! A backup of files that are in memory.
//!
//! [`MemorySource`] takes paths with their bytes. Invariant: it yields the folders above its files as well, so that a restore of
//! the backup needs nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};

use super::{Source, SourceItem};
use crate::error::{Error, Result, Site};
use crate::model::{Entry, EntryPath, FileTime, Owner};

/// Files with their bytes, and the folders above them. Every file is read by every backup.
///
/// ```
/// use br_core::source::MemorySource;
///
/// # fn main() -> br_core::Result<()> {
/// let source = MemorySource::new([("etc/app.toml", "a = 1"), ("notes.txt", "to keep")])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemorySource {
    items: BTreeMap<EntryPath, Option<Bytes>>,
    time: FileTime,
    owner: Arc<Owner>,
}

impl MemorySource {
    /// Takes files in any order. If two files have the same path, the last one counts.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when a path is not valid or is the root, or when a file is above another
    /// one.
    pub fn new<P, B>(files: impl IntoIterator<Item = (P, B)>) -> Result<Self>
    where
        P: TryInto<EntryPath>,
        Error: From<P::Error>,
        B: Into<Bytes>,
    {
        let mut items = BTreeMap::new();
        for (path, bytes) in files {
            items.insert(path.try_into()?, Some(bytes.into()));
        }
        let files: Vec<EntryPath> = items.keys().cloned().collect();
        for path in files {
            let mut above = path.parent().map(EntryPath::new).transpose()?;
            let Some(mut folder) = above.take() else {
                return Err(Error::invalid("the root of a backup is not a file").at(Site::Source));
            };
            while !folder.is_root() {
                if items.entry(folder.clone()).or_default().is_some() {
                    let message = format!("`{folder}` is a file, and `{path}` is in it");
                    return Err(Error::invalid(message).at(Site::Source));
                }
                folder = EntryPath::new(folder.parent().unwrap_or_default())?;
            }
        }
        Ok(Self {
            items,
            time: FileTime::default(),
            owner: Arc::default(),
        })
    }

    /// Sets the modification time of all files and folders. The default is 1970.
    #[must_use]
    pub const fn with_time(mut self, time: FileTime) -> Self {
        self.time = time;
        self
    }

    /// Sets the owner of all files and folders.
    #[must_use]
    pub fn with_owner(mut self, owner: Owner) -> Self {
        self.owner = Arc::new(owner);
        self
    }
}

impl Source for MemorySource {
    fn next(&mut self) -> Option<SourceItem> {
        let (path, bytes) = self.items.pop_first()?;
        let entry = match &bytes {
            Some(bytes) => Entry::file(path, bytes.len() as u64),
            None => Entry::directory(path),
        };
        let entry = Entry {
            mtime: self.time,
            owner: Arc::clone(&self.owner),
            ..entry
        };
        Some(match bytes {
            Some(bytes) => SourceItem::with_content(entry, move || Ok(bytes.reader())),
            None => SourceItem::without_content(entry),
        })
    }
}

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.items.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: MemorySource) -> Vec<String> {
        let mut source = source;
        let next = || match source.next()? {
            SourceItem::Entry { entry, .. } => Some(entry.path.to_string()),
            other => panic!("{other:?}"),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn folders_above_files_are_entries_in_order() {
        let source = MemorySource::new([("b/c/d", "1"), ("a", "2"), ("b/c-d", "3")]).unwrap();
        assert_eq!(paths(source), ["a", "b", "b/c", "b/c/d", "b/c-d"]);
    }

    #[test]
    fn a_file_cannot_be_a_folder_or_the_root() {
        for bad in [["a", "a/b"], ["", "a"], ["../a", "a"]] {
            let error = MemorySource::new(bad.map(|path| (path, ""))).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Invalid, "{bad:?}");
        }
        let typed: EntryPath = "a".parse().unwrap();
        assert_eq!(MemorySource::new([(typed, "")]).unwrap().items.len(), 1);
    }
}
