//! Objects under a location, whole or not at all.
//!
//! A [`Storage`] keeps named, immutable sequences of bytes, its *objects*, below a [`Location`]:
//! a directory on local disk, a folder in a bucket of S3, Google Cloud Storage or Azure Blob
//! Storage, or memory. It is the only way in which a backup engine reaches the place where backups
//! are kept, so that every backend means the same by every operation:
//!
//! * [`Storage::create_new`] is the only write. An object appears under its key with all of its
//!   bytes, durable, or it does not appear; an object that exists is never replaced.
//! * Reads return what was asked for or an error, never fewer bytes.
//! * Listings are complete and sorted by key, or an error.
//! * Deleting a missing object succeeds.
//!
//! Errors carry a small [`ErrorKind`] which says what the caller has to do. Keys are restricted
//! (see [`Storage`]) so that they are file names, URL paths and object keys without any encoding.
//!
//! Invariant: no reader, in this process or another, ever sees a part of an object.
//!
//! ```
//! # async fn example() -> br_storage::Result<()> {
//! use br_storage::{Creation, Storage};
//!
//! let storage = Storage::memory();
//! let created = storage.create_new("packs/ab/abcd", vec![1, 2, 3].into()).await?;
//! assert_eq!(created, Creation::Created);
//! assert_eq!(&storage.get_range("packs/ab/abcd", 1..3).await?[..], [2, 3]);
//! # Ok(())
//! # }
//! ```
//!
//! The features `s3` (on by default), `gcs` and `azure` add the providers of their names; without
//! its feature a location can be named, and not opened.
//!
//! The feature `conformance` adds the module `conformance`, the suite which every backend, and
//! every wrapper around a backend, has to pass.

mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delete;
mod error;
mod key;
mod list;
mod location;
mod options;
mod patience;
mod payload;
mod probe;
mod read;
mod secret;
mod server_error;
mod storage;
mod sweep;
mod traffic;
mod waiting;
mod write;

pub use error::{Error, ErrorKind, Operation, Result, StoreFailure};
pub use list::ObjectInfo;
pub use location::{BucketLocation, Location, Lookalike, S3Location};
pub use object_store;
pub use options::{
    Addressing, AssumeRole, NetworkOptions, S3Credentials, S3Encryption, S3Options, StorageOptions,
};
pub use payload::Payload;
pub use probe::{Capabilities, Speed};
pub use secret::Secret;
pub use storage::Storage;
pub use traffic::Traffic;
pub use waiting::{NetworkStatus, WaitCause, Waiting};
pub use write::Creation;
