//! Copies the chunks of a group: open, verify, find the new ids, store what the target lacks.
//!
//! Invariant: bytes reach the packer only after each chunk in them was checked against its id in the source.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Sender;

use super::ids::Ids;
use super::runs::{GroupJob, Run};
use super::sides::Source;
use crate::engine::backup::Dedup;
use crate::error::{Error, Result, in_one_line};
use crate::format::{
    self, ChunkIdKey, Codec, Compressor, Group, PackContent, SealedObject, TAG_LEN, compress_delta,
};
use crate::model::{ChunkId, ChunkRef, References};
use crate::progress::Event;
use crate::repository::{GROUP_LEN, RawGroup};

/// State that all workers share.
pub(super) struct Shared<'a> {
    pub(super) source: &'a Source,
    pub(super) ids: &'a Ids,
    /// Decides which chunks the target lacks.
    pub(super) dedup: &'a Dedup,
    /// Has the chunks that an earlier pass of this batch stored, all of them whole.
    pub(super) whole: Option<&'a Dedup>,
    pub(super) level: i32,
    pub(super) counts: &'a Counts,
    /// Chunks that cannot be read, and why.
    pub(super) unreadable: &'a Mutex<HashMap<ChunkId, String>>,
}

/// What was done so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_added: AtomicU64,
}

impl Shared<'_> {
    /// True when the chunk must be read from the source.
    pub(super) fn lacks(&self, target: Option<ChunkId>) -> bool {
        let is_there = |id: &ChunkId| {
            self.dedup.is_stored(id) || self.whole.is_some_and(|whole| whole.is_claimed(id))
        };
        !target.is_some_and(|id| is_there(&id))
    }

    /// True when the target will have this chunk stored whole.
    fn is_whole(&self, target: &ChunkId) -> bool {
        self.dedup.is_stored_whole(target)
            || self.whole.is_some_and(|whole| whole.is_claimed(target))
    }
}

/// One thread's part of the work.
pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    source_key: ChunkIdKey,
    groups: Sender<RawGroup>,
    compressor: Compressor,
    /// Chunks whose group is not copied as a whole.
    raw: Vec<u8>,
    chunks: Vec<ChunkRef>,
    /// Not used: the references of a backup are found by its tree.
    references: References,
}

/// An opened group.
struct Opened {
    /// As the codec wrote it.
    stored: Vec<u8>,
    raw: Vec<u8>,
    /// The bases of a delta, one after the other.
    prefix: Vec<u8>,
}

