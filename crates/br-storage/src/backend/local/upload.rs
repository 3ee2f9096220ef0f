//! Multipart uploads: each part is written to its offset in a staging file.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart, path::Path};

use super::{
    Disk, blocking,
    store::{put_error, put_result},
};

/// An unfinished upload.
#[derive(Debug)]
pub(super) struct Upload {
    disk: Arc<Disk>,
    location: Path,
    staged: String,
    file: Arc<File>,
    /// Where the next part begins.
    len: u64,
    /// The error of a part that could not be written. Parts may be awaited in any order, or never.
    failed: Arc<Mutex<Option<io::ErrorKind>>>,
}

impl Upload {
    pub(super) async fn start(disk: &Arc<Disk>, location: &Path) -> io::Result<Self> {
        let (writer, key) = (Arc::clone(disk), location.to_string());
        let (staged, file) = blocking(move || writer.stage(&key)).await?;
        Ok(Self {
            disk: Arc::clone(disk),
            location: location.clone(),
            staged,
            file: Arc::new(file),
            len: 0,
            failed: Arc::default(),
        })
    }
}

#[async_trait::async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut at = self.len;
        self.len += data.content_length() as u64;
        let (file, location) = (Arc::clone(&self.file), self.location.clone());
        let failed = Arc::clone(&self.failed);
        Box::pin(async move {
            let written = blocking(move || {
                for piece in &data {
                    file.write_all_at(piece, at)?;
                    at += piece.len() as u64;
                }
                Ok(())
            });
            written.await.map_err(|error| {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.kind());
                put_error(&location, error)
            })
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (disk, file) = (Arc::clone(&self.disk), Arc::clone(&self.file));
        let (staged, key) = (self.staged.clone(), self.location.to_string());
        let (failed, len) = (Arc::clone(&self.failed), self.len);
        let published = blocking(move || {
            if let Some(kind) = *failed.lock().unwrap_or_else(PoisonError::into_inner) {
                return Err(kind.into());
            }
            if file.metadata()?.len() != len {
                return Err(io::Error::other("a part was not written"));
            }
            disk.publish(&staged, &file, &key, true)
        });
        published
            .await
            .map_err(|error| put_error(&self.location, error))?;
        Ok(put_result())
    }

    async fn abort(&mut self) -> Result<()> {
        let (disk, staged) = (Arc::clone(&self.disk), self.staged.clone());
        let removed = blocking(move || disk.root.remove_file(&staged)).await;
        removed.map_err(|error| put_error(&self.location, error))
    }
}
