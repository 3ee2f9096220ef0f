//! Which groups of the source are read, in which requests.
//!
//! [`plan_runs`] makes a [`Run`] of nearby groups of a pack, in pack order. Invariant: only one segment's table of ids is in memory.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crate::format::{Codec, Group, PackEntry, TAG_LEN};
use crate::model::{ChunkId, PackId, References};
use crate::repository::{Index, MAX_GAP, MAX_REQUEST};

/// Maximum number of deltas in a request: the bases of each take memory and time.
const MAX_DELTAS: usize = 16;

/// A group to copy from.
#[derive(Debug)]
pub(super) struct GroupJob {
    /// The group's number in the pack.
    pub(super) number: usize,
    /// Offset of its sealed bytes in the pack.
    pub(super) offset: u64,
    /// Slot of its first chunk.
    pub(super) first_slot: u32,
    /// All chunks of the group.
    pub(super) ids: Vec<ChunkId>,
    /// Positions in the group of the chunks to copy, ascending.
    pub(super) wanted: Vec<usize>,
}

/// Nearby groups of a pack.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) pack: Arc<PackEntry>,
    pub(super) range: Range<u64>,
    pub(super) groups: Vec<GroupJob>,
}

/// Which groups a pass copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Groups that can be read alone.
    Whole,
    /// Deltas. Their bases are copied before.
    Delta,
    /// All groups.
    Any,
}

impl Kind {
    fn includes(self, group: &Group) -> bool {
        match self {
            Self::Whole => group.codec != Codec::ZstdDelta,
            Self::Delta => group.codec == Codec::ZstdDelta,
            Self::Any => true,
        }
    }
}

/// Calls `emit` with each run, until it returns false. `is_wanted` decides about a slot of `slots`.
pub(super) fn plan_runs(
    index: &Index,
    slots: &References,
    kind: Kind,
    is_wanted: impl Fn(PackId, u32, &ChunkId) -> bool,
    mut emit: impl FnMut(Run) -> bool,
) {
    // Two segments may describe the same pack.
    let mut done = HashSet::new();
    for segment in index.segments() {
        let mut table = None;
        let mut first = 0;
        for pack in segment.packs() {
            let range = first..first + pack.table.chunk_count();
            first = range.end;
            let has_kind = || pack.table.groups.iter().any(|group| kind.includes(group));
            let Some(slots) = slots.get(&pack.id) else {
                continue;
            };
            if !has_kind() || !done.insert(pack.id) {
                continue;
            }
            let ids = &table.get_or_insert_with(|| segment.ids_by_slot())[range];
            let wanted =
                |slot: u32| slots.contains(slot) && is_wanted(pack.id, slot, &ids[slot as usize]);
            if !runs_of_pack(pack, ids, kind, wanted, &mut emit) {
                return;
            }
        }
    }
}

fn runs_of_pack(
    pack: &PackEntry,
    ids: &[ChunkId],
    kind: Kind,
    wanted: impl Fn(u32) -> bool,
    emit: &mut impl FnMut(Run) -> bool,
) -> bool {
    let shared = Arc::new(pack.clone());
    let mut open: Option<Run> = None;
    let mut first_slot = 0;
    let groups = pack.table.groups.iter().zip(pack.table.offsets());
    for (number, (group, offset)) in groups.enumerate() {
        let count = group.lengths.len();
        let slot = first_slot;
        first_slot += count as u32;
        if !kind.includes(group) {
            continue;
        }
        let is_wanted = |nth: &usize| wanted(slot + *nth as u32);
        let wanted: Vec<usize> = (0..count).filter(is_wanted).collect();
        if wanted.is_empty() {
            continue;
        }
        let job = GroupJob {
            number,
            offset,
            first_slot: slot,
            ids: ids[slot as usize..slot as usize + count].to_vec(),
            wanted,
        };
        let range = offset..offset + u64::from(group.stored_len) + TAG_LEN as u64;
        match &mut open {
            Some(run) if continues(run, &range, kind) => {
                run.range.end = range.end;
                run.groups.push(job);
            }
            _ => {
                let pack = Arc::clone(&shared);
                let groups = vec![job];
                let next = Run {
                    pack,
                    range,
                    groups,
                };
                if open.replace(next).is_some_and(|run| !emit(run)) {
                    return false;
                }
            }
        }
    }
    open.is_none_or(emit)
}

fn continues(run: &Run, range: &Range<u64>, kind: Kind) -> bool {
    range.start <= run.range.end + MAX_GAP
        && range.end - run.range.start <= MAX_REQUEST
        && (kind == Kind::Whole || run.groups.len() < MAX_DELTAS)
}
