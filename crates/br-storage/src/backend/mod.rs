//! The places objects are kept in.
//!
//! A [`Backend`] is an `object_store` implementation together with what that interface does not
//! cover. One file per kind of place: [`local`] for disks, [`memory`] for tests; another kind is
//! another file and another arm of [`Backend::open`]. Invariant: only these files know how a
//! backend differs from the others.

pub(crate) mod local;
pub(crate) mod memory;

use std::{io, sync::Arc};

use object_store::ObjectStore;

use crate::{location::Location, options::StorageOptions};

/// An opened place for objects.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Reads, writes and deletes.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// What a local disk needs in addition.
    pub(crate) disk: Option<Arc<local::Disk>>,
}

impl Backend {
    /// Opens a place which exists.
    pub(crate) fn open(location: &Location, options: &StorageOptions) -> io::Result<Self> {
        match location {
            Location::Local(path) => local::open(path, options),
            Location::Memory => Ok(memory::open()),
        }
    }

    /// Makes a place if there is none, and opens it.
    pub(crate) fn create(location: &Location, options: &StorageOptions) -> io::Result<Self> {
        match location {
            Location::Local(path) => local::create(path, options),
            Location::Memory => Ok(memory::open()),
        }
    }
}
