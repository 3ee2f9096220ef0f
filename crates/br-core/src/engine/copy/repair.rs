//! Repairs a repository from another one that has copies of its backups.
//!
//! Damaged and missing chunks are copied like those of a backup that the target lacks, because a damaged chunk counts as missing. No backup is
//! committed: a log entry adds the new packs to the index, and the backups that need the chunks find them there.

use std::collections::HashSet;

use super::job::Job;
use super::options::CopyOptions;
use super::plan::plan;
use super::report::RepairReport;
use super::run::{batches, find_copy};
use super::sides::{Source, Target};
use crate::error::Result;
use crate::model::{Backup, BackupId};
use crate::repository::{Io, LogPosition};

pub(super) fn run(source_io: Io, target_io: &Io, options: &CopyOptions) -> Result<RepairReport> {
    let (position, log_error) = LogPosition::read_or_rebuild(&source_io)?;
    let target_position = LogPosition::read(target_io)?;
    let of = |position: &LogPosition| -> Vec<Backup> {
        position.state.backups.values().cloned().collect()
    };
    let (originals, copies) = (of(&target_position), of(&position));
    let known: HashSet<BackupId> = originals.iter().map(Backup::original_id).collect();
    let there: HashSet<BackupId> = copies.iter().map(Backup::original_id).collect();
    let missing = originals
        .iter()
        .filter(|one| !there.contains(&one.original_id()));
    let mut report = RepairReport {
        missing: missing.map(|one| one.id).collect(),
        ..RepairReport::default()
    };
    let wanted: Vec<Backup> = copies
        .into_iter()
        .filter(|one| known.contains(&one.original_id()))
        .collect();
    report.compared = wanted.len() as u64;
    if wanted.is_empty() {
        return Ok(report);
    }
    let source = Source::read(source_io, position, log_error.is_some())?;
    let target = Target::read(target_io, target_position, false)?;
    let mut job = Job::new(source, target, options);
    for copy in &wanted {
        let own = find_copy(&job.target.position.state, copy.original_id()).cloned();
        if let Some(own) = own {
            job.learn(copy, &own)?;
        }
    }
    let dedup = job.dedup();
    let planned = plan(&mut job.source, &dedup, &job.ids, wanted)?;
    drop(dedup);
    for batch in batches(planned) {
        let roots = job.transfer(&batch)?;
        for (planned, root) in batch.into_iter().zip(roots) {
            let lost = root.err();
            report
                .damaged
                .extend(lost.map(|lost| lost.of(planned.backup)));
        }
        let mut committer = job.committer();
        committer.commit_packs(target_io)?;
        job.finish(committer)?;
    }
    report.bytes_read = job.bytes_read;
    report.bytes_added = job.bytes_added;
    report.bytes_stored = job.bytes_stored;
    Ok(report)
}
