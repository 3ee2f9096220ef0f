//! The list of MatrixOne backups, in the format of the original tool `mo_br`.
//!
//! [`table()`] draws the list, with the sizes, durations and times of [`human`]. Invariant: except for the column STORED, a list
//! is identical to the manual of `mo_br`, character by character, because scripts read it.

pub(crate) mod human;
mod table;

pub(crate) use table::{TableOptions, table};
