//! How far the walk may run ahead of the collector.

use std::sync::{Condvar, Mutex};

/// How many jobs the walk may be ahead of what is finished: bounds what waits behind one huge file.
const JOBS_AHEAD: u64 = 512;
/// Keeps the walk from running too far ahead.
#[derive(Default)]
pub(super) struct Window {
    finished: Mutex<Option<u64>>,
    moved: Condvar,
}

impl Window {
    pub(super) fn open() -> Self {
        Self {
            finished: Mutex::new(Some(0)),
            moved: Condvar::new(),
        }
    }

    /// Says how many jobs are finished.
    pub(super) fn advance(&self, finished: u64) {
        if let Ok(mut count) = self.finished.lock() {
            *count = count.map(|_| finished);
        }
        self.moved.notify_all();
    }

    /// Says that no more jobs will finish.
    pub(super) fn close(&self) {
        if let Ok(mut count) = self.finished.lock() {
            *count = None;
        }
        self.moved.notify_all();
    }

    /// Closes the window when the guard is dropped, unless it was disarmed: a worker that ends early, by an error or a panic, must
    /// not leave the walk waiting for a job that will never finish.
    pub(super) fn guard(&self) -> WindowGuard<'_> {
        WindowGuard(Some(self))
    }

    /// Waits until job `number` may start; false when no worker is left to do it.
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

/// See [`Window::guard`].
pub(super) struct WindowGuard<'a>(Option<&'a Window>);

impl WindowGuard<'_> {
    /// All went well: the window stays open.
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for WindowGuard<'_> {
    fn drop(&mut self) {
        if let Some(window) = self.0 {
            window.close();
        }
    }
}
