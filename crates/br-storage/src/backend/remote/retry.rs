//! Retries of requests.
//!
//! This module retries the requests of all backends; the layers above and below retry for a shorter time or
//! not at all. [`Retry`] follows one request, [`Health`] records the failures of all requests to a server.
//! Invariant: a time limit ends retries, not the number of attempts. It counts from the first failure of this
//! request, or from the server's first failure after its last response, whichever is earlier.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::waiting::{NetworkStatus, Trouble, WaitCause};

/// The pause before the second attempt. Each following pause is up to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Attempts for a request whose transfer breaks, however long each transfer took.
const BROKEN_TRANSFERS: u32 = 4;
/// How long a request is retried with one signature: servers accept a signature for fifteen minutes.
const SIGNATURE_TIME: Duration = Duration::from_secs(600);

/// The failures of all requests to a server.
#[derive(Debug)]
pub(crate) struct Health {
    retry_for: Duration,
    trouble: Mutex<Option<Trouble>>,
    status: NetworkStatus,
}

impl Health {
    pub(super) fn new(retry_for: Duration, status: NetworkStatus) -> Self {
        Self {
            retry_for,
            trouble: Mutex::new(None),
            status,
        }
    }

    /// How long failures are retried.
    pub(crate) fn retry_for(&self) -> Duration {
        self.retry_for
    }

    /// Records a response that reports no failure of the server itself.
    pub(super) fn answered(&self) {
        if self.trouble().take().is_some() {
            self.status.set(None);
        }
    }

    /// Records a failed attempt. Returns the time since which all attempts have failed.
    pub(super) fn failed(&self, cause: WaitCause) -> Instant {
        let mut place = self.trouble();
        let since = place.map_or_else(Instant::now, |trouble| trouble.since);
        let trouble = Some(Trouble { since, cause });
        *place = trouble;
        self.status.set(trouble);
        since
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The pause is over: send the request again.
    Again,
    /// Send the request again with a new signature, which the layer above makes.
    SignAgain,
    /// The time limit is reached.
    GiveUp,
}

/// One request and its attempts.
#[derive(Debug)]
pub(super) struct Retry<'a> {
    health: &'a Health,
    start: Instant,
    failed_since: Option<Instant>,
    attempts: u32,
    pause: Duration,
    tried_for: Duration,
}

impl<'a> Retry<'a> {
    pub(super) fn new(health: &'a Health) -> Self {
        Self {
            health,
            start: Instant::now(),
            failed_since: None,
            attempts: 0,
            pause: FIRST_PAUSE,
            tried_for: Duration::ZERO,
        }
    }

    /// Records a failed attempt, decides what follows, and waits before the next attempt. `has_moved` is true
    /// if bytes were transferred before the connection broke.
    pub(super) async fn after_failure(&mut self, cause: WaitCause, has_moved: bool) -> Verdict {
        let server_since = self.health.failed(cause);
        let now = Instant::now();
        self.attempts += 1;
        let since = *self.failed_since.get_or_insert(now);
        let since = since.min(server_since);
        self.tried_for = now.saturating_duration_since(since);
        let end = since + self.health.retry_for;
        // A large transfer may take longer than the time limit, and break once or twice.
        let is_broken = has_moved && cause == WaitCause::NoAnswer;
        let is_over = now >= end && !(is_broken && self.attempts < BROKEN_TRANSFERS);
        if is_over {
            return Verdict::GiveUp;
        }
        if now >= self.start + SIGNATURE_TIME {
            return Verdict::SignAgain;
        }
        let left = end.saturating_duration_since(now);
        tokio::time::sleep(jittered(self.pause).min(left)).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        Verdict::Again
    }

    /// Returns how long this request, or all requests to the server, have failed.
    pub(super) fn tried_for(&self) -> Duration {
        self.tried_for
    }
}

