//! New chunks as differences from what lay in their place before.
//!
//! [`Earlier`] goes through the chunks of a file's earlier version beside those of the new one and tells what was replaced; [`Deltas`]
//! compresses with that as prefix. Invariant: a delta rests on chunks that are stored whole, and making one marks them as used.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use super::dedup::{IdMap, IdSet};
use crate::format::{Codec, compress_delta, limits};
use crate::model::{ChunkId, ChunkRef, Content, FileContent, References};
use crate::repository::{ChunkReader, Index};

/// Bytes of earlier chunks that are read for one group.
const PREFIX_LEN: u64 = 2 << 20;
/// The same in multiples of what is to be stored: a delta of a few bytes must not name what has grown over many versions.
const PREFIX_RATIO: u64 = 4;
/// The least number of bytes it may add.
const MIN_PREFIX_LEN: u64 = 256 << 10;
/// Less than that is not worth a look.
const MIN_LEN: usize = 4 << 10;
/// Earlier versions of more chunks are not searched for where one went.
const MAX_SEARCHED: usize = 1 << 20;
/// Give up on deltas after this many consecutive misses.
const PATIENCE: i32 = 3;
/// What a base costs besides the delta: its id, in the pack and in the index.
const BASE_COST: usize = 64;

/// The chunks of a file's earlier version.
pub(super) struct Earlier<'a> {
    chunks: &'a [ChunkRef],
    positions: OnceCell<IdMap<usize>>,
    /// The first chunk that the new version has not come to.
    next: usize,
    hope: Arc<Hope>,
}

/// Chunks that new ones are likely to resemble.
#[derive(Default)]
pub(super) struct Likeness {
    chunks: Vec<ChunkRef>,
    hope: Arc<Hope>,
}

/// Whether it is worth while to go on.
struct Hope(AtomicI32);

impl Default for Hope {
    fn default() -> Self {
        Self(AtomicI32::new(PATIENCE))
    }
}

