//! What operations tell while they run.
//!
//! [`Progress`] is told [`Event`]s and asked whether to stop. Invariant: this crate prints nothing by itself.

use crate::path::MemberPath;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A member is begun.
    Member {
        /// Its path below the top directory.
        path: &'a MemberPath,
        /// Its bytes.
        size: u64,
    },
    /// Bytes of content were handled.
    Advance {
        /// How many.
        bytes: u64,
    },
    /// Something of the source cannot be in a bundle, or could not be read, and is left out.
    LeftOut {
        /// Where it is.
        path: &'a std::path::Path,
        /// Why.
        reason: &'a str,
    },
}

/// Takes events, and says when to stop.
pub trait Progress {
    /// Takes an event.
    fn event(&mut self, event: Event<'_>);

    /// True once the operation is to stop. It ends in [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) and leaves nothing behind.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&mut self, _event: Event<'_>) {}
}
