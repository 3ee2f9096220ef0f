//! Signs that the newest backup of a group is not what it should be.

use std::fmt;

use crate::model::Backup;

/// Number of earlier complete backups that say what is usual.
const USUAL: usize = 10;

/// What is wrong with the newest backup of a group. Numbers are bytes or files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anomaly {
    /// It has no bytes at all.
    Empty {
        /// Bytes of the last complete backup that has some.
        usual: u64,
    },
    /// It has less than half of the usual bytes.
    FewBytes {
        /// Its bytes.
        bytes: u64,
        /// Usual bytes.
        usual: u64,
    },
    /// It has less than half of the usual files.
    FewFiles {
        /// Its files.
        files: u64,
        /// Usual number of files.
        usual: u64,
    },
}

impl Anomaly {
    /// Compares the newest of these backups, which are in the order of their commits, with the complete ones before it.
    pub(super) fn of(backups: &[&Backup]) -> Option<Self> {
        let (newest, earlier) = backups.split_last()?;
        let complete = || earlier.iter().rev().filter(|backup| backup.is_complete());
        // Any number of empty backups in a row is an anomaly: only a person can say that they are right.
        let last_with_data = complete()
            .map(|backup| backup.totals.bytes)
            .find(|bytes| *bytes > 0);
        if let (0, Some(usual)) = (newest.totals.bytes, last_with_data) {
            return Some(Self::Empty { usual });
        }
        let complete = complete();
        let totals: Vec<_> = complete.take(USUAL).map(|backup| backup.totals).collect();
        let bytes = newest.totals.bytes;
        let usual = median(totals.iter().map(|totals| totals.bytes))?;
        if bytes < usual.div_ceil(2) {
            return Some(Self::FewBytes { bytes, usual });
        }
        let files = newest.totals.files;
        let usual = median(totals.iter().map(|totals| totals.files))?;
        (files < usual.div_ceil(2)).then_some(Self::FewFiles { files, usual })
    }
}

fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { usual } => write!(f, "no bytes, usually {usual}"),
            Self::FewBytes { bytes, usual } => write!(f, "{bytes} bytes, usually {usual}"),
            Self::FewFiles { files, usual } => write!(f, "{files} files, usually {usual}"),
        }
    }
}
