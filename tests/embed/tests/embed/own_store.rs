//! Keeps a repository in an object store of the program: here one that counts what is read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use br_core::engine::backup::{BackupOptions, backup};
use br_core::object_store::memory::InMemory;
use br_core::object_store::path::Path;
use br_core::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use br_core::source::MemorySource;
use br_core::{BackupSelector, Context, InitOptions, Repository, Storage};
use futures::stream::BoxStream;

use crate::TestResult;

#[derive(Debug, Default)]
struct Counting {
    inner: InMemory,
    reads: AtomicU64,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that counts")
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        all: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(all)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_repository_is_in_a_store_of_the_program() -> TestResult {
    let store = Arc::new(Counting::default());
    let storage = Storage::from_object_store(Arc::clone(&store) as _, "memory of this program");
    let context = Context::system();
    let options = InitOptions::default()
        .with_password("secret")
        .with_weak_key_derivation();
    let repository = Repository::init_storage(storage.clone(), &options, &context).await?;
    let source = MemorySource::new([("notes.txt", "to keep")])?;
    let options = BackupOptions::new("host", "me", vec![]);
    let _ = backup(&repository, source, &options, &context).await?;

    let again = Repository::open_storage(storage, Some(b"secret")).await?;
    let snapshot = again.snapshot(BackupSelector::Latest, &context).await?;
    let path = "notes.txt".parse()?;
    let first = snapshot.stat(&path).await?;
    let reads = store.reads.load(Ordering::Relaxed);
    assert_eq!(snapshot.stat(&path).await?, first);
    assert_eq!(
        store.reads.load(Ordering::Relaxed),
        reads,
        "the store is in memory"
    );
    Ok(())
}
