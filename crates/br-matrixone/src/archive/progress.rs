//! What operations tell while they run.
//!
//! [`Progress`] is told [`Event`]s, from many threads at once, and asked whether to stop. Invariant: this module prints nothing by itself.

/// Something that happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Work begins on this many files with this many bytes.
    Begun {
        /// Files.
        files: u64,
        /// Logical bytes, that is without the CRCs of frames.
        bytes: u64,
    },
    /// A file was checked.
    Checked {
        /// The folder of the backup that it lies in, below the root; empty for one that is the root.
        dir: &'a str,
        /// Its path below that folder: `tae/<object>`.
        path: &'a str,
        /// True when nothing is wrong with it.
        good: bool,
    },
    /// A file was restored.
    Restored {
        /// Counts from one, in the order in which files were finished.
        number: u64,
        /// How many there are.
        total: u64,
        /// Its path as listed: `ckp/<file>` or `<object>`.
        from: &'a str,
        /// Its path in the target, as the user named it.
        to: &'a str,
        /// True when it was there already, from a restore that was interrupted.
        kept: bool,
    },
    /// Logical bytes were handled.
    Advance {
        /// How many.
        bytes: u64,
    },
}

/// Takes events, and says when to stop.
pub trait Progress: Sync {
    /// Takes an event.
    fn event(&self, event: Event<'_>);

    /// True once the operation is to stop. It ends in [`ErrorKind::Cancelled`](super::ErrorKind::Cancelled).
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event<'_>) {}
}
