//! The file index, which lists the objects of a root: `file_index_<BACKUPTS>.idx`.
//!
//! [`FileIndexReader`] yields rows `object,backup folder,BACKUPTS`. Invariant: an index is only a hint. The lists of the backups decide
//! which backup has a file; an index only helps to name the backup that had a missing file.

use std::io::Read;

use super::error::Result;
use super::limits::Limits;
use super::lines::{Lines, fields};
use crate::BackupTs;

/// One row of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexRow {
    /// The object, as in `tae_list`.
    pub object: String,
    /// The folder of the backup that has it, below the root.
    pub dir: String,
    /// The backup's point in time.
    pub ts: Option<BackupTs>,
}

/// The point in time of an index, from its name; `None` for names of other files.
#[must_use]
pub fn index_ts(name: &str) -> Option<BackupTs> {
    let ts = name.strip_prefix("file_index_")?.strip_suffix(".idx")?;
    ts.parse().ok()
}

/// Reads the rows of an index.
#[derive(Debug)]
pub struct FileIndexReader<R>(Lines<R>);

impl<R: Read> FileIndexReader<R> {
    /// Reads the content of an index, without frames.
    pub fn new(from: R, limits: &Limits) -> Self {
        Self(Lines::new(from, limits.list_bytes))
    }

    /// Returns the next row; `None` after the last.
    ///
    /// # Errors
    /// If a line is too long, or not UTF-8.
    pub fn next_row(&mut self) -> Result<Option<IndexRow>> {
        let Some(line) = self.0.next()? else {
            return Ok(None);
        };
        let mut fields = fields(line).unwrap_or_default().into_iter();
        let mut next = || fields.next().unwrap_or_default().into_owned();
        Ok(Some(IndexRow {
            object: next(),
            dir: next(),
            ts: next().parse().ok(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_names() {
        assert_eq!(index_ts("file_index_17-1.idx").unwrap().to_string(), "17-1");
        for other in [
            "file_index_.idx",
            "file_index_17-1.idx.sha256",
            "x",
            "file_index_a-1.idx",
        ] {
            assert!(index_ts(other).is_none());
        }
        let mut reader =
            FileIndexReader::new(&b"o_00000,full-x,17-1\nonly\n"[..], &Limits::default());
        let row = reader.next_row().unwrap().unwrap();
        assert_eq!(
            (row.object.as_str(), row.dir.as_str()),
            ("o_00000", "full-x")
        );
        assert_eq!(reader.next_row().unwrap().unwrap().dir, "");
        assert!(reader.next_row().unwrap().is_none());
    }
}
