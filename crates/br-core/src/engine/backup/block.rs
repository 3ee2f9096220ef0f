//! Blocks: chunks that are compressed together.
//!
//! A worker's [`Storer`] turns a [`Block`] into a group of a pack. Invariant: the chunks in a block are claimed, so br stores them even if
//! it cannot read the rest of their file.

use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::delta::{Delta, DeltaBases};
use super::shared::{Disconnected, Shared};
use crate::format::{Codec, Compressor, PackContent};
use crate::model::{ChunkRef, References};
use crate::repository::{GROUP_LEN, RawGroup};

/// Chunks that are waiting to be compressed.
#[derive(Default)]
pub(super) struct Block {
    raw: Vec<u8>,
    chunks: Vec<ChunkRef>,
    like: Option<DeltaBases>,
}

impl Block {
    pub(super) fn push(&mut self, chunk: ChunkRef, data: &[u8]) {
        if self.raw.capacity() == 0 {
            self.raw.reserve(GROUP_LEN + GROUP_LEN / 4);
        }
        self.raw.extend_from_slice(data);
        self.chunks.push(chunk);
    }

    /// Bytes before compression.
    pub(super) fn len(&self) -> usize {
        self.raw.len()
    }

    pub(super) fn chunks(&self) -> &[ChunkRef] {
        &self.chunks
    }

    /// Sets the chunks that this block probably resembles, as bases for a delta.
    pub(super) fn with_bases(mut self, like: DeltaBases) -> Self {
        let len = self.raw.len();
        self.like = Some(like).filter(|like| !like.is_useless_for(len));
        self
    }

    /// True when this block must not share a group with other chunks.
    pub(super) const fn is_own_group(&self) -> bool {
        self.like.is_some()
    }

    /// Appends the chunks of another block.
    pub(super) fn append(&mut self, other: Self) {
        self.raw.extend_from_slice(&other.raw);
        self.chunks.extend(other.chunks);
    }
}

/// Turns blocks into groups.
pub(super) struct Storer<'a> {
    shared: &'a Shared<'a>,
    compressor: Compressor,
    /// Channel to the packer; `None` in a dry run.
    groups: Option<Sender<RawGroup>>,
}

impl<'a> Storer<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, groups: Option<Sender<RawGroup>>) -> Self {
        Self {
            shared,
            compressor: Compressor::new(shared.level),
            groups,
        }
    }

    pub(super) fn store(
        &mut self,
        block: Block,
        references: &mut References,
    ) -> Result<(), Disconnected> {
        if block.chunks.is_empty() {
            return Ok(());
        }
        let added = block.raw.len() as u64;
        self.shared.bytes_added.fetch_add(added, Ordering::Relaxed);
        if self.groups.is_none() {
            return Ok(());
        }
        let (codec, stored, bases) = match self.compress(&block, references) {
            Ok(Delta { stored, bases }) => (Codec::ZstdDelta, stored, bases),
            Err((codec, stored)) => (codec, stored, Vec::new()),
        };
        let group = RawGroup {
            content: PackContent::Data,
            codec,
            stored,
            chunks: block.chunks,
            bases,
        };
        let sent = self.groups.as_ref().map(|groups| groups.send(group));
        sent.transpose().map_err(|_| Disconnected).map(drop)
    }

    fn compress(
        &mut self,
        block: &Block,
        references: &mut References,
    ) -> Result<Delta, (Codec, Vec<u8>)> {
        let like = block.like.as_ref().filter(|like| !like.is_none());
        let mut plain = || self.compressor.compress(&block.raw);
        match self.shared.deltas.zip(like) {
            Some((deltas, like)) if !deltas.are_awaited(&block.chunks) => {
                deltas.compress(&block.raw, like, plain, references)
            }
            _ => Err(plain()),
        }
    }
}
