//! Moves the content of short files between entries and chunks.
//!
//! In a repository with reading keys, entries hold no content: [`InlineStore`] stores it as chunks. In other repositories, entries hold what
//! `inline` allows. Invariant: a copied entry is the one that a backup into the target would have written, so a repair from a copy gives equal
//! tree nodes.

use crossbeam_channel::Sender;

use super::sides::Source;
use crate::engine::backup::{Dedup, sha256_of};
use crate::error::{Error, Result};
use crate::format::{Compressor, PackContent};
use crate::model::{ChunkRef, Content, FileContent, References};
use crate::repository::{GROUP_LEN, Io, RawGroup};

/// Where the entries of source and target hold the content of short files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// At the same place.
    None,
    /// In the source they hold it, in the target they do not.
    ToChunks,
    /// The other way round, for content of up to this number of bytes.
    ToEntries(u32),
}

impl Change {
    pub(super) fn between(source: &Io, target: &Io) -> Self {
        let has_reading_keys = |io: &Io| !io.keyring().reading_keys().is_empty();
        match (has_reading_keys(source), has_reading_keys(target)) {
            (_, true) => Self::ToChunks,
            (true, false) => Self::ToEntries(target.repository.config().chunker.inline),
            (false, false) => Self::None,
        }
    }
}

/// Moves the content of short files.
pub(super) struct InlineStore<'a> {
    change: Change,
    dedup: &'a Dedup,
    groups: &'a Sender<RawGroup>,
    compressor: Compressor,
    /// Content that waits for its group to fill.
    raw: Vec<u8>,
    chunks: Vec<ChunkRef>,
}

impl<'a> InlineStore<'a> {
    pub(super) fn new(
        source: &Io,
        target: &Io,
        dedup: &'a Dedup,
        groups: &'a Sender<RawGroup>,
    ) -> Self {
        Self {
            change: Change::between(source, target),
            dedup,
            groups,
            compressor: Compressor::new(3),
            raw: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Moves the content of a file if it must. Returns true if it did, and the new chunk, which is in the index after [`Self::flush`].
    pub(super) fn convert(
        &mut self,
        source: &Source,
        file: &mut FileContent,
    ) -> Result<(bool, Option<ChunkRef>)> {
        match (self.change, &file.content) {
            (Change::ToChunks, Content::Inline(bytes)) if !bytes.is_empty() => {
                let chunk = self.store(bytes)?;
                file.sha256 = sha256_of(file, bytes);
                file.content = Content::Chunks(vec![chunk]);
                Ok((true, Some(chunk)))
            }
            (Change::ToEntries(limit), Content::Chunks(chunks)) => {
                let &[chunk] = chunks.as_slice() else {
                    return Ok((false, None));
                };
                if chunk.len > limit {
                    return Ok((false, None));
                }
                file.content = Content::Inline(source.reader.read(&chunk.id)?.into());
                file.sha256 = None;
                Ok((true, None))
            }
            _ => Ok((false, None)),
        }
    }

    fn store(&mut self, bytes: &[u8]) -> Result<ChunkRef> {
        let chunk = ChunkRef {
            id: self.dedup.id(bytes),
            len: bytes.len() as u32,
        };
        if self.dedup.claim(chunk.id, &mut References::default()) {
            self.raw.extend_from_slice(bytes);
            self.chunks.push(chunk);
            if self.raw.len() >= GROUP_LEN {
                self.flush()?;
            }
        }
        Ok(chunk)
    }

    /// Stores what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let (codec, stored) = self.compressor.compress(&self.raw);
        self.raw.clear();
        let group = RawGroup {
            content: PackContent::Data,
            codec,
            stored,
            chunks: std::mem::take(&mut self.chunks),
            bases: Vec::new(),
        };
        let sent = self.groups.send(group);
        sent.map_err(|_| Error::internal("the packer ended too early"))
    }
}
