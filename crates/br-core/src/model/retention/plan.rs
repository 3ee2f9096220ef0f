//! The decision about every backup, with the reasons.

use super::{Anomaly, GroupKey, KeepSpan, Period};
use crate::model::Backup;

/// Which backups stay, and why. Made by [`RetentionPlan::decide`].
#[derive(Debug, Clone)]
#[must_use = "a plan removes nothing by itself"]
#[non_exhaustive]
pub struct RetentionPlan {
    /// The groups, ordered by their keys.
    pub groups: Vec<RetentionGroup>,
}

/// The backups of one group.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetentionGroup {
    /// What they have in common.
    pub key: GroupKey,
    /// The decisions, the oldest backup first.
    pub decisions: Vec<RetentionDecision>,
    /// What is wrong with the newest backup, if rules would remove backups of this group.
    pub anomaly: Option<Anomaly>,
}

/// What happens to a backup.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetentionDecision {
    /// The backup.
    pub backup: Backup,
    /// Why it stays. Empty if the plan removes it.
    pub reasons: Vec<KeepReason>,
}

/// Why a backup stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeepReason {
    /// It is one of the last backups.
    Last,
    /// It is the newest of this hour, day, …
    Every(Period, String),
    /// It is the oldest, and the rule has periods left.
    Oldest(Period),
    /// It is younger than this.
    Within(KeepSpan),
    /// It has the tags of a rule.
    Tags(Vec<String>),
    /// A rule names it.
    Id,
    /// The group must keep a minimum number of backups.
    Minimum,
    /// It is pinned.
    Pinned,
    /// It is the newest backup of its group.
    Newest,
    /// It is the newest complete backup of its group.
    LastComplete,
    /// It is the newest backup of its group whose data was proven.
    LastProven,
    /// Its time is in the future.
    InFuture,
    /// Its time contradicts both an earlier and a later backup.
    UnclearTime,
    /// The newest backup of its group looks wrong.
    Anomaly,
    /// The backup is damaged, or the log records damaged data that the backups that would stay may need.
    Damage,
    /// The policy has no rule.
    NoRule,
}

impl KeepReason {
    /// One word for programs and logs, such as `daily` or `last-complete`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Every(period, _) => period.name(),
            Self::Oldest(_) => "oldest",
            Self::Within(_) => "within",
            Self::Tags(_) => "tag",
            Self::Id => "id",
            Self::Minimum => "minimum",
            Self::Pinned => "pinned",
            Self::Newest => "newest",
            Self::LastComplete => "last-complete",
            Self::LastProven => "last-proven",
            Self::InFuture => "in-future",
            Self::UnclearTime => "unclear-time",
            Self::Anomaly => "anomaly",
            Self::Damage => "damage",
            Self::NoRule => "no-rule",
        }
    }

    /// The hour, day, … that a backup stays for, the period of a rule that keeps the oldest backup, or the time span of a rule.
    #[must_use]
    pub fn period(&self) -> Option<String> {
        match self {
            Self::Every(_, label) => Some(label.clone()),
            Self::Oldest(period) => Some(period.name().to_owned()),
            Self::Within(span) => Some(span.to_string()),
            _ => None,
        }
    }
}

impl RetentionDecision {
    /// True when the backup stays.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

impl RetentionPlan {
    /// The backups that the plan removes, group by group, the oldest first.
    pub fn removed(&self) -> impl Iterator<Item = &Backup> {
        self.decisions()
            .filter(|decision| !decision.is_kept())
            .map(|decision| &decision.backup)
    }

    /// Keeps the backups that the plan would remove, for this reason.
    pub(crate) fn hold(&mut self, reason: &KeepReason) {
        let all = self
            .groups
            .iter_mut()
            .flat_map(|group| &mut group.decisions);
        for decision in all.filter(|decision| !decision.is_kept()) {
            decision.reasons.push(reason.clone());
        }
    }

    /// Number of backups that stay.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.decisions().filter(|one| one.is_kept()).count()
    }

    /// All decisions.
    pub fn decisions(&self) -> impl Iterator<Item = &RetentionDecision> {
        self.groups.iter().flat_map(|group| &group.decisions)
    }
}
