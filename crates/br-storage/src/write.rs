//! Writing objects.
//!
//! [`Storage::create_new`] is the only write. Stores answer a write in more ways than with yes or
//! no: the answer gets lost, or the write took effect and an error came back, or a client below
//! repeated it and met its own object. Invariant: the answer is settled by what the store holds.
//!
//! How each answer is settled:
//!
//! | answer | what is done |
//! |---|---|
//! | success | it is ours |
//! | the key is taken | read it: with our bytes it is ours, with others it is not; nothing there: again |
//! | no answer, or an error for the moment | again, which ends in one of the other rows |
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

/// A larger object goes to a server in parts, so that several connections share the work and a
/// failure costs no more than a part.
const ONE_REQUEST: u64 = 32 << 20;
/// Length of the parts; servers want at least 5 MiB.
const PART: usize = 16 << 20;
/// Parts of one object under way at once.
const PARALLEL_PARTS: usize = 4;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "an object which existed holds other bytes"]
pub enum Creation {
    /// The object holds the given bytes.
    Created,
    /// An object of this key existed, holds other bytes, and is unchanged.
    AlreadyExists,
}

impl Storage {
    /// Writes an object, whole and durable before this returns, unless its key is taken.
    ///
    /// Of several writers of one key with different bytes exactly one is told
    /// [`Creation::Created`]. Writing the same bytes again is answered with `Created` as well: a
    /// writer who must know that it was the first puts something of its own into the bytes. After
    /// an error, or if the future is dropped, the object may exist or come to exist, whole: repeat
    /// the write.
    ///
    /// Two exceptions: objects of more than 32 MiB whose key nobody else can have
    /// ([`Payload::with_unique_key`]), and all objects in a store for which
    /// [`Storage::assume_single_writer`] was called, are looked up and then written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if there is no space.
    pub async fn create_new(&self, key: &str, payload: Payload) -> Result<Creation> {
        let path = self.path(Operation::Write, key)?;
        self.create_at(&path, payload).await
    }

    /// [`Storage::create_new`] under any path.
    pub(crate) async fn create_at(&self, path: &Path, payload: Payload) -> Result<Creation> {
        let key = path.as_ref();
        let mut retry_policy = self.retry_policy();
        let creation = loop {
            let error = match self.put(path, &payload).await {
                Ok(()) => break Creation::Created,
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                    match self.settle(path, &payload).await {
                        // The store was busy with another write of this key, which failed.
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

    /// Finds out whether an object that exists is the one that was to be written.
    async fn settle(&self, path: &Path, payload: &Payload) -> Result<Creation> {
        let size = self.size_at(path).await?;
        let same = size == payload.len() && payload.is(&self.get_at(path, size).await?);
        Ok(match same {
            true => Creation::Created,
            false => Creation::AlreadyExists,
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

    /// Fails with [`StoreError::AlreadyExists`] if there is an object.
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

    /// Uploads parts at the same time. What fails is aborted, and settled by the next attempt: an
    /// error of the last step does not tell whether the object exists.
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

/// After the last step a retry below may have met an upload that is complete already, which is
/// reported as missing: as after a lost answer, the object itself tells.
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
