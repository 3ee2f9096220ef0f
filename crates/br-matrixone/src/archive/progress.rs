//! Progress of operations.
//!
//! [`ArchiveProgress`] receives [`Event`]s from many threads at once, and can cancel the operation. Invariant: this module prints nothing.

/// Something that happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Work starts on this number of files and bytes.
    Begun {
        /// Number of files.
        files: u64,
        /// Logical bytes, which do not include the CRCs of frames.
        bytes: u64,
    },
    /// A file was checked.
    Checked {
        /// The folder of the backup that contains it, below the root; empty if the backup is the root.
        dir: &'a str,
        /// Its path below that folder: `tae/<object>`.
        path: &'a str,
        /// True if it has no problem.
        good: bool,
    },
    /// A file was restored.
    Restored {
        /// The number of the file, from one, in the order of completion.
        number: u64,
        /// The number of all files.
        total: u64,
        /// Its path as listed: `ckp/<file>` or `<object>`.
        from: &'a str,
        /// Its path in the target that the user named.
        to: &'a str,
        /// True if it already existed from an interrupted restore.
        kept: bool,
    },
    /// Logical bytes were processed.
    Advance {
        /// Number of bytes.
        bytes: u64,
    },
}

/// Receives events, and says when to stop.
pub trait ArchiveProgress: Sync {
    /// Receives an event.
    fn event(&self, event: Event<'_>);

    /// True if the operation must stop. It then fails with [`ErrorKind::Cancelled`](super::ErrorKind::Cancelled).
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoArchiveProgress;

impl ArchiveProgress for NoArchiveProgress {
    fn event(&self, _event: Event<'_>) {}
}
