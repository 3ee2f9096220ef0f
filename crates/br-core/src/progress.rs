//! What an operation tells while it runs.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::model::EntryPath;
use crate::runtime::Runtime;

/// Something worth telling while an operation runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// How much there is to do. May come more than once, and may be an estimate.
    Expect {
        /// Bytes.
        bytes: u64,
        /// Entries.
        entries: u64,
    },
    /// More was done.
    Advance {
        /// Bytes done since the last such event.
        bytes: u64,
        /// Entries done since the last such event.
        entries: u64,
    },
    /// An entry could not be handled, or not as a whole, and the operation went on.
    Failed {
        /// Its path.
        path: &'a EntryPath,
        /// Why.
        reason: &'a str,
    },
    /// Something that may be worth knowing.
    Note {
        /// What.
        message: &'a str,
    },
    /// Something that a person should know, and that does not stop the operation.
    Warning {
        /// What.
        message: &'a str,
    },
}

/// Takes events, from any thread. Must not block.
pub trait Progress: Send + Sync {
    /// Takes an event.
    fn event(&self, event: Event<'_>);
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// What every operation needs and has no sensible default inside the library.
#[derive(Clone)]
pub struct Context {
    /// Time and randomness.
    pub runtime: Runtime,
    /// Where events go.
    pub progress: Arc<dyn Progress>,
    /// Cancel it, and the operation ends with [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted).
    pub cancel: CancellationToken,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("runtime", &self.runtime)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// The system's time and randomness, no events, never cancelled.
    #[must_use]
    pub fn system() -> Self {
        Self {
            runtime: Runtime::system(),
            progress: Arc::new(Silent),
            cancel: CancellationToken::new(),
        }
    }
}
