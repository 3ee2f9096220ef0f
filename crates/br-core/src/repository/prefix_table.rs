//! A table that leads from the first bits of an id to the ids that begin with them.
//!
//! [`PrefixTable`] takes the place of most steps of a binary search: ids are hashes, so that each prefix has about the same number of
//! them. Invariant: every id is in the range of its prefix, however the ids are distributed.

use std::ops::Range;

use crate::model::ChunkId;

/// Ids with one prefix, on average, as a power of two.
const IDS_PER_PREFIX_LOG2: u32 = 2;

/// Where the ids with each prefix start in a sorted list.
#[derive(Debug)]
pub(super) struct PrefixTable {
    /// Bits of the first 64 that are not part of the prefix.
    shift: u32,
    /// Of each prefix the first id, and at the end the number of ids.
    starts: Vec<u32>,
}

impl PrefixTable {
    /// The table of a sorted list of ids. Takes about one byte an id.
    pub(super) fn new(ids: &[ChunkId]) -> Self {
        let count = ids.len().max(1);
        // At least one bit, as a shift by all 64 is none.
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

    /// Where in the list the id is, if it is there.
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
