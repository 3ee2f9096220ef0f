//! Whether a storage waits for its server.
//!
//! Requests to a server that fails temporarily are retried for minutes. [`NetworkStatus`] reports at any time
//! whether an operation waits for such retries. Invariant: it only reports; no behaviour depends on it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Why a request is retried.
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
    /// Why the last attempt failed.
    pub cause: WaitCause,
    /// The time since the first failure after the last success.
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

/// Reports whether a storage waits for its server. Give a clone to [`NetworkOptions`](crate::NetworkOptions)
/// and query the other one at any time, for example when you draw a progress line.
#[derive(Clone, Debug, Default)]
pub struct NetworkStatus(Arc<Mutex<Option<Trouble>>>);

/// Failures since the last success.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) since: Instant,
    pub(crate) cause: WaitCause,
}

impl NetworkStatus {
    /// Returns why and how long the storage has been waiting; `None` if it is not.
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

/// A status is not a setting: it does not make options unequal.
impl PartialEq for NetworkStatus {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for NetworkStatus {}
