//! The places objects are kept in.
//!
//! A [`Backend`] is an `object_store` implementation together with what that interface does not
//! cover. One folder or file per kind of place: [`local`] for disks, `s3`, `gcs` and `azure` for
//! buckets, [`memory`] for tests; `remote` has what all servers share, `cloud` what those of Google
//! and Azure do. Invariant: only these files know how a backend differs from the others.

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

/// An opened place for objects.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Reads, writes and deletes.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// What a local disk needs in addition.
    pub(crate) disk: Option<Arc<local::Disk>>,
    /// The way to a server.
    #[cfg(feature = "network")]
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
            #[cfg(feature = "network")]
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
            Location::Gcs(there) => open_gcs(there, options),
            Location::Azure(there) => open_azure(there, options),
        }
    }

    /// Makes a place if there is none, and opens it. A bucket is not made: its owner decides where
    /// it lies and who may use it.
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
