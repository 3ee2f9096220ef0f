//! Network traffic.
//!
//! [`Traffic`] counts the requests of a storage to a server. Invariant: every attempt counts, including
//! retries in the lowest layer.

/// Requests and bytes since a storage was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Requests, with every attempt.
    pub requests: u64,
    /// Requests that failed temporarily.
    pub failed: u64,
    /// Requests that the server refused because there were too many.
    pub slowed: u64,
    /// Bytes sent in bodies.
    pub bytes_sent: u64,
    /// Bytes received in bodies.
    pub bytes_received: u64,
}
