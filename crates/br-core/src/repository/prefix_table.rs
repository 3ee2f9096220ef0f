//! Lookup table from the first bits of an id to the range of ids with this prefix.
//!
//! [`PrefixTable`] replaces most steps of a binary search: ids are hashes, so each prefix has about the same number of ids. Invariant:
//! every id is in the range of its prefix, however the ids are distributed.

use std::ops::Range;

use crate::model::ChunkId;

/// Average number of ids per prefix, as a power of two.
const IDS_PER_PREFIX_LOG2: u32 = 2;

/// Start of the range of each prefix in a sorted list of ids.
#[derive(Debug)]
pub(super) struct PrefixTable {
    /// Number of bits by which the first 64 bits of an id are shifted to get its prefix.
    shift: u32,
    /// For each prefix the position of its first id; the last element is the number of ids.
    starts: Vec<u32>,
}

impl PrefixTable {
    /// Builds the table for a sorted list of ids. It needs about one byte per id.
    pub(super) fn new(ids: &[ChunkId]) -> Self {
        let count = ids.len().max(1);
        // At least one bit, because a shift by 64 bits would overflow.
        let bits = count.ilog2().saturating_sub(IDS_PER_PREFIX_LOG2).max(1);
        let shift = u64::BITS - bits;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (at, id) in (0..).zip(ids) {
            let prefix = (first_bits(id) >> shift) as usize;
            while starts.len() <= prefix {
                starts.push(at);
            }
        }
        starts.resize((1 << bits) + 1, ids.len() as u32);
        Self { shift, starts }
    }

    /// The range of the list that contains the id, if the list has it.
    pub(super) fn range(&self, id: &ChunkId) -> Range<usize> {
        let prefix = (first_bits(id) >> self.shift) as usize;
        self.starts[prefix] as usize..self.starts[prefix + 1] as usize
    }
}

fn first_bits(id: &ChunkId) -> u64 {
    let mut bits = [0; 8];
    bits.copy_from_slice(&id.0[..8]);
    u64::from_be_bytes(bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_id_is_in_the_range_of_its_prefix(
            mut ids in prop::collection::vec(any::<[u8; 32]>().prop_map(ChunkId), 0..200),
            skewed in any::<bool>(),
            absent in any::<[u8; 32]>().prop_map(ChunkId),
        ) {
            if skewed {
                for id in &mut ids {
                    id.0[..7].fill(0xff);
                }
            }
            ids.sort();
            let table = PrefixTable::new(&ids);
            for id in &ids {
                prop_assert!(ids[table.range(id)].contains(id));
            }
            let range = table.range(&absent);
            let outside = ids[..range.start].iter().chain(&ids[range.end..]);
            for id in outside {
                prop_assert!(*id != absent);
            }
            let whole = ids.partition_point(|other| *other < absent);
            prop_assert!(range.start <= whole && whole <= range.end);
        }
    }
}
