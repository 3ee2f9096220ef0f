//! What EMQX writes into its export bundles, and the rules by which it imports them.
//!
//! EMQX exports its data as a `tar.gz` archive of configurations and Mnesia tables. This crate reads, writes, compares and merges
//! what is in such an archive. `br-archive` handles the archive itself.
//!
//! - [`term`] decodes and encodes Erlang terms: [`Term`](term::Term).
//! - [`disk_log`] reads and writes the log files that hold them: [`LogReader`](disk_log::LogReader),
//!   [`LogWriter`](disk_log::LogWriter).
//! - [`table`] reads, compares and merges the tables below `mnesia/`: [`TableReader`](table::TableReader). [`table_sets`] lists the
//!   tables that EMQX exports.
//! - [`hocon`] parses and prints EMQX's dialect of HOCON: [`Object`](hocon::Object), [`Value`](hocon::Value).
//! - [`config`] merges and compares configurations, and finds the secrets in them: [`ConfigPath`](config::ConfigPath).
//! - [`meta`] reads `META.hocon`: [`Meta`](meta::Meta).
//! - [`rules`] decides whether a [`Node`](rules::Node) accepts a bundle, and gives EMQX's text of a refusal:
//!   [`Refusal`](rules::Refusal).
//!
//! The crate works on bytes and on plain [`std::io::Read`] and [`std::io::Write`]. It opens no files and needs no async runtime.
//!
//! Invariant: any input may be hostile. No input makes this crate panic, recurse without a limit, or allocate a size that only the input
//! claims.

pub mod config;
pub mod disk_log;
pub mod hocon;
pub mod meta;
pub mod rules;
pub mod table;
pub mod table_sets;
pub mod term;

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
