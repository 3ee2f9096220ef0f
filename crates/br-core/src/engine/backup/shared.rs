//! What all workers of a backup share.

use std::sync::atomic::AtomicU64;

use super::dedup::Dedup;
use super::delta::Deltas;
use crate::chunker::Chunker;
use crate::format::ChunkerConfig;
use crate::progress::Progress;

/// What all workers share.
pub(super) struct Shared<'a> {
    pub(super) dedup: &'a Dedup,
    pub(super) chunker: &'a Chunker,
    pub(super) config: ChunkerConfig,
    pub(super) level: i32,
    /// `None` when everything is stored whole.
    pub(super) deltas: Option<&'a Deltas>,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancelled: &'a (dyn Fn() -> bool + Sync),
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_added: AtomicU64,
}

/// The receiver of a channel has ended early. Its own error says why.
#[derive(Debug)]
pub(super) struct Disconnected;
