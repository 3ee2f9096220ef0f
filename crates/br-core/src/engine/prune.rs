//! Removing what no backup uses: condemn, then sweep (section 10 of the format).
//!
//! [`plan`] reads and decides, [`prune`] carries a plan out. Invariant: a pack is deleted only after a log entry condemned it,
//! and that entry was made with every earlier entry known. No lock and no clock is involved in that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::references::all_references;
use super::relocate::relocate;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{LogEntry, Move, PackTable};
use crate::model::{BackupId, PackId, References, SegmentId};
use crate::progress::{Context, Event};
use crate::repository::{
    Append, Index, Io, Layout, LogPosition, Repository, SegmentPlan, conflict, read_segment,
};

/// How often others may be faster before a prune gives up.
const MAX_RACES: u32 = 20;

/// What [`plan`] may remove.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Unused bytes that may stay in packs, as a fraction of all bytes: rewriting them would cost more than they do.
    pub max_unused: f64,
    /// Packs, segments and manifests that no log entry names are left alone for so long. A backup that is running would have to
    /// copy them, and what lost its log entry by an accident can be brought back meanwhile.
    pub grace: Duration,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: 0.05,
            grace: Duration::from_secs(24 * 3600),
        }
    }
}

impl PruneOptions {
    /// Sets the fraction of unused bytes that may stay.
    #[must_use]
    pub const fn with_max_unused(mut self, fraction: f64) -> Self {
        self.max_unused = fraction;
        self
    }

    /// Sets how old a pack must be that no log entry names.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// What a prune will do. Made by [`plan`], carried out by [`prune`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PrunePlan {
    /// Packs of which nothing is used.
    pub packs_unused: u64,
    /// Packs whose used chunks are copied into new ones.
    pub packs_rewritten: u64,
    /// Packs that an interrupted backup left and nothing names.
    pub packs_leftover: u64,
    /// Packs that nothing names and that are too young to tell from those of a running backup.
    pub packs_spared: u64,
    /// Packs that an earlier prune condemned and did not get to delete.
    pub packs_condemned: u64,
    /// Packs that stay as they are.
    pub packs_kept: u64,
    /// Bytes of all packs that go.
    pub bytes_removed: u64,
    /// Bytes that are written again, before compression.
    pub bytes_copied: u64,
    /// Index segments and manifests that nothing names.
    pub objects_leftover: u64,
    options: PruneOptions,
}

impl PrunePlan {
    /// True when there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packs_unused == 0
            && self.packs_rewritten == 0
            && self.packs_leftover == 0
            && self.packs_condemned == 0
            && self.objects_leftover == 0
    }
}

/// No writer takes longer over one object.
const UNFINISHED_AGE: Duration = Duration::from_secs(24 * 3600);

/// What a prune did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PruneReport {
    /// Packs deleted.
    pub packs_deleted: u64,
    /// Bytes of these packs.
    pub bytes_deleted: u64,
    /// Bytes of new packs.
    pub bytes_written: u64,
    /// Index segments and manifests deleted.
    pub objects_deleted: u64,
    /// Unfinished files and uploads of killed writers that were removed.
    pub unfinished_removed: u64,
    /// Objects that could not be deleted; the next prune tries again.
    pub failed: u64,
}

/// Decides what can be removed, without removing anything.
///
/// # Errors
/// When the repository cannot be read, or is damaged: then nothing should be removed.
pub async fn plan(
    repository: &Repository,
    options: &PruneOptions,
    context: &Context,
) -> Result<PrunePlan> {
    let options = options.clone();
    repository
        .run(context, move |io| Ok(Decision::make(io, &options)?.plan))
        .await
}

/// Carries out a plan. What changed in the repository since is taken into account.
///
/// # Errors
/// As [`plan`], and when the store fails. It can be run again at any time.
pub async fn prune(
    repository: &Repository,
    plan: &PrunePlan,
    context: &Context,
) -> Result<PruneReport> {
    repository.check_writable(context)?;
    let options = plan.options.clone();
    let work = move |io: &Io| {
        for _ in 0..MAX_RACES {
            let decision = Decision::make(io, &options)?;
            if decision.plan.is_empty() {
                return Ok(PruneReport::default());
            }
            let mut position = decision.position.clone();
            match decision.carry_out(io) {
                Ok(Some(report)) => return Ok(report),
                Ok(None) => {}
                Err(error) => others_did_it(io, &mut position, error)?,
            }
        }
        Err(conflict())
    };
    repository.run(context, work).await
}

