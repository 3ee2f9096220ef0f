//! Programs that embed `br-core`, written as other authors would write them: only with the public interface.
//!
//! The programs are tests, one file for each use, in `tests/embed`. [`repository`] is what they start from. Invariant: the crate
//! depends on no other crate of br, so it fails to compile if the interface lacks something.

use std::path::Path;

use br_core::{Context, InitOptions, Location, Repository, Result};

/// Creates a repository in a folder.
///
/// # Errors
/// As [`Repository::init`].
pub async fn repository(folder: &Path, context: &Context) -> Result<Repository> {
    let location = Location::Local(folder.join("repository"));
    Repository::init(&location, &InitOptions::default(), context).await
}
