//! Clearing away what killed writers left.
//!
//! [`Storage::sweep_staging`] removes files that were being written and uploads that were begun.
//! Invariant: no object is ever touched.

use std::time::SystemTime;

use crate::{
    error::{Operation, Result},
    storage::Storage,
};

impl Storage {
    /// Removes what writers left behind which were killed, if they last wrote before
    /// `older_than`, and returns how many files or uploads that were. Of uploads only those below
    /// `folder` are removed, as others may share the bucket; of files all.
    ///
    /// Such leftovers do no harm, but take space or cost money. A writer which is alive but has
    /// been stuck for so long gets an error.
    ///
    /// # Errors
    ///
    /// The first one ends the sweep; it may be repeated.
    pub async fn sweep_staging(&self, folder: &str, older_than: SystemTime) -> Result<usize> {
        #[cfg(feature = "s3")]
        if let Some(uploads) = &self.backend().uploads {
            let swept = uploads.sweep(folder, older_than).await;
            return swept.map_err(|error| self.store_error(Operation::Sweep, "", &error));
        }
        // Nothing else has uploads to look for.
        #[cfg(not(feature = "s3"))]
        let _ = folder;
        match self.disk() {
            Some(disk) => disk
                .sweep(older_than)
                .await
                .map_err(|error| self.io_error(Operation::Sweep, "", error)),
            None => Ok(0),
        }
    }
}