/// A chunk that the target lacks.
struct NewChunk<'r> {
    id: ChunkId,
    bytes: Cow<'r, [u8]>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, groups: Sender<RawGroup>) -> Self {
        Self {
            shared,
            source_key: shared.source.io.keyring().first().chunk_id_key(),
            groups,
            compressor: Compressor::new(shared.level),
            raw: Vec::new(),
            chunks: Vec::new(),
            references: References::default(),
        }
    }

    /// Copies from a run of groups. Without the run's bytes, which could not be read, every chunk is tried alone.
    pub(super) fn take(&mut self, run: &Run, bytes: Option<&[u8]>) -> Result<()> {
        for job in &run.groups {
            self.shared.source.io.check_cancelled()?;
            let group = &run.pack.table.groups[job.number];
            let start = (job.offset - run.range.start) as usize;
            let end = start + group.stored_len as usize + TAG_LEN;
            let sealed = bytes.and_then(|bytes| bytes.get(start..end));
            self.copy(run, job, group, sealed)?;
        }
        Ok(())
    }

    fn copy(
        &mut self,
        run: &Run,
        job: &GroupJob,
        group: &Group,
        sealed: Option<&[u8]>,
    ) -> Result<()> {
        let opened = match sealed.map(|sealed| self.open(run, job, group, sealed)) {
            Some(Ok(opened)) => Some(opened),
            Some(Err(error)) if !error.is_damage() => return Err(error),
            Some(Err(_)) | None => None,
        };
        let raw = opened.as_ref().map(|opened| opened.raw.as_slice());
        let new = self.verify(run, job, group, raw)?;
        let lengths = job.wanted.iter().map(|nth| u64::from(group.lengths[*nth]));
        self.shared
            .source
            .io
            .context
            .progress
            .event(Event::Advance {
                bytes: lengths.sum(),
                entries: 0,
            });
        if new.is_empty() {
            return Ok(());
        }
        let added = new.iter().map(|chunk| chunk.bytes.len() as u64).sum();
        self.shared
            .counts
            .bytes_added
            .fetch_add(added, Ordering::Relaxed);
        let Some(opened) = &opened else {
            return self.store_plain(&new);
        };
        let bases = self.bases_in_target(group, &opened.prefix);
        let is_all = new.len() == group.lengths.len()
            && new
                .iter()
                .all(|chunk| matches!(chunk.bytes, Cow::Borrowed(_)));
        match bases {
            Some(bases) if is_all => {
                let stored = opened.stored.clone();
                self.send(group.codec, stored, refs(&new), bases)
            }
            Some(bases) if group.codec == Codec::ZstdDelta => {
                self.store_delta(&new, &opened.prefix, bases)
            }
            _ => self.store_plain(&new),
        }
    }

    fn open(&self, run: &Run, job: &GroupJob, group: &Group, sealed: &[u8]) -> Result<Opened> {
        let io = &self.shared.source.io;
        let named =
            |error| Error::format(&format!("group {} of {}", job.number, run.pack.id), error);
        let open = |object: &SealedObject| object.open(job.number as u32, sealed);
        let stored = io
            .open_in_pack(run.pack.seal(), open)
            .map_err(named)?
            .into_owned();
        let raw_len = group.raw_len as usize;
        let mut prefix = Vec::new();
        let raw = match group.codec {
            Codec::Raw => stored.clone(),
            Codec::Zstd => format::decompress(&stored, raw_len).map_err(named)?,
            Codec::ZstdDelta => {
                prefix = self.shared.source.reader.read_bases(&group.bases)?;
                format::decompress_delta(&stored, &prefix, raw_len).map_err(named)?
            }
        };
        Ok(Opened {
            stored,
            raw,
            prefix,
        })
    }

    /// Checks the wanted chunks against their ids, notes their ids in the target, and returns those that the target lacks.
    fn verify<'r>(
        &mut self,
        run: &Run,
        job: &GroupJob,
        group: &Group,
        raw: Option<&'r [u8]>,
    ) -> Result<Vec<NewChunk<'r>>> {
        let shared = self.shared;
        let mut found = Vec::with_capacity(job.wanted.len());
        let mut new = Vec::with_capacity(job.wanted.len());
        let (mut at, mut start) = (0, 0);
        for nth in &job.wanted {
            start += group.lengths[at..*nth].iter().sum::<u32>() as usize;
            at = *nth;
            let id = &job.ids[*nth];
            let range = start..start + group.lengths[*nth] as usize;
            let part = raw.and_then(|raw| raw.get(range));
            let bytes = match part.filter(|part| self.source_key.id(part) == *id) {
                Some(part) => Cow::Borrowed(part),
                // It may be readable alone, or at another location.
                None => match shared.source.reader.read(id) {
                    Ok(bytes) => Cow::Owned(bytes),
                    Err(error) if error.is_damage() => {
                        if let Ok(mut unreadable) = shared.unreadable.lock() {
                            unreadable.insert(*id, in_one_line(&error));
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let id = shared.ids.of_bytes(id, &bytes);
            found.push((job.first_slot + *nth as u32, id));
            let is_stored = shared.whole.is_some_and(|whole| whole.is_claimed(&id));
            if !is_stored && shared.dedup.claim(id, &mut self.references) {
                new.push(NewChunk { id, bytes });
            }
        }
        let count = run.pack.table.chunk_count();
        shared.ids.note(run.pack.id, count, found);
        Ok(new)
    }

    /// The ids in the target of the bases of a group; `None` if the target lacks one of them.
    fn bases_in_target(&self, group: &Group, mut prefix: &[u8]) -> Option<Vec<ChunkId>> {
        let shared = self.shared;
        let mut bases = Vec::with_capacity(group.bases.len());
        for base in &group.bases {
            let len = shared.source.index.find_whole(base)?.len as usize;
            let (bytes, rest) = prefix.split_at_checked(len)?;
            prefix = rest;
            let id = shared.ids.of_bytes(base, bytes);
            if !shared.is_whole(&id) {
                return None;
            }
            bases.push(id);
        }
        Some(bases)
    }

    /// Stores some chunks of a delta group as a delta with the same bases.
    fn store_delta(
        &mut self,
        new: &[NewChunk<'_>],
        prefix: &[u8],
        bases: Vec<ChunkId>,
    ) -> Result<()> {
        let parts: Vec<&[u8]> = new.iter().map(|chunk| &*chunk.bytes).collect();
        let raw = parts.concat();
        match compress_delta(self.shared.level, prefix, &raw) {
            Some(stored) if stored.len() < raw.len() / 2 => {
                self.send(Codec::ZstdDelta, stored, refs(new), bases)
            }
            _ => self.store_plain(new),
        }
    }

    /// Stores chunks in a group together with others.
    fn store_plain(&mut self, new: &[NewChunk<'_>]) -> Result<()> {
        for chunk in new {
            if self.raw.len() + chunk.bytes.len() > format::limits::GROUP_RAW as usize {
                self.flush()?;
            }
            self.raw.extend_from_slice(&chunk.bytes);
            self.chunks.push(chunk.chunk_ref());
            if self.raw.len() >= GROUP_LEN {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Stores the chunks that wait for their group to fill.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let (codec, stored) = self.compressor.compress(&self.raw);
        self.raw.clear();
        let chunks = std::mem::take(&mut self.chunks);
        self.send(codec, stored, chunks, Vec::new())
    }

    fn send(
        &self,
        codec: Codec,
        stored: Vec<u8>,
        chunks: Vec<ChunkRef>,
        bases: Vec<ChunkId>,
    ) -> Result<()> {
        let group = RawGroup {
            content: PackContent::Data,
            codec,
            stored,
            chunks,
            bases,
        };
        let sent = self.groups.send(group);
        sent.map_err(|_| Error::internal("the packer ended too early"))
    }
}

impl NewChunk<'_> {
    fn chunk_ref(&self) -> ChunkRef {
        ChunkRef {
            id: self.id,
            len: self.bytes.len() as u32,
        }
    }
}

fn refs(new: &[NewChunk<'_>]) -> Vec<ChunkRef> {
    new.iter().map(NewChunk::chunk_ref).collect()
}
