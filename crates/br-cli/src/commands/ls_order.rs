//! The order in which `br ls` prints entries.
//!
//! [`Sorter`] holds the lines until all are known. Invariant: it holds a limited number of bytes.

use std::cmp::Ordering;

use br_core::model::Entry;
use clap::ValueEnum;

use crate::error::CommandError;

/// Maximum bytes of lines that are sorted, and what each line takes in addition to its bytes.
const MAX_BYTES: usize = 512 << 20;
const PER_LINE: usize = 64;

/// The order of the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// By path: a folder, then everything in it
    Path,
    /// The smallest file first
    Size,
    /// The oldest modification time first
    Time,
}

impl Sort {
    /// The key of an entry.
    fn key(self, entry: &Entry) -> Key {
        match self {
            Self::Path => Key(0, 0),
            Self::Size => Key(i64::try_from(entry.size()).unwrap_or(i64::MAX), 0),
            Self::Time => Key(entry.mtime.secs, entry.mtime.nanos),
        }
    }
}

/// Entries with equal keys stay in path order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(i64, u32);

/// Lines to be sorted.
#[derive(Debug)]
pub(super) struct Sorter {
    sort: Sort,
    reverse: bool,
    lines: Vec<(Key, Box<[u8]>)>,
    bytes: usize,
    most: usize,
}

impl Sorter {
    /// A sorter, unless the entries already come in this order.
    pub(super) fn new(sort: Sort, reverse: bool) -> Option<Self> {
        let is_needed = reverse || sort != Sort::Path;
        is_needed.then(|| Self {
            sort,
            reverse,
            lines: Vec::new(),
            bytes: 0,
            most: MAX_BYTES,
        })
    }

    /// Adds the line of an entry.
    pub(super) fn push(&mut self, entry: &Entry, line: Vec<u8>) -> Result<(), CommandError> {
        self.bytes += line.len() + PER_LINE;
        if self.bytes > self.most {
            let message = format!("br sorts at most {} MiB of output", self.most >> 20);
            let hint = "name a part of the backup, use --depth, or leave out --sort and --reverse and use sort(1)";
            return Err(CommandError::usage(message, hint));
        }
        self.lines.push((self.sort.key(entry), line.into()));
        Ok(())
    }

    /// The lines in order.
    pub(super) fn finish(mut self) -> impl Iterator<Item = Box<[u8]>> {
        // A stable sort: equal keys stay in path order, or in its reverse.
        self.lines.sort_by_key(|(key, _)| *key);
        if self.reverse {
            self.lines.reverse();
        }
        self.lines.into_iter().map(|(_, line)| line)
    }
}

/// Whether an entry is at most this number of levels below a path. The path itself counts only if it is no folder.
pub(super) fn is_near(depth: usize, entry: &Entry, above: &br_core::model::EntryPath) -> bool {
    let levels = entry.path.parts().count() - above.parts().count();
    let is_folder = matches!(entry.kind, br_core::model::EntryKind::Directory);
    match levels.cmp(&0) {
        Ordering::Equal => !is_folder,
        _ => levels <= depth,
    }
}

#[cfg(test)]
mod tests {
    use br_core::model::{Content, EntryPath, FileContent, FileTime};

    use super::*;

    fn file(path: &str, size: u64, secs: i64) -> Entry {
        let content = FileContent {
            size,
            content: Content::Chunks(Vec::new()),
            ..FileContent::default()
        };
        let path: EntryPath = path.parse().unwrap();
        Entry {
            mtime: FileTime { secs, nanos: 0 },
            kind: br_core::model::EntryKind::File(content),
            ..Entry::directory(path)
        }
    }

    fn sorted(sort: Sort, reverse: bool) -> Vec<String> {
        let mut sorter = Sorter::new(sort, reverse).unwrap();
        for (path, size, secs) in [("a", 5, -1), ("b", 3, 7), ("c", 5, 0)] {
            sorter.push(&file(path, size, secs), path.into()).unwrap();
        }
        let lines = sorter.finish();
        lines
            .map(|line| String::from_utf8(line.into()).unwrap())
            .collect()
    }

    #[test]
    fn lines_are_sorted_by_key_and_then_by_path() {
        assert_eq!(sorted(Sort::Size, false), ["b", "a", "c"]);
        assert_eq!(sorted(Sort::Size, true), ["c", "a", "b"]);
        assert_eq!(sorted(Sort::Time, false), ["a", "c", "b"]);
        assert_eq!(sorted(Sort::Path, true), ["c", "b", "a"]);
        assert!(Sorter::new(Sort::Path, false).is_none());
    }

    #[test]
    fn too_many_bytes_are_refused() {
        let mut sorter = Sorter::new(Sort::Size, false).unwrap();
        sorter.most = 2 * PER_LINE + 3;
        let entry = file("a", 1, 1);
        sorter.push(&entry, b"12".to_vec()).unwrap();
        assert!(sorter.push(&entry, b"34".to_vec()).is_err());
    }
}
