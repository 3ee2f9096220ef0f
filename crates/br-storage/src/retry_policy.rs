//! When a whole operation is retried.
//!
//! The layer below (`backend::remote`) retries single requests until its time limit. It cannot repair a
//! response body that breaks off during the read, an expired signature, or a write that conflicts with
//! another write of the same key. [`RetryPolicy`] repeats the whole operation in these cases. Invariant:
//! retries end, and an error that the layer below reported as final is not retried.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    error::{Error, ErrorKind, Result},
    storage::Storage,
};

/// The number of attempts that are always allowed, even after the time limit. A disk gets no more.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt. Each following pause is up to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Decides whether an operation is retried.
#[derive(Debug)]
pub(crate) struct RetryPolicy<'a> {
    storage: &'a Storage,
    attempts: u32,
    failed_since: Option<Instant>,
    pause: Duration,
}

impl Storage {
    /// Returns the policy for an operation that is about to start.
    pub(crate) fn retry_policy(&self) -> RetryPolicy<'_> {
        RetryPolicy {
            storage: self,
            attempts: 1,
            failed_since: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Retries a read from a server while the policy allows it. Reads from a disk are not retried, because no
    /// network can lose the request.
    pub(crate) async fn repeat<T, F>(&self, read: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut retry_policy = self.retry_policy();
        loop {
            match read().await {
                Err(error) if self.is_remote() && retry_policy.allows(&error).await => {}
                result => return result,
            }
        }
    }

    /// How long failures are retried.
    fn retry_for(&self) -> Duration {
        #[cfg(feature = "network")]
        if let Some(link) = &self.backend().link {
            return link.health.retry_for();
        }
        Duration::ZERO
    }
}

impl RetryPolicy<'_> {
    /// Returns whether the operation may be retried after this error. Waits for the pause before it returns
    /// true.
    pub(crate) async fn allows(&mut self, error: &Error) -> bool {
        if error.kind() != ErrorKind::Unavailable || error.is_final() {
            return false;
        }
        let since = *self.failed_since.get_or_insert_with(Instant::now);
        let is_over = since.elapsed() >= self.storage.retry_for();
        if self.attempts >= ATTEMPTS && is_over {
            return false;
        }
        self.attempts += 1;
        if self.storage.is_remote() {
            tokio::time::sleep(jittered(self.pause)).await;
            self.pause = (self.pause * 2).min(MAX_PAUSE);
        }
        true
    }
}

#[cfg(feature = "network")]
use crate::backend::remote::jittered;

#[cfg(not(feature = "network"))]
fn jittered(pause: Duration) -> Duration {
    pause
}
