//! Hand-made groups for the tests of readers.

use std::sync::Arc;

use br_storage::Storage;

use super::{ChunkReader, Index, IndexSegment, InitOptions, Io, Packer, RawGroup, Repository};
use crate::error::Result;
use crate::format::{ChunkIdKey, Codec, PackContent};
use crate::model::{ChunkId, ChunkRef};
use crate::progress::Context;

pub(super) fn noise(seed: u8, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut out);
    out
}

pub(super) fn group(codec: Codec, stored: Vec<u8>, chunks: &[(ChunkId, &[u8])]) -> RawGroup {
    let chunk = |(id, bytes): &(ChunkId, &[u8])| ChunkRef {
        id: *id,
        len: bytes.len() as u32,
    };
    let chunks = chunks.iter().map(chunk).collect();
    RawGroup {
        content: PackContent::Data,
        codec,
        stored,
        chunks,
        bases: Vec::new(),
    }
}

/// Stores groups and returns a reader for them.
pub(super) async fn stored(
    password: bool,
    groups: impl FnOnce(&ChunkIdKey) -> Vec<RawGroup> + Send + 'static,
) -> ChunkReader {
    let context = Context::system();
    let mut options = InitOptions::default().with_weak_key_derivation();
    if password {
        options = options.with_password("secret");
    }
    let repository = Repository::init_storage(Storage::memory(), &options, &context)
        .await
        .unwrap();
    let work = move |io: &Io| {
        let packer = Packer::start(io, 1 << 20, Box::new(|_| {}))?;
        let sender = packer.sender();
        for group in groups(&io.keyring().first().chunk_id_key()) {
            sender.send(group).unwrap();
        }
        drop(sender);
        let packs = packer.finish()?;
        let mut index = Index::default();
        index.push(IndexSegment::from_packs(&packs));
        Ok(ChunkReader::new(io, Arc::new(index)))
    };
    repository.run(&context, work).await.unwrap()
}

pub(super) async fn read(reader: ChunkReader, id: ChunkId) -> Result<Vec<u8>> {
    // The operation that stored the groups is cancelled on completion, so read in a new operation.
    let repository = reader.io().repository.clone();
    let index = Arc::clone(reader.index());
    let context = Context::system();
    repository
        .run(&context, move |io| ChunkReader::new(io, index).read(&id))
        .await
}
