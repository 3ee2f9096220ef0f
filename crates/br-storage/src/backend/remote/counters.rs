//! Counters for network traffic.
//!
//! [`Counters`] holds the totals that [`Traffic`] reports. Invariant: they only grow.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::traffic::Traffic;

/// The totals.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) slowed: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) bytes_received: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Relaxed),
            failed: self.failed.load(Relaxed),
            slowed: self.slowed.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
        }
    }
}
