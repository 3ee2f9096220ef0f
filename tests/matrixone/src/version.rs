//! Releases of MatrixOne, and their differences in backups.
//!
//! [`MoVersion`] is one release. Invariant: every difference between releases is a method here, named after the feature.

use std::fmt;
use std::str::FromStr;

/// A release of MatrixOne.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MoVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl MoVersion {
    /// The first with `BACKUP`: flat archives, lists of 3 columns, no clauses.
    pub const V1_0: Self = Self::new(1, 0, 0);
    /// The first with `PARALLELISM`.
    pub const V1_1_3: Self = Self::new(1, 1, 3);
    /// The first with incremental backups, and lists of 5 columns.
    pub const V1_2: Self = Self::new(1, 2, 0);
    /// A release between 1.2 and 3.0.
    pub const V2_1: Self = Self::new(2, 1, 0);
    /// A release that protects the objects of a backup, and still skips missing ones.
    pub const V3_0_11: Self = Self::new(3, 0, 11);
    /// The last of its line.
    pub const V3_0_18: Self = Self::new(3, 0, 18);
    /// The last whose local archives are framed for every backend of the cluster.
    pub const V4_1: Self = Self::new(4, 1, 4);
    /// The first whose local archives are framed only if the cluster's own files are, and that respects a cancellation.
    pub const V4_2: Self = Self::new(4, 2, 0);

    /// A release by its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// The version that a server of this release sends when a client connects.
    #[must_use]
    pub fn banner(self) -> String {
        format!("8.0.30-MatrixOne-{self}")
    }

    /// Whether `BACKUP … FILESYSTEM` has, and needs, `PARALLELISM`.
    #[must_use]
    pub fn has_parallelism(self) -> bool {
        self >= Self::V1_1_3
    }

    /// Whether `BACKUP` has `TYPE` and `TIMESTAMP`, 5 columns in `tae_list` and 4 in `tae_sum`.
    #[must_use]
    pub fn has_incremental(self) -> bool {
        self >= Self::V1_2
    }

    /// Whether objects of a backup can be protected from garbage collection.
    #[must_use]
    pub fn has_protection(self) -> bool {
        self >= Self::new(3, 0, 5)
    }

    /// Whether a local archive is framed only if the files of the cluster are.
    #[must_use]
    pub fn frames_as_cluster(self) -> bool {
        self >= Self::V4_2
    }

    /// Whether a missing object is left out without an error.
    #[must_use]
    pub fn skips_missing(self) -> bool {
        self < Self::V4_2
    }

    /// Whether a cancellation stops a backup during the copy of objects.
    #[must_use]
    pub fn respects_cancel(self) -> bool {
        self >= Self::V4_2
    }
}

impl fmt::Display for MoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Text that is not a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAVersion(String);

impl fmt::Display for NotAVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a release such as v3.0.11", self.0)
    }
}

impl std::error::Error for NotAVersion {}

impl FromStr for MoVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let wrong = || NotAVersion(text.to_owned());
        let mut numbers = [0; 3];
        let digits = text.strip_prefix('v').unwrap_or(text);
        let parts: Vec<&str> = digits.split('.').collect();
        if parts.len() > numbers.len() {
            return Err(wrong());
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = part.parse().map_err(|_| wrong())?;
        }
        Ok(Self::new(numbers[0], numbers[1], numbers[2]))
    }
}
