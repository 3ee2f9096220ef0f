//! Translates command lines of other tools to command lines of `br`.
//!
//! One module per tool. Invariant: a translation changes only the spelling; the `br` command interprets the values.

pub(crate) mod mo_br;
