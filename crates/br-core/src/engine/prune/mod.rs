//! Removal of unused data: condemn, then sweep (section 10 of the format).
//!
//! [`plan`] decides what to remove, [`prune`] carries a plan out. Invariant: a pack is deleted only after a log entry condemned it, and
//! the writer of that entry had read every earlier entry. This needs no lock and no clock.
//!
//! If another process appends an entry first, the prune reads the new entries, decides again and uses the copies it made already. After
//! [`MAX_RACES`](crate::repository::MAX_RACES) attempts it fails with a conflict.

mod carry_out;
mod decision;
mod work;

use std::time::Duration;

use decision::Decision;
use jiff::Timestamp;
use serde::Serialize;
use work::Work;

use crate::error::Result;
use crate::progress::Context;
use crate::repository::{Io, Layout, Repository};
use crate::warning::Warning;

/// Options of a prune.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PruneOptions {
    /// Unused bytes that may stay in packs, as a fraction of all bytes: rewriting these packs would cost more than it saves.
    pub max_unused: f64,
    /// Packs, segments and manifests that no log entry names are kept until they are this old. A running backup may still need them, and
    /// until then a repair can restore a backup whose log entry was lost.
    pub grace: Duration,
    /// Keep the data of backups that were deleted within this time, so that [`undelete`](super::undelete) brings them back. The time of a
    /// deletion is the time at which the store got its log entry, so a writer cannot date it back. Reads the whole log if it is not zero.
    pub keep_deleted: Duration,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: 0.05,
            grace: Duration::from_secs(24 * 3600),
            keep_deleted: Duration::ZERO,
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

    /// Sets how old a pack that no log entry names must be before it is removed.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long the data of deleted backups stays.
    #[must_use]
    pub const fn with_keep_deleted(mut self, time: Duration) -> Self {
        self.keep_deleted = time;
        self
    }
}

/// The decisions of a prune. [`plan`] creates it, [`prune`] carries it out.
#[derive(Debug, Clone, Serialize)]
#[must_use = "a plan deletes nothing by itself"]
#[non_exhaustive]
pub struct PrunePlan {
    /// Packs without any used chunk.
    pub packs_unused: u64,
    /// Packs whose used chunks are copied into new packs.
    pub packs_rewritten: u64,
    /// Packs that an interrupted backup left and that no segment describes.
    pub packs_leftover: u64,
    /// Packs that no segment describes and that are too new to distinguish from those of a running backup.
    pub packs_spared: u64,
    /// Packs that an earlier prune condemned but did not delete.
    pub packs_condemned: u64,
    /// Packs that stay unchanged.
    pub packs_kept: u64,
    /// Bytes of all packs to delete.
    pub bytes_removed: u64,
    /// Bytes to copy, before compression.
    pub bytes_copied: u64,
    /// Index segments and manifests that no log entry names.
    pub objects_leftover: u64,
    /// Deleted backups whose data stays.
    pub deleted_kept: u64,
    #[serde(skip)]
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
            deleted_kept: 0,
            options,
        }
    }

    /// True when the plan removes at most unfinished files of killed writers.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packs_unused == 0
            && self.packs_rewritten == 0
            && self.packs_leftover == 0
            && self.packs_condemned == 0
            && self.objects_leftover == 0
    }
}

/// Minimum age of unfinished files before they are removed: no writer takes longer for one object.
const UNFINISHED_AGE: Duration = Duration::from_secs(24 * 3600);

/// The result of a prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
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
    /// Objects that are locked, so the store does not delete them yet. Their packs stay condemned, and a later prune deletes them.
    pub locked: u64,
    /// The latest end of their locks.
    pub locked_until: Option<Timestamp>,
    /// Objects that could not be deleted, and packs that could not be rewritten for lack of space; the next prune tries again.
    pub failed: u64,
}

/// Decides what can be removed, and changes nothing.
///
/// # Errors
/// When the repository cannot be read or is damaged; nothing should be removed then.
pub async fn plan(
    repository: &Repository,
    options: &PruneOptions,
    context: &Context,
) -> Result<PrunePlan> {
    repository.check_reads_content("a prune")?;
    let options = options.clone();
    repository
        .run(context, move |io| {
            let mut work = Work::new(options);
            Ok(Decision::make(io, &mut work)?.plan)
        })
        .await
}

/// Carries out a plan, adapted to changes in the repository since the plan was made. An empty plan removes only unfinished files of killed
/// writers.
///
/// # Errors
/// As [`plan`], and when the store fails. The prune can be run again at any time.
pub async fn prune(
    repository: &Repository,
    plan: &PrunePlan,
    context: &Context,
) -> Result<PruneReport> {
    repository.check_reads_content("a prune")?;
    repository.check_writable(context)?;
    let (options, is_empty) = (plan.options.clone(), plan.is_empty());
    let work = move |io: &Io| {
        let unfinished_removed = remove_unfinished(io, &options);
        let report = if is_empty {
            PruneReport::default()
        } else {
            Work::new(options).run(io)?
        };
        Ok(PruneReport {
            unfinished_removed,
            ..report
        })
    };
    repository.run(context, work).await
}

