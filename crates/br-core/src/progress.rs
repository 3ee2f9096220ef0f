//! Progress events of operations, and the context that every operation takes.
//!
//! An operation reports each [`Event`] to a [`Progress`]. Invariant: events only inform. What a `Progress` does with them changes no
//! result.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::model::EntryPath;
use crate::runtime::Runtime;
use crate::source::Exclusion;
use crate::warning::{Note, Warning};

/// An event of a running operation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The total amount of work. May come more than once, and may be an estimate.
    Expect {
        /// Bytes.
        bytes: u64,
        /// Entries.
        entries: u64,
    },
    /// Work was done.
    Advance {
        /// Bytes done since the last such event.
        bytes: u64,
        /// Entries done since the last such event.
        entries: u64,
    },
    /// An entry could not be processed completely, and the operation continued.
    Failed {
        /// Its path.
        path: &'a EntryPath,
        /// Why.
        reason: &'a str,
    },
    /// Information that the user may ignore.
    Note(&'a Note),
    /// What happens to an entry, or would happen in a dry run.
    Entry {
        /// Its path.
        path: &'a EntryPath,
        /// What happens to it.
        action: Action,
    },
    /// A backup leaves something out on purpose. Only a source with the option to report this sends it.
    LeftOut {
        /// Its path.
        path: &'a EntryPath,
        /// Why.
        reason: &'a Exclusion,
    },
    /// The operation starts again, because another writer removed data that it relied on.
    Restart,
    /// A problem that the user should know about and that does not stop the operation.
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
    /// Backup: it is the same as in the base. Restore: the target already has it as in the backup.
    Unchanged,
    /// Restore: the target has nothing at its path, so it is created.
    Create,
    /// Restore: it replaces something else.
    Replace,
    /// Restore: the target has its content; only mode, owner or time are set.
    Correct,
    /// Restore: the existing entry at its path stays unchanged.
    Keep,
    /// Restore: it is not in the backup and is deleted.
    Remove,
    /// Restore: it is not restored, because the options exclude it. Rewrite: the new backup does not have it.
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

/// A receiver of events. Operations call it from any thread, and it must not block.
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

/// Arguments that every operation needs and for which the library has no sensible default.
///
/// Operations run on their own threads and send requests on the tokio runtime from which they are called. Outside of a runtime
/// they end with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid); [`blocking`](crate::blocking) starts one.
#[derive(Clone)]
pub struct Context {
    /// Time and randomness.
    pub runtime: Runtime,
    /// The receiver of events.
    pub progress: Arc<dyn Progress>,
    /// Cancels the operation, which ends with [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) after its current step. A
    /// blocked `read` of a source or `write` of a sink cannot be interrupted: the operation waits for it.
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

    /// Sets the receiver of events: a value of a type that implements [`Progress`], or a closure.
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
