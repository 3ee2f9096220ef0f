//! Limits how far the walk runs ahead of the collector.

use std::sync::{Condvar, Mutex};

/// The walk may be at most this many jobs ahead of the collector. This bounds the number of finished jobs that wait behind one huge file.
const JOBS_AHEAD: u64 = 512;
/// Keeps the walk from running too far ahead.
#[derive(Default)]
pub(super) struct WalkLimit {
    finished: Mutex<Option<u64>>,
    moved: Condvar,
}

impl WalkLimit {
    pub(super) fn open() -> Self {
        Self {
            finished: Mutex::new(Some(0)),
            moved: Condvar::new(),
        }
    }

    /// Sets the number of finished jobs.
    pub(super) fn advance(&self, finished: u64) {
        if let Ok(mut count) = self.finished.lock() {
            *count = count.map(|_| finished);
        }
        self.moved.notify_all();
    }

    /// Releases the walk: no more jobs will finish.
    pub(super) fn close(&self) {
        if let Ok(mut count) = self.finished.lock() {
            *count = None;
        }
        self.moved.notify_all();
    }

    /// Closes the limit when the guard is dropped, unless it was disarmed. Without this, a worker that stops because of an error or a
    /// panic would leave the walk waiting for a job that never finishes.
    pub(super) fn guard(&self) -> WalkLimitGuard<'_> {
        WalkLimitGuard(Some(self))
    }

    /// False when the limit was closed.
    pub(super) fn is_open(&self) -> bool {
        self.finished.lock().is_ok_and(|count| count.is_some())
    }

    /// Waits until job `number` may start. False when the limit was closed.
    pub(super) fn wait_for(&self, number: u64) -> bool {
        let Ok(count) = self.finished.lock() else {
            return false;
        };
        let blocked = |count: &mut Option<u64>| count.is_some_and(|n| number >= n + JOBS_AHEAD);
        self.moved
            .wait_while(count, blocked)
            .is_ok_and(|count| count.is_some())
    }
}

/// See [`WalkLimit::guard`].
pub(super) struct WalkLimitGuard<'a>(Option<&'a WalkLimit>);

impl WalkLimitGuard<'_> {
    /// Keeps the limit open: the worker ended normally.
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for WalkLimitGuard<'_> {
    fn drop(&mut self) {
        if let Some(walk_limit) = self.0 {
            walk_limit.close();
        }
    }
}
