//! A bundle in a folder.
//!
//! [`BundleWriter::create`] reserves its name, [`BundleWriter::finish`] publishes it. Invariant: the folder never has an incomplete bundle
//! under the bundle's name.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::publish::{Reserved, failed_write, publish, reserve};
use super::{BundleOptions, BundleWriter, WriteReport};
use crate::error::{Error, Result};

/// The file of a bundle that is not yet published.
#[derive(Debug)]
pub(super) struct BundleFile {
    /// Removes the file unless it is published.
    part: TempPath,
    /// Where the bundle will appear.
    pub(super) target: PathBuf,
    /// Wait until the bundle is on disk.
    sync: bool,
}

impl BundleWriter {
    /// Begins a bundle in the folder `dir`, which is created if it is missing, and writes its `META.hocon`.
    ///
    /// # Errors
    /// If the name exists, an option is wrong, or the operating system reports an error.
    pub fn create(dir: &Path, options: BundleOptions) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|error| {
            Error::io(format!("cannot make the folder {}", dir.display()), error)
        })?;
        let Reserved {
            name,
            time,
            target,
            part,
            file,
        } = reserve(dir, &options)?;
        let sync = options.sync;
        let reserved = BundleFile { part, target, sync };
        Self::begin_bundle(file, Some(reserved), name, time, options)
    }

    /// The path at which the bundle will appear; empty if [`create`](Self::create) did not make this writer.
    #[must_use]
    pub fn target(&self) -> &Path {
        let file = self.file.as_ref();
        file.map_or(Path::new(""), |file| &file.target)
    }

    /// Writes the manifest and publishes the bundle.
    ///
    /// # Errors
    /// If the operating system reports an error, or the name exists by now. The bundle is then removed.
    pub fn finish(self) -> Result<WriteReport> {
        let (out, report, file) = self.complete()?;
        let Some(BundleFile { part, target, sync }) = file else {
            return Ok(report);
        };
        if sync {
            let synced = out.sync_all();
            synced.map_err(|error| failed_write(&target, error))?;
        }
        drop(out);
        publish(part, &target, sync)?;
        Ok(report)
    }
}

impl BundleFile {
    /// True for the file that the bundle is written to.
    pub(super) fn is(&self, from: &Path, metadata: &fs::Metadata) -> bool {
        from.file_name() == self.part.file_name()
            && self.part.symlink_metadata().is_ok_and(|own| {
                crate::platform::identity(&own) == crate::platform::identity(metadata)
            })
    }
}
