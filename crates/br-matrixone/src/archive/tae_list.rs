//! The list of all files of a backup: `tae/tae_list`.
//!
//! [`TaeListReader`] yields the [`Row`]s in order; [`TaeList`] contains all of them, each path once. Rows are
//! `path,size,sha256,needCopy,ts`, before MatrixOne 1.2 only the first three. Invariant: the list is complete, even that of an incremental
//! backup, and no path in it leads out of the archive.

use std::io::Read;

use super::error::{Error, ErrorKind, Result};
use super::limits::Limits;
use super::lines::{Lines, fields};
use super::path;
use super::sha256::Digest;
use crate::BackupTs;

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Its path below `tae/`: `<segment>_<number>`, `ckp/…` or `gc/…`.
    pub path: Box<str>,
    /// Bytes of its content, without frames.
    pub size: u64,
    /// The digest of its content. Files that were not copied have none here, and neither do files that were rewritten for the backup.
    pub digest: Option<Digest>,
    /// True if the file is next to the list, false if an earlier backup below the same root has it.
    pub need_copy: bool,
    /// When the object was created; for checkpoints and rewritten objects, when the backup started. Lists with three columns have none.
    pub ts: Option<BackupTs>,
}

/// Reads the rows in order.
#[derive(Debug)]
pub struct TaeListReader<R> {
    lines: Lines<R>,
    rows: u64,
    limit: u64,
}

impl<R: Read> TaeListReader<R> {
    /// Reads the content of a list, without frames.
    pub fn new(from: R, limits: &Limits) -> Self {
        Self {
            lines: Lines::new(from, limits.list_bytes),
            rows: 0,
            limit: limits.rows,
        }
    }

    /// Returns the next row; `None` after the last.
    ///
    /// # Errors
    /// If a line is not a row, a path leads out of the archive, or the list exceeds a limit.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        let Some(line) = self.lines.next()? else {
            return Ok(None);
        };
        let row = parse_row(line);
        self.rows += 1;
        if self.rows > self.limit {
            let text = format!(
                "it has more than {} rows; allow more to read it",
                self.limit
            );
            return Err(Error::refused(text));
        }
        let row = row.map_err(|error| match error.kind() {
            ErrorKind::Refused => error,
            _ => self.lines.wrong(error.message()),
        });
        row.map(Some)
    }
}

fn parse_row(line: &str) -> Result<Row> {
    let wrong = |why| Err(Error::damaged(why));
    let Some(fields) = fields(line) else {
        return wrong("it is not comma-separated");
    };
    let [path, size, digest, rest @ ..] = fields.as_slice() else {
        return wrong("it has fewer than three columns");
    };
    path::check(path)?;
    let size = Some(size).filter(|size| size.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(Ok(size)) = size.map(|size| size.parse::<i64>()) else {
        return wrong("the size is not a number");
    };
    let digest = match digest.as_ref() {
        "" => None,
        digest => Some(digest.parse()?),
    };
    let need_copy = match rest.first().map(AsRef::as_ref) {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return wrong("the fourth column is neither true nor false"),
    };
    Ok(Row {
        path: path.as_ref().into(),
        size: size.unsigned_abs(),
        digest,
        need_copy,
        ts: rest.get(1).and_then(|ts| ts.parse().ok()),
    })
}

/// All files of a backup.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct TaeList {
    /// Sorted by path, each path once.
    pub rows: Vec<Row>,
    /// Number of rows that repeat a path with the same values.
    pub duplicates: u64,
    /// Paths that are listed with different sizes or digests; the last row counts. At most 100 are named.
    pub conflicts: Vec<Box<str>>,
    /// The sum of the sizes of all rows, including repeated ones, in bytes.
    pub sum: u64,
    /// The sum of the sizes with each path once, in bytes.
    pub bytes: u64,
}

impl TaeList {
    const CONFLICTS: usize = 100;

