//! What can be done with a repository: one verb a file, each with its options and its report.
//!
//! Every operation is an `async` function that works on threads of its own and can be cancelled. Invariant: what destroys
//! is planned first, and the plan is what is carried out.
//!
//! Reports and plans, and the [`Backup`](crate::model::Backup) in them, implement [`serde::Serialize`] for logs: fields have their
//! names in Rust, ids and paths are text. Fields may be added in every version; the stable form for other programs is that of
//! `br --json`. Differences and entries do not implement it, as they hold content.

pub mod backup;
pub mod check;
pub mod delete;
pub mod diff;
pub mod dump;
pub mod export;
mod feed;
mod incomplete;
pub mod ls;
pub mod prune;
mod references;
mod relocate;
pub mod restore;
pub mod snapshot;
pub mod stats;
mod view;

pub use feed::Feed;
pub use incomplete::Incomplete;