/// A plan with what is needed to carry it out.
struct Decision {
    position: LogPosition,
    index: Index,
    /// Packs to give up, with the slots that must be copied first.
    condemn: BTreeMap<PackId, Option<roaring::RoaringBitmap>>,
    /// Every pack that goes, with its length.
    doomed: BTreeMap<PackId, u64>,
    /// Packs that manifests name: moves from them are still needed.
    named: BTreeSet<PackId>,
    /// Keys of segments and manifests that the log does not name.
    leftovers: Vec<String>,
    plan: PrunePlan,
}

/// What is missing as another prune removed it is no damage: the log has moved on then.
fn others_did_it(io: &Io, position: &mut LogPosition, error: Error) -> Result<()> {
    if error.kind() == ErrorKind::Damaged && !position.refresh(io)?.is_empty() {
        Ok(())
    } else {
        Err(error)
    }
}

impl Decision {
    fn make(io: &Io, options: &PruneOptions) -> Result<Self> {
        for _ in 0..MAX_RACES {
            // Listed before the log is read: a pack that is stored and committed in between is named by the log by then.
            let stored = io.list(Layout::PACKS)?;
            let mut position = LogPosition::read(io)?;
            match Self::decide(io, options, &stored, position.clone()) {
                Ok(decision) => return Ok(decision),
                Err(error) => others_did_it(io, &mut position, error)?,
            }
        }
        Err(conflict())
    }

    fn decide(
        io: &Io,
        options: &PruneOptions,
        stored: &[br_storage::ObjectInfo],
        mut position: LogPosition,
    ) -> Result<Self> {
        let index = Index::read_newest(io, &mut position)?;
        if let Some((id, _)) = index.damaged.first() {
            let key = Layout::segment(*id);
            return Err(Error::damaged(format!(
                "{key} is damaged: nothing is pruned"
            )));
        }
        let (used, named) = all_references(io, &position.state, &index)?;
        let mut decision = Self {
            condemn: BTreeMap::new(),
            doomed: BTreeMap::new(),
            named,
            leftovers: leftover_objects(io, &position, options)?,
            plan: PrunePlan {
                packs_unused: 0,
                packs_rewritten: 0,
                packs_leftover: 0,
                packs_spared: 0,
                packs_condemned: 0,
                packs_kept: 0,
                bytes_removed: 0,
                bytes_copied: 0,
                objects_leftover: 0,
                options: options.clone(),
            },
            position,
            index,
        };
        decision.plan.objects_leftover = decision.leftovers.len() as u64;
        decision.judge_packs(&used)?;
        decision.find_leftovers(io, stored);
        decision.plan.bytes_removed = decision.doomed.values().sum();
        Ok(decision)
    }

    /// Sorts the packs that the index describes into unused, thin and good ones.
    fn judge_packs(&mut self, used: &References) -> Result<()> {
        let mut wasteful = Vec::new();
        let (mut total, mut unused) = (0, 0);
        let mut known = BTreeSet::new();
        for pack in self.index.packs() {
            if !known.insert(pack.id) {
                continue;
            }
            total += pack.len;
            let Some(slots) = used.get(&pack.id) else {
                self.plan.packs_unused += 1;
                self.doomed.insert(pack.id, pack.len);
                self.condemn.insert(pack.id, None);
                continue;
            };
            let (raw, live) = live_bytes(&pack.table, slots);
            // As if every byte of the pack were compressed alike.
            let waste = u128::from(pack.len) * u128::from(raw - live) / u128::from(raw.max(1));
            let waste = waste as u64;
            unused += waste;
            if waste > 0 {
                wasteful.push((waste, pack.len, pack.id, live));
            }
        }
        if let Some((missing, _)) = used.iter().find(|(pack, _)| !known.contains(pack)) {
            let key = Layout::pack(*missing);
            let message = format!("{key} is in use and in no index segment: nothing is pruned");
            return Err(Error::damaged(message));
        }
        // The most wasteful first, until what is left is tolerable.
        wasteful.sort_by(|a, b| (b.0 * a.1).cmp(&(a.0 * b.1)).then(a.2.cmp(&b.2)));
        let tolerable = (total as f64 * self.plan.options.max_unused) as u64;
        for (waste, len, pack, live) in wasteful {
            if unused <= tolerable {
                break;
            }
            unused -= waste;
            self.plan.packs_rewritten += 1;
            self.plan.bytes_copied += live;
            self.doomed.insert(pack, len);
            self.condemn.insert(pack, used.get(&pack).cloned());
        }
        self.plan.packs_kept =
            known.len() as u64 - self.plan.packs_unused - self.plan.packs_rewritten;
        Ok(())
    }

