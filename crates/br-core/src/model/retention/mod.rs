//! Retention: which backups stay, and why.
//!
//! [`RetentionPolicy`] has the rules, [`RetentionPlan::decide`] applies them to the backups of a repository. Invariant: a time
//! that contradicts the order of commits can keep a backup, but never remove another one.

mod anomaly;
mod calendar;
mod decide;
mod group;
mod plan;
mod policy;
mod protect;
mod rules;
mod span;
#[cfg(test)]
mod tests;

pub use anomaly::Anomaly;
pub use calendar::Period;
pub use group::{GroupBy, GroupKey};
pub use plan::{KeepReason, RetentionDecision, RetentionGroup, RetentionPlan};
pub use policy::{KeepCount, RetentionPolicy, RetentionRule};
pub use span::{KeepSpan, KeepSpanError};
