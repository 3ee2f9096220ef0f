//! The rules of a policy.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;

use super::{GroupBy, KeepSpan, Period};
use crate::model::BackupId;

/// Which backups of a group stay. A backup stays if any rule keeps it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// The rules.
    pub rules: Vec<RetentionRule>,
    /// Minimum number of complete backups that stay in each group.
    pub minimum: u32,
    /// Which backups form a group.
    pub group_by: GroupBy,
    /// Time zone of hours, days, weeks, months and years.
    pub time_zone: TimeZone,
    /// Removes backups even from groups whose newest backup looks wrong, and even if the repository has damaged data.
    pub ignore_anomalies: bool,
}

/// Keeps some backups of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetentionRule {
    /// The newest backups.
    Last(KeepCount),
    /// The newest backup of each of the latest periods that have a backup. If there are fewer periods, also the oldest backup.
    Every(Period, KeepCount),
    /// All backups of this time before the newest complete backup.
    Within(KeepSpan),
    /// The newest backup of each period of this time before the newest complete backup.
    EveryWithin(Period, KeepSpan),
    /// All backups that have all of these tags.
    Tags(Vec<String>),
    /// One backup.
    Id(BackupId),
}

/// How many backups a rule keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeepCount {
    /// At most this number.
    Number(u32),
    /// All.
    All,
}

impl RetentionPolicy {
    /// A policy without rules, in this time zone. It keeps everything.
    #[must_use]
    pub fn new(time_zone: TimeZone) -> Self {
        Self {
            rules: Vec::new(),
            minimum: 0,
            group_by: GroupBy::default(),
            time_zone,
            ignore_anomalies: false,
        }
    }

    /// Adds a rule.
    #[must_use]
    pub fn keep(mut self, rule: RetentionRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets how many complete backups stay in each group in any case.
    #[must_use]
    pub const fn with_minimum(mut self, minimum: u32) -> Self {
        self.minimum = minimum;
        self
    }

    /// Sets which backups form a group.
    #[must_use]
    pub const fn with_group_by(mut self, group_by: GroupBy) -> Self {
        self.group_by = group_by;
        self
    }

    /// Sets whether backups are removed even if the newest backup looks wrong or the repository has damaged data.
    #[must_use]
    pub const fn with_ignore_anomalies(mut self, ignore: bool) -> Self {
        self.ignore_anomalies = ignore;
        self
    }

    /// True if no rule can keep a backup.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.iter().all(|rule| match rule {
            RetentionRule::Last(count) | RetentionRule::Every(_, count) => {
                *count == KeepCount::Number(0)
            }
            RetentionRule::Within(span) | RetentionRule::EveryWithin(_, span) => span.is_zero(),
            RetentionRule::Tags(tags) => tags.is_empty(),
            RetentionRule::Id(_) => false,
        })
    }
}

impl RetentionRule {
    /// True if the rule depends on the times of backups; other rules depend on their order or their labels.
    pub(super) const fn uses_times(&self) -> bool {
        match self {
            Self::Every(..) | Self::Within(_) | Self::EveryWithin(..) => true,
            Self::Last(_) | Self::Tags(_) | Self::Id(_) => false,
        }
    }
}

impl KeepCount {
    /// Uses up one of the backups that may be kept. False if none is left.
    pub(super) const fn take(&mut self) -> bool {
        match self {
            Self::All => true,
            Self::Number(0) => false,
            Self::Number(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// True when no more may be kept.
    pub(super) const fn is_used_up(self) -> bool {
        matches!(self, Self::Number(0))
    }
}

impl FromStr for KeepCount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => {
                let number = number.parse().map_err(|_| "not a number or `all`")?;
                Ok(Self::Number(number))
            }
        }
    }
}

impl fmt::Display for KeepCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}
