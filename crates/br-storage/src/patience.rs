//! When to try again what the client below gave up.
//!
//! The client below repeats a request while its time lasts, which begins with the first attempt:
//! one that moved bytes for longer than that and then broke is not repeated at all, and writes
//! under a condition never after a time-out. [`Patience`] does so. Invariant: it ends, after a few
//! attempts or as soon as one of them moved nothing.

use std::time::Duration;

use crate::{
    error::{Error, ErrorKind, Result},
    storage::Storage,
};

/// Most attempts.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt; each following one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Decides whether an operation is begun once more.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    storage: &'a Storage,
    attempts: u32,
    moved: u64,
}

impl Storage {
    /// Patience with an operation that is about to begin.
    pub(crate) fn patience(&self) -> Patience<'_> {
        Patience {
            storage: self,
            attempts: 1,
            moved: self.bytes_moved(),
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

    fn bytes_moved(&self) -> u64 {
        let traffic = self.traffic().unwrap_or_default();
        traffic.bytes_sent + traffic.bytes_received
    }
}

impl Patience<'_> {
    /// Returns whether the operation may be begun again after an error, and waits before it.
    pub(crate) async fn allows(&mut self, error: &Error) -> bool {
        if error.kind() != ErrorKind::Unavailable || self.attempts == ATTEMPTS {
            return false;
        }
        if self.storage.is_remote() {
            // Without any movement the server is gone, and was given its time.
            let moved = self.storage.bytes_moved();
            if moved == self.moved {
                return false;
            }
            self.moved = moved;
            tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(self.attempts - 1)).await;
        }
        self.attempts += 1;
        true
    }
}
