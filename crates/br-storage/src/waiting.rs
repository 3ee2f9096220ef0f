//! What a storage waits for.
//!
//! A server that fails for the moment is asked again for minutes. [`NetworkStatus`] tells a caller, at any time, whether
//! that is what keeps an operation waiting. Invariant: it only tells; nothing depends on who looks.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Why a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitCause {
    /// The server answered with this HTTP status, such as 503.
    Answer(u16),
    /// The server cannot be reached, or the connection broke, or no byte moved for too long.
    NoAnswer,
}

impl fmt::Display for WaitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(status) => write!(f, "server answers {status}"),
            Self::NoAnswer => f.write_str("server does not answer"),
        }
    }
}

/// A storage that waits for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// What the last attempt failed of.
    pub cause: WaitCause,
    /// How long ago the first attempt failed after which none succeeded.
    pub time: Duration,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, waiting ({})", self.cause, in_words(self.time))
    }
}

/// `45 s`, `3 min` or `1 min 20 s`.
pub(crate) fn in_words(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// Tells whether a storage waits for its server. Give a clone to [`NetworkOptions`](crate::NetworkOptions) and ask the
/// other one whenever you like, for example whenever you draw a progress line.
#[derive(Clone, Debug, Default)]
pub struct NetworkStatus(Arc<Mutex<Option<Trouble>>>);

/// Failures since the last success.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) since: Instant,
    pub(crate) cause: WaitCause,
}

impl NetworkStatus {
    /// Returns what is waited for at the moment, if anything.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        let trouble = *self.lock();
        trouble.map(|Trouble { since, cause }| Waiting {
            cause,
            time: since.elapsed(),
        })
    }

    #[cfg(feature = "network")]
    pub(crate) fn set(&self, trouble: Option<Trouble>) {
        *self.lock() = trouble;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A status is no setting: options that differ in nothing else are equal.
impl PartialEq for NetworkStatus {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for NetworkStatus {}
