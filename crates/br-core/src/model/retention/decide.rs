//! The decision: a pure function of the policy, the backups and the time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::protect::{fill_up, protected};
use super::rules::{Kept, Timeline};
use super::{
    Anomaly, GroupKey, KeepReason, RetentionDecision, RetentionGroup, RetentionPlan,
    RetentionPolicy,
};
use crate::model::Backup;

/// A backup is in the future if it is dated more than this after the decision. Clocks of two machines may differ a little.
const SLACK: SignedDuration = SignedDuration::from_hours(1);

impl RetentionPlan {
    /// Decides which backups stay. `backups` are in the order of their commits, the oldest first, as
    /// [`Repository::backups`](crate::Repository::backups) returns them; `now` is used only to find the backups that are dated in the future.
    ///
    /// A policy without rules keeps every backup.
    pub fn decide(
        policy: &RetentionPolicy,
        backups: impl IntoIterator<Item = Backup>,
        now: Timestamp,
    ) -> Self {
        let mut groups: BTreeMap<GroupKey, Vec<Backup>> = BTreeMap::new();
        for backup in backups {
            let key = policy.group_by.key(&backup);
            groups.entry(key).or_default().push(backup);
        }
        let decide = |(key, backups)| decide_group(policy, key, backups, now);
        Self {
            groups: groups.into_iter().map(decide).collect(),
        }
    }
}

fn decide_group(
    policy: &RetentionPolicy,
    key: GroupKey,
    backups: Vec<Backup>,
    now: Timestamp,
) -> RetentionGroup {
    let (mut reasons, anomaly) = {
        let all: Vec<&Backup> = backups.iter().collect();
        let reasons = reasons(policy, &all, now);
        let removes = reasons.iter().any(Vec::is_empty) && !policy.ignore_anomalies;
        let anomaly = Anomaly::of(&all).filter(|_| removes);
        (reasons, anomaly)
    };
    if anomaly.is_some() {
        for reasons in reasons.iter_mut().filter(|reasons| reasons.is_empty()) {
            reasons.push(KeepReason::Anomaly);
        }
    }
    let decisions = backups.into_iter().zip(reasons);
    let decisions = decisions.map(|(backup, reasons)| RetentionDecision { backup, reasons });
    RetentionGroup {
        key,
        decisions: decisions.collect(),
        anomaly,
    }
}

/// The reasons to keep each backup of a group.
fn reasons(policy: &RetentionPolicy, all: &[&Backup], now: Timestamp) -> Vec<Vec<KeepReason>> {
    let latest = now.saturating_add(SLACK).unwrap_or(Timestamp::MAX);
    let (dated, future): (Vec<usize>, Vec<usize>) =
        (0..all.len()).partition(|at| all[*at].started <= latest);
    let mut kept: Vec<Kept> = protected(all);
    kept.extend(future.into_iter().map(|at| (at, KeepReason::InFuture)));
    let zone = &policy.time_zone;
    // If times contradict the order of commits, there are two more timelines. A backup stays if any timeline keeps it.
    let in_place = Timeline::in_place(all, dated.clone(), zone);
    let mut others = Vec::new();
    if !dated.is_sorted_by_key(|at| all[*at].started) {
        let trusted = trusted_sets(all, &dated);
        let is_in_none = |at: &usize| trusted.iter().all(|set| !set.contains(at));
        let unclear = dated.iter().filter(|at| is_in_none(at));
        kept.extend(unclear.map(|at| (*at, KeepReason::UnclearTime)));
        others.extend(trusted.map(|set| Timeline::new(all, set.into_iter().collect(), zone)));
    }
    for rule in &policy.rules {
        kept.extend(in_place.apply(rule));
        if rule.uses_times() {
            kept.extend(others.iter().flat_map(|timeline| timeline.apply(rule)));
        }
    }
    if policy.is_empty() {
        kept.extend((0..all.len()).map(|at| (at, KeepReason::NoRule)));
    }
    let mut reasons = vec![Vec::new(); all.len()];
    for (at, reason) in kept {
        reasons[at].push(reason);
    }
    let is_kept: Vec<bool> = reasons.iter().map(|reasons| !reasons.is_empty()).collect();
    for (at, reason) in fill_up(all, &dated, &is_kept, policy.minimum) {
        reasons[at].push(reason);
    }
    if !policy.ignore_anomalies {
        // A check may find their data again: the next backup stores it, or a repair.
        for at in (0..all.len()).filter(|at| all[*at].damaged.is_some()) {
            if reasons[at].is_empty() {
                reasons[at].push(KeepReason::Damage);
            }
        }
    }
    for reasons in &mut reasons {
        reasons.sort_unstable();
        reasons.dedup();
    }
    reasons
}

/// Two sets of backups whose times do not contradict the order of commits. The first set trusts earlier backups: it leaves out every backup
/// that is dated before an earlier one. The second set trusts later backups: it leaves out every backup that is dated after a later one.
fn trusted_sets(all: &[&Backup], dated: &[usize]) -> [BTreeSet<usize>; 2] {
    let mut latest = Timestamp::MIN;
    let mut trust_earlier = BTreeSet::new();
    for at in dated {
        if all[*at].started >= latest {
            latest = all[*at].started;
            trust_earlier.insert(*at);
        }
    }
    let mut earliest = Timestamp::MAX;
    let mut trust_later = BTreeSet::new();
    for at in dated.iter().rev() {
        if all[*at].started <= earliest {
            earliest = all[*at].started;
            trust_later.insert(*at);
        }
    }
    [trust_earlier, trust_later]
}
