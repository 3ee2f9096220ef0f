//! Removing the leftovers of killed writers.
//!
//! [`Storage::sweep_staging`] removes unfinished files and uploads. Invariant: it never removes an object.

use std::time::SystemTime;

use crate::{
    error::{Operation, Result},
    storage::Storage,
};

impl Storage {
    /// Removes the leftovers of killed writers that were last written before `older_than`. Returns their
    /// number. It removes only uploads below `folder`, because others may use the bucket, but all unfinished
    /// files.
    ///
    /// Leftovers do no harm, but take space or cost money. A live writer that has been stuck since before
    /// `older_than` gets an error.
    ///
    /// # Errors
    ///
    /// The first error ends the sweep; it can be repeated.
    pub async fn sweep_staging(&self, folder: &str, older_than: SystemTime) -> Result<usize> {
        #[cfg(feature = "s3")]
        if let Some(uploads) = &self.backend().uploads {
            let swept = uploads.sweep(folder, older_than).await;
            return swept.map_err(|error| self.store_error(Operation::Sweep, "", &error));
        }
        // Only S3 has uploads to remove.
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
