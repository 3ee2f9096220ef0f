//! How a storage is opened.
//!
//! [`StorageOptions`] holds what belongs to the way of access and not to the place itself.
//! Invariant: the defaults are the safe choice.

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
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self { fsync: true }
    }
}

impl StorageOptions {
    /// Sets whether an object on local disk is flushed to the device before a write returns;
    /// the default is `true`.
    ///
    /// `false` is for tests and benchmarks only: after a crash of the machine, objects which were
    /// reported as written may be missing or filled with zeros. Other backends ignore it.
    #[must_use]
    pub fn with_fsync(mut self, fsync: bool) -> Self {
        self.fsync = fsync;
        self
    }
}
