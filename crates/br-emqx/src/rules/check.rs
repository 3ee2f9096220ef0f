//! The checks of a bundle.
//!
//! Invariant: each depends only on its arguments, and returns the first error.

use super::{Edition, Node, Refusal, SUFFIX, Version, VersionRule};
use crate::meta::{Meta, SecurityProfile};

/// Checks a bundle without a node: its edition and its version are valid.
///
/// # Errors
/// [`Refusal::InvalidEdition`] or [`Refusal::InvalidVersion`].
pub fn check_meta(meta: &Meta) -> Result<(Edition, Version), Refusal> {
    let edition = check_edition(meta)?;
    Ok((edition, Version::parse(&meta.version)?))
}

fn check_edition(meta: &Meta) -> Result<Edition, Refusal> {
    match meta.edition.as_str() {
        "ce" => Ok(Edition::Ce),
        "ee" => Ok(Edition::Ee),
        _ => Err(Refusal::InvalidEdition),
    }
}

/// Checks whether a node would import a bundle: edition, version, security profile.
///
/// # Errors
/// The first reason for a refusal.
pub fn check_import(meta: &Meta, node: &Node) -> Result<(), Refusal> {
    if check_edition(meta)? == Edition::Ee && !node.takes_enterprise() {
        return Err(Refusal::EeToCeBackup);
    }
    let version = Version::parse(&meta.version)?;
    let rule = VersionRule::of(&node.version);
    if !rule.allows(&version, &node.version) {
        return Err(Refusal::UnsupportedVersion {
            bundle: meta.version.clone(),
            node: node.version.as_str().to_owned(),
            rule,
        });
    }
    let is_hardened = |profile| profile == Some(SecurityProfile::Hardened);
    if is_hardened(node.security_profile)
        && !is_hardened(meta.security_profile())
        && !node.allow_security_profile_mismatch
    {
        return Err(Refusal::SecurityProfileMismatch {
            bundle: meta.security_profile(),
        });
    }
    Ok(())
}

/// Checks the name of a bundle's file, and returns its base name.
///
/// # Errors
/// [`Refusal::UnsafeBackupName`] if the base name cannot be used for a separate directory, such as `..` in `...tar.gz` and `ns`, and
/// [`Refusal::BadBackupName`] if the name has a `/` or lacks the suffix.
pub fn check_name(file_name: &str) -> Result<&str, Refusal> {
    if file_name.contains('/') {
        return Err(Refusal::BadBackupName);
    }
    let base = file_name.strip_suffix(SUFFIX);
    if matches!(base.unwrap_or(file_name), "" | "." | ".." | "ns") || file_name.contains('\0') {
        return Err(Refusal::UnsafeBackupName);
    }
    base.ok_or(Refusal::BadBackupName)
}

/// Checks that all members of an archive are below a directory of the base name. An archive without members passes.
///
/// # Errors
/// [`Refusal::BadArchiveDir`] if one is not. Only this check detects a renamed file.
pub fn check_members(
    base: &str,
    names: impl IntoIterator<Item: AsRef<str>>,
) -> Result<(), Refusal> {
    let is_below = |name: &str| name.split('/').next() == Some(base);
    if !base.is_empty() && names.into_iter().all(|name| is_below(name.as_ref())) {
        Ok(())
    } else {
        Err(Refusal::BadArchiveDir)
    }
}
