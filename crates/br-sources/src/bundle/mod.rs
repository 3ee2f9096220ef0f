//! Export bundles in a repository: member by member, so that what they have in common is stored once.
//!
//! [`BundleSource`] is a bundle to back up, [`BundleSink`] makes one of a backup. Invariant: a bundle is backed up after it was read to
//! its end and found sound, and is written back with the members, the bytes and the name it had.

mod sink;
mod source;

use br_archive::BundleName;
use br_core::model::{Backup, OriginKind};

pub use sink::BundleSink;
pub use source::BundleSource;

/// The tag of backups that were bundles.
pub const TAG: &str = "bundle";

/// The name of the bundle that a backup was made from; `None` when it was made from anything else.
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
