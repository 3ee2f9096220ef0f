//! Deltas: new chunks stored as differences from the chunks that they replace.
//!
//! [`PreviousVersion`] walks the chunks of a file's previous version in step with the new one and finds which chunks were replaced, if need be [by
//! their lengths](super::align);
//! [`Deltas`] compresses a group with these chunks as a prefix. Invariant: the bases of a delta are stored whole, and creating the delta
//! adds them to the references.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use super::align::find_replaced;
use super::dedup::{IdMap, IdSet};
use crate::format::{Codec, compress_delta, limits};
use crate::model::{ChunkId, ChunkRef, Content, FileContent, References};
use crate::repository::{ChunkReader, Index};

/// Maximum bytes of bases that are read for one group.
const PREFIX_LEN: u64 = 2 << 20;
/// Maximum bytes of bases as a multiple of the bytes to store, so that a small delta does not depend on many bases.
const PREFIX_RATIO: u64 = 4;
/// This many bytes of bases are always allowed, whatever the ratio.
const MIN_PREFIX_LEN: u64 = 256 << 10;
/// Shorter blocks are stored without a delta.
const MIN_LEN: usize = 4 << 10;
/// In a previous version with more chunks than this, do not search for chunks that moved.
const MAX_SEARCHED: usize = 1 << 20;
/// Stop deltas after this many consecutive misses.
const MAX_MISSES: i32 = 3;
/// Try one again after this many groups.
const PAUSE: i32 = 16;
/// Bytes that each base adds to a delta: its id, in the pack and in the index.
const BASE_COST: usize = 64;

/// The chunks of a file's previous version.
pub(super) struct PreviousVersion<'a> {
    chunks: &'a [ChunkRef],
    positions: OnceCell<IdMap<usize>>,
    /// The first chunk that the new version has not reached.
    next: usize,
    backoff: Arc<DeltaBackoff>,
}

/// Chunks that a new block probably resembles.
#[derive(Default)]
pub(super) struct DeltaBases {
    chunks: Vec<ChunkRef>,
    backoff: Arc<DeltaBackoff>,
}

/// Number of misses left before deltas stop. Below 0, the number of groups left before one is tried again.
struct DeltaBackoff(AtomicI32);

impl Default for DeltaBackoff {
    fn default() -> Self {
        Self(AtomicI32::new(MAX_MISSES))
    }
}

