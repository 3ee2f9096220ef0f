//! Which packs a check reads because their last verification is old, and what it remembers afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::data::Found;
use super::{CheckReport, ReadData};
use crate::error::{Error, Result, Site};
use crate::format::PackEntry;
use crate::model::PackId;
use crate::repository::{Index, Io};

/// Chooses the packs that were not verified since `max_age` ago: at first those that never were, then the oldest ones. The first pack is
/// chosen even if it is larger than `max_bytes`, so that every check makes progress.
pub(super) fn choose<'a>(
    io: &Io,
    packs: Vec<&'a PackEntry>,
    max_age: Duration,
    max_bytes: Option<u64>,
) -> Result<Vec<&'a PackEntry>> {
    let Some(verified) = io.repository.verified_packs() else {
        let message = "br remembers verifications in its cache folder, and there is none: check all data, or a random part";
        return Err(Error::invalid(message).at(Site::Cache));
    };
    let times = verified.read();
    // Times are in whole seconds: read a pack again that was verified within this second if no age is given.
    let now = io.context.runtime.clock.now() + jiff::SignedDuration::from_secs(1);
    let mut packs = due(packs, &times, now, max_age);
    packs.sort_by_key(|pack| (times.get(&pack.id), pack.id));
    let mut bytes = 0_u64;
    let fits = |pack: &&PackEntry| {
        let is_first = bytes == 0;
        bytes = bytes.saturating_add(pack.len);
        is_first || max_bytes.is_none_or(|max| bytes <= max)
    };
    Ok(packs.into_iter().take_while(fits).collect())
}

fn due<'a>(
    mut packs: Vec<&'a PackEntry>,
    times: &BTreeMap<PackId, Timestamp>,
    now: Timestamp,
    max_age: Duration,
) -> Vec<&'a PackEntry> {
    let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    let limit = now.as_second().saturating_sub(max_age);
    packs.retain(|pack| {
        times
            .get(&pack.id)
            .is_none_or(|time| time.as_second() < limit)
    });
    packs
}

/// Remembers which packs were verified. Best effort: without it, the next check reads the packs again.
pub(super) fn remember(io: &Io, index: &Index, found: &Found) {
    let Some(verified) = io.repository.verified_packs() else {
        return;
    };
    let mut known: Vec<PackId> = index.packs().map(|pack| pack.id).collect();
    known.sort_unstable();
    let damaged: Vec<PackId> = found.bad.iter().map(|pack| pack.id).collect();
    let exists = |pack: &PackId| known.binary_search(pack).is_ok();
    let _ = verified.note(&found.sound, &damaged, exists);
}

/// Reports what is still due among the packs of a check that began at `start`.
pub(super) fn report(
    io: &Io,
    packs: Vec<&PackEntry>,
    data: ReadData,
    start: Timestamp,
    found: &Found,
    report: &mut CheckReport,
) {
    let Some(verified) = io.repository.verified_packs() else {
        return;
    };
    let times = verified.read();
    let oldest = packs.iter().map(|pack| times.get(&pack.id).copied());
    let oldest = oldest.collect::<Option<Vec<_>>>();
    report.verified_since = oldest.and_then(|times| times.into_iter().min());
    if let ReadData::Due { max_age, .. } = data {
        let mut left = due(packs, &times, start, max_age);
        left.retain(|pack| found.bad.iter().all(|bad| bad.id != pack.id));
        report.packs_due = left.len() as u64;
    }
}
