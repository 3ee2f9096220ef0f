//! Time stamps of a cluster as text: `<physical>-<logical>`.
//!
//! [`BackupTs`] orders backups in time. Invariant: parsing is strict, because a server that receives any
//! other text panics. For the canonical form, parsing and printing give the same text.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::server_version::shown;

/// A time stamp of a MatrixOne cluster: `1715754419668571000-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupTs {
    /// Nanoseconds since 1970, UTC. At most `i64::MAX`.
    pub physical: u64,
    /// A counter within that nanosecond.
    pub logical: u32,
}

/// A text that is not a time stamp of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is not a BACKUPTS: give it as `list` shows it, such as 1715754419668571000-1")]
pub struct BadBackupTs(String);

impl FromStr for BackupTs {
    type Err = BadBackupTs;

    /// Accepts only digits, a hyphen and digits.
    fn from_str(text: &str) -> Result<Self, BadBackupTs> {
        let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parsed = text.split_once('-').and_then(|(physical, logical)| {
            let physical: i64 = Some(physical).filter(digits)?.parse().ok()?;
            Some(Self {
                physical: u64::try_from(physical).ok()?,
                logical: Some(logical).filter(digits)?.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| BadBackupTs(shown(text)))
    }
}

impl fmt::Display for BackupTs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.physical, self.logical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_order() {
        let ts: BackupTs = "1715754419668571000-1".parse().unwrap();
        assert_eq!((ts.physical, ts.logical), (1_715_754_419_668_571_000, 1));
        assert_eq!(ts.to_string(), "1715754419668571000-1");
        assert!(ts < "1715754419668571000-2".parse().unwrap());
        assert!(ts > "9-5".parse().unwrap());
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "1-2-3",
            "+1-1",
            "9223372036854775808-0",
            "1-4294967296",
            "a-1",
            " 1-1",
        ] {
            assert!(bad.parse::<BackupTs>().is_err(), "{bad}");
        }
    }
}
