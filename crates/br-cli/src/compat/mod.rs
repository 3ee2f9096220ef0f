//! Translates command lines of other tools to command lines of `br`.
//!
//! One module per tool. A translation renames options, builds URLs from several options, and refuses options that contradict each other.
//! Invariant: it opens no store and reads no file; the `br` command parses and checks the values.

pub(crate) mod mo_br;
