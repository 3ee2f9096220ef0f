//! Bundles as a whole: what is written is read, whoever wrote it, and nothing that anybody wrote does harm.

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
mod support;
mod tree;
