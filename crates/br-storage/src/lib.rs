//! Stores immutable objects under a location.
//!
//! A [`Storage`] keeps named, immutable sequences of bytes, its *objects*, below a [`Location`]: a directory
//! on local disk, a folder in a bucket of S3, Google Cloud Storage or Azure Blob Storage, or memory. A backup
//! engine accesses its repositories only through this type, so every operation has the same meaning on every
//! backend:
//!
//! * [`Storage::create_new`] is the only write. An object appears under its key with all of its bytes,
//!   durable, or it does not appear. An existing object is never replaced.
//! * Reads return all requested bytes, or an error.
//! * Listings are complete and sorted by key, or return an error.
//! * Deleting a missing object succeeds.
//!
//! Each error has an [`ErrorKind`], which says what the caller must do. Keys are restricted (see
//! [`Storage`]), so that they are valid file names, URL paths and object keys without encoding.
//!
//! In a bucket of S3 with object lock, [`Storage::extend_retention`] keeps everyone from deleting an object before a
//! time.
//!
//! A [`Folder`] gives the same access to files of other programs: on local disk or in a store, under any
//! name, listed and read as streams.
//!
//! Invariant: no reader, in this process or another, sees a part of an object.
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
//! The features `s3` (on by default), `gcs` and `azure` add the providers of their names. Without the
//! feature, a location of that provider can be parsed but not opened.
//!
//! The feature `conformance` adds the module `conformance`: the tests that every backend, and every wrapper
//! around a backend, must pass.

mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delete;
mod error;
mod folder;
mod key;
mod list;
mod location;
mod options;
mod payload;
mod probe;
mod read;
mod retention;
mod retry_policy;
mod secret;
mod server_error;
mod storage;
mod sweep;
mod traffic;
mod waiting;
mod write;

pub use error::{Error, ErrorKind, Operation, Result};
pub use folder::{FileInfo, FileReader, FileWriter, Folder, FolderContents, FolderLock, Listing};
pub use list::ObjectInfo;
pub use location::{BucketLocation, Location, Lookalike, S3Location};
pub use object_store;
pub use options::{
    Addressing, AssumeRole, NetworkOptions, S3Credentials, S3Encryption, S3Options, StorageOptions,
};
pub use payload::Payload;
pub use probe::{Capabilities, Speed};
pub use retention::{ObjectLock, Retention, RetentionMode};
pub use secret::Secret;
pub use storage::Storage;
pub use traffic::Traffic;
pub use waiting::{NetworkStatus, WaitCause, Waiting};
pub use write::Creation;

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
