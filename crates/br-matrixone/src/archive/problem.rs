//! Problems of an archive.
//!
//! A [`Problem`] names one file and one [`ProblemKind`]; [`Problems`] collects them from all threads. Invariant: at most
//! [`Problems::NAMED`] problems are kept, and all are counted.

use std::fmt;

/// The kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The file is missing.
    Missing,
    /// It has another size than listed: it was truncated, or grew.
    Size,
    /// Its content does not have the recorded SHA-256.
    Digest,
    /// A CRC32C in it is wrong: bytes were altered on disk.
    Frame,
    /// It does not have the header of a MatrixOne object, or the header does not match its size.
    Header,
    /// It cannot be parsed.
    Format,
    /// It is listed twice with different values.
    Conflict,
    /// The sum in `tae_sum` is not that of the list.
    Total,
    /// It is a symbolic link, a device or another special file; these are never followed.
    Irregular,
    /// It could not be read, for a reason other than damage.
    Unreadable,
}

impl ProblemKind {
    /// One word for the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Size => "size",
            Self::Digest => "digest",
            Self::Frame => "frame",
            Self::Header => "header",
            Self::Format => "format",
            Self::Conflict => "conflict",
            Self::Total => "total",
            Self::Irregular => "irregular",
            Self::Unreadable => "unreadable",
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Problem {
    /// The path below the root of the archive: `full-<id>/tae/<object>`.
    pub path: String,
    /// The kind of problem.
    pub kind: ProblemKind,
    /// What was expected and what was found, a lower-case fragment.
    pub text: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, kind: ProblemKind, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind,
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // File names are untrusted, so control characters are escaped.
        write!(f, "{}: {}", self.path.escape_debug(), self.text)
    }
}

/// A list of the first problems, and the number of all.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    named: Vec<Problem>,
    count: u64,
}

impl Problems {
    /// Most problems that are listed.
    pub(crate) const NAMED: usize = 10_000;

    pub(crate) fn add(&mut self, problem: Problem) {
        self.count += 1;
        if self.named.len() < Self::NAMED {
            self.named.push(problem);
        }
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The listed problems, sorted by path, because threads find them in any order.
    pub(crate) fn into_named(mut self) -> Vec<Problem> {
        self.named.sort();
        self.named
    }
}
