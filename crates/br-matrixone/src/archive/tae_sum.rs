//! The summary line of a backup: `tae/tae_sum`.
//!
//! [`TaeSum`] is `time,bytes,BACKUPTS,type`, before MatrixOne 1.2 only the first two. Invariant: a missing column is `None`, a malformed
//! one is an error.

use super::error::{Error, Result};
use super::frame::{Framing, unframe};
use super::lines::{Lines, fields};
use crate::{BackupKind, BackupTs};

/// The server's summary of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaeSum {
    /// When it was made: `YYYY-MM-DD HH:MM:SS`, UTC.
    pub time: String,
    /// The sum of all sizes in `tae_list`, including files in earlier backups, in bytes.
    pub bytes: u64,
    /// The point in time that it holds.
    pub backup_ts: Option<BackupTs>,
    /// Whether it depends on earlier ones. Any value except `full` and `incremental` is `None`: the column is free text.
    pub kind: Option<BackupKind>,
}

impl TaeSum {
    /// Reads the stored file, framed or not.
    ///
    /// # Errors
    /// If a frame is damaged, or it is not such a line.
    pub fn parse_stored(bytes: &[u8]) -> Result<Self> {
        match Framing::sniff(bytes) {
            Framing::Raw => Self::parse(bytes),
            Framing::Framed => Self::parse(&unframe(bytes)?),
        }
    }

    /// Reads the content of the file, without frames.
    ///
    /// # Errors
    /// If it is not such a line.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut lines = Lines::new(bytes, u64::MAX);
        let empty = || Error::damaged("it is empty");
        let line = lines.next()?.ok_or_else(empty)?;
        let fields = fields(line).unwrap_or_default();
        let [time, sum, rest @ ..] = fields.as_slice() else {
            return Err(Error::damaged("it has fewer than two columns"));
        };
        let bytes = sum
            .parse()
            .map_err(|_| Error::damaged("the sum is not a number"))?;
        let backup_ts = match rest.first().map(AsRef::as_ref) {
            None | Some("") => None,
            Some(ts) => {
                let ts: Result<BackupTs, _> = ts.parse();
                Some(ts.map_err(|error| Error::damaged(error.to_string()))?)
            }
        };
        Ok(Self {
            time: time.clone().into_owned(),
            bytes,
            backup_ts,
            kind: rest.get(1).and_then(|kind| BackupKind::of_word(kind)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_both_generations_are_read() {
        let sum =
            TaeSum::parse(b"2024-05-15 03:56:44,65000000,1715745404915410000-1,full\n").unwrap();
        assert_eq!(sum.time, "2024-05-15 03:56:44");
        assert_eq!(sum.bytes, 65_000_000);
        assert_eq!(sum.backup_ts.unwrap().to_string(), "1715745404915410000-1");
        assert_eq!(sum.kind, Some(BackupKind::Full));
        let sum = TaeSum::parse(b"2023-11-01 00:00:00,12").unwrap();
        assert_eq!((sum.bytes, sum.backup_ts, sum.kind), (12, None, None));
        for bad in [&b""[..], b"x", b"x,y", b"x,1,y", b"x,-1", b"\xff,1"] {
            assert!(TaeSum::parse(bad).is_err());
        }
    }
}
