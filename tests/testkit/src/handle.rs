//! [`FaultyStore`] as an object store.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};

use crate::faulty::{FaultyStore, failure};

/// The trait as the engine gets it: every method must be written out, so that no call bypasses the plan.
#[derive(Debug, Clone)]
pub(crate) struct Handle(pub(crate) Arc<FaultyStore>);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Handle {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let effect = self.0.begin("put", location.as_ref()).await?;
        let result = self.0.inner.put_opts(location, payload, opts).await;
        if effect.then_fails {
            Err(failure())
        } else {
            result
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let _effect = self.0.begin("put", location.as_ref()).await?;
        self.0.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut all = Vec::with_capacity(ranges.len());
        for range in ranges {
            let options = GetOptions {
                range: Some(range.clone().into()),
                ..GetOptions::default()
            };
            all.push(self.0.get(location, options).await?.bytes().await?);
        }
        Ok(all)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = Arc::clone(&self.0);
        let delete = move |location: Result<Path>| {
            let store = Arc::clone(&store);
            async move {
                let location = location?;
                let effect = store.begin("delete", location.as_ref()).await?;
                store.inner.delete(&location).await?;
                if effect.then_fails {
                    Err(failure())
                } else {
                    Ok(location)
                }
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = Arc::clone(&self.0).list_all(prefix.cloned());
        stream::once(listing).flat_map(spread).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, offset) = (Arc::clone(&self.0), prefix.cloned(), offset.clone());
        let listing = async move {
            let mut all = store.list_all(prefix).await?;
            all.retain(|meta| meta.location > offset);
            Ok(all)
        };
        stream::once(listing).flat_map(spread).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let _effect = self
            .0
            .begin("list", prefix.map_or("", Path::as_ref))
            .await?;
        self.0.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let _effect = self.0.begin("copy", from.as_ref()).await?;
        self.0.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let _effect = self.0.begin("copy", from.as_ref()).await?;
        self.0.inner.rename_opts(from, to, options).await
    }
}

fn spread(listing: Result<Vec<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let items: Vec<_> = match listing {
        Ok(all) => all.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    };
    stream::iter(items).boxed()
}
