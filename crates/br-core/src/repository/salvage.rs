//! Recovery of the backup list from manifests, for a log that lost entries.
//!
//! [`Salvage`] finds backups that no log entry names. Invariant: a backup is recovered only if its manifest is readable, all its packs
//! exist, and the log does not say that it was deleted.

use std::collections::{BTreeMap, BTreeSet};

use br_storage::ObjectInfo;

use super::{Backups, History, Index, Io, Layout, Resolver, State, read_segment};
use crate::error::{Result, in_one_line};
use crate::model::{Backup, BackupId, PackId, References, SegmentId};

/// The state recovered from a log and the stored objects.
#[derive(Debug)]
pub(crate) struct Salvage {
    /// The log's state, plus the backups that were found.
    pub(crate) state: State,
    /// Complete backups that no entry names, the oldest first.
    pub(crate) found: Vec<Backup>,
    /// Manifests that no entry names and that cannot be used, with the reason.
    pub(crate) useless: Vec<(String, String)>,
}

impl Salvage {
    /// Checks every manifest that `history` does not name. The caller must list `manifests` before reading the log: then the log names
    /// every backup that is committed in between.
    pub(crate) fn make(io: &Io, manifests: &[ObjectInfo], history: &History) -> Result<Self> {
        let mut salvage = Self {
            state: history.state.clone(),
            found: Vec::new(),
            useless: Vec::new(),
        };
        let unnamed = unnamed(manifests, history);
        if unnamed.is_empty() && !history.is_broken {
            return Ok(salvage);
        }
        let present = present_packs(io)?;
        let mut state = with_segments(io, history)?;
        condemn_missing(io, &mut state, history, &present)?;
        let index = Index::read(io, &state)?;
        let resolver = index.resolver();
        for id in unnamed {
            io.check_cancelled()?;
            match io.read_manifest(id) {
                Ok((backup, references)) => match lacks(references, &resolver, &index, &present) {
                    None => salvage.found.push(backup),
                    Some(reason) => salvage.useless.push((Layout::manifest(id), reason)),
                },
                Err(error) if error.is_damage() => {
                    let reason = in_one_line(&error);
                    salvage.useless.push((Layout::manifest(id), reason));
                }
                Err(error) => return Err(error),
            }
        }
        salvage
            .found
            .sort_by_key(|backup| (backup.finished, backup.id));
        if history.is_broken || !salvage.found.is_empty() {
            salvage.state = state;
        }
        if !salvage.found.is_empty() {
            // Keep the commit order: a recovered backup does not become the newest one.
            let order: Vec<BackupId> = history.state.backups.values().map(|b| b.id).collect();
            let found = salvage.found.iter().map(Backup::as_listed);
            let named = history.state.backups.values().cloned();
            salvage.state.backups = Backups::in_order(named.chain(found), &order);
        }
        Ok(salvage)
    }
}

/// Backups that have a manifest but no log entry.
fn unnamed(manifests: &[ObjectInfo], history: &History) -> Vec<BackupId> {
    let ids = manifests
        .iter()
        .filter_map(|object| Layout::id(&object.key));
    let is_named =
        |id: &BackupId| history.state.backups.contains_key(id) || history.deleted.contains(id);
    ids.filter(|id| !is_named(id)).collect()
}

/// The packs in the store, with their lengths.
pub(crate) fn present_packs(io: &Io) -> Result<BTreeMap<PackId, u64>> {
    let objects = io.list(Layout::PACKS)?;
    let packs = objects.iter();
    Ok(packs
        .filter_map(|object| Some((Layout::id(&object.key)?, object.size)))
        .collect())
}

/// Adds the segments that no entry names to the state. If entries are lost, such a segment may have replaced segments that no longer
/// exist, so missing segments are removed from the state.
fn with_segments(io: &Io, history: &History) -> Result<State> {
    let objects = io.list(Layout::INDEX)?;
    let there: BTreeSet<SegmentId> = objects
        .iter()
        .filter_map(|object| Layout::id(&object.key))
        .collect();
    let unnamed: Vec<_> = there.difference(&history.segments).copied().collect();
    let mut state = history.state.clone();
    if history.is_broken && !unnamed.is_empty() {
        state.segments.retain(|id| there.contains(id));
    }
    state.segments.extend(unnamed);
    Ok(state)
}

/// Condemns missing packs: a segment that no entry names may describe packs that a prune deleted.
fn condemn_missing(
    io: &Io,
    state: &mut State,
    history: &History,
    present: &BTreeMap<PackId, u64>,
) -> Result<()> {
    let doubtful = |id: &&SegmentId| history.is_broken || !history.segments.contains(id);
    for id in state.segments.iter().filter(doubtful) {
        match read_segment(io, *id) {
            Ok(segment) => {
                let packs = segment.packs.iter().map(|pack| pack.id);
                state
                    .condemned
                    .extend(packs.filter(|id| !present.contains_key(id)));
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Why a backup is incomplete; `None` when it is complete.
fn lacks(
    mut references: References,
    resolver: &Resolver<'_>,
    index: &Index,
    present: &BTreeMap<PackId, u64>,
) -> Option<String> {
    if !resolver.resolve(&mut references) {
        return Some("packs that it needs no longer exist".to_owned());
    }
    let needed: BTreeSet<_> = references.iter().map(|(pack, _)| *pack).collect();
    let mut packs = index.packs().filter(|pack| needed.contains(&pack.id));
    let lacking = packs.find(|pack| present.get(&pack.id) != Some(&pack.len));
    lacking.map(|pack| format!("{} is missing or incomplete", Layout::pack(pack.id)))
}
