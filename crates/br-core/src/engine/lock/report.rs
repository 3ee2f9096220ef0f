//! Options and results of locking.

use std::time::Duration;

use br_storage::RetentionMode;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// Options of an extension.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LockOptions {
    /// Objects stay locked for this time from now on.
    pub period: Duration,
    /// Leave out objects that this machine locked before, if they stay locked for at least this time. Half of the period by default.
    pub at_least: Option<Duration>,
    /// Who can end the lock earlier. By default as in the bucket's rule for new objects, or governance without a rule.
    pub mode: Option<RetentionMode>,
}

impl LockOptions {
    /// Locks for a time.
    #[must_use]
    pub const fn new(period: Duration) -> Self {
        Self {
            period,
            at_least: None,
            mode: None,
        }
    }

    /// Sets how long objects must stay locked to be left out.
    #[must_use]
    pub const fn with_at_least(mut self, time: Option<Duration>) -> Self {
        self.at_least = time;
        self
    }

    /// Sets who can end the lock earlier.
    #[must_use]
    pub const fn with_mode(mut self, mode: Option<RetentionMode>) -> Self {
        self.mode = mode;
        self
    }
}

/// What an extension would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LockPlan {
    /// Objects that live backups need.
    pub objects: u64,
    /// How many of them are packs.
    pub packs: u64,
    /// Objects that this machine locked before, for long enough.
    pub fresh: u64,
    /// Objects to lock: one request each, two or three if the object is locked for longer already or in another mode.
    pub to_extend: u64,
    /// The mode.
    #[serde(serialize_with = "as_text")]
    pub mode: RetentionMode,
    /// The end of the lock.
    pub until: Timestamp,
}

/// The result of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[must_use = "it says whether objects are missing"]
#[non_exhaustive]
pub struct LockReport {
    /// What was to be done.
    pub plan: LockPlan,
    /// Objects that are now locked until the end of the plan.
    pub extended: u64,
    /// Objects that were locked for longer already.
    pub longer: u64,
    /// Objects that stay in governance mode although the plan has compliance mode: the credentials lack the right to change it.
    pub still_governance: u64,
    /// Objects that backups need and that do not exist.
    pub missing: u64,
    /// Requests for the extension, with repetitions.
    pub requests: u64,
    /// The earliest time at which an object that backups need is not locked any more. `None` if one is missing.
    pub all_until: Option<Timestamp>,
}

/// Until when the objects that live backups need are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct LockStatus {
    /// Objects that live backups need.
    pub objects: u64,
    /// How many of them are packs.
    pub packs: u64,
    /// Objects locked in governance mode.
    pub governance: u64,
    /// Objects locked in compliance mode.
    pub compliance: u64,
    /// Objects that are not locked.
    pub unlocked: u64,
    /// Objects that do not exist.
    pub missing: u64,
    /// The earliest end of a lock.
    pub first_until: Option<Timestamp>,
    /// The latest end of a lock.
    pub last_until: Option<Timestamp>,
    /// Mode of the lock that the bucket gives new objects.
    #[serde(serialize_with = "as_optional_text")]
    pub default_mode: Option<RetentionMode>,
    /// Time of the lock that the bucket gives new objects.
    pub default_period: Option<Duration>,
}

fn as_text<S: Serializer>(mode: &RetentionMode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(mode.as_str())
}

fn as_optional_text<S: Serializer>(
    mode: &Option<RetentionMode>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    mode.map(RetentionMode::as_str).serialize(serializer)
}
