//! Decision of a prune: reads the repository to find the packs and objects to delete, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use br_storage::ObjectInfo;

use super::{PruneOptions, PrunePlan, Work};
use crate::engine::deleted::deleted_within;
use crate::engine::references::ReferenceFinder;
use crate::error::{Error, ErrorKind, Result};
use crate::format::PackTable;
use crate::model::{Backup, BackupId, PackId, References, SegmentId};
use crate::repository::{Io, Layout, LogPosition, MAX_RACES, PackTables, conflict};

/// A plan with the data needed to carry it out.
pub(super) struct Decision {
    pub(super) position: LogPosition,
    pub(super) tables: PackTables,
    /// Packs to condemn, with the slots that must be copied first.
    pub(super) condemn: BTreeMap<PackId, Option<roaring::RoaringBitmap>>,
    /// All packs to delete, with their lengths.
    pub(super) to_delete: BTreeMap<PackId, u64>,
    /// Packs that manifests name: the index must keep moves from these packs.
    pub(super) named: BTreeSet<PackId>,
    /// Keys of segments and manifests that the log does not name.
    pub(super) leftovers: Vec<String>,
    pub(super) plan: PrunePlan,
}

impl Decision {
    pub(super) fn make(io: &Io, work: &mut Work) -> Result<Self> {
        for _ in 0..MAX_RACES {
            // List packs before reading the log. If another writer stores and commits packs in between, the log names them; in the
            // opposite order they would look like leftovers.
            let stored = io.list(Layout::PACKS)?;
            let position = work.newest_position(io)?;
            match Self::decide(io, work, &stored, position) {
                Ok(decision) => return Ok(decision),
                Err(error) => work.retry_if_log_advanced(io, error)?,
            }
        }
        Err(conflict())
    }

    fn decide(io: &Io, work: &Work, stored: &[ObjectInfo], position: LogPosition) -> Result<Self> {
        // A segment that another writer replaced and deleted shows up as damage here. The log then has new entries, and the caller
        // retries.
        let tables = PackTables::read(io, &position.state).map_err(nothing_pruned)?;
        let finder = ReferenceFinder::with_tables(io, &tables, &position.state);
        let kept = match work.options.keep_deleted {
            Duration::ZERO => Vec::new(),
            time => deleted_within(io, &position, &finder, time)?,
        };
        let backups = position.state.backups.values().chain(&kept);
        let (used, named) = finder.of_all(backups)?;
        let mut decision = Self {
            condemn: BTreeMap::new(),
            to_delete: BTreeMap::new(),
            named,
            leftovers: leftover_objects(io, &position, &kept, &work.options)?,
            plan: PrunePlan::new(work.options.clone()),
            position,
            tables,
        };
        decision.plan.deleted_kept = kept.len() as u64;
        decision.plan.objects_leftover = decision.leftovers.len() as u64;
        decision.judge_packs(&used)?;
        decision.find_leftovers(io, stored, work);
        decision.plan.bytes_removed = decision.to_delete.values().sum();
        Ok(decision)
    }

    /// Classifies the packs that the index describes as unused, worth rewriting, or kept.
    fn judge_packs(&mut self, used: &References) -> Result<()> {
        let mut wasteful = Vec::new();
        let (mut total, mut unused) = (0, 0);
        let mut known = BTreeSet::new();
        for pack in self.tables.packs() {
            if !known.insert(pack.id) {
                continue;
            }
            total += pack.len;
            let Some(slots) = used.get(&pack.id) else {
                self.plan.packs_unused += 1;
                self.to_delete.insert(pack.id, pack.len);
                self.condemn.insert(pack.id, None);
                continue;
            };
            let (raw, live) = live_bytes(&pack.table, slots);
            // Estimate: assumes that all bytes of the pack compress equally well.
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
        // Rewrite the most wasteful packs first, until the remaining waste is tolerable.
        wasteful.sort_by(|a, b| (b.0 * a.1).cmp(&(a.0 * b.1)).then(a.2.cmp(&b.2)));
        let tolerable = (total as f64 * self.plan.options.max_unused) as u64;
        for (waste, len, pack, live) in wasteful {
            if unused <= tolerable {
                break;
            }
            unused -= waste;
            self.plan.packs_rewritten += 1;
            self.plan.bytes_copied += live;
            self.to_delete.insert(pack, len);
            self.condemn.insert(pack, used.get(&pack).cloned());
        }
        self.plan.packs_kept =
            known.len() as u64 - self.plan.packs_unused - self.plan.packs_rewritten;
        Ok(())
    }

    /// Finds packs in the store that the index does not describe.
    fn find_leftovers(&mut self, io: &Io, stored: &[ObjectInfo], work: &Work) {
        let mut known: BTreeSet<_> = self.tables.packs().map(|pack| pack.id).collect();
        known.extend(work.own_packs());
        let now = SystemTime::from(io.context.runtime.clock.now());
        // A condemned pack may be deleted already, but still lack its `swept` entry.
        for id in &self.position.state.condemned {
            self.plan.packs_condemned += 1;
            self.to_delete.insert(*id, 0);
        }
        for object in stored {
            let Some(id) = Layout::id::<PackId>(&object.key) else {
                continue;
            };
            if self.position.state.condemned.contains(&id) {
                self.to_delete.insert(id, object.size);
            } else if !known.contains(&id) {
                let age = now.duration_since(object.modified).unwrap_or_default();
                if age >= self.plan.options.grace {
                    self.plan.packs_leftover += 1;
                    self.to_delete.insert(id, object.size);
                    self.condemn.insert(id, None);
                } else {
                    self.plan.packs_spared += 1;
                }
            }
        }
    }
}

/// Says that a damaged segment is the reason why nothing is pruned.
fn nothing_pruned(error: Error) -> Error {
    if error.kind() != ErrorKind::Damaged {
        return error;
    }
    Error::damaged(format!("{error}: nothing is pruned")).with_source(error)
}

/// Raw bytes of all chunks of a pack, and of the used ones.
fn live_bytes(table: &PackTable, slots: &roaring::RoaringBitmap) -> (u64, u64) {
    let lengths = table.groups.iter().flat_map(|group| &group.lengths);
    let raw = lengths.map(|len| u64::from(*len)).sum();
    let live = table.used(slots).map(|(_, used)| used).sum();
    (raw, live)
}

/// Segments and manifests that the log does not name: those that a log entry removed, and others older than the grace period. A backup
/// that is about to commit writes its segments and manifest again if a prune came first.
fn leftover_objects(
    io: &Io,
    position: &LogPosition,
    kept: &[Backup],
    options: &PruneOptions,
) -> Result<Vec<String>> {
    let (state, removed) = (&position.state, &position.removed);
    let now = SystemTime::from(io.context.runtime.clock.now());
    let is_old = |object: &ObjectInfo| {
        now.duration_since(object.modified).unwrap_or_default() >= options.grace
    };
    let mut keys = Vec::new();
    for object in io.list(Layout::INDEX)? {
        let Some(id) = Layout::id::<SegmentId>(&object.key) else {
            continue;
        };
        let is_named = state.segments.contains(&id);
        if !is_named && (removed.segments.contains(&id) || is_old(&object)) {
            keys.push(object.key);
        }
    }
    for object in io.list(Layout::MANIFESTS)? {
        let Some(id) = Layout::id::<BackupId>(&object.key) else {
            continue;
        };
        let is_kept = kept.iter().any(|backup| backup.id == id);
        let is_named = is_kept || state.backups.contains_key(&id);
        if !is_named && (removed.backups.contains(&id) || is_old(&object)) {
            keys.push(object.key);
        }
    }
    Ok(keys)
}
