//! The tables of a bundle: the files below `mnesia/`, each a Mnesia backup of one table.
//!
//! [`TableReader`] gives the records of a table and stops at everything that an export does not contain; [`inspect()`] reports on a
//! table and goes on where it can; [`compare()`] counts what an import would change, and [`merge()`] carries it out on files, as
//! EMQX does it on a running node. Invariant: a record that is copied keeps its bytes; nothing is encoded anew.

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
