//! Writing objects.
//!
//! [`Storage::create_new`] is the only write. The result of a write can be unclear: the response gets lost,
//! the write took effect but an error came back, or a client below repeated the request and found its own
//! object. Invariant: the contents of the store decide the result.
//!
//! How each response is settled:
//!
//! | response | result |
//! |---|---|
//! | success | created |
//! | the key is taken | read the object: same bytes: created; other bytes: exists; no object: retry |
//! | no response, or a temporary error | retry, which ends in one of the other rows |
//! | anything else | an error |

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    Attribute, Attributes, Error as StoreError, MultipartUpload, PutMode, PutMultipartOptions,
    PutOptions, path::Path,
};

use crate::{
    error::{Error, ErrorKind, Operation, Result},
    payload::Payload,
    storage::Storage,
};

/// A larger object is sent to a server in parts, so that several connections share the work and a failure
/// repeats only one part. In bytes.
const ONE_REQUEST: u64 = 32 << 20;
/// The length of the parts in bytes. Servers require at least 5 MiB.
const PART: usize = 16 << 20;
/// The number of concurrent parts of one object.
const PARALLEL_PARTS: usize = 4;

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "an object that already existed holds other bytes"]
pub enum Creation {
    /// The object holds the given bytes.
    Created,
    /// An object of this key exists, has other bytes, and is unchanged.
    AlreadyExists,
}

impl Storage {
    /// Writes an object unless its key is taken. When this returns, the object is complete and durable.
    ///
    /// If several writers write one key with different bytes, exactly one gets [`Creation::Created`]. Writing
    /// the same bytes again also returns `Created`: a writer that must know whether it was the first puts
    /// unique data into the bytes. After an error, or if the future is dropped, the complete object may exist
    /// or appear later: repeat the write.
    ///
    /// Two exceptions: objects of more than 32 MiB with a unique key ([`Payload::with_unique_key`]), and all
    /// objects in a store for which [`Storage::assume_single_writer`] was called. For them br checks whether
    /// the object exists and then writes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if there is no space.
    pub async fn create_new(&self, key: &str, payload: Payload) -> Result<Creation> {
        let path = self.path(Operation::Write, key)?;
        self.create_at(&path, payload).await
    }

    /// [`Storage::create_new`] for any path.
    pub(crate) async fn create_at(&self, path: &Path, payload: Payload) -> Result<Creation> {
        let key = path.as_ref();
        let mut retry_policy = self.retry_policy();
        let creation = loop {
            let error = match self.put(path, &payload).await {
                Ok(()) => break Creation::Created,
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                    match self.settle(path, &payload).await {
                        // The store refused because of another write of this key, which failed.
                        Err(error) if error.kind() == ErrorKind::NotFound => {
                            let cause = "other writes of this key are under way";
                            let place = self.location_text();
                            let (kind, what) = (ErrorKind::Unavailable, Operation::Write);
                            Error::new(kind, what, Some(key), place, cause)
                        }
                        settled => break settled?,
                    }
                }
                Err(error) => self.store_error(Operation::Write, key, &error),
            };
            if !retry_policy.allows(&error).await {
                return Err(error);
            }
        };
        if let Some(disk) = self.disk() {
            disk.settle(key, creation == Creation::AlreadyExists)
                .await
                .map_err(|error| self.io_error(Operation::Write, key, error))?;
        }
        Ok(creation)
    }

    /// Checks whether an existing object has the bytes to write.
    async fn settle(&self, path: &Path, payload: &Payload) -> Result<Creation> {
        let size = self.size_at(path).await?;
        let same = size == payload.len() && payload.is(&self.get_at(path, size).await?);
        Ok(if same {
            Creation::Created
        } else {
            Creation::AlreadyExists
        })
    }

    async fn put(&self, path: &Path, payload: &Payload) -> object_store::Result<()> {
        let in_parts = self.is_remote() && payload.has_unique_key() && payload.len() > ONE_REQUEST;
        if !in_parts && !self.is_single_writer() {
            return self.put_once(path, payload, PutMode::Create).await;
        }
        self.check_absent(path).await?;
        if in_parts {
            self.put_parts(path, payload).await
        } else {
            self.put_once(path, payload, PutMode::Overwrite).await
        }
    }

    /// Fails with [`StoreError::AlreadyExists`] if the object exists.
    pub(crate) async fn check_absent(&self, path: &Path) -> object_store::Result<()> {
        match self.store().get_opts(path, head()).await {
            Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(StoreError::AlreadyExists {
                path: path.to_string(),
                source: "the key is taken".into(),
            }),
        }
    }

    pub(crate) async fn put_once(
        &self,
        path: &Path,
        payload: &Payload,
        mode: PutMode,
    ) -> object_store::Result<()> {
        let options = PutOptions {
            attributes: self.attributes(payload),
            ..PutOptions::from(mode)
        };
        let put = self.store().put_opts(path, payload.clone().into(), options);
        put.await.map(drop)
    }

    /// Uploads parts concurrently. Aborts a failed upload; the next attempt settles the result, because an
    /// error of the last step does not show whether the object exists.
    async fn put_parts(&self, path: &Path, payload: &Payload) -> object_store::Result<()> {
        let options = PutMultipartOptions {
            attributes: self.attributes(payload),
            ..PutMultipartOptions::default()
        };
        let mut upload = self.store().put_multipart_opts(path, options).await?;
        let parts = payload.parts(PART).into_iter();
        let requests: Vec<_> = parts.map(|part| upload.put_part(part.into())).collect();
        let sent = stream::iter(requests)
            .buffer_unordered(PARALLEL_PARTS)
            .try_collect::<()>()
            .await;
        match sent {
            Ok(()) => complete(&mut *upload).await,
            Err(error) => {
                upload.abort().await.ok();
                Err(error)
            }
        }
    }

    fn attributes(&self, payload: &Payload) -> Attributes {
        let class = self.backend().rare_class.clone();
        let class = class.filter(|_| payload.is_read_rarely());
        let class = class.map(|class| (Attribute::StorageClass, class));
        class.into_iter().collect()
    }
}

/// A retry in a lower layer may find that the upload is already complete, which the store reports as missing.
/// Then, as after a lost response, the object itself decides.
async fn complete(upload: &mut dyn MultipartUpload) -> object_store::Result<()> {
    match upload.complete().await {
        Ok(_) => Ok(()),
        Err(StoreError::NotFound { path, source }) => {
            Err(StoreError::AlreadyExists { path, source })
        }
        Err(error) => Err(error),
    }
}

fn head() -> object_store::GetOptions {
    object_store::GetOptions {
        head: true,
        ..object_store::GetOptions::default()
    }
}
