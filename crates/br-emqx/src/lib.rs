//! What EMQX puts into its export bundles, and the rules by which it takes them back.
//!
//! [`table`] decodes the files below `mnesia/`, [`hocon`] and [`config`] what stands in `cluster.hocon`, [`meta`] and [`rules`]
//! decide whether a node would accept a bundle. Invariant: every byte may be hostile; nothing here panics, recurses without
//! a limit, or allocates a size that a file asks for.

pub mod config;
pub mod disk_log;
pub mod hocon;
pub mod meta;
pub mod rules;
pub mod table;
pub mod table_sets;
pub mod term;