impl DeltaBackoff {
    fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Counts a group of a pause.
    fn pass(&self) {
        let next = |left: i32| match left {
            ..-1 => Some(left + 1),
            -1 => Some(1),
            _ => None,
        };
        // Not changed outside of a pause.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn record(&self, helped: bool) {
        let next = |left: i32| match left {
            _ if helped => Some(MAX_MISSES),
            ..=0 => None,
            1 => Some(-PAUSE),
            _ => Some(left - 1),
        };
        // Not changed within a pause.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

impl<'a> PreviousVersion<'a> {
    /// The file's previous version, if it has chunks.
    pub(super) fn of(known: Option<&'a FileContent>) -> Option<Self> {
        let Content::Chunks(chunks) = &known?.content else {
            return None;
        };
        Some(Self {
            chunks,
            positions: OnceCell::new(),
            next: 0,
            backoff: Arc::default(),
        })
    }

    /// Advances to a chunk that both versions have; returns the replaced chunks before it.
    pub(super) fn meet(&mut self, id: &ChunkId) -> DeltaBases {
        let is_next = self
            .chunks
            .get(self.next)
            .is_some_and(|chunk| chunk.id == *id);
        let at = if is_next {
            self.next
        } else if self.chunks.len() > MAX_SEARCHED {
            return DeltaBases::default();
        } else {
            match self.positions().get(id) {
                Some(at) if *at >= self.next => *at,
                _ => return DeltaBases::default(),
            }
        };
        let passed = self.next..at;
        self.next = at + 1;
        self.bases_in(passed)
    }

    /// Advances beyond what new chunks have probably replaced: to where chunks of the same lengths end or, if there are none, by as many bytes.
    pub(super) fn pass(&mut self, new: &[ChunkRef]) -> DeltaBases {
        self.backoff.pass();
        if let Some(replaced) = find_replaced(self.chunks, self.next, new) {
            self.next = replaced.end;
            return self.bases_in(replaced);
        }
        let from = self.next;
        let mut left: u64 = new.iter().map(|chunk| u64::from(chunk.len)).sum();
        while let Some(chunk) = self.chunks.get(self.next).filter(|_| left > 0) {
            left = left.saturating_sub(chunk.len.into());
            self.next += 1;
        }
        self.bases_in(from..self.next)
    }

    /// The chunks after the last one that both versions have.
    pub(super) fn rest(&mut self) -> DeltaBases {
        let rest = self.next..self.chunks.len();
        self.next = rest.end;
        self.bases_in(rest)
    }

    fn bases_in(&self, range: Range<usize>) -> DeltaBases {
        let mut len = 0;
        // Bytes beyond this would not be read.
        let fits = |chunk: &&ChunkRef| {
            len += u64::from(chunk.len);
            len <= 2 * PREFIX_LEN
        };
        DeltaBases {
            chunks: self.chunks[range]
                .iter()
                .take_while(fits)
                .copied()
                .collect(),
            backoff: Arc::clone(&self.backoff),
        }
    }

    /// Positions by chunk id. For a chunk that occurs more than once, its first position.
    fn positions(&self) -> &IdMap<usize> {
        self.positions.get_or_init(|| {
            let positions = self.chunks.iter().enumerate().rev();
            positions.map(|(at, chunk)| (chunk.id, at)).collect()
        })
    }
}

impl DeltaBases {
    /// True when a delta for this number of bytes is not worth trying.
    pub(super) fn is_useless_for(&self, len: usize) -> bool {
        len < MIN_LEN || self.is_none()
    }

    /// True when there are no bases, or deltas were given up.
    pub(super) fn is_none(&self) -> bool {
        self.chunks.is_empty() || !self.backoff.is_open()
    }
}

/// Creates deltas.
#[derive(Debug)]
pub(super) struct Deltas {
    reader: ChunkReader,
    level: i32,
    /// Missing bases of stored deltas. A chunk with such an id is stored whole.
    lost: OnceLock<HashSet<ChunkId>>,
}

/// A group stored as a delta.
pub(super) struct Delta {
    pub(super) stored: Vec<u8>,
    pub(super) bases: Vec<ChunkId>,
}

impl Deltas {
    pub(super) const fn new(reader: ChunkReader, level: i32) -> Self {
        let lost = OnceLock::new();
        Self {
            reader,
            level,
            lost,
        }
    }

    /// True when one of these chunks is a missing base of stored deltas.
    pub(super) fn are_awaited(&self, chunks: &[ChunkRef]) -> bool {
        let lost = self.lost.get_or_init(|| self.reader.index().lost_bases());
        !lost.is_empty() && chunks.iter().any(|chunk| lost.contains(&chunk.id))
    }

    /// Compresses bytes as a delta to similar chunks. `plain` compresses them without bases; its result is returned if the delta is not
    /// much shorter.
    pub(super) fn compress(
        &self,
        raw: &[u8],
        like: &DeltaBases,
        plain: impl FnOnce() -> (Codec, Vec<u8>),
        references: &mut References,
    ) -> Result<Delta, (Codec, Vec<u8>)> {
        let index = self.reader.index();
        let room = PREFIX_LEN.min((raw.len() as u64 * PREFIX_RATIO).max(MIN_PREFIX_LEN));
        let bases = bases(index, &like.chunks, room);
        let delta = if bases.is_empty() {
            None
        } else {
            // Damage in the repository must not fail the backup: `check` reports it.
            self.reader.read_bases(&bases).ok()
        };
        let delta = delta.and_then(|prefix| compress_delta(self.level, &prefix, raw));
        let Some(stored) = delta else {
            like.backoff.record(false);
            return Err(plain());
        };
        let cost = stored.len() + bases.len() * BASE_COST;
        if cost > raw.len() / 10 {
            let alone = plain();
            // Reading a delta needs more requests than reading a plain group, so a small saving is not worth it.
            if cost > alone.1.len() / 4 * 3 {
                like.backoff.record(false);
                return Err(alone);
            }
        }
        like.backoff.record(true);
        for base in &bases {
            if let Some(location) = index.find_whole(base) {
                references.insert(location.pack.id, location.slot);
            }
        }
        Ok(Delta { stored, bases })
    }
}

/// The whole chunks to use as bases: the chunks themselves, or for deltas their bases.
fn bases(index: &Index, chunks: &[ChunkRef], mut room: u64) -> Vec<ChunkId> {
    let mut out: Vec<ChunkId> = Vec::new();
    let mut seen = IdSet::default();
    for chunk in chunks {
        let rests_on = match index.find_whole(&chunk.id) {
            Some(_) => vec![chunk.id],
            None => index
                .find(&chunk.id)
                .map(|location| location.group.bases.clone())
                .unwrap_or_default(),
        };
        for id in rests_on {
            let Some(location) = index.find_whole(&id).filter(|_| seen.insert(id)) else {
                continue;
            };
            let len = u64::from(location.len);
            if len > room || out.len() as u64 >= limits::GROUP_BASES {
                return out;
            }
            room -= len;
            out.push(id);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: u8) -> ChunkRef {
        ChunkRef {
            id: ChunkId([name; 32]),
            len: 100,
        }
    }

    fn file(names: &[u8]) -> FileContent {
        FileContent {
            content: Content::Chunks(names.iter().map(|name| chunk(*name)).collect()),
            ..FileContent::default()
        }
    }

    fn names(like: &DeltaBases) -> Vec<u8> {
        like.chunks.iter().map(|chunk| chunk.id.0[0]).collect()
    }

    #[test]
    fn replaced_chunks_are_found_between_unchanged_ones() {
        let file = file(b"abcdef");
        let mut previous = PreviousVersion::of(Some(&file)).unwrap();
        assert_eq!(names(&previous.meet(&chunk(b'a').id)), b"");
        assert_eq!(names(&previous.meet(&chunk(b'd').id)), b"bc");
        // A chunk that moved forward, and an unknown chunk.
        assert_eq!(names(&previous.meet(&chunk(b'b').id)), b"");
        assert_eq!(names(&previous.meet(&chunk(b'x').id)), b"");
        assert_eq!(names(&previous.meet(&chunk(b'e').id)), b"");
        assert_eq!(names(&previous.rest()), b"f");
        assert_eq!(names(&previous.rest()), b"");
    }

    #[test]
    fn a_long_stretch_is_passed_by_its_length() {
        let file = file(b"abcdef");
        let mut previous = PreviousVersion::of(Some(&file)).unwrap();
        let new = |len| [ChunkRef { len, ..chunk(b'n') }];
        assert_eq!(names(&previous.pass(&new(150))), b"ab");
        assert_eq!(names(&previous.pass(&[])), b"");
        assert_eq!(names(&previous.meet(&chunk(b'd').id)), b"c");
        assert_eq!(names(&previous.pass(&new(10_000))), b"ef");
        assert!(previous.pass(&new(1)).is_none());
    }

    #[test]
    fn deltas_pause_after_misses_and_resume() {
        let file = file(b"ab");
        let mut previous = PreviousVersion::of(Some(&file)).unwrap();
        let like = previous.rest();
        for _ in 0..MAX_MISSES {
            assert!(!like.is_none());
            like.backoff.record(false);
        }
        assert!(like.is_none());
        like.backoff.record(true);
        assert!(!like.is_none());
        // After a pause, one more is tried.
        for _ in 0..2 {
            (0..MAX_MISSES).for_each(|_| like.backoff.record(false));
            (1..PAUSE).for_each(|_| like.backoff.pass());
            assert!(like.is_none());
            like.backoff.pass();
            assert!(!like.is_none());
            like.backoff.record(false);
            assert!(like.is_none());
            like.backoff.record(true);
        }
    }
}
