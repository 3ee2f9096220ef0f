//! State that all workers of a backup share.

use std::sync::atomic::AtomicU64;

use super::dedup::Dedup;
use super::delta::Deltas;
use crate::chunker::Chunker;
use crate::format::ChunkerConfig;
use crate::progress::Progress;
use crate::runtime::Clock;

pub(super) struct Shared<'a> {
    pub(super) dedup: &'a Dedup,
    pub(super) chunker: &'a Chunker,
    pub(super) config: ChunkerConfig,
    pub(super) level: i32,
    /// `None` when all chunks are stored whole.
    pub(super) deltas: Option<&'a Deltas>,
    pub(super) progress: &'a dyn Progress,
    pub(super) clock: &'a dyn Clock,
    pub(super) cancelled: &'a (dyn Fn() -> bool + Sync),
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_added: AtomicU64,
}

/// The receiver of a channel ended early. The error of that stage has the reason.
#[derive(Debug)]
pub(super) struct Disconnected;