impl Hope {
    fn is_left(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn learn(&self, helped: bool) {
        if helped {
            self.0.store(PATIENCE, Ordering::Relaxed);
        } else {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<'a> Earlier<'a> {
    /// The earlier version, if it has chunks.
    pub(super) fn of(known: Option<&'a FileContent>) -> Option<Self> {
        let Content::Chunks(chunks) = &known?.content else {
            return None;
        };
        Some(Self {
            chunks,
            positions: OnceCell::new(),
            next: 0,
            hope: Arc::default(),
        })
    }

    /// Goes on to a chunk that both versions have; returns what stood before it since the last one.
    pub(super) fn meet(&mut self, id: &ChunkId) -> Likeness {
        let is_next = self
            .chunks
            .get(self.next)
            .is_some_and(|chunk| chunk.id == *id);
        let at = match is_next {
            true => self.next,
            false if self.chunks.len() > MAX_SEARCHED => return Likeness::default(),
            false => match self.positions().get(id) {
                Some(at) if *at >= self.next => *at,
                _ => return Likeness::default(),
            },
        };
        let passed = self.next..at;
        self.next = at + 1;
        self.likeness(passed)
    }

    /// Skips this many bytes, to where the new version probably is.
    pub(super) fn pass(&mut self, len: usize) -> Likeness {
        let from = self.next;
        let mut left = len;
        while let Some(chunk) = self.chunks.get(self.next).filter(|_| left > 0) {
            left = left.saturating_sub(chunk.len as usize);
            self.next += 1;
        }
        self.likeness(from..self.next)
    }

    /// What stands behind the last chunk that both have.
    pub(super) fn rest(&mut self) -> Likeness {
        let rest = self.next..self.chunks.len();
        self.next = rest.end;
        self.likeness(rest)
    }

    fn likeness(&self, range: Range<usize>) -> Likeness {
        let mut len = 0;
        // More would not be read.
        let fits = |chunk: &&ChunkRef| {
            len += u64::from(chunk.len);
            len <= 2 * PREFIX_LEN
        };
        Likeness {
            chunks: self.chunks[range]
                .iter()
                .take_while(fits)
                .copied()
                .collect(),
            hope: Arc::clone(&self.hope),
        }
    }

    /// Where chunks are; the first place counts for those that occur more than once.
    fn positions(&self) -> &IdMap<usize> {
        self.positions.get_or_init(|| {
            let positions = self.chunks.iter().enumerate().rev();
            positions.map(|(at, chunk)| (chunk.id, at)).collect()
        })
    }
}

impl Likeness {
    /// True when it could not help with this many bytes.
    pub(super) fn is_useless_for(&self, len: usize) -> bool {
        len < MIN_LEN || self.is_none()
    }

    /// True when there is nothing that could help.
    pub(super) fn is_none(&self) -> bool {
        self.chunks.is_empty() || !self.hope.is_left()
    }
}

/// Makes deltas.
#[derive(Debug)]
pub(super) struct Deltas {
    reader: ChunkReader,
    level: i32,
    /// What others rest on and is lost: when it comes again it is stored whole.
    lost: OnceLock<HashSet<ChunkId>>,
}

/// A group as a delta.
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

    /// True when older deltas wait for one of these chunks.
    pub(super) fn are_awaited(&self, chunks: &[ChunkRef]) -> bool {
        let lost = self.lost.get_or_init(|| self.reader.index().lost_bases());
        !lost.is_empty() && chunks.iter().any(|chunk| lost.contains(&chunk.id))
    }

    /// Compresses bytes beside what they are like. `plain` compresses them alone; what that gave comes back when the delta is not much
    /// shorter.
    pub(super) fn compress(
        &self,
        raw: &[u8],
        like: &Likeness,
        plain: impl FnOnce() -> (Codec, Vec<u8>),
        references: &mut References,
    ) -> Result<Delta, (Codec, Vec<u8>)> {
        let index = self.reader.index();
        let room = PREFIX_LEN.min((raw.len() as u64 * PREFIX_RATIO).max(MIN_PREFIX_LEN));
        let bases = bases(index, &like.chunks, room);
        let delta = match bases.is_empty() {
            true => None,
            // Damage in the repository is no reason to fail: it is found by those who look for it.
            false => self.reader.read_bases(&bases).ok(),
        };
        let delta = delta.and_then(|prefix| compress_delta(self.level, &prefix, raw));
        let Some(stored) = delta else {
            like.hope.learn(false);
            return Err(plain());
        };
        let cost = stored.len() + bases.len() * BASE_COST;
        if cost > raw.len() / 10 {
            let alone = plain();
            // Reading a delta takes more than one look: a little less is not worth it.
            if cost > alone.1.len() / 4 * 3 {
                like.hope.learn(false);
                return Err(alone);
            }
        }
        like.hope.learn(true);
        for base in &bases {
            if let Some(place) = index.find_whole(base) {
                references.insert(place.pack.id, place.slot);
            }
        }
        Ok(Delta { stored, bases })
    }
}

/// The chunks stored whole that stand for these: themselves, or what they rest on as deltas.
fn bases(index: &Index, chunks: &[ChunkRef], mut room: u64) -> Vec<ChunkId> {
    let mut out: Vec<ChunkId> = Vec::new();
    let mut seen = IdSet::default();
    for chunk in chunks {
        let rests_on = match index.find_whole(&chunk.id) {
            Some(_) => vec![chunk.id],
            None => index
                .find(&chunk.id)
                .map(|place| place.group.bases.clone())
                .unwrap_or_default(),
        };
        for id in rests_on {
            let Some(place) = index.find_whole(&id).filter(|_| seen.insert(id)) else {
                continue;
            };
            let len = u64::from(place.len);
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

    fn names(like: &Likeness) -> Vec<u8> {
        like.chunks.iter().map(|chunk| chunk.id.0[0]).collect()
    }

    #[test]
    fn what_was_replaced_stands_between_what_stayed() {
        let file = file(b"abcdef");
        let mut earlier = Earlier::of(Some(&file)).unwrap();
        assert_eq!(names(&earlier.meet(&chunk(b'a').id)), b"");
        assert_eq!(names(&earlier.meet(&chunk(b'd').id)), b"bc");
        // One that moved forward, and one that is not known.
        assert_eq!(names(&earlier.meet(&chunk(b'b').id)), b"");
        assert_eq!(names(&earlier.meet(&chunk(b'x').id)), b"");
        assert_eq!(names(&earlier.meet(&chunk(b'e').id)), b"");
        assert_eq!(names(&earlier.rest()), b"f");
        assert_eq!(names(&earlier.rest()), b"");
    }

    #[test]
    fn a_long_stretch_is_passed_by_its_length() {
        let file = file(b"abcdef");
        let mut earlier = Earlier::of(Some(&file)).unwrap();
        assert_eq!(names(&earlier.pass(150)), b"ab");
        assert_eq!(names(&earlier.pass(0)), b"");
        assert_eq!(names(&earlier.meet(&chunk(b'd').id)), b"c");
        assert_eq!(names(&earlier.pass(10_000)), b"ef");
        assert!(earlier.pass(1).is_none());
    }

    #[test]
    fn hope_ends_and_comes_back() {
        let file = file(b"ab");
        let mut earlier = Earlier::of(Some(&file)).unwrap();
        let like = earlier.rest();
        for _ in 0..PATIENCE {
            assert!(!like.is_none());
            like.hope.learn(false);
        }
        assert!(like.is_none());
        like.hope.learn(true);
        assert!(!like.is_none());
    }
}
