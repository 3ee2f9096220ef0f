//! Swaps new files in, and undoes the swaps.

use std::io;

use cap_std::fs::Dir;

use super::journal::{self, Swap};
use super::{NEW, OLD, Staging, in_the_way, look};
use crate::error::{Error, Result};

impl Staging {
    /// Swaps everything in. With `sync`, the new files are on disk before the first swap.
    ///
    /// # Errors
    /// If the operating system reports an error. The swaps are then undone; if that also fails, the next import into the folder undoes
    /// them.
    pub(crate) fn publish(mut self, sync: bool) -> Result<()> {
        let mut swaps = Vec::new();
        plan(&self.new, &self.target, "", &mut swaps)?;
        let prepared = if sync {
            crate::platform::sync_file_system(&self.staging)
        } else {
            Ok(())
        };
        prepared
            .and_then(|()| journal::write(&self.staging, &swaps))
            .map_err(|error| self.failed(error))?;
        let swapped = swaps
            .iter()
            .enumerate()
            .try_for_each(|(number, swap)| self.step().and_then(|()| self.swap(number, swap)));
        if let Err(error) = swapped {
            let error = self.failed(error);
            // From here on recovery uses the journal, and `drop` must not clean up.
            self.over = true;
            undo(&self.target, &self.staging, &swaps)?;
            journal::remove(&self.staging)?;
            self.over = false;
            return Err(error);
        }
        self.over = true;
        // Removing the journal commits the import. So all of it must be on disk before, and the replaced files may be deleted only after.
        let settle = || {
            if sync {
                crate::platform::sync_file_system(&self.staging)
            } else {
                Ok(())
            }
        };
        settle().map_err(|error| self.failed(error))?;
        journal::remove(&self.staging)?;
        settle().map_err(|error| self.failed(error))?;
        // The import is done. The next import removes anything that cannot be removed now.
        drop(self.target.remove_dir_all(&self.name));
        Ok(())
    }

    pub(super) fn swap(&self, number: usize, swap: &Swap) -> io::Result<()> {
        match swap {
            Swap::Insert(path) => self.new.rename(path, &self.target, path),
            Swap::Replace(path) => {
                let old = format!("{OLD}/{number}");
                // With a hard link to the old file, its name always refers to the old or the new file.
                if self.target.hard_link(path, &self.staging, &old).is_err() {
                    self.target.rename(path, &self.staging, &old)?;
                }
                self.new.rename(path, &self.target, path)
            }
        }
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.steps.step()
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests fail here")]
    const fn step(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Compares new and existing files. A folder that the target does not have is swapped in with one rename.
pub(super) fn plan(new: &Dir, target: &Dir, folder: &str, swaps: &mut Vec<Swap>) -> Result<()> {
    let failed = |error| Error::io("cannot look at what is to be imported", error);
    let here = if folder.is_empty() { "." } else { folder };
    let mut names = Vec::new();
    for entry in new.read_dir(here).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_dir = entry.file_type().map_err(failed)?.is_dir();
        names.push((entry.file_name(), is_dir));
    }
    names.sort_unstable();
    for (name, is_dir) in names {
        // Every name here came from a member's path.
        let name = name.to_str().unwrap_or_default();
        let path = if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        };
        match look(target, &path)? {
            None => swaps.push(Swap::Insert(path)),
            Some(there) if there.is_dir() && is_dir => plan(new, target, &path, swaps)?,
            Some(there) if there.is_dir() => return Err(in_the_way(&path, "a folder")),
            Some(_) if is_dir => return Err(in_the_way(&path, "a file")),
            Some(_) => swaps.push(Swap::Replace(path)),
        }
    }
    Ok(())
}

/// Undoes the swaps, the last one first. It is idempotent.
pub(super) fn undo(target: &Dir, staging: &Dir, swaps: &[Swap]) -> Result<()> {
    let new = staging.open_dir(NEW);
    let new = new.map_err(|error| Error::io("cannot undo an import", error))?;
    for (number, swap) in swaps.iter().enumerate().rev() {
        let undone = match swap {
            Swap::Insert(path) => match new.symlink_metadata(path) {
                Ok(_) => Ok(()),
                Err(_) => renamed(target.rename(path, &new, path)),
            },
            Swap::Replace(path) => renamed(staging.rename(format!("{OLD}/{number}"), target, path)),
        };
        undone.map_err(|error| Error::io("cannot undo an import", error))?;
    }
    Ok(())
}

/// Ignores a missing file: it was not swapped.
fn renamed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Fails at a chosen step.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) until: std::cell::Cell<Option<u32>>,
}

#[cfg(test)]
impl Steps {
    fn step(&self) -> io::Result<()> {
        match self.until.get() {
            Some(0) => Err(io::Error::other("a step fails")),
            Some(left) => {
                self.until.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
