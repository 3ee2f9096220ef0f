//! The rules by which an EMQX node accepts a bundle.
//!
//! [`check_name`], [`check_members`], [`check_meta`] and [`check_import`] are EMQX's checks, in the order in which it makes them:
//!
//! 1. The node is a core node. Not checked here.
//! 2. The file exists. Not checked here.
//! 3. The base name is safe: [`check_name`].
//! 4. The name has the suffix `.tar.gz`: [`check_name`].
//! 5. Every member is below a directory of the base name: [`check_members`].
//! 6. The archive is extracted.
//! 7. `META.hocon` exists with both keys: [`Meta::parse`](super::meta::Meta::parse) and
//!    [`MetaError::refusal`](super::meta::MetaError::refusal).
//! 8. The edition fits: [`check_import`].
//! 9. The version fits, and last the security profile: [`check_import`].
//! 10. The configuration as a whole is valid, which only a node can check.
//!
//! Invariant: every bundle that EMQX refuses is refused here, with the same [`Refusal`] and the same text. br also refuses names that EMQX
//! accepts although the import then deletes its whole backup directory (an empty base name, and `.`) or the bundles of all namespaces
//! (`ns`, which 6.1.5, 6.2.3 and 6.3.0 refuse).

mod check;
mod refusal;
mod version;

#[cfg(test)]
mod tests;

pub use check::{check_import, check_members, check_meta, check_name};
pub use refusal::Refusal;
pub use version::{Edition, Node, Version, VersionRule};

/// The suffix of a bundle's file.
pub const SUFFIX: &str = ".tar.gz";
