//! Progress of operations.
//!
//! [`BundleProgress`] receives [`Event`]s and can cancel the operation. Invariant: this crate prints nothing.

use crate::path::MemberPath;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A member starts.
    Member {
        /// Its path below the top directory.
        path: &'a MemberPath,
        /// Its size in bytes.
        size: u64,
    },
    /// Bytes of content were processed.
    Advance {
        /// Number of bytes.
        bytes: u64,
    },
    /// A path of the source cannot be in a bundle, or could not be read, and is left out.
    LeftOut {
        /// The path.
        path: &'a std::path::Path,
        /// The reason.
        reason: &'a str,
    },
}

/// Receives events, and says when to stop.
pub trait BundleProgress {
    /// Receives an event.
    fn event(&mut self, event: Event<'_>);

    /// True if the operation must stop. It then fails with [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) and leaves nothing behind.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBundleProgress;

impl BundleProgress for NoBundleProgress {
    fn event(&mut self, _event: Event<'_>) {}
}
