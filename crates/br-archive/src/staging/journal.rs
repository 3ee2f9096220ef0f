//! The journal: lists the planned swaps, and is written before the first of them.

use std::io::{self, Read as _, Write as _};

use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::manifest::to_hex;

const JOURNAL: &str = "journal";
const UNFINISHED: &str = "journal.part";
const VERSION: u32 = 1;
/// Longest journal that is read, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// One change to the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Swap {
    /// A new file, or a new folder with its whole content.
    Insert(String),
    /// A file that replaces another. The old file is kept under the number of the swap in the journal.
    Replace(String),
}

/// The encoding of a journal: the version, the digest of what follows, and the swaps.
#[derive(Debug, Serialize, Deserialize)]
struct JournalV1 {
    version: u32,
    sha256: String,
    swaps: Vec<Swap>,
}

/// Writes a journal; it is on disk when this returns.
pub(super) fn write(staging: &Dir, swaps: &[Swap]) -> io::Result<()> {
    let journal = JournalV1 {
        version: VERSION,
        sha256: digest(swaps)?,
        swaps: swaps.to_vec(),
    };
    let mut file = staging.create(UNFINISHED)?;
    file.write_all(&serde_json::to_vec(&journal)?)?;
    file.sync_all()?;
    staging.rename(UNFINISHED, staging, JOURNAL)?;
    crate::platform::sync_cap_dir(staging)
}

/// Reads the journal; `None` if there is none, in which case no swap started.
pub(super) fn read(staging: &Dir) -> Result<Option<Vec<Swap>>> {
    let failed = |error| Error::io("cannot read the journal of an interrupted import", error);
    let file = match staging.open(JOURNAL) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut json = Vec::new();
    file.take(MAX_BYTES)
        .read_to_end(&mut json)
        .map_err(failed)?;
    let damaged = || {
        Error::damaged(
            "the journal of an interrupted import is damaged; the replaced files are next to it",
        )
    };
    let journal: JournalV1 = serde_json::from_slice(&json).map_err(|_| damaged())?;
    let digest = digest(&journal.swaps).map_err(failed)?;
    if journal.version != VERSION || journal.sha256 != digest {
        return Err(damaged());
    }
    Ok(Some(journal.swaps))
}

/// Removes the journal. This commits the swaps.
pub(super) fn remove(staging: &Dir) -> Result<()> {
    let removed = staging.remove_file(JOURNAL);
    removed.map_err(|error| Error::io("cannot end the import", error))
}

fn digest(swaps: &[Swap]) -> io::Result<String> {
    let json = serde_json::to_vec(swaps)?;
    Ok(to_hex(&Sha256::digest(json)))
}
