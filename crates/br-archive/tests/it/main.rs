//! Tests of whole bundles: br reads its own bundles and those of other programs, and refuses harmful ones.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bodies;
mod bundles;
mod dialects;
mod emqx_warnings;
mod erl_tar;
mod hostile;
mod import;
mod kill;
mod memory;
mod mutants;
mod streams;
mod support;
mod tree;
