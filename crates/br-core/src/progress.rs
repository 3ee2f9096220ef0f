//! What an operation tells while it runs.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::model::EntryPath;
use crate::runtime::Runtime;
use crate::source::Exclusion;
use crate::warning::{Note, Warning};

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
    /// An entry could not be handled, or not as a whole, and the operation continued.
    Failed {
        /// Its path.
        path: &'a EntryPath,
        /// Why.
        reason: &'a str,
    },
    /// Something that may be worth knowing.
    Note(&'a Note),
    /// What happens to an entry, or would happen in a dry run.
    Entry {
        /// Its path.
        path: &'a EntryPath,
        /// What happens to it.
        action: Action,
    },
    /// Something is left out of a backup on purpose. Comes only from a source that was asked to tell.
    LeftOut {
        /// Its path.
        path: &'a EntryPath,
        /// Why.
        reason: &'a Exclusion,
    },
    /// The operation starts again, as another writer removed data that it relied on.
    Restart,
    /// Something that a person should know, and that does not stop the operation.
    Warning(&'a Warning),
}

/// What happens to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Backup: the base does not have it.
    New,
    /// Backup: it differs from what the base has.
    Changed,
    /// Backup: it is as the base has it. Restore: it is there as the backup has it.
    Unchanged,
    /// Restore: it is made where nothing is.
    Create,
    /// Restore: it takes the place of something else.
    Replace,
    /// Restore: its content is there, and its mode, owner or time is set.
    Correct,
    /// Restore: what is there stays, whatever it is.
    Keep,
    /// Restore: it is not in the backup and is deleted.
    Remove,
    /// Restore: it is not restored, as the options say.
    LeaveOut,
}

impl Action {
    /// One word for people and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Correct => "correct",
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::LeaveOut => "leave-out",
        }
    }
}

/// Takes events, from any thread. Must not block.
pub trait Progress: Send + Sync {
    /// Takes an event.
    fn event(&self, event: Event<'_>);
}

/// A closure takes events: `|event: Event<'_>| …`.
impl<F: Fn(Event<'_>) + Send + Sync> Progress for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}

/// Ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// What every operation needs and has no sensible default inside the library.
///
/// Operations run on threads of their own and drive requests on the tokio runtime from which they are called. Outside of one
/// they end with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid); [`blocking`](crate::blocking) makes a runtime.
#[derive(Clone)]
pub struct Context {
    /// Time and randomness.
    pub runtime: Runtime,
    /// Where events go.
    pub progress: Arc<dyn Progress>,
    /// Cancel it, and the operation ends with [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted). It ends between two
    /// steps: a `read` of a source or a `write` of a sink that blocks is waited for, as nothing can interrupt it.
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

    /// Sets where events go: a value of a type that implements [`Progress`], or a closure.
    #[must_use]
    pub fn with_progress(mut self, progress: impl Progress + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Sets the token that cancels operations.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancellationToken) -> Self {
        self.cancel = cancel;
        self
    }
}
