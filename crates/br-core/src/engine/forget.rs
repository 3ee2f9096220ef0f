//! Deletion of the backups that a policy does not keep.
//!
//! [`plan`] reads the backup list and decides, [`forget`] deletes. Invariant: a backup is deleted only if the plan that the caller saw and a
//! second decision, made on the backup list at the moment of the deletion, both remove it.

use std::collections::HashSet;

use jiff::Timestamp;

use super::delete::append_delete;
use crate::error::{Error, Result};
use crate::model::BackupId;
use crate::model::retention::{KeepReason, RetentionDecision, RetentionPlan, RetentionPolicy};
use crate::progress::Context;
use crate::repository::{BackupFilter, Io, LogPosition, Repository, State};

/// Options of [`plan`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForgetOptions {
    /// Which backups stay.
    pub policy: RetentionPolicy,
    /// The policy applies to these backups only; others are neither counted nor deleted.
    pub filter: BackupFilter,
}

impl ForgetOptions {
    /// Applies a policy to all backups.
    #[must_use]
    pub fn new(policy: RetentionPolicy) -> Self {
        Self {
            policy,
            filter: BackupFilter::default(),
        }
    }

    /// Limits the policy to the backups that match.
    #[must_use]
    pub fn with_filter(mut self, filter: BackupFilter) -> Self {
        self.filter = filter;
        self
    }
}

/// What [`forget`] deletes, and the reason for every backup that stays. Made by [`plan`].
#[derive(Debug, Clone)]
#[must_use = "a plan deletes nothing by itself"]
#[non_exhaustive]
pub struct ForgetPlan {
    /// The decision about every backup that matches the filter.
    pub retention: RetentionPlan,
    /// True if nothing is deleted because the log records damaged data: the backups that would stay may be the damaged ones.
    pub is_held_by_damage: bool,
    options: ForgetOptions,
    now: Timestamp,
}

impl ForgetPlan {
    fn make(options: &ForgetOptions, state: &State, now: Timestamp) -> Self {
        let backups = state.backups.values();
        let backups = backups.filter(|backup| options.filter.matches(backup));
        let mut retention = RetentionPlan::decide(&options.policy, backups.cloned(), now);
        // Also when damage alone keeps a backup that the rules would delete.
        let would_go =
            |one: &RetentionDecision| one.reasons.is_empty() || one.reasons == [KeepReason::Damage];
        let is_damaged = !state.damaged.is_empty() && retention.decisions().any(would_go);
        let is_held = is_damaged && !options.policy.ignore_anomalies;
        if is_held {
            retention.hold(&KeepReason::Damage);
        }
        Self {
            retention,
            is_held_by_damage: is_held,
            options: options.clone(),
            now,
        }
    }
}

/// Decides which backups the policy removes, and changes nothing.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the policy has no rule. When the log cannot be read.
pub async fn plan(
    repository: &Repository,
    options: &ForgetOptions,
    context: &Context,
) -> Result<ForgetPlan> {
    if options.policy.is_empty() {
        let message = "the policy has no rule that keeps a backup";
        return Err(Error::invalid(message));
    }
    let options = options.clone();
    let work = move |io: &Io| {
        let position = LogPosition::read(io)?;
        let now = io.context.runtime.clock.now();
        Ok(ForgetPlan::make(&options, &position.state, now))
    };
    repository.run(context, work).await
}

/// Deletes the backups that the plan removes, except those that must stay because the backup list has changed since. Their data stays until
/// `prune`. Returns the deleted backups.
///
/// # Errors
/// When the log cannot be read or added to.
pub async fn forget(
    repository: &Repository,
    plan: &ForgetPlan,
    context: &Context,
) -> Result<Vec<BackupId>> {
    repository.check_writable(context)?;
    let planned: HashSet<BackupId> = plan.retention.removed().map(|backup| backup.id).collect();
    let (options, now) = (plan.options.clone(), plan.now);
    let work = move |io: &Io| {
        append_delete(io, |state| {
            let plan = ForgetPlan::make(&options, state, now);
            let removed = plan.retention.removed().map(|backup| backup.id);
            Ok(removed.filter(|id| planned.contains(id)).collect())
        })
    };
    repository.run(context, work).await
}
