//! The content of `cluster.hocon`, and what an import does with it.
//!
//! [`roots`] and [`select_roots`] are about the roots of a configuration, [`ROOTS`] and [`import_of`] say how EMQX imports each, [`merge`]
//! merges two configurations as an import does, [`losses`] lists what an import loses, [`secrets`] the places of keys and passwords, and
//! [`diff`] compares two configurations. They work on the [`Object`](super::hocon::Object) that [`hocon::parse`](super::hocon::parse)
//! returns.
//!
//! Invariant: results name places ([`ConfigPath`]), never the values there, so that they may be shown and logged. The exceptions
//! are the names of files, plugins and certificates that a bundle lacks.

mod diff;
mod losses;
mod merge;
mod path;
mod roots;
mod secrets;

pub use diff::{ConfigDiff, ConfigDifference, DifferenceKind, diff};
pub use losses::{Warning, losses};
pub use merge::{ChangeKind, ConfigChange, merge};
pub use path::ConfigPath;
pub use roots::{
    Identity, Import, Merge, Part, ROOTS, Rest, Root, import_of, is_root, roots, select_roots,
};
pub use secrets::{Secret, SecretKind, secrets};

/// Most secrets, losses or differences that are listed for one configuration.
pub const MAX_FINDINGS: usize = 10_000;
