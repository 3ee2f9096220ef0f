//! Reservation of names, and atomic publication of bundles.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use br_emqx::rules::Refusal;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use super::BundleOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{BundleName, BundleTime};

/// Most names with a later millisecond that are tried.
const MAX_NAMES: u32 = 10_000;

/// A name that is reserved for this writer.
pub(super) struct Reserved {
    pub(super) name: BundleName,
    pub(super) time: BundleTime,
    pub(super) target: PathBuf,
    pub(super) part: TempPath,
    pub(super) file: File,
}

/// Reserves the first free name. The file `.<name>.part` holds the reservation until the bundle is published.
pub(super) fn reserve(dir: &Path, options: &BundleOptions) -> Result<Reserved> {
    let mut time = options.time;
    for _ in 0..MAX_NAMES {
        let name = options.name(time)?;
        let file_name = name.file_name();
        let target = dir.join(&file_name);
        let part = dir.join(format!(".{file_name}.part"));
        let created = crate::platform::create_private(&part);
        let taken = match created {
            Ok(file) => {
                let part =
                    TempPath::try_from_path(&part).map_err(|error| failed_write(&target, error))?;
                // Checks only now: the writer that held the name before may have published it in between.
                if target.symlink_metadata().is_err() {
                    return Ok(Reserved {
                        name,
                        time,
                        target,
                        part,
                        file,
                    });
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => return Err(failed_write(&target, error)),
        };
        if taken && (!options.next_free || options.name.is_some()) {
            return Err(exists(&target));
        }
        time = time
            .next()
            .map_err(|error| Error::invalid(error.to_string()))?;
    }
    let text = "too many bundles have a name of this time";
    Err(Error::new(ErrorKind::Exists, text))
}

fn exists(target: &Path) -> Error {
    let refusal = Refusal::AlreadyExists {
        file: target.display().to_string(),
    };
    Error::new(ErrorKind::Exists, refusal.to_string())
}

/// Renames the bundle to its final name, unless that exists.
pub(super) fn publish(part: TempPath, target: &Path, sync: bool) -> Result<()> {
    part.persist_noclobber(target)
        .map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => exists(target),
            _ => failed_write(target, error.error),
        })?;
    if sync && let Some(dir) = target.parent() {
        let synced = crate::platform::sync_dir(dir);
        synced.map_err(|error| failed_write(target, error))?;
    }
    Ok(())
}

/// The error for a file that cannot be written.
pub(super) fn failed_write(target: &Path, error: io::Error) -> Error {
    Error::io(format!("cannot write {}", target.display()), error)
}

/// A writer that computes the SHA-256 of what is written to it.
#[derive(Debug)]
pub(super) struct Hashing<W> {
    pub(super) to: W,
    pub(super) sha: Sha256,
    pub(super) bytes: u64,
}

impl<W> Hashing<W> {
    pub(super) fn new(to: W) -> Self {
        Self {
            to,
            sha: Sha256::new(),
            bytes: 0,
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.sha.update(bytes.get(..n).unwrap_or_default());
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