    /// Reads a whole list.
    ///
    /// # Errors
    /// Those of [`TaeListReader::next_row`].
    pub fn read(from: impl Read, limits: &Limits) -> Result<Self> {
        let mut reader = TaeListReader::new(from, limits);
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row);
        }
        Ok(Self::new(rows))
    }

    /// Makes a list from rows in any order.
    #[must_use]
    pub fn new(mut rows: Vec<Row>) -> Self {
        let mut out = Self::default();
        let sum = |rows: &[Row]| {
            rows.iter()
                .fold(0u64, |sum, row| sum.saturating_add(row.size))
        };
        out.sum = sum(&rows);
        // A stable sort: rows with equal paths keep their order.
        rows.sort_by(|a, b| a.path.cmp(&b.path));
        rows.dedup_by(|later, kept| {
            if later.path != kept.path {
                return false;
            }
            out.merge(kept, later);
            true
        });
        out.bytes = sum(&rows);
        out.rows = rows;
        out
    }

    /// Merges two rows for one path. A cloned object is listed with the time of each clone: if one of the rows says that the file was
    /// copied, the file is in this backup, and only that row has the digest.
    fn merge(&mut self, kept: &mut Row, later: &Row) {
        let same_digest = match (kept.digest, later.digest) {
            (Some(kept), Some(later)) => kept == later,
            _ => true,
        };
        if kept.size == later.size && same_digest {
            self.duplicates += 1;
            kept.need_copy |= later.need_copy;
            kept.digest = kept.digest.or(later.digest);
        } else {
            if self.conflicts.len() < Self::CONFLICTS {
                self.conflicts.push(later.path.clone());
            }
            *kept = later.clone();
        }
    }

    /// The index of the row with a path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<usize> {
        self.rows
            .binary_search_by(|row| row.path.as_ref().cmp(path))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(text: &str) -> Result<TaeList> {
        TaeList::read(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn lists_of_both_generations_are_read() {
        let list = read(&format!(
            "b_00001,12,{HEX},false,17-1\na_00000,7,,true,18-0\n"
        ))
        .unwrap();
        assert_eq!((list.rows.len(), list.bytes, list.sum), (2, 19, 19));
        let row = &list.rows[list.find("b_00001").unwrap()];
        assert_eq!(row.digest.unwrap().to_string(), HEX);
        assert!(!row.need_copy);
        assert_eq!(row.ts.unwrap().to_string(), "17-1");
        let list = read(&format!("a_00000,7,{HEX}\n")).unwrap();
        assert!(list.rows[0].need_copy && list.rows[0].ts.is_none());
        assert!(read("").unwrap().rows.is_empty());
    }

    #[test]
    fn clones_are_merged_and_contradictions_named() {
        let list = read(&format!(
            "a,7,,false,1-1\na,7,{HEX},true,2-2\nb,1,,true,0-0\nb,2,,true,0-0\n"
        ))
        .unwrap();
        assert_eq!(
            (list.rows.len(), list.duplicates, list.sum, list.bytes),
            (2, 1, 17, 9)
        );
        assert!(list.rows[0].need_copy && list.rows[0].digest.is_some());
        assert_eq!(list.conflicts, ["b".into()]);
        assert_eq!(list.rows[1].size, 2);
    }

    #[test]
    fn hostile_rows_are_refused() {
        for bad in [
            "../x,1,",
            "/etc/passwd,1,",
            "a/../../b,1,,true,0-0",
            "\"..\",1,",
            ",1,",
            "a//b,1,",
            "\"a\nb\",1,",
        ] {
            let error = read(bad).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Refused | ErrorKind::Damaged),
                "{bad}"
            );
        }
        for bad in [
            "a",
            "a,1",
            "a,x,",
            "a,-1,",
            "a,,",
            "a,9223372036854775808,",
            "a,1,zz",
            "a,1,,yes,0-0",
            "a,+1,",
        ] {
            assert_eq!(read(bad).unwrap_err().kind(), ErrorKind::Damaged, "{bad}");
        }
        let huge = format!("a,{0},\nb,{0},\nc,{0},\n", i64::MAX);
        assert_eq!(read(&huge).unwrap().sum, u64::MAX);
    }

    /// A stream of rows that never ends.
    struct Endless(u64, Vec<u8>);

    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            while self.1.len() < out.len() {
                self.1
                    .extend(format!("{:036}_00000,1,,true,0-0\n", self.0).bytes());
                self.0 += 1;
            }
            out.copy_from_slice(&self.1[..out.len()]);
            self.1.drain(..out.len());
            Ok(out.len())
        }
    }

    #[test]
    fn ten_million_rows_end_at_the_limit() {
        let mut reader = TaeListReader::new(Endless(0, Vec::new()), &Limits::default());
        let mut rows = 0;
        let error = loop {
            match reader.next_row() {
                Ok(Some(_)) => rows += 1,
                Ok(None) => unreachable!("it never ends"),
                Err(error) => break error,
            }
        };
        assert_eq!((rows, error.kind()), (4_000_000, ErrorKind::Refused));
        let limits = Limits::default().with_list_bytes(1 << 20);
        let error = TaeList::read(Endless(0, Vec::new()), &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
    }
}
