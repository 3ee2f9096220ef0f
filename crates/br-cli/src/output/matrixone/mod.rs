//! The list of MatrixOne's backups as the original tool `mo_br` prints it.
//!
//! [`table()`] draws the list, with the sizes, durations and times of [`human`]. Invariant: apart from the column STORED, a list is the
//! same text, to the character, as in the manual of `mo_br`, because scripts read it.

pub(crate) mod human;
mod table;

pub(crate) use table::{TableOptions, table};
