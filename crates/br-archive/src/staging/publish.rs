//! Swapping in what is new, and taking it back.

use std::io;

use cap_std::fs::Dir;

use super::journal::{self, Swap};
use super::{NEW, OLD, Staging, in_the_way, look};
use crate::error::{Error, Result};

impl Staging {
    /// Swaps everything in. What is new is on disk before the first swap if `sync` says so.
    ///
    /// # Errors
    /// When the system refuses. Everything is as it was then; if even that failed, the next import into the folder sees to it.
    pub(crate) fn publish(mut self, sync: bool) -> Result<()> {
        let mut swaps = Vec::new();
        plan(&self.new, &self.target, "", &mut swaps)?;
        let prepared = match sync {
            true => crate::platform::sync_file_system(&self.staging),
            false => Ok(()),
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
            // From here on the journal decides, and not this staging's end.
            self.over = true;
            undo(&self.target, &self.staging, &swaps)?;
            journal::remove(&self.staging)?;
            self.over = false;
            return Err(error);
        }
        self.over = true;
        // Without its journal the import stands, so all of it has to be on disk before, and what was replaced may go only after.
        let settle = || match sync {
            true => crate::platform::sync_file_system(&self.staging),
            false => Ok(()),
        };
        settle().map_err(|error| self.failed(error))?;
        journal::remove(&self.staging)?;
        settle().map_err(|error| self.failed(error))?;
        // The import is done. What cannot be cleared away now is cleared away by the next.
        drop(self.target.remove_dir_all(&self.name));
        Ok(())
    }

    pub(super) fn swap(&self, number: usize, swap: &Swap) -> io::Result<()> {
        match swap {
            Swap::Insert(path) => self.new.rename(path, &self.target, path),
            Swap::Replace(path) => {
                let old = format!("{OLD}/{number}");
                // With a second name for the old file its first one always leads to one of the two.
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

/// Compares what is new with what is there: whole folders go in with one rename where nothing is in their way.
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

/// Takes back the swaps that were made, the last one first. Done twice, it does no harm.
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

/// What is not there was not swapped.
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