/// Returns a random time between half the pause and the whole pause, so that many clients do not retry at the
/// same moment.
pub(crate) fn jittered(pause: Duration) -> Duration {
    // Each `RandomState` has its own random keys.
    let random = RandomState::new().hash_one(0_u8) % 1024;
    pause.mul_f64(0.5 + random as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retries until the request succeeds at `success`, counted from the first failure, or the policy gives
    /// up. Returns the time and the number of attempts.
    async fn try_until(
        health: &Health,
        success: Option<Duration>,
        attempt: Duration,
    ) -> (Verdict, Duration, u32) {
        let start = Instant::now();
        let mut retry = Retry::new(health);
        loop {
            tokio::time::sleep(attempt).await;
            if success.is_some_and(|time| start.elapsed() >= time) {
                health.answered();
                return (Verdict::Again, start.elapsed(), retry.attempts + 1);
            }
            let cause = WaitCause::Answer(503);
            match retry.after_failure(cause, true).await {
                Verdict::Again => {}
                verdict => return (verdict, start.elapsed(), retry.attempts),
            }
        }
    }

    fn health(seconds: u64) -> Health {
        Health::new(Duration::from_secs(seconds), NetworkStatus::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_back_after_most_of_the_time_is_met_again() {
        for seconds in [1, 30, 100, 170] {
            let back = Some(Duration::from_secs(seconds));
            let (verdict, time, _) = try_until(&health(180), back, Duration::from_millis(2)).await;
            assert_eq!(verdict, Verdict::Again, "{seconds} s");
            assert!(time < Duration::from_secs(seconds + 11), "{time:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retries_end_at_time_limit_for_any_duration_of_attempts() {
        for (attempt, most) in [(2, 181_000), (13_000, 210_000), (400_000, 1_300_000)] {
            let attempt = Duration::from_millis(attempt);
            let (verdict, time, attempts) = try_until(&health(180), None, attempt).await;
            assert_eq!(verdict, Verdict::GiveUp);
            assert!(time >= Duration::from_secs(180), "{time:?}");
            assert!(time < Duration::from_millis(most), "{time:?}");
            assert!(attempts <= 40, "{attempts} attempts");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_requests_share_the_time() {
        let health = health(180);
        try_until(&health, None, Duration::from_millis(2)).await;
        let (verdict, time, attempts) = try_until(&health, None, Duration::from_millis(2)).await;
        assert_eq!((verdict, attempts), (Verdict::GiveUp, 1));
        assert!(time < Duration::from_secs(1), "{time:?}");
        health.answered();
        let (_, time, _) = try_until(&health, None, Duration::from_millis(2)).await;
        assert!(
            time >= Duration::from_secs(180),
            "a response restarts the time limit"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_that_broke_late_is_begun_again() {
        let health = health(180);
        let mut retry = Retry::new(&health);
        for attempt in 1..=4 {
            tokio::time::sleep(Duration::from_secs(100)).await;
            health.answered();
            tokio::time::sleep(Duration::from_secs(150)).await;
            let verdict = retry.after_failure(WaitCause::NoAnswer, true).await;
            let expected = match attempt {
                1 | 2 => Verdict::Again,
                // The signature has expired by then.
                3 => Verdict::SignAgain,
                _ => Verdict::GiveUp,
            };
            assert_eq!(verdict, expected, "attempt {attempt}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn status_reports_cause_of_wait() {
        let status = NetworkStatus::default();
        let health = Health::new(Duration::from_secs(180), status.clone());
        assert_eq!(status.waiting(), None);
        health.failed(WaitCause::NoAnswer);
        tokio::time::sleep(Duration::from_secs(80)).await;
        health.failed(WaitCause::Answer(503));
        let waiting = status.waiting().unwrap();
        assert_eq!(waiting.time, Duration::from_secs(80));
        assert_eq!(waiting.cause.to_string(), "server answers 503");
        health.answered();
        assert_eq!(status.waiting(), None);
    }

    #[test]
    fn pauses_differ_and_are_bounded() {
        let all: Vec<_> = (0..100).map(|_| jittered(MAX_PAUSE)).collect();
        assert!(
            all.iter()
                .all(|pause| (MAX_PAUSE / 2..=MAX_PAUSE).contains(pause))
        );
        assert!(all.iter().any(|pause| *pause != all[0]));
    }
}
