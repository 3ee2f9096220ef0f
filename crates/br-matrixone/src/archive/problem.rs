//! What is wrong with an archive.
//!
//! A [`Problem`] names one file and one [`ProblemKind`]; [`Problems`] collects them from all threads. Invariant: however much is wrong,
//! no more than [`Problems::NAMED`] are kept, and all are counted.

use std::fmt;

/// In what way something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The file is not there.
    Missing,
    /// It has another size than listed: it was cut short, or grew.
    Size,
    /// Its content has another SHA-256 than was written down.
    Digest,
    /// A CRC32C inside it is wrong: these bytes were altered on disk.
    Frame,
    /// It does not begin as an object of MatrixOne does, or its parts do not add up.
    Header,
    /// It cannot be understood.
    Format,
    /// It is listed twice and differently.
    Conflict,
    /// The sum in `tae_sum` is not that of the list.
    Total,
    /// It is a symbolic link, a device or the like; these are never followed.
    Irregular,
    /// It could not be read, for a reason that is not the archive's.
    Unreadable,
}

impl ProblemKind {
    /// One word for it.
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

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Problem {
    /// Where, below the root of the archive: `full-<id>/tae/<object>`.
    pub path: String,
    /// In what way.
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
        // Names come from outside: control characters are shown, not sent.
        write!(f, "{}: {}", self.path.escape_debug(), self.text)
    }
}

/// Problems, the first of them by name and all by number.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    named: Vec<Problem>,
    count: u64,
}

impl Problems {
    /// The maximum number that is named.
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

    /// Those that are named, in the order of their paths: threads find them in any order.
    pub(crate) fn into_named(mut self) -> Vec<Problem> {
        self.named.sort();
        self.named
    }
}
