//! The existing files of a target.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};

use crate::error::{Error, Result};
use crate::path::MemberPath;

/// A target folder. A missing folder counts as empty.
#[derive(Debug)]
pub(crate) struct Target {
    dir: Option<Dir>,
    /// Folders that were checked, and whether they exist.
    looked: HashMap<Box<str>, bool>,
}

/// What exists at a path.
#[derive(Debug)]
pub(crate) enum Existing {
    Nothing,
    File(File),
    Directory,
}

impl Target {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let dir = match Dir::open_ambient_dir(folder, ambient_authority()) {
            Ok(dir) => Some(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let text = format!("cannot use the folder {}", folder.display());
                return Err(Error::io(text, error));
            }
        };
        Ok(Self {
            dir,
            looked: HashMap::new(),
        })
    }

    /// Finds what exists at `path`.
    pub(crate) fn existing(&mut self, path: &MemberPath) -> Result<Existing> {
        let Some(dir) = &self.dir else {
            return Ok(Existing::Nothing);
        };
        for parent in path.parents() {
            let there = match self.looked.get(parent) {
                Some(there) => *there,
                None => {
                    let there = is_folder(dir, parent)?;
                    self.looked.insert(parent.into(), there);
                    there
                }
            };
            if !there {
                return Ok(Existing::Nothing);
            }
        }
        match look(dir, path.as_str())? {
            None => Ok(Existing::Nothing),
            Some(metadata) if metadata.is_dir() => Ok(Existing::Directory),
            Some(_) => {
                let file = dir.open(path.as_str());
                let file = file.map_err(|error| Error::io("cannot read the target", error))?;
                Ok(Existing::File(file.into_std()))
            }
        }
    }
}

fn is_folder(dir: &Dir, path: &str) -> Result<bool> {
    match look(dir, path)? {
        None => Ok(false),
        Some(metadata) if metadata.is_dir() => Ok(true),
        Some(_) => Err(in_the_way(path, "a file")),
    }
}

/// The metadata of a path. A symbolic link is an error, because it leads out of the folder.
pub(super) fn look(dir: &Dir, path: &str) -> Result<Option<Metadata>> {
    match dir.symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(in_the_way(path, "a symbolic link")),
        Ok(metadata) if metadata.is_dir() || metadata.is_file() => Ok(Some(metadata)),
        Ok(_) => Err(in_the_way(path, "neither a file nor a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("cannot look at the target", error).in_member(path)),
    }
}

pub(super) fn in_the_way(path: &str, what: &str) -> Error {
    Error::invalid(format!("in the target this is {what}")).in_member(path)
}
