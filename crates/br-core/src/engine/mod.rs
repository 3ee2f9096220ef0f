//! The operations on a repository: one file for each verb, with its options and its report.
//!
//! Every operation is an `async` function that runs on its own threads and can be cancelled. Invariant: `delete`, `forget`, `prune` and
//! `restore` can be planned without a change. `delete` removes exactly the backups of its plan, and `restore` takes the same decisions in
//! a dry run and in the real run. `prune` decides again with the options of its plan, because the repository may have changed since.
//!
//! Reports and plans, and the [`Backup`](crate::model::Backup) in them, implement [`serde::Serialize`] for logs: fields have their
//! names in Rust, ids and paths are text. Fields may be added in every version; the stable form for other programs is that of
//! `br --json`. Entries, what holds entries (differences, found entries), and plans of `forget` do not implement it.

pub mod backup;
pub mod check;
pub mod copy;
pub mod delete;
mod deleted;
pub mod diff;
pub mod dump;
pub mod export;
mod feed;
pub mod find;
pub mod forget;
pub mod growth;
mod incomplete;
pub mod label;
pub mod lock;
pub mod ls;
mod needed;
mod pattern;
pub mod prune;
mod references;
mod relocate;
pub mod restore;
pub mod rewrite;
pub mod snapshot;
pub mod stats;
pub mod undelete;
mod view;

pub use feed::Feed;
pub use incomplete::Incomplete;
