//! Export bundles in a repository, stored member by member, so that shared data is stored once.
//!
//! [`BundleSource`] reads a bundle for a backup; [`BundleSink`] writes a bundle from a backup. Invariant: a
//! bundle is backed up only after all of it was read and validated, and is written back with the same
//! members, bytes and name.

mod sink;
mod source;

use br_archive::BundleName;
use br_core::model::{Backup, OriginKind};

pub use sink::BundleSink;
pub use source::BundleSource;

/// The tag of backups of bundles.
pub const TAG: &str = "bundle";

/// The name of the bundle from which a backup was made; `None` for any other backup.
#[must_use]
pub fn name_of(backup: &Backup) -> Option<BundleName> {
    // Early versions of br recorded no origin, only a tag.
    let is_bundle = match &backup.origin {
        Some(origin) => origin.kind == OriginKind::Bundle,
        None => backup.tags.iter().any(|tag| tag == TAG),
    };
    if !is_bundle {
        return None;
    }
    let [path] = backup.paths.as_slice() else {
        return None;
    };
    let path = std::str::from_utf8(path).ok()?;
    BundleName::of_file(path.rsplit('/').next()?).ok()
}
