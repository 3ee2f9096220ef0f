//! The places objects are kept in.
//!
//! A [`Backend`] is an `object_store` implementation together with what that interface does not
//! cover. One folder or file per kind of place: [`local`] for disks, `s3` for buckets, [`memory`]
//! for tests; `remote` has what all servers share. Invariant: only these files know how a backend
//! differs from the others.

pub(crate) mod local;
pub(crate) mod memory;
#[cfg(feature = "s3")]
pub(crate) mod remote;
#[cfg(feature = "s3")]
pub(crate) mod s3;

use std::sync::Arc;

use object_store::ObjectStore;

use crate::{
    error::{Error, Operation, Result},
    location::Location,
    options::StorageOptions,
};

/// An opened place for objects.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Reads, writes and deletes.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// What a local disk needs in addition.
    pub(crate) disk: Option<Arc<local::Disk>>,
    /// The way to a server.
    #[cfg(feature = "s3")]
    pub(crate) link: Option<Arc<remote::Link>>,
    /// Uploads that were begun on a server.
    #[cfg(feature = "s3")]
    pub(crate) uploads: Option<Arc<s3::Uploads>>,
    /// Storage class of objects that are read rarely.
    pub(crate) rare_class: Option<String>,
}

impl Backend {
    /// A place that needs nothing in addition.
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            disk: None,
            #[cfg(feature = "s3")]
            link: None,
            #[cfg(feature = "s3")]
            uploads: None,
            rare_class: None,
        }
    }

    /// Opens a place which exists.
    pub(crate) fn open(location: &Location, options: &StorageOptions) -> Result<Self> {
        match location {
            Location::Local(path) => local::open(path, options)
                .map_err(|error| Error::from_io(Operation::Open, None, &place(location), error)),
            Location::Memory => Ok(memory::open()),
            Location::S3(there) => open_s3(there, options),
        }
    }

    /// Makes a place if there is none, and opens it. A bucket is not made: its owner decides where
    /// it lies and who may use it.
    pub(crate) fn create(location: &Location, options: &StorageOptions) -> Result<Self> {
        match location {
            Location::Local(path) => local::create(path, options)
                .map_err(|error| Error::from_io(Operation::Create, None, &place(location), error)),
            Location::Memory => Ok(memory::open()),
            Location::S3(there) => open_s3(there, options),
        }
    }
}

fn place(location: &Location) -> String {
    location.to_string()
}

#[cfg(feature = "s3")]
use s3::open as open_s3;

#[cfg(not(feature = "s3"))]
fn open_s3(location: &crate::S3Location, _: &StorageOptions) -> Result<Backend> {
    Err(Error::new(
        crate::ErrorKind::Unsupported,
        Operation::Open,
        None,
        &location.to_string(),
        "this program was built without S3",
    ))
}
