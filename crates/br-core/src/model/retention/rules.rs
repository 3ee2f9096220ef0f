//! The rules, applied to the backups of one group.
//!
//! Invariant: the times of a [`Timeline`] never decrease, so the backups of a period are next to each other.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{KeepCount, KeepReason, KeepSpan, Period, RetentionRule};
use crate::model::Backup;

/// Backups of a group in the order of their commits. Their times never decrease.
pub(super) struct Timeline<'a> {
    backups: Vec<&'a Backup>,
    times: Vec<Timestamp>,
    /// The position of each in the whole group.
    positions: Vec<usize>,
    zone: &'a TimeZone,
}

/// Position of a backup in its group, and a reason to keep it.
pub(super) type Kept = (usize, KeepReason);

impl<'a> Timeline<'a> {
    /// The backups at these positions of a group.
    pub(super) fn new(group: &[&'a Backup], positions: Vec<usize>, zone: &'a TimeZone) -> Self {
        Self {
            backups: positions.iter().map(|at| group[*at]).collect(),
            times: positions.iter().map(|at| group[*at].started).collect(),
            positions,
            zone,
        }
    }

    /// As [`Timeline::new`], but a backup that is dated before an earlier one gets the time of that earlier one. So its place in the order of
    /// commits counts, not its wrong date.
    pub(super) fn in_place(
        group: &[&'a Backup],
        positions: Vec<usize>,
        zone: &'a TimeZone,
    ) -> Self {
        let mut timeline = Self::new(group, positions, zone);
        let mut latest = Timestamp::MIN;
        for time in &mut timeline.times {
            latest = latest.max(*time);
            *time = latest;
        }
        timeline
    }

    /// The backups that a rule keeps.
    pub(super) fn apply(&self, rule: &RetentionRule) -> Vec<Kept> {
        let kept = match rule {
            RetentionRule::Last(count) => self.last(*count),
            RetentionRule::Every(period, count) => self.every(*period, *count),
            RetentionRule::Within(span) => {
                let all = self.start_of(span)..self.backups.len();
                all.map(|at| (at, KeepReason::Within(*span))).collect()
            }
            RetentionRule::EveryWithin(period, span) => self.every_within(*period, span),
            RetentionRule::Tags(tags) => {
                let fits = |backup: &&Backup| {
                    !tags.is_empty() && tags.iter().all(|tag| backup.tags.contains(tag))
                };
                self.keep_if(fits, &KeepReason::Tags(tags.clone()))
            }
            RetentionRule::Id(id) => self.keep_if(|backup| backup.id == *id, &KeepReason::Id),
        };
        let in_group = |(at, reason): Kept| (self.positions[at], reason);
        kept.into_iter().map(in_group).collect()
    }

    fn keep_if(&self, fits: impl Fn(&&Backup) -> bool, reason: &KeepReason) -> Vec<Kept> {
        let all = self.backups.iter().enumerate();
        let fitting = all.filter(|(_, backup)| fits(backup));
        fitting.map(|(at, _)| (at, reason.clone())).collect()
    }

    /// Keeps at most `count` complete backups and at most `count` incomplete ones, from the newest back. Stops after the last complete one.
    fn last(&self, count: KeepCount) -> Vec<Kept> {
        let (mut complete, mut incomplete) = (count, count);
        let mut kept = Vec::new();
        for (at, backup) in self.backups.iter().enumerate().rev() {
            if complete.is_used_up() {
                break;
            }
            let counter = if backup.is_intact() {
                &mut complete
            } else {
                &mut incomplete
            };
            if counter.take() {
                kept.push((at, KeepReason::Last));
            }
        }
        kept
    }

    fn every(&self, period: Period, count: KeepCount) -> Vec<Kept> {
        let (mut complete, mut incomplete) = (count, count);
        let mut kept = Vec::new();
        for at in self.newest_of_each(period, 0) {
            if complete.is_used_up() {
                return kept;
            }
            let counter = if self.backups[at].is_intact() {
                &mut complete
            } else {
                &mut incomplete
            };
            if counter.take() {
                kept.push((at, self.reason(period, at)));
            }
        }
        // The rule has periods left: keep the oldest backup too, so that the history is as long as possible.
        let left = match self.oldest() {
            Some(at) if self.backups[at].is_intact() => complete,
            _ => incomplete,
        };
        if let Some(at) = self.oldest().filter(|_| !left.is_used_up()) {
            kept.push((at, KeepReason::Oldest(period)));
        }
        kept
    }

    fn every_within(&self, period: Period, span: &KeepSpan) -> Vec<Kept> {
        let from = self.start_of(span);
        let newest = self.newest_of_each(period, from).into_iter();
        let mut kept: Vec<_> = newest.map(|at| (at, self.reason(period, at))).collect();
        if let Some(at) = self.oldest().filter(|at| *at >= from) {
            kept.push((at, KeepReason::Oldest(period)));
        }
        kept
    }

    /// The newest complete backup of each period, or the newest incomplete one if there is no complete one. The latest period is first;
    /// backups before `from` are left out.
    fn newest_of_each(&self, period: Period, from: usize) -> Vec<usize> {
        let number = |at: usize| period.number(self.times[at], self.zone);
        let mut newest: Vec<(_, usize)> = Vec::new();
        for at in (from..self.backups.len()).rev() {
            let of = number(at);
            match newest.last_mut() {
                Some((last, best)) if *last == of => {
                    if self.backups[at].is_intact() && !self.backups[*best].is_intact() {
                        *best = at;
                    }
                }
                _ => newest.push((of, at)),
            }
        }
        newest.into_iter().map(|(_, at)| at).collect()
    }

    /// The oldest complete backup; without any, the oldest backup.
    fn oldest(&self) -> Option<usize> {
        let complete = self.backups.iter().position(|backup| backup.is_intact());
        complete.or_else(|| (!self.backups.is_empty()).then_some(0))
    }

    /// The first backup that is younger than `span`, counted back from the newest complete one.
    fn start_of(&self, span: &KeepSpan) -> usize {
        // If the time were counted back from an incomplete backup, the rule could remove complete ones.
        let complete = self.backups.iter().rposition(|backup| backup.is_intact());
        let newest = complete.or_else(|| self.backups.len().checked_sub(1));
        let Some(newest) = newest else {
            return 0;
        };
        let start = span.before(self.times[newest], self.zone);
        self.times.partition_point(|time| *time <= start)
    }

    fn reason(&self, period: Period, at: usize) -> KeepReason {
        KeepReason::Every(period, period.label(self.times[at], self.zone))
    }
}
