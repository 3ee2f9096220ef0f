//! Space on a local disk that is given up when the disk is full, so that there is room for a log entry.
//!
//! Backups and prunes make it when it is missing, deletions and prunes give it up. Invariant: a backup never uses it, so that
//! what frees space can still be written.

use br_storage::Payload;

use super::{Io, Layout};

/// More than a checkpoint of a thousand backups has.
const LEN: usize = 1 << 20;

/// Makes sure that there is a reserve. That there is none is no failure.
pub(crate) fn keep_reserve(io: &Io) {
    if !io.storage().is_local_disk() || io.block(io.storage().size(Layout::RESERVE)).is_ok() {
        return;
    }
    // A file system that compresses must not make it small.
    let mut bytes = vec![0; LEN];
    let seed = io.context.runtime.bytes::<32>();
    blake3::Hasher::new_keyed(&seed)
        .finalize_xof()
        .fill(&mut bytes);
    let payload = Payload::from(bytes);
    let _ = io.block(io.storage().create_new(Layout::RESERVE, payload));
}

/// Gives up the reserve; false when there is none.
pub(crate) fn give_up_reserve(io: &Io) -> bool {
    if !io.storage().is_local_disk() || io.block(io.storage().size(Layout::RESERVE)).is_err() {
        return false;
    }
    let failed = io.delete_all(vec![Layout::RESERVE.to_owned()]);
    failed.is_ok_and(|failed| failed.is_empty())
}
