//! Removing what no backup uses: condemn, then sweep (section 10 of the format).
//!
//! [`plan`] reads and decides, [`prune`] carries a plan out. Invariant: a pack is deleted only after a log entry condemned it,
//! and that entry was made with every earlier entry known. No lock and no clock is involved in that.

mod carry_out;
mod decision;
mod work;

use std::time::Duration;

use decision::Decision;
use work::Work;

use crate::error::Result;
use crate::progress::Context;
use crate::repository::{Io, Layout, Repository};

/// What [`plan`] may remove.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Unused bytes that may stay in packs, as a fraction of all bytes: rewriting them would cost more than they do.
    pub max_unused: f64,
    /// Packs, segments and manifests that no log entry names are left alone for so long. A backup that is running would have to
    /// copy them, and what lost its log entry by an accident can be brought back meanwhile.
    pub grace: Duration,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: 0.05,
            grace: Duration::from_secs(24 * 3600),
        }
    }
}

impl PruneOptions {
    /// Sets the fraction of unused bytes that may stay.
    #[must_use]
    pub const fn with_max_unused(mut self, fraction: f64) -> Self {
        self.max_unused = fraction;
        self
    }

    /// Sets how old a pack must be that no log entry names.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// What a prune will do. Made by [`plan`], carried out by [`prune`].
#[derive(Debug, Clone)]
#[must_use = "a plan deletes nothing by itself"]
#[non_exhaustive]
pub struct PrunePlan {
    /// Packs of which nothing is used.
    pub packs_unused: u64,
    /// Packs whose used chunks are copied into new ones.
    pub packs_rewritten: u64,
    /// Packs that an interrupted backup left and nothing names.
    pub packs_leftover: u64,
    /// Packs that nothing names and that are too young to tell from those of a running backup.
    pub packs_spared: u64,
    /// Packs that an earlier prune condemned and did not get to delete.
    pub packs_condemned: u64,
    /// Packs that stay as they are.
    pub packs_kept: u64,
    /// Bytes of all packs that go.
    pub bytes_removed: u64,
    /// Bytes that are written again, before compression.
    pub bytes_copied: u64,
    /// Index segments and manifests that nothing names.
    pub objects_leftover: u64,
    options: PruneOptions,
}

impl PrunePlan {
    const fn new(options: PruneOptions) -> Self {
        Self {
            packs_unused: 0,
            packs_rewritten: 0,
            packs_leftover: 0,
            packs_spared: 0,
            packs_condemned: 0,
            packs_kept: 0,
            bytes_removed: 0,
            bytes_copied: 0,
            objects_leftover: 0,
            options,
        }
    }

    /// True when there is nothing to do but to remove what killed writers left half-written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packs_unused == 0
            && self.packs_rewritten == 0
            && self.packs_leftover == 0
            && self.packs_condemned == 0
            && self.objects_leftover == 0
    }
}

/// No writer takes longer over one object.
const UNFINISHED_AGE: Duration = Duration::from_secs(24 * 3600);

/// What a prune did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
#[non_exhaustive]
pub struct PruneReport {
    /// Packs deleted.
    pub packs_deleted: u64,
    /// Bytes of these packs.
    pub bytes_deleted: u64,
    /// Bytes of new packs.
    pub bytes_written: u64,
    /// Index segments and manifests deleted.
    pub objects_deleted: u64,
    /// Unfinished files and uploads of killed writers that were removed.
    pub unfinished_removed: u64,
    /// Objects that could not be deleted, and packs that there was no space to rewrite; the next prune tries again.
    pub failed: u64,
}

/// Decides what can be removed, without removing anything.
///
/// # Errors
/// When the repository cannot be read, or is damaged: then nothing should be removed.
pub async fn plan(
    repository: &Repository,
    options: &PruneOptions,
    context: &Context,
) -> Result<PrunePlan> {
    let options = options.clone();
    repository
        .run(context, move |io| {
            let mut work = Work::new(options);
            Ok(Decision::make(io, &mut work)?.plan)
        })
        .await
}

/// Carries out a plan. What changed in the repository since is taken into account. An empty plan removes nothing but what
/// killed writers left half-written.
///
/// # Errors
/// As [`plan`], and when the store fails. It can be run again at any time.
pub async fn prune(
    repository: &Repository,
    plan: &PrunePlan,
    context: &Context,
) -> Result<PruneReport> {
    repository.check_writable(context)?;
    let (options, is_empty) = (plan.options.clone(), plan.is_empty());
    let work = move |io: &Io| {
        let unfinished_removed = remove_unfinished(io, &options);
        let report = match is_empty {
            true => PruneReport::default(),
            false => Work::new(options).run(io)?,
        };
        Ok(PruneReport {
            unfinished_removed,
            ..report
        })
    };
    repository.run(context, work).await
}

/// Removes what killed writers left half-written. That it stays is no failure.
fn remove_unfinished(io: &Io, options: &PruneOptions) -> u64 {
    let age = options.grace.max(UNFINISHED_AGE);
    let older_than = io.context.runtime.before(age);
    let swept = io.block(io.storage().sweep_staging(Layout::PACKS, older_than));
    swept.map_or_else(
        |error| {
            let cause = crate::error::in_one_line(&error);
            io.warn(&format!("unfinished files and uploads stay: {cause}"));
            0
        },
        |swept| swept as u64,
    )
}