    /// Finds packs in the store that the index does not describe.
    fn find_leftovers(&mut self, io: &Io, stored: &[br_storage::ObjectInfo]) {
        let known: BTreeSet<_> = self.index.packs().map(|pack| pack.id).collect();
        let now = SystemTime::from(io.context.runtime.clock.now());
        // One that is gone already may still lack its `swept` entry.
        for id in &self.position.state.condemned {
            self.plan.packs_condemned += 1;
            self.doomed.insert(*id, 0);
        }
        for object in stored {
            let Some(id) = Layout::id::<PackId>(&object.key) else {
                continue;
            };
            if self.position.state.condemned.contains(&id) {
                self.doomed.insert(id, object.size);
            } else if !known.contains(&id) {
                let age = now.duration_since(object.modified).unwrap_or_default();
                if age >= self.plan.options.grace {
                    self.plan.packs_leftover += 1;
                    self.doomed.insert(id, object.size);
                    self.condemn.insert(id, None);
                } else {
                    self.plan.packs_spared += 1;
                }
            }
        }
    }

    /// Copies, condemns and deletes; `None` when someone else changed the repository first.
    fn carry_out(mut self, io: &Io) -> Result<Option<PruneReport>> {
        let mut wanted = References::default();
        for (pack, slots) in &self.condemn {
            if let Some(slots) = slots {
                wanted.insert_slots(*pack, slots);
            }
        }
        let bytes = self.plan.bytes_copied;
        io.context
            .progress
            .event(Event::Expect { bytes, entries: 0 });
        let moved = relocate(io, self.index.clone(), &wanted)?;
        let bytes_written = moved.packs.iter().map(|pack| pack.entry.len).sum();
        let mut segments = SegmentPlan::new(io, &self.position.state);
        segments.add_packs(&moved.packs);
        let needed = self.moves_needed(&moved.moves);
        segments.add_moves(moved.moves);
        for id in self.segments_to_replace() {
            let segment = read_segment(io, id)?;
            segments.replace(id, segment, |pack| self.doomed.contains_key(pack));
        }
        segments.drop_moves_from(|pack| !needed.contains(pack));
        let segments = segments.write()?;
        let dropped: Vec<String> = segments
            .removed
            .iter()
            .map(|id| Layout::segment(*id))
            .collect();
        let entry = LogEntry::Condemn {
            packs: self.condemn.keys().copied().collect(),
            segments_added: segments.added,
            segments_removed: segments.removed,
        };
        if let Append::Lost(_) = self.position.append(io, entry)? {
            return Ok(None);
        }
        self.leftovers.extend(dropped);
        self.sweep(io, bytes_written).map(Some)
    }

    /// Packs from which a chain of moves starts or goes on that some manifest needs.
    fn moves_needed(&self, new: &[Move]) -> BTreeSet<PackId> {
        let mut needed = self.named.clone();
        let old = self
            .index
            .segments()
            .iter()
            .flat_map(|segment| segment.moves());
        let moves: Vec<_> = old.chain(new).collect();
        loop {
            let before = needed.len();
            let more = moves.iter().filter(|moved| needed.contains(&moved.from));
            let more: Vec<_> = more.map(|moved| moved.to).collect();
            needed.extend(more);
            if needed.len() == before {
                return needed;
            }
        }
    }

