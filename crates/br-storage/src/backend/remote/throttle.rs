//! Rate limits.
//!
//! A [`Throttle`] delays pieces so that their rate stays below a limit. Invariant: in any period, at most the
//! limit and one piece pass.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The size of the pieces in which bytes are passed on, in bytes. Small pieces keep the rate even.
pub(crate) const PIECE: usize = 32 << 10;

/// Delays pieces.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: u64,
    /// When the link is free again.
    free_at: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Mutex::new(None),
        }
    }

    /// Reserves time for a piece and returns when it may pass.
    pub(crate) fn book(&self, bytes: usize) -> Instant {
        self.take_turn(bytes).0
    }

    /// Reserves time for received bytes of any length, and returns when all of them may pass.
    pub(crate) fn book_through(&self, bytes: usize) -> Instant {
        self.take_turn(bytes).1
    }

    fn take_turn(&self, bytes: usize) -> (Instant, Instant) {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let start = free_at.map_or(now, |at| at.max(now));
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        let end = start + Duration::from_nanos(nanos);
        *free_at = Some(end);
        (start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pieces_are_spaced() {
        let throttle = Throttle::new(1000);
        let start = Instant::now();
        let at: Vec<_> = (0..4).map(|_| throttle.book(500) - start).collect();
        let expected = [0, 500, 1000, 1500].map(Duration::from_millis);
        assert_eq!(at, expected);
        tokio::time::advance(Duration::from_secs(10)).await;
        let now = Instant::now();
        assert_eq!(throttle.book(1), now, "unused bandwidth is not saved up");
        let end = throttle.book_through(999);
        assert_eq!(
            end - now,
            Duration::from_secs(1),
            "the rule holds for a piece of any length"
        );
    }
}
