//! What went over the network.
//!
//! [`Traffic`] is what a storage has asked of a server so far. Invariant: every attempt counts,
//! also those that are repeated below every other layer.

/// Requests and bytes since a storage was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Requests, every attempt of each.
    pub requests: u64,
    /// Requests that failed or were refused for the moment, and were or could be repeated.
    pub failed: u64,
    /// Requests of which the server said that they were too many.
    pub slowed: u64,
    /// Bytes sent in bodies.
    pub bytes_sent: u64,
    /// Bytes received in bodies.
    pub bytes_received: u64,
}