    /// Live segments that describe a pack that goes.
    fn segments_to_replace(&self) -> BTreeSet<SegmentId> {
        let touched = |segment: &&std::sync::Arc<crate::repository::IndexSegment>| {
            segment
                .packs()
                .iter()
                .any(|pack| self.doomed.contains_key(&pack.id))
        };
        self.index
            .segments()
            .iter()
            .filter(touched)
            .filter_map(|segment| segment.id)
            .collect()
    }

    fn sweep(mut self, io: &Io, bytes_written: u64) -> Result<PruneReport> {
        let mut keys = std::mem::take(&mut self.leftovers);
        let objects = keys.len() as u64;
        keys.extend(self.doomed.keys().map(|pack| Layout::pack(*pack)));
        let failed = io.delete_all(keys)?;
        for (key, error) in &failed {
            let message = format!("{key} was not deleted, the next prune tries again: {error}");
            io.context
                .progress
                .event(Event::Warning { message: &message });
        }
        let kept: BTreeSet<PackId> = failed
            .iter()
            .filter_map(|(key, _)| Layout::id(key))
            .collect();
        self.doomed.retain(|pack, _| !kept.contains(pack));
        let packs: Vec<_> = self.doomed.keys().copied().collect();
        for _ in 0..MAX_RACES {
            let entry = LogEntry::Swept {
                packs: packs.clone(),
            };
            if packs.is_empty() || matches!(self.position.append(io, entry)?, Append::Done) {
                break;
            }
            // Losing this entry costs a look at packs that are gone, by the next prune.
        }
        Ok(PruneReport {
            packs_deleted: packs.len() as u64,
            bytes_deleted: self.doomed.values().sum(),
            bytes_written,
            objects_deleted: objects - (failed.len() - kept.len()) as u64,
            unfinished_removed: self.remove_unfinished(io),
            failed: failed.len() as u64,
        })
    }

    /// Removes what killed writers left half-written. That it stays is no failure.
    fn remove_unfinished(&self, io: &Io) -> u64 {
        let age = self.plan.options.grace.max(UNFINISHED_AGE);
        let older_than = SystemTime::from(io.context.runtime.clock.now()) - age;
        let swept = io.block(io.storage().sweep_staging(Layout::PACKS, older_than));
        swept.map_or_else(
            |error| {
                let cause = crate::error::in_one_line(&error);
                let message = format!("unfinished files and uploads stay: {cause}");
                io.context
                    .progress
                    .event(Event::Warning { message: &message });
                0
            },
            |swept| swept as u64,
        )
    }
}

/// Raw bytes of all chunks of a pack, and of those in use.
fn live_bytes(table: &PackTable, slots: &roaring::RoaringBitmap) -> (u64, u64) {
    let lengths = table.groups.iter().flat_map(|group| &group.lengths);
    let (mut raw, mut live) = (0, 0);
    for (slot, len) in (0..).zip(lengths) {
        raw += u64::from(*len);
        if slots.contains(slot) {
            live += u64::from(*len);
        }
    }
    (raw, live)
}

/// Segments and manifests that the log does not name: those that it took out, and others that are older than the grace period.
/// A backup that is about to be committed writes its own again when it finds that a prune came first.
fn leftover_objects(
    io: &Io,
    position: &LogPosition,
    options: &PruneOptions,
) -> Result<Vec<String>> {
    let (state, gone) = (&position.state, &position.gone);
    let now = SystemTime::from(io.context.runtime.clock.now());
    let is_old = |object: &br_storage::ObjectInfo| {
        now.duration_since(object.modified).unwrap_or_default() >= options.grace
    };
    let mut keys = Vec::new();
    for object in io.list(Layout::INDEX)? {
        let Some(id) = Layout::id::<SegmentId>(&object.key) else {
            continue;
        };
        let is_named = state.segments.contains(&id);
        if !is_named && (gone.segments.contains(&id) || is_old(&object)) {
            keys.push(object.key);
        }
    }
    for object in io.list(Layout::MANIFESTS)? {
        let Some(id) = Layout::id::<BackupId>(&object.key) else {
            continue;
        };
        let is_named = state.backups.contains_key(&id);
        if !is_named && (gone.backups.contains(&id) || is_old(&object)) {
            keys.push(object.key);
        }
    }
    Ok(keys)
}
