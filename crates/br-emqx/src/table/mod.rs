//! The tables of a bundle: the files below `mnesia/`, each a Mnesia backup of one table.
//!
//! [`TableReader`] yields the records of a table and stops at every item that an export does not contain; [`inspect()`] reports on a table
//! and continues after errors if it can; [`compare()`] counts what an import would change, and [`merge()`] does the import on files, as
//! EMQX does it on a running node. Invariant: a copied record keeps its bytes and is never re-encoded.

mod compare;
mod index;
mod inspect;
mod item;
mod merge;
mod problem;
mod reader;

pub use compare::{MergeError, TableChanges, compare};
pub use inspect::{MAX_PROBLEMS, TableReport, inspect};
pub use item::{AtomStyle, TableHeader, TableKind, TableSchema};
pub use merge::merge;
pub use problem::{TableError, TableProblem};
pub use reader::{Record, TableReader};
