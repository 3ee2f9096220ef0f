//! When to begin an operation again.
//!
//! The layer below tries a request again while its time lasts (`backend::remote`). What it cannot repeat is an answer that
//! broke off while it was read, a signature that grew old, and a write that met another one of the same key. [`Patience`] begins
//! the whole operation again. Invariant: it ends; what the layer below gave up for good is not begun again.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    error::{Error, ErrorKind, Result},
    storage::Storage,
};

/// Attempts that are made however long each takes; a disk gets no more.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt; each following one is up to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Decides whether an operation is begun once more.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    storage: &'a Storage,
    attempts: u32,
    failed_since: Option<Instant>,
    pause: Duration,
}

impl Storage {
    /// Patience with an operation that is about to begin.
    pub(crate) fn patience(&self) -> Patience<'_> {
        Patience {
            storage: self,
            attempts: 1,
            failed_since: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Reads from a server once more as long as patience allows. A disk that does not answer is not
    /// asked again: nothing is on the way to it that could have got lost.
    pub(crate) async fn repeat<T, F>(&self, read: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut patience = self.patience();
        loop {
            match read().await {
                Err(error) if self.is_remote() && patience.allows(&error).await => {}
                result => return result,
            }
        }
    }

    /// For how long failures are tried again.
    fn retry_for(&self) -> Duration {
        #[cfg(feature = "network")]
        if let Some(link) = &self.backend().link {
            return link.health.retry_for();
        }
        Duration::ZERO
    }
}

impl Patience<'_> {
    /// Returns whether the operation may be begun again after an error, and waits before it.
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
