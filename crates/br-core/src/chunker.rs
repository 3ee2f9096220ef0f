//! Content-defined chunking: Gear hash, two masks, no memory of earlier cuts (section 4 of the format).
//!
//! The method is FastCDC's normalised chunking (Xia et al., USENIX ATC 2016, section 3.4) with one difference: the hash depends on the
//! last 64 bytes only and is not reset at a cut, so that cuts can be found in parallel. Invariant: the cuts of a stream depend only on its
//! bytes and the repository's key, not on how the bytes are split between reads.

use crate::format::{ChunkerConfig, MasterKey};

/// A byte no longer affects the hash after this many more bytes.
const WINDOW: usize = 64;

/// Finds cuts.
#[derive(Clone)]
pub(crate) struct Chunker {
    gear: Box<[u64; 256]>,
    min: usize,
    target: usize,
    max: usize,
    /// A hash below this value ends a chunk shorter than `target`.
    hard: u64,
    /// A hash below this value ends a longer chunk.
    easy: u64,
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunker")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Chunker {
    pub(crate) fn new(master: &MasterKey, config: &ChunkerConfig) -> Self {
        let bits = config.target.trailing_zeros();
        Self {
            gear: Box::new(master.gear_table()),
            min: config.min as usize,
            target: config.target as usize,
            max: config.max as usize,
            hard: 1 << (64 - (bits + 2)),
            easy: 1 << (64 - (bits - 2)),
        }
    }

    /// Maximum number of bytes needed to find a cut.
    pub(crate) const fn max_len(&self) -> usize {
        self.max
    }

    /// Length of the chunk at the start of `data`, which must have `max_len` bytes or be the rest of the stream.
    pub(crate) fn cut(&self, data: &[u8]) -> usize {
        let len = data.len().min(self.max);
        if len <= self.min {
            return len;
        }
        let mut hash = 0u64;
        for byte in &data[self.min - WINDOW..self.min - 1] {
            hash = (hash << 1).wrapping_add(self.gear[usize::from(*byte)]);
        }
        // The chunk that ends with byte p has p + 1 bytes.
        let middle = len.min(self.target - 1);
        let first = self.min - 1;
        self.search(data, first..middle, &mut hash, self.hard)
            .or_else(|| self.search(data, middle.max(first)..len, &mut hash, self.easy))
            .unwrap_or(len)
    }

    #[inline]
    fn search(
        &self,
        data: &[u8],
        range: std::ops::Range<usize>,
        hash: &mut u64,
        below: u64,
    ) -> Option<usize> {
        let start = range.start;
        let mut h = *hash;
        for (at, byte) in data.get(range)?.iter().enumerate() {
            h = (h << 1).wrapping_add(self.gear[usize::from(*byte)]);
            if h < below {
                return Some(start + at + 1);
            }
        }
        *hash = h;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new()
            .update(b"noise")
            .finalize_xof()
            .fill(&mut out);
        out
    }

    fn cuts(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
        let mut at = 0;
        let mut cuts = Vec::new();
        while at < data.len() {
            at += chunker.cut(&data[at..]);
            cuts.push(at);
        }
        cuts
    }

    /// The format's definition, implemented literally.
    fn defined(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
        let hash = |p: usize| {
            (0..64.min(p + 1))
                .map(|i| chunker.gear[usize::from(data[p - i])] << i)
                .fold(0u64, u64::wrapping_add)
        };
        let (mut start, mut cuts) = (0, Vec::new());
        for p in 0..data.len() {
            let len = p - start + 1;
            let bits = if len < chunker.target { 18 } else { 14 };
            let content = len >= chunker.min && hash(p) >> (64 - bits) == 0;
            if content || len == chunker.max || p + 1 == data.len() {
                cuts.push(p + 1);
                start = p + 1;
            }
        }
        cuts
    }

    #[test]
    fn cuts_are_those_of_the_format_document() {
        let chunker = Chunker::new(&MasterKey::public(), &ChunkerConfig::default());
        let data = noise(3_000_000);
        assert_eq!(cuts(&chunker, &data), defined(&chunker, &data));
        assert_eq!(
            cuts(&chunker, &[7; 600_000]),
            defined(&chunker, &[7; 600_000])
        );
        // Pinned: with different cuts, new backups would not deduplicate against existing repositories.
        assert_eq!(cuts(&chunker, &data)[..4], PINNED);
    }

    const PINNED: [usize; 4] = [83_887, 199_945, 278_123, 343_750];

    #[test]
    fn an_insertion_moves_few_cuts() {
        let chunker = Chunker::new(&MasterKey::public(), &ChunkerConfig::default());
        let before = noise(4_000_000);
        let mut after = before.clone();
        after.splice(1_000_000..1_000_000, *b"inserted");
        let old: Vec<_> = cuts(&chunker, &before);
        let new = cuts(&chunker, &after);
        let same = new.iter().filter(|cut| old.contains(&(**cut - 8))).count();
        assert!(same * 10 > old.len() * 7 - 200, "{same} of {}", old.len());
        assert!(old.len() > 40 && old.len() < 100, "{}", old.len());
    }

    #[test]
    fn another_key_cuts_elsewhere() {
        let data = noise(1_000_000);
        let config = ChunkerConfig::default();
        let public = cuts(&Chunker::new(&MasterKey::public(), &config), &data);
        let secret = cuts(&Chunker::new(&MasterKey::new([1; 32]), &config), &data);
        assert_ne!(public, secret);
    }
}
