//! Backing up: from a [`Source`](crate::source::Source) to a committed [`Backup`](crate::model::Backup).
//!
//! ```text
//! compare ──► workers ──► collect ──► tree nodes ─┐
//! (walk, base)  (read, cut,  (in path order)        ├─► packer ──► storage
//!                hash, compress) ── groups ──────────┘
//! ```
//!
//! [`backup`] runs it, [`BackupOptions`] say how, [`BackupReport`] tells what came of it. Invariant: the log entry that
//! makes the backup exist is its last write.

mod base;
mod block;
mod collect;
mod commit;
mod compare;
mod dedup;
mod delta;
mod digest;
mod job;
mod mend;
mod options;
mod pipeline;
mod run;
mod shared;
mod start;
mod tally;
mod window;
mod worker;

pub(crate) use dedup::note_what_is_left;
pub use options::{BackupOptions, Base};
pub use run::backup;
pub use tally::BackupReport;
