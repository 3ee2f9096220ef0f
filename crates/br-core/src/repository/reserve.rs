//! The reserve: space on a local disk that is freed when the disk is full, so that a log entry can still be written.
//!
//! Backups and prunes create the reserve if it is missing; deletions, prunes and changes of keys free it. Invariant: a backup never uses the
//! reserve, so operations that free space can write their log entry, and a leaked password can be removed.

use br_storage::Payload;

use super::{Io, Layout};

/// Larger than a checkpoint of a thousand backups.
const LEN: usize = 1 << 20;

/// Creates the reserve if it is missing. A failure is ignored.
pub(crate) fn keep_reserve(io: &Io) {
    if !io.storage().is_local_disk() || io.block(io.storage().size(Layout::RESERVE)).is_ok() {
        return;
    }
    // Random bytes, so that a compressing file system cannot shrink the reserve.
    let mut bytes = vec![0; LEN];
    let seed = io.context.runtime.bytes::<32>();
    blake3::Hasher::new_keyed(&seed)
        .finalize_xof()
        .fill(&mut bytes);
    let payload = Payload::from(bytes);
    let _ = io.block(io.storage().create_new(Layout::RESERVE, payload));
}

/// Deletes the reserve; false when there is none.
pub(crate) fn give_up_reserve(io: &Io) -> bool {
    if !io.storage().is_local_disk() || io.block(io.storage().size(Layout::RESERVE)).is_err() {
        return false;
    }
    let failed = io.delete_all(vec![Layout::RESERVE.to_owned()]);
    failed.is_ok_and(|failed| failed.is_empty())
}
