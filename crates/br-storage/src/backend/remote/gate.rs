//! The limit on concurrent requests.
//!
//! A [`Gate`] allows as many concurrent requests as the user configured, and fewer while the server is
//! overloaded. It halves the limit when the server asks to slow down, and adds one after a series of
//! successes, as TCP does. Invariant: the limit is at least one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Several requests of the server to slow down within this time count as one.
const ONE_BURST: Duration = Duration::from_millis(250);
/// The longest pause that a server can demand.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Limits the number of concurrent requests.
#[derive(Debug)]
pub(crate) struct Gate {
    most: usize,
    state: Mutex<State>,
    left: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    inside: usize,
    successes: usize,
    slowed: Option<Instant>,
    closed_until: Option<Instant>,
}

/// A permit for one request. Dropping it releases the permit.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Gate>);

impl Gate {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let most = most.max(1);
        let state = State {
            limit: most,
            inside: 0,
            successes: 0,
            slowed: None,
            closed_until: None,
        };
        Arc::new(Self {
            most,
            state: Mutex::new(state),
            left: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit.
    pub(crate) async fn enter(self: &Arc<Self>) -> Pass {
        loop {
            let left = self.left.notified();
            let closed_until = {
                let mut state = self.state();
                let now = Instant::now();
                let closed = state.closed_until.filter(|until| *until > now);
                if closed.is_none() && state.inside < state.limit {
                    state.inside += 1;
                    return Pass(Arc::clone(self));
                }
                closed
            };
            match closed_until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => left.await,
            }
        }
    }

    /// Lowers the limit because the server asked to slow down.
    pub(crate) fn slow_down(&self, pause: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state();
        state.successes = 0;
        if let Some(pause) = pause {
            state.closed_until = Some(now + pause.min(MAX_PAUSE));
        }
        if state.slowed.is_none_or(|slowed| now >= slowed + ONE_BURST) {
            state.limit = (state.limit / 2).max(1);
            state.slowed = Some(now);
        }
    }

    /// Records a success, which may raise the limit.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state();
        state.successes += 1;
        if state.limit < self.most && state.successes >= 4 * state.limit {
            state.limit += 1;
            state.successes = 0;
            self.left.notify_one();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn limit_halves_on_overload_and_recovers() {
        let gate = Gate::new(8);
        for _ in 0..5 {
            // These count as one burst.
            gate.slow_down(None);
        }
        assert_eq!(gate.state().limit, 4);
        tokio::time::advance(ONE_BURST).await;
        gate.slow_down(None);
        for _ in 0..10 {
            tokio::time::advance(ONE_BURST).await;
            gate.slow_down(None);
        }
        assert_eq!(
            gate.state().limit,
            1,
            "at least one request is always allowed"
        );
        for _ in 0..200 {
            gate.succeeded();
        }
        assert_eq!(
            gate.state().limit,
            8,
            "the limit is never above the configured one"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_room_and_for_the_time_the_server_names() {
        let gate = Gate::new(1);
        let first = gate.enter().await;
        let second = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { drop(gate.enter().await) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.ok();
        let start = Instant::now();
        gate.slow_down(Some(Duration::from_secs(3)));
        drop(gate.enter().await);
        assert!(start.elapsed() >= Duration::from_secs(3));
        gate.slow_down(Some(Duration::from_secs(3600)));
        drop(gate.enter().await);
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}
