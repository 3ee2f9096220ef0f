//! The kinds of stores.
//!
//! A [`Backend`] is an `object_store` implementation and the functions that its interface lacks. Each kind of
//! store has one file or folder: [`local`] for disks, `s3`, `gcs` and `azure` for buckets, [`memory`] for
//! tests. `remote` has the code that all servers share, `cloud` the code that Google and Azure share.
//! Invariant: only these files know how one backend differs from another.

#[cfg(feature = "azure")]
pub(crate) mod azure;
#[cfg(any(feature = "gcs", feature = "azure"))]
mod cloud;
#[cfg(feature = "gcs")]
pub(crate) mod gcs;
pub(crate) mod local;
pub(crate) mod memory;
#[cfg(feature = "network")]
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

/// An open store.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Reads, writes and deletes.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Additional functions of a local disk.
    pub(crate) disk: Option<Arc<local::Disk>>,
    /// The connection settings and state of a server.
    #[cfg(feature = "network")]
    pub(crate) link: Option<Arc<remote::Link>>,
    /// Unfinished uploads on a server.
    #[cfg(feature = "s3")]
    pub(crate) uploads: Option<Arc<s3::Uploads>>,
    /// Retention of objects.
    #[cfg(feature = "s3")]
    pub(crate) locks: Option<Arc<s3::Locks>>,
    /// The storage class of objects that are rarely read.
    pub(crate) rare_class: Option<String>,
}

impl Backend {
    /// A store without additional functions.
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            disk: None,
            #[cfg(feature = "network")]
            link: None,
            #[cfg(feature = "s3")]
            uploads: None,
            #[cfg(feature = "s3")]
            locks: None,
            rare_class: None,
        }
    }

    /// Opens an existing store.
    pub(crate) fn open(location: &Location, options: &StorageOptions) -> Result<Self> {
        match location {
            Location::Local(path) => local::open(path, options)
                .map_err(|error| Error::from_io(Operation::Open, None, &place(location), error)),
            Location::Memory => Ok(memory::open()),
            Location::S3(there) => open_s3(there, options),
            Location::Gcs(there) => open_gcs(there, options),
            Location::Azure(there) => open_azure(there, options),
        }
    }

    /// Opens a store, and makes it first if it does not exist. Buckets are not made: their owner chooses the
    /// region and the permissions.
    pub(crate) fn create(location: &Location, options: &StorageOptions) -> Result<Self> {
        match location {
            Location::Local(path) => local::create(path, options)
                .map_err(|error| Error::from_io(Operation::Create, None, &place(location), error)),
            _ => Self::open(location, options),
        }
    }
}

fn place(location: &Location) -> String {
    location.to_string()
}

#[cfg(feature = "azure")]
use azure::open as open_azure;
#[cfg(feature = "gcs")]
use gcs::open as open_gcs;
#[cfg(feature = "s3")]
use s3::open as open_s3;

#[cfg(not(feature = "s3"))]
fn open_s3(location: &crate::S3Location, _: &StorageOptions) -> Result<Backend> {
    Err(missing(&location.to_string(), "S3 (feature s3)"))
}

#[cfg(not(feature = "gcs"))]
fn open_gcs(location: &crate::BucketLocation, _: &StorageOptions) -> Result<Backend> {
    let place = Location::Gcs(location.clone()).to_string();
    Err(missing(&place, "Google Cloud Storage (feature gcs)"))
}

#[cfg(not(feature = "azure"))]
fn open_azure(location: &crate::BucketLocation, _: &StorageOptions) -> Result<Backend> {
    let place = Location::Azure(location.clone()).to_string();
    Err(missing(&place, "Azure Blob Storage (feature azure)"))
}

#[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
fn missing(place: &str, what: &str) -> Error {
    let cause = format!("this program was built without {what}");
    let kind = crate::ErrorKind::Unsupported;
    Error::new(kind, Operation::Open, None, place, cause)
}
