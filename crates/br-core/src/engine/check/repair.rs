//! Repairs: rebuild the index from packs, and the backup list from manifests.

use std::collections::BTreeSet;

use super::proof::record_losses;
use super::{CheckReport, Finding};
use crate::error::{ErrorKind, Result, in_one_line};
use crate::format::LogEntry;
use crate::model::{PackId, SegmentId};
use crate::repository::{
    Append, History, Index, Io, Layout, LogPosition, MAX_RACES, Salvage, SegmentPlan, State,
    conflict, find_packs, present_packs, read_segment,
};

/// Replaces unreadable segments by a new one, built from the footers of the packs. Condemns missing packs, so that the next backup stores
/// their chunks again.
pub(super) fn index(io: &Io, report: &mut CheckReport) -> Result<()> {
    for _ in 0..MAX_RACES {
        let present: BTreeSet<PackId> = pack_ids(io)?;
        let mut position = LogPosition::read(io)?;
        let survey = Survey::make(io, &position.state, &present)?;
        if !survey.missing.is_empty() {
            let (segments, condemned) = (
                position.state.segments.clone(),
                position.state.condemned.clone(),
            );
            let index = Index::read(io, &position.state)?;
            record_losses(io, &position, index, |pack, _| {
                survey.missing.contains(pack)
            })?;
            let _ = position.refresh(io)?;
            if position.state.segments != segments || position.state.condemned != condemned {
                continue;
            }
        }
        let mut found = Vec::new();
        if !survey.damaged.is_empty() {
            let condemned = &position.state.condemned;
            let wanted = |id| !survey.known.contains(&id) && !condemned.contains(&id);
            let (packs, bad) = find_packs(io, wanted)?;
            found = packs;
            for (id, error) in bad {
                let finding = Finding::damage(Layout::pack(id), in_one_line(&error));
                report.findings.push(finding);
            }
        }
        if survey.damaged.is_empty() && survey.missing.is_empty() {
            return Ok(());
        }
        let mut plan = SegmentPlan::new(io, &position.state);
        plan.add_packs(&found);
        survey.damaged.iter().for_each(|id| plan.drop_segment(*id));
        for id in survey.incomplete {
            plan.replace(id, read_segment(io, id)?, |pack| {
                survey.missing.contains(pack)
            });
        }
        let segments = plan.write()?;
        let (segments_added, segments_removed) = (segments.added, segments.removed);
        let entry = if survey.missing.is_empty() {
            LogEntry::index(segments_added, segments_removed)
        } else {
            LogEntry::Condemn {
                packs: survey.missing.iter().copied().collect(),
                segments_added,
                segments_removed,
            }
        };
        if let Append::Done = position.append(io, entry)? {
            for id in survey.damaged {
                let (key, packs) = (Layout::segment(id), found.len());
                report
                    .repaired
                    .push(format!("{key} was rebuilt from {packs} packs"));
            }
            for id in survey.missing {
                let key = Layout::pack(id);
                report.repaired.push(format!(
                    "{key} is missing and was condemned: the next backup stores its chunks again where it can"
                ));
            }
            return Ok(());
        }
    }
    Err(conflict())
}

fn pack_ids(io: &Io) -> Result<BTreeSet<PackId>> {
    Ok(present_packs(io)?.into_keys().collect())
}

/// The packs that the live segments describe.
#[derive(Default)]
struct Survey {
    known: BTreeSet<PackId>,
    /// Segments that cannot be read.
    damaged: Vec<SegmentId>,
    /// Packs that are described but not in the store.
    missing: BTreeSet<PackId>,
    /// Segments that describe a missing pack.
    incomplete: Vec<SegmentId>,
}

impl Survey {
    /// The caller must list `present` before the log is read: then every pack that the log's segments describe was stored before the
    /// listing.
    fn make(io: &Io, state: &State, present: &BTreeSet<PackId>) -> Result<Self> {
        let mut survey = Self::default();
        let mut absent = BTreeSet::new();
        let mut segments = Vec::new();
        for id in &state.segments {
            match read_segment(io, *id) {
                Ok(segment) => {
                    let packs: Vec<_> = segment.packs.iter().map(|pack| pack.id).collect();
                    let is_absent =
                        |pack: &&PackId| !present.contains(pack) && !state.condemned.contains(pack);
                    absent.extend(packs.iter().filter(is_absent).copied());
                    survey.known.extend(&packs);
                    segments.push((*id, packs));
                }
                Err(error) if error.kind() == ErrorKind::Damaged => survey.damaged.push(*id),
                Err(error) => return Err(error),
            }
        }
        // A pack that was stored and committed after the first listing is in the second one.
        if !absent.is_empty() {
            let now = pack_ids(io)?;
            absent.retain(|pack| !now.contains(pack));
        }
        let lacks = |packs: &Vec<PackId>| packs.iter().any(|pack| absent.contains(pack));
        survey.incomplete = segments
            .iter()
            .filter(|(_, packs)| lacks(packs))
            .map(|(id, _)| *id)
            .collect();
        survey.missing = absent;
        Ok(survey)
    }
}

/// Rebuilds a commit log that is unreadable, lost, or different from the log that this machine saw before. Restores complete backups that
/// no entry names, for example when the last entry is missing.
///
/// Does not restore a deleted backup if the log still has its deletion.
pub(super) fn log(io: &Io, report: &mut CheckReport) -> Result<()> {
    for _ in 0..MAX_RACES {
        let manifests = io.list(Layout::MANIFESTS)?;
        let read = LogPosition::read(io);
        let history = History::read(io)?;
        let salvage = Salvage::make(io, &manifests, &history)?;
        let (done, trouble) = match read {
            Ok(_) if salvage.found.is_empty() => return Ok(()),
            Ok(mut position) => {
                let appended = position.append_state(io, &salvage.state)?;
                (matches!(appended, Append::Done), None)
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let done = LogPosition::rebuild(io, &history, &salvage.state)?;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                (done, Some(cause.unwrap_or_else(|| in_one_line(&error))))
            }
            Err(error) => return Err(error),
        };
        if !done {
            continue;
        }
        report
            .repaired
            .extend(trouble.map(|why| format!("the commit log was rebuilt: {why}")));
        for backup in &salvage.found {
            report.repaired.push(format!(
                "backup {} was recovered: it is complete, and no log entry named it",
                backup.id
            ));
        }
        return Ok(());
    }
    Err(conflict())
}
