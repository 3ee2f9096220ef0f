//! Backing up: from a [`Source`](crate::source::Source) to a committed [`Backup`](crate::model::Backup).
//!
//! ```text
//! compare ──► workers ──► collect ──► tree nodes ─┐
//! (walk, base)  (read, cut,  (in path order)        ├─► packer ──► storage
//!                hash, compress) ── groups ──────────┘
//! ```
//!
//! Before the walk, the workers read what the source wants to be read [first](crate::source::Source::take_first).
//!
//! [`backup`] runs the pipeline, [`BackupOptions`] configures it, [`BackupReport`] holds the result. Invariant: a backup's last write is
//! the log entry that adds it to the backup list.

mod align;
mod base;
mod block;
mod collect;
mod commit;
mod compare;
mod dedup;
mod delta;
mod digest;
mod first;
mod folder;
mod job;
mod options;
mod pipeline;
mod run;
mod sanitize;
mod shared;
mod start;
mod tally;
mod walk_limit;
mod window;
mod worker;

pub(super) use base::newest_of;
pub(super) use collect::NodeStore;
pub(super) use commit::{Committer, Draft, Place};
pub(crate) use dedup::add_live_references;
pub(super) use dedup::{Dedup, Prover};
pub(super) use digest::{FileDigest, sha256_of};
pub(super) use options::check_work;
pub use options::{BackupOptions, Base};
pub use run::{backup, backup_with_retry};
pub(super) use start::{adopt, find_stored};
pub use tally::BackupReport;
