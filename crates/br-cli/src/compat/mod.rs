//! Command lines of other tools, turned into those of `br`.
//!
//! Each tool is one file. Invariant: a translation changes the spelling only. The command it turns into decides what the values mean.

pub(crate) mod mo_br;
