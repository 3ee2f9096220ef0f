//! Atomic changes to a folder.
//!
//! [`Staging`] is a folder `.br-import-<id>` inside the target that collects the new files; [`Staging::publish`] swaps them in. Replaced
//! files stay there until all swaps are done, and a journal lists the planned swaps. Invariant: after a failure the target is unchanged;
//! after a crash the next [`Staging::open`] restores it. No symbolic link is ever followed.

mod journal;
mod publish;
mod target;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::error::{Error, ErrorKind, Result};
use crate::path::MemberPath;

pub(crate) use target::{Existing, Target};
use target::{in_the_way, look};

/// The prefix of the names of staging folders.
const PREFIX: &str = ".br-import-";
/// The folder of new files, with the same paths as in the target.
const NEW: &str = "new";
/// The folder of replaced files, which are numbered.
const OLD: &str = "old";
/// The name of the temporary file.
const SCRATCH: &str = "scratch";

/// The staging folder for changes to a target.
#[derive(Debug)]
pub(crate) struct Staging {
    /// The locked target: while it is open, no other process imports into it.
    _lock: File,
    target: Dir,
    folder: PathBuf,
    /// The target and its parents that were created here; the innermost first.
    made: Vec<PathBuf>,
    name: String,
    staging: Dir,
    new: Dir,
    /// The folder below `new` that was created last. Most members are in the same folder as the previous one.
    last: Box<str>,
    /// Nothing is left to clean up.
    over: bool,
    #[cfg(test)]
    steps: publish::Steps,
}

impl Staging {
    /// Starts a change to the folder `into`, which is created if it is missing. First undoes interrupted imports into it.
    ///
    /// # Errors
    /// If another import into the folder is running, or the operating system reports an error.
    pub(crate) fn open(into: &Path, id: u64) -> Result<Self> {
        let failed = |error| Error::io(format!("cannot use the folder {}", into.display()), error);
        let is_missing = |folder: &&Path| match folder.symlink_metadata() {
            Err(error) => error.kind() == io::ErrorKind::NotFound && *folder != Path::new(""),
            Ok(_) => false,
        };
        let made: Vec<_> = into.ancestors().take_while(is_missing).collect();
        let made: Vec<_> = made.into_iter().map(Path::to_owned).collect();
        if !made.is_empty() {
            std::fs::create_dir_all(into).map_err(failed)?;
        }
        let lock = File::open(into).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another import into {} runs", into.display());
                return Err(Error::new(ErrorKind::Exists, text));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let target = Dir::open_ambient_dir(into, ambient_authority()).map_err(failed)?;
        recover(&target)?;
        let name = format!("{PREFIX}{id:016x}");
        let dirs = target.create_dir(&name).and_then(|()| {
            let staging = target.open_dir(&name)?;
            staging.create_dir(NEW)?;
            staging.create_dir(OLD)?;
            let new = staging.open_dir(NEW)?;
            Ok((staging, new))
        });
        let (staging, new) = dirs.map_err(failed)?;
        Ok(Self {
            _lock: lock,
            target,
            folder: into.to_owned(),
            made,
            name,
            staging,
            new,
            last: Box::default(),
            over: false,
            #[cfg(test)]
            steps: publish::Steps::default(),
        })
    }

    /// True if the target is empty.
    pub(crate) fn is_target_empty(&self) -> Result<bool> {
        let entries = self.target.entries().map_err(|error| self.failed(error))?;
        for entry in entries {
            let name = entry.map_err(|error| self.failed(error))?.file_name();
            if name != self.name.as_str() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Creates a new file that will be published at `path`.
    pub(crate) fn create(&mut self, path: &MemberPath, mode: u32) -> Result<File> {
        self.create_parents(path)?;
        // Drops set-user-id and similar bits.
        let file = crate::platform::create_in(&self.new, Path::new(path.as_str()), mode & 0o777);
        file.map_err(|error| self.failed(error))
    }

    /// Creates a new folder that will be published at `path`.
    pub(crate) fn create_dir(&mut self, path: &MemberPath) -> Result<()> {
        self.create_parents(path)?;
        self.make_dir(path.as_str())
    }

    fn create_parents(&mut self, path: &MemberPath) -> Result<()> {
        let parent = path.as_str().rsplit_once('/').map(|(parent, _)| parent);
        if parent.is_none_or(|parent| *parent == *self.last) {
            return Ok(());
        }
        let last = std::mem::take(&mut self.last);
        let is_made = |parent: &&str| {
            let rest = last.strip_prefix(*parent);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        for parent in path.parents().skip_while(is_made) {
            self.make_dir(parent)?;
        }
        self.last = parent.unwrap_or_default().into();
        Ok(())
    }

    fn make_dir(&mut self, path: &str) -> Result<()> {
        match self.new.create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(self.failed(error));
            }
            _ => {}
        }
        self.last = path.into();
        Ok(())
    }

    /// Removes a file that was created here.
    pub(crate) fn discard(&self, path: &MemberPath) -> Result<()> {
        let removed = self.new.remove_file(path.as_str());
        removed.map_err(|error| self.failed(error))
    }

    /// Creates a temporary file, which is removed with the staging folder unless [`Staging::place`] moves it.
    pub(crate) fn scratch(&self, mode: u32) -> Result<File> {
        match self.staging.remove_file(SCRATCH) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.failed(error)),
            _ => {}
        }
        let file = crate::platform::create_in(&self.staging, Path::new(SCRATCH), mode & 0o777);
        file.map_err(|error| self.failed(error))
    }

    /// Moves the file that [`Staging::scratch`] created last to `path`.
    pub(crate) fn place(&mut self, path: &MemberPath) -> Result<()> {
        self.create_parents(path)?;
        let placed = self.staging.rename(SCRATCH, &self.new, path.as_str());
        placed.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io(
            format!("cannot write into {}", self.folder.display()),
            error,
        )
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // The next import removes anything that remains.
        drop(self.target.remove_dir_all(&self.name));
        for folder in &self.made {
            drop(std::fs::remove_dir(folder));
        }
    }
}

/// Undoes interrupted imports. The lock is held, so none of them is running.
fn recover(target: &Dir) -> Result<()> {
    let failed = |error| Error::io("cannot look for imports that were interrupted", error);
    for entry in target.entries().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str().filter(|name| is_staging(name)) else {
            continue;
        };
        let staging = target.open_dir(name).map_err(failed)?;
        if let Some(swaps) = journal::read(&staging)? {
            publish::undo(target, &staging, &swaps)?;
            journal::remove(&staging)?;
        }
        drop(staging);
        target.remove_dir_all(name).map_err(failed)?;
    }
    Ok(())
}

fn is_staging(name: &str) -> bool {
    let id = name.strip_prefix(PREFIX);
    id.is_some_and(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// True for names that are reserved for staging folders.
pub(crate) fn is_reserved(path: &MemberPath) -> bool {
    let first = path.as_str().split('/').next();
    first.is_some_and(|first| first.starts_with(PREFIX))
}

#[cfg(test)]
mod tests;