/// Removes unfinished files and uploads of killed writers. A failure is only a warning.
fn remove_unfinished(io: &Io, options: &PruneOptions) -> u64 {
    let age = options.grace.max(UNFINISHED_AGE);
    let older_than = io.context.runtime.before(age);
    let swept = io.block(io.storage().sweep_staging(Layout::PACKS, older_than));
    swept.map_or_else(
        |error| {
            io.warn(&Warning::UnfinishedNotRemoved { error });
            0
        },
        |swept| swept as u64,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::backup::{BackupOptions, backup};
    use crate::engine::undelete;
    use crate::error::ErrorKind;
    use crate::format::{LogEntry, PackContent, PackEntry};
    use crate::model::PackId;
    use crate::repository::{Backups, Index, InitOptions, LogPosition, SegmentPlan, read_segment};
    use crate::source::MemorySource;
    use br_storage::Storage;

    /// A repository with one backup, whose data and tree are in two packs.
    async fn repository() -> (Repository, Context) {
        let context = Context::system();
        let repository =
            Repository::init_storage(Storage::memory(), &InitOptions::default(), &context).await;
        let repository = repository.unwrap();
        let noise = blake3::hash(b"b").as_bytes().repeat(9_000);
        let source = MemorySource::new([("a", vec![7; 300_000]), ("b", noise)]).unwrap();
        let options = BackupOptions::new("host", "user", vec![b"/".to_vec()]);
        let _ = backup(&repository, source, &options, &context)
            .await
            .unwrap();
        (repository, context)
    }

    /// A program with an error, or an attacker with a writer's credentials, adds log entries.
    async fn append(
        repository: &Repository,
        context: &Context,
        entries: impl Fn(&Io, &LogPosition) -> Result<Vec<LogEntry>> + Send + 'static,
    ) {
        let work = move |io: &Io| {
            let mut position = LogPosition::read(io)?;
            for entry in entries(io, &position)? {
                let _ = position.append(io, entry)?;
            }
            Ok(())
        };
        repository.run(context, work).await.unwrap();
    }

    /// Condemns the packs of one kind, or all.
    fn condemn(io: &Io, position: &LogPosition, content: Option<PackContent>) -> Result<LogEntry> {
        let index = Index::read(io, &position.state)?;
        let is_wanted = |pack: &&PackEntry| content.is_none_or(|kind| pack.table.content == kind);
        let packs = index.packs().filter(is_wanted).map(|pack| pack.id);
        Ok(LogEntry::Condemn {
            packs: packs.collect(),
            segments_added: Vec::new(),
            segments_removed: Vec::new(),
        })
    }

    async fn assert_refused(repository: &Repository, context: &Context, options: PruneOptions) {
        for grace in [Duration::ZERO, Duration::from_secs(24 * 3600)] {
            let options = options.clone().with_grace(grace);
            let error = plan(repository, &options, context).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
        }
        let packs = repository.storage().list(Layout::PACKS).await.unwrap();
        assert_eq!(packs.len(), 2, "data and tree");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_deleted_while_a_backup_needs_a_condemned_pack() {
        for content in [None, Some(PackContent::Data), Some(PackContent::Tree)] {
            let (repository, context) = repository().await;
            append(&repository, &context, move |io, position| {
                Ok(vec![condemn(io, position, content)?])
            })
            .await;
            assert_refused(&repository, &context, PruneOptions::default()).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_deleted_while_the_index_lacks_a_pack_that_a_backup_needs() {
        let (repository, context) = repository().await;
        append(&repository, &context, |_, position| {
            let segments = position.state.segments.iter().copied().collect();
            Ok(vec![LogEntry::index(Vec::new(), segments)])
        })
        .await;
        assert_refused(&repository, &context, PruneOptions::default()).await;
    }

    /// The tree can be read, and its data cannot be found.
    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_deleted_while_the_index_lacks_only_data() {
        let (repository, context) = repository().await;
        append(&repository, &context, |io, position| {
            let mut segments = SegmentPlan::new(io, &position.state);
            for id in &position.state.segments {
                let segment = read_segment(io, *id)?;
                let data = |entry: &PackEntry| entry.table.content == PackContent::Data;
                let packs: Vec<PackId> = segment
                    .packs
                    .iter()
                    .filter(|entry| data(entry))
                    .map(|entry| entry.id)
                    .collect();
                segments.replace(*id, segment, |pack| packs.contains(pack));
            }
            let written = segments.write()?;
            Ok(vec![LogEntry::index(written.added, written.removed)])
        })
        .await;
        assert_refused(&repository, &context, PruneOptions::default()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn prune_that_keeps_deleted_backups_believes_no_forged_checkpoint() {
        let (repository, context) = repository().await;
        append(&repository, &context, |_, position| {
            let mut state = position.state.clone();
            state.backups = Backups::default();
            Ok(vec![state.checkpoint()])
        })
        .await;
        assert!(repository.backups(&context).await.unwrap().is_empty());
        let options = PruneOptions::default().with_keep_deleted(Duration::from_secs(3600));
        let found = plan(&repository, &options, &context).await.unwrap();
        assert_eq!((found.deleted_kept, found.packs_unused), (1, 0));
        let _ = prune(&repository, &found, &context).await.unwrap();
        let back = undelete::candidates(&repository, &context).await.unwrap();
        let id = back[0].backup.id;
        let _ = undelete::undelete(&repository, [id], &context)
            .await
            .unwrap();
        assert_eq!(repository.backups(&context).await.unwrap().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn prune_that_keeps_deleted_backups_refuses_to_delete_their_condemned_data() {
        for content in [None, Some(PackContent::Data), Some(PackContent::Tree)] {
            let (repository, context) = repository().await;
            append(&repository, &context, move |io, position| {
                let backups = position.state.backups.values();
                let delete = LogEntry::Delete {
                    backups: backups.map(|backup| backup.id).collect(),
                };
                Ok(vec![delete, condemn(io, position, content)?])
            })
            .await;
            let options = PruneOptions::default().with_keep_deleted(Duration::from_secs(3600));
            assert_refused(&repository, &context, options).await;
        }
    }
}
