//! What can be done with a repository: one verb a file, each with its options and its report.
//!
//! Every operation is an `async` function that works on threads of its own and can be cancelled. Invariant: what destroys
//! is planned first, and the plan is what is carried out.

pub mod backup;
pub mod check;
pub mod delete;
pub mod diff;
pub mod dump;
pub mod export;
mod feed;
pub mod forget;
mod incomplete;
pub mod label;
pub mod ls;
pub mod prune;
mod references;
mod relocate;
pub mod restore;
pub mod snapshot;
pub mod stats;
pub mod undelete;
mod view;

pub use feed::Feed;
pub use incomplete::Incomplete;
