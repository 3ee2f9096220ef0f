//! The rules by which an EMQX node accepts a bundle.
//!
//! [`check_name`], [`check_members`], [`check_meta`] and [`check_import`] are EMQX's checks, in the order in which it makes them:
//!
//! 1. the node is a core node, and 2. the file exists: not checked here; 3. the base name is safe, and 4. it has the suffix `.tar.gz`:
//! [`check_name`]; 5. every member is below a directory of the base name: [`check_members`]; 6. the archive is extracted; 7. `META.hocon`
//! exists with both keys: [`Meta::parse`](super::meta::Meta::parse) and
//!    [`MetaError::refusal`](super::meta::MetaError::refusal);
//! 8. the edition, 9. the version, and last the security profile: [`check_import`];
//! 10. the configuration as a whole, which only a node can check.
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
