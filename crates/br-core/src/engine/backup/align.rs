//! Finds where a changed part of a file was in the file's previous version.
//!
//! Cuts depend on the bytes just before them, so a change inside of a chunk moves no other cut: the chunk is replaced by one of almost the same
//! length. A row of lengths is therefore as good as a fingerprint, and comparing lengths reads no data. Invariant: a wrong answer costs only time
//! and space, because a delta of unlike data is not stored.

use std::cmp::Reverse;
use std::ops::Range;

use crate::model::ChunkRef;

/// How far to search before and after the expected place, in chunks, and which share of the cuts must fit: first one in three nearby, then one in two
/// farther away.
const SEARCHES: [(usize, usize); 2] = [(64, 3), (4096, 2)];
/// At least this many cuts must fit.
const MIN_CUTS: usize = 3;

/// The chunks of `old` that `new` has replaced, if they are near the chunk number `expected`.
pub(super) fn find_replaced(
    old: &[ChunkRef],
    expected: usize,
    new: &[ChunkRef],
) -> Option<Range<usize>> {
    SEARCHES.iter().find_map(|&(reach, share)| {
        let starts = expected.saturating_sub(reach)..(expected + reach).min(old.len());
        // The first cut may be new, and the second not.
        (0..2).find_map(|skipped| {
            let new = new.get(skipped..)?;
            let (cuts, replaced) = best(old, starts.clone(), expected + skipped, new)?;
            let is_enough = cuts >= MIN_CUTS && cuts * share >= new.len();
            is_enough.then(|| replaced.start.saturating_sub(skipped)..replaced.end)
        })
    })
}

/// The best place for `new`, and how many cuts fit there.
fn best(
    old: &[ChunkRef],
    starts: Range<usize>,
    expected: usize,
    new: &[ChunkRef],
) -> Option<(usize, Range<usize>)> {
    let fit = |start: usize| {
        let (cuts, len) = compare(&old[start..], new);
        (cuts, Reverse(start.abs_diff(expected)), start, len)
    };
    let (cuts, _, start, len) = starts.map(fit).max()?;
    Some((cuts, start..start + len))
}

/// How many cuts of both are at the same place, apart from small shifts, and how many chunks of `old` end with the last chunk of `new`.
fn compare(old: &[ChunkRef], new: &[ChunkRef]) -> (usize, usize) {
    let (mut cuts, mut shift) = (0, 0);
    let (mut at_old, mut at_new) = (0, 0);
    let (mut old_end, mut new_end) = (i64::from(len(old, 0)), i64::from(len(new, 0)));
    while at_old < old.len() && at_new < new.len() {
        // So much may have been added to a chunk, or removed.
        let slack = 128 + i64::from(len(new, at_new)) / 64;
        let moved = new_end - old_end - shift;
        if moved.abs() <= slack {
            cuts += 1;
            shift += moved;
        }
        if moved <= slack {
            at_new += 1;
            new_end += i64::from(len(new, at_new));
        }
        if moved >= -slack {
            at_old += 1;
            old_end += i64::from(len(old, at_old));
        }
    }
    (cuts, at_old)
}

/// The length of a chunk; 0 after the last.
fn len(chunks: &[ChunkRef], at: usize) -> u32 {
    chunks.get(at).map_or(0, |chunk| chunk.len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ChunkId;

    /// Lengths as those of real chunks, of which the smallest has 16 KiB and the largest 256 KiB.
    fn chunks(count: u32, seed: u32) -> Vec<ChunkRef> {
        let len = |at: u32| {
            let mixed = blake3::hash(&[at.to_le_bytes(), seed.to_le_bytes()].concat());
            let value = u32::from_le_bytes(*mixed.as_bytes().first_chunk().unwrap());
            (16 << 10) + value % (100 << 10)
        };
        let chunk = |at| ChunkRef {
            id: ChunkId([0; 32]),
            len: len(at),
        };
        (0..count).map(chunk).collect()
    }

    /// Each chunk is a little shorter.
    fn changed(chunks: &[ChunkRef]) -> Vec<ChunkRef> {
        let shorten = |(at, chunk): (usize, &ChunkRef)| ChunkRef {
            len: chunk.len - 200 - at as u32 * 13 % 500,
            ..*chunk
        };
        chunks.iter().enumerate().map(shorten).collect()
    }

    #[test]
    fn changed_chunks_are_found_at_their_place_and_away_from_it() {
        let old = chunks(10_000, 1);
        for at in [0, 1, 5_000, 9_980] {
            let new = changed(&old[at..at + 16]);
            for expected in [at, at + 50, at.saturating_sub(60), at + 3_000] {
                let found = find_replaced(&old, expected.min(old.len()), &new);
                assert_eq!(found, Some(at..at + 16), "{at}, {expected}");
            }
        }
    }

    #[test]
    fn cuts_that_were_added_or_removed_are_passed() {
        let old = chunks(1_000, 2);
        let mut new = changed(&old[300..316]);
        // Two chunks became one, and another became two.
        new[4].len += new[5].len;
        new.remove(5);
        let half = new[9].len / 2;
        new[9].len -= half;
        let second = ChunkRef {
            len: half,
            ..new[9]
        };
        new.insert(10, second);
        assert_eq!(find_replaced(&old, 310, &new), Some(300..316));
        // The first chunk of the new part begins within an old one.
        let mut new = changed(&old[300..316]);
        new[0].len -= 30_000.min(new[0].len / 2);
        let found = find_replaced(&old, 310, &new).unwrap();
        assert_eq!(found.end, 316);
        assert!(found.start.abs_diff(300) <= 1, "{found:?}");
    }

    #[test]
    fn other_chunks_are_seldom_found() {
        let old = chunks(3_000, 3);
        let is_found = |seed: &u32| find_replaced(&old, 1_500, &chunks(16, 100 + seed)).is_some();
        let found = (0..300).filter(is_found).count();
        assert!(found < 30, "{found} of 300");
        assert_eq!(find_replaced(&old, 0, &[]), None);
        assert_eq!(find_replaced(&[], 0, &chunks(16, 1)), None);
    }
}
