//! Options for opening a storage.
//!
//! [`StorageOptions`] says how a location is accessed: [`NetworkOptions`] for every server, [`S3Options`] for
//! S3. Invariant: the defaults are the safe choice.

mod network;
mod s3;

pub use network::NetworkOptions;
pub use s3::{Addressing, AssumeRole, S3Credentials, S3Encryption, S3Options};

/// Options for [`Storage::open`](crate::Storage::open) and
/// [`Storage::create`](crate::Storage::create).
///
/// ```
/// let options = br_storage::StorageOptions::default().with_fsync(false);
/// assert!(!options.fsync);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageOptions {
    /// Whether an object on local disk is flushed to the device before a write returns.
    pub fsync: bool,
    /// Whether a new folder on local disk is shared with its group.
    pub shared: bool,
    /// Options for servers.
    pub network: NetworkOptions,
    /// Options for S3 and servers with its protocol.
    pub s3: S3Options,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            fsync: true,
            shared: false,
            network: NetworkOptions::default(),
            s3: S3Options::default(),
        }
    }
}

impl StorageOptions {
    /// Sets whether an object on local disk is flushed to the device before a write returns;
    /// the default is `true`.
    ///
    /// `false` is for tests and benchmarks only: after a crash of the machine, objects that were reported as
    /// written may be missing or filled with zeros. Other backends ignore the option.
    #[must_use]
    pub fn with_fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }

    /// Sets whether [`Storage::create`](crate::Storage::create) shares a folder on local disk with the
    /// folder's group. Then every member of the group may read and write the contents of the folder,
    /// including files that other members make later. The default is `false`: only the owner has access.
    /// Other backends ignore the option.
    #[must_use]
    pub fn with_shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// Sets the options for servers.
    #[must_use]
    pub fn with_network(mut self, network: NetworkOptions) -> Self {
        self.network = network;
        self
    }

    /// Sets the options for S3.
    #[must_use]
    pub fn with_s3(mut self, s3: S3Options) -> Self {
        self.s3 = s3;
        self
    }
}
