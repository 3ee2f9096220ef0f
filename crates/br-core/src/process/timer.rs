//! A limit of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// Measures a time by waiting for it on a thread of its own, so that no clock decides.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) limit: Duration,
    is_over: Arc<AtomicBool>,
    /// Ends the thread when it is dropped.
    _guard: Sender<()>,
}

impl Timer {
    pub(super) fn start(limit: Duration) -> Self {
        let (guard, end) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&is_over);
        thread::spawn(move || {
            if end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                own.store(true, Ordering::Relaxed);
            }
        });
        Self {
            limit,
            is_over,
            _guard: guard,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}
