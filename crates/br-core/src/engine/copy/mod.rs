//! Copying backups into another repository, with another key or in another store.
//!
//! ```text
//! select ─► learn ─► plan ─┬─► groups in pack order: fetch ─► open, verify, new ids ─┬─► packer ─► target
//! (backups)  (ids)         │   (a batch of backups)          (all cores)              │
//!                          └─► trees: decode, new ids, encode ────────────────────────┘─► commit, oldest first
//! ```
//!
//! [`copy`] copies, [`repair`] copies only what is damaged, [`CopyOptions`] selects, [`CopyReport`] holds the result. Invariant: every chunk that is stored in the target was checked
//! against its id in the source, and a backup is committed only if everything in its tree is in the target.
//!
//! Costs: the source's log, index and manifests of the backups to copy; then each run of nearby groups with one request of at most 8 MiB,
//! and the tree nodes. Only chunks that the target lacks are read. If the keys differ, their ids are known from the trees of backups
//! that both repositories have. A group that is copied completely is stored with the same compressed bytes; so is a delta, if its
//! bases are in the target. Memory: the indexes of both repositories, 32 bytes for each copied chunk if the keys differ, and at most
//! about 200 MiB of data in flight.

mod data;
mod ids;
mod inline;
mod job;
mod learn;
mod missed;
mod options;
mod plan;
mod repair;
mod report;
mod run;
mod runs;
mod sides;
mod trees;
mod worker;

pub use options::CopyOptions;
pub use report::{CopiedBackup, CopyReport, DamagedBackup, DamagedEntry, RepairReport};

use crate::error::{Error, Result};
use crate::progress::Context;
use crate::repository::{Io, Repository};

/// Copies backups that the target lacks, oldest first. The source is only read, and nothing is recorded there.
///
/// A copy has a new id, and [`Backup::copy_of`](crate::model::Backup::copy_of) names its original. The copy keeps times, host, tags, note,
/// pin, origin and paths, but not the proof. A backup with damaged data in the source is reported and not copied. After an error the
/// backups that were committed stay, and the next call uses the data that was stored.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when both repositories have the same id. [`ErrorKind::Conflict`](crate::ErrorKind::Conflict)
/// when a prune removed data that was about to be used, in the source or in the target: call it again. When the source cannot be
/// read or the target cannot be written.
pub async fn copy(
    source: &Repository,
    target: &Repository,
    options: &CopyOptions,
    context: &Context,
) -> Result<CopyReport> {
    options.check()?;
    refuse_same(source, target)?;
    source.check_reads_content("a copy")?;
    if options.verify_known {
        target.check_reads_content("a copy that verifies known data")?;
    }
    if !options.dry_run {
        target.check_writable(context)?;
    }
    let (source, options) = (source.clone(), options.clone());
    let work = move |io: &Io| run::run(io.to(&source), io, &options);
    target.run(context, work).await
}

/// Stores damaged and missing data of a repository again, from another repository that has copies of its backups. The other repository
/// is only read.
///
/// Before it, [`check`](crate::engine::check::check) must find the damage and drop it from the index: with
/// [`ReadData::All`](crate::engine::check::ReadData::All) and `repair_index`.
///
/// Manifests and the log are not repaired.
///
/// # Errors
/// As [`copy`].
pub async fn repair(
    damaged: &Repository,
    other: &Repository,
    context: &Context,
) -> Result<RepairReport> {
    other.check_reads_content("a repair")?;
    damaged.check_writable(context)?;
    let other = other.clone();
    let work = move |io: &Io| repair::run(io.to(&other), io, &CopyOptions::default());
    damaged.run(context, work).await
}

fn refuse_same(source: &Repository, target: &Repository) -> Result<()> {
    if source.config().id != target.config().id {
        return Ok(());
    }
    let (from, to) = (source.location(), target.location());
    let message = if from == to {
        format!("source and target are the same repository, {from}")
    } else {
        format!(
            "{to} has the same repository id as {from}: it is the same repository, or a copy of its files. Copy into a repository of its own"
        )
    };
    Err(Error::invalid(message))
}
