//! The size of a repository and its parts.

use serde::Serialize;

use crate::error::Result;
use crate::progress::Context;
use crate::repository::Repository;

use super::view::View;

/// Figures about a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Backups of the repository.
    pub backups: u64,
    /// Bytes of all files of all backups.
    pub bytes_logical: u64,
    /// Bytes of all chunks, before compression. Each is stored once.
    pub bytes_unique: u64,
    /// Bytes of all packs.
    pub bytes_stored: u64,
    /// Chunks.
    pub chunks: u64,
    /// Packs.
    pub packs: u64,
    /// Index segments.
    pub segments: u64,
    /// Packs that were condemned and are not yet deleted.
    pub packs_condemned: u64,
}

/// Adds up the sizes and numbers in the repository.
///
/// # Errors
/// When log or index cannot be read.
pub async fn stats(repository: &Repository, context: &Context) -> Result<Stats> {
    let work = |io: &crate::repository::Io| {
        let view = View::open(io)?;
        let state = &view.position.state;
        let index = view.reader.index();
        let mut stats = Stats {
            backups: state.backups.len() as u64,
            bytes_logical: state
                .backups
                .values()
                .map(|backup| backup.totals.bytes)
                .sum(),
            segments: state.segments.len() as u64,
            packs_condemned: state.condemned.len() as u64,
            ..Stats::default()
        };
        for pack in index.packs() {
            stats.packs += 1;
            stats.bytes_stored += pack.len;
            stats.chunks += pack.table.chunk_count() as u64;
            let raw = pack
                .table
                .groups
                .iter()
                .map(|group| u64::from(group.raw_len));
            stats.bytes_unique += raw.sum::<u64>();
        }
        Ok(stats)
    };
    repository.run(context, work).await
}
