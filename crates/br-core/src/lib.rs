//! What a backup is, and what can be done with it: the library behind the `br` command.
//!
//! A [`Repository`] is on local disk or in an object store. [`engine`] has the operations, one module for each verb; [`model`] the
//! values they take and return; [`source`] what backups read from, [`target`] what restores write to and [`sink`] what exports
//! write to. Every operation takes a [`Context`]: time and randomness, the receiver of progress events, and a token that cancels
//! the operation. The library prints nothing, does not read the environment and never ends the process. [`blocking`] runs its
//! operations for programs without an async runtime.
//!
//! ```
//! use br_core::engine::backup::{backup, BackupOptions};
//! use br_core::source::{LocalSource, LocalSourceOptions};
//! use br_core::{blocking, Context, InitOptions, Location, Repository};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("notes.txt"), "to keep")?;
//! # let (notes, place) = (folder.path().join("notes.txt"), folder.path().join("repository"));
//! let context = Context::system();
//! let report = blocking(async {
//!     let location = Location::Local(place);
//!     let repository = Repository::init(&location, &InitOptions::default(), &context).await?;
//!     let source = LocalSource::new(&[notes.clone()], LocalSourceOptions::default())?;
//!     let path = notes.as_os_str().as_encoded_bytes().to_vec();
//!     let options = BackupOptions::new("host", "user", vec![path]);
//!     Ok::<_, Box<dyn std::error::Error>>(backup(&repository, source, &options, &context).await?)
//! })??;
//! assert_eq!(report.backup.totals.files, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Reading
//!
//! [`Repository::snapshot`] opens one backup: look up entries, list folders, read any part of a file. Each call of
//! [`ls`](engine::ls::ls), [`dump`](engine::dump::dump()) and the other verbs reads the commit log and the index again. A snapshot
//! reads them once.
//!
//! # Local folders
//!
//! The library needs no folder on the local machine. Two folders save time, and both may be deleted when no operation runs:
//!
//! - A journal ([`BackupOptions::journal`](engine::backup::BackupOptions::journal)): after an interrupted backup, the next one does
//!   not read finished files again, if the source [can skip](source::Source::can_skip_unchanged) unchanged files, and finds the stored
//!   packs without a listing. The journal does not affect deduplication: no data is stored twice without it either.
//! - A cache ([`Repository::use_cache`]), for a repository on a server: copies of the index, of manifests and of tree nodes. It also
//!   remembers the newest log entry, and so detects a repository that was replaced by an older copy.
//!
//! # Requests
//!
//! `docs/requests.md` has the number of requests of each operation on a server, and a test that counts them.
//!
//! Errors have an [`ErrorKind`] that says what the caller can do. The format of a repository is described, byte by byte, in
//! `docs/format/repository.md`.

mod chunker;
pub mod engine;
mod error;
mod format;
pub mod model;
mod platform;
mod process;
mod progress;
mod repository;
pub mod runtime;
pub mod sink;
pub mod source;
pub mod target;
mod warning;

pub use br_storage::{
    Addressing, AssumeRole, BucketLocation, Capabilities, ErrorKind as StorageErrorKind, Location,
    Lookalike, NetworkOptions, NetworkStatus, RetentionMode, S3Credentials, S3Encryption,
    S3Location, S3Options, Secret, Speed, Storage, StorageOptions, Traffic,
};
pub use engine::snapshot::{FileReader, FileStream, Snapshot, WalkOptions};
pub use error::{Error, ErrorKind, ObjectKind, Result, Site};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use format::fuzzing;
pub use format::{
    ChunkerConfig, Cipher, Config, FORMAT_VERSION, FormatError, FormatVersion, StoreConfig,
};
pub use process::{ProgramEnd, ProgramError, run_program};
pub use progress::{Action, Context, Event, Progress, Silent};
pub use repository::{
    BackupFilter, BackupSelector, CacheOptions, InitOptions, Key, LogHead, LogHeadError,
    MasterKeyChange, NewKey, Repository, ShortIds,
};
pub use warning::{Note, Warning};

pub use br_storage::{Error as StorageError, object_store};
pub use bytes;
pub use jiff;
pub use tokio_util::sync::CancellationToken;

/// Name and version of this library. It is in every log entry that this library writes.
pub const PROGRAM: &str = concat!("br ", env!("CARGO_PKG_VERSION"));

/// Runs a future until it is complete, for programs without an async runtime. Each call starts a runtime and stops it, so put
/// operations that belong together in one future. A [`Repository`] and a [`Snapshot`] may be used in several calls.
///
/// # Errors
/// [`ErrorKind::Invalid`] when called on a thread of a tokio runtime: there, await the operation itself. [`ErrorKind::Io`] when the
/// system cannot start threads. The inner result is the future's.
pub fn blocking<T>(future: impl Future<Output = T>) -> Result<T> {
    if tokio::runtime::Handle::try_current().is_ok() {
        let message =
            "`br_core::blocking` was called inside of a tokio runtime: await the operation instead";
        return Err(Error::invalid(message));
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map(|runtime| runtime.block_on(future))
        .map_err(|error| Error::io("cannot start the runtime", error))
}

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
