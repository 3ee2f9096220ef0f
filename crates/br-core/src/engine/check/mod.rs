//! Verification of a repository: its structure and, if requested, every stored byte.
//!
//! [`check`] returns a [`CheckReport`] with [`Finding`]s as values. [`spot`] compares the source with its newest backup. Invariant: without a repair, a check only adds log entries that record
//! damage or proof; a repair adds objects and log entries, and deletes no data that it could not read.

mod data;
mod due;
mod files;
mod keys;
mod locks;
mod log;
mod proof;
mod repair;
mod salvage;
mod spot;
mod structure;
mod take_back;

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use br_storage::ObjectInfo;
pub use files::DamagedFile;
use files::Files;
use jiff::Timestamp;
use serde::Serialize;
pub use spot::{Sample, SpotFile, SpotFiles, SpotOptions, SpotReport, spot};

use crate::error::{Error, ErrorKind, Result, in_one_line};
use crate::model::{Backup, BackupId, ChunkId, PackId, References};
use crate::progress::{Context, Event};
use crate::repository::{BackupSelector, Io, Layout, MAX_RACES, Repository, conflict};

use super::view::View;

/// Options of a check.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckOptions {
    /// Check only this backup and the data it uses; `None` checks all.
    pub backup: Option<BackupSelector>,
    /// How much stored data to read.
    pub data: ReadData,
    /// Rebuild a damaged index from the packs, and condemn missing packs. Together with [`CheckOptions::data`], also replace packs that
    /// have unreadable groups: their readable chunks are copied into new packs.
    pub repair_index: bool,
    /// Rebuild the backup list from the log and the manifests if the commit log is damaged or lost, and restore complete backups that no log
    /// entry names.
    pub repair_log: bool,
    /// Record in the log which backups were proven, if all data is read. Not for a copy of a repository that another program keeps equal to
    /// the original: the copy would differ.
    pub record_proof: bool,
    /// Ask the server whether all objects that backups need stay locked for at least this time.
    pub locked_for: Option<Duration>,
}

impl CheckOptions {
    /// Checks one backup only.
    #[must_use]
    pub fn with_backup(mut self, backup: Option<BackupSelector>) -> Self {
        self.backup = backup;
        self
    }

    /// Sets how much stored data to read.
    #[must_use]
    pub const fn with_data(mut self, data: ReadData) -> Self {
        self.data = data;
        self
    }

    /// Sets whether to rebuild a damaged index.
    #[must_use]
    pub const fn with_repair_index(mut self, repair: bool) -> Self {
        self.repair_index = repair;
        self
    }

    /// Sets whether to record which backups were proven.
    #[must_use]
    pub const fn with_record_proof(mut self, record: bool) -> Self {
        self.record_proof = record;
        self
    }

    /// Sets for how long objects must stay locked.
    #[must_use]
    pub const fn with_locked_for(mut self, time: Option<Duration>) -> Self {
        self.locked_for = time;
        self
    }

    /// Sets whether to rebuild a damaged log.
    #[must_use]
    pub const fn with_repair_log(mut self, repair: bool) -> Self {
        self.repair_log = repair;
        self
    }
}

/// How much stored data a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum ReadData {
    /// Read no pack in full; only check that all needed packs and chunks exist.
    #[default]
    None,
    /// Every pack.
    All,
    /// Random packs with about this fraction of all bytes.
    Fraction(f64),
    /// Random packs with about this many bytes.
    Bytes(u64),
    /// The packs that this machine did not verify lately, those with the oldest verification first. [`Repository::use_cache`] or
    /// [`Repository::remember_checks`] must have been called.
    Due {
        /// Packs that were verified within this time are not read.
        max_age: Duration,
        /// Read about this many bytes at most.
        max_bytes: Option<u64>,
        /// Begin no further pack after this time.
        max_time: Option<Duration>,
    },
}

impl ReadData {
    const fn max_time(self) -> Option<Duration> {
        match self {
            Self::Due { max_time, .. } => max_time,
            Self::None | Self::All | Self::Fraction(_) | Self::Bytes(_) => None,
        }
    }
}

/// The result of a check.
#[derive(Debug, Clone, Default, Serialize)]
#[must_use = "it says whether the repository is sound"]
#[non_exhaustive]
pub struct CheckReport {
    /// Number of backups checked.
    pub backups: u64,
    /// Number of entries in their trees.
    pub entries: u64,
    /// Number of packs in the store.
    pub packs: u64,
    /// Packs whose header and footer were read. On a server, packs are only listed.
    pub packs_opened: u64,
    /// Packs that were read in full.
    pub packs_read: u64,
    /// Bytes of the packs that were read in full.
    pub bytes_read: u64,
    /// Packs that are due and were not read, because [`ReadData::Due`] has a limit. They are the first ones in the next check.
    pub packs_due: u64,
    /// The time of the oldest verification of all packs in the check. `None` if this machine did not verify all of them, or
    /// remembers no verification.
    pub verified_since: Option<Timestamp>,
    /// The problems found, the most severe first.
    pub findings: Vec<Finding>,
    /// Backups that cannot be restored in full.
    pub damaged_backups: Vec<BackupId>,
    /// Files that cannot be restored, by path. If there are too many, only some are named.
    pub files: Vec<DamagedFile>,
    /// Number of files that cannot be restored.
    pub files_count: u64,
    /// The repairs made.
    pub repaired: Vec<String>,
}

impl CheckReport {
    /// True when something must be done although no data is lost.
    #[must_use]
    pub fn has_warnings(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.severity == Severity::Warning)
    }

    /// True when no data that a backup needs is missing or altered, and no key is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity < Severity::Damage)
    }
}

/// How severe a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; no data is lost.
    Note,
    /// No data is lost, but something must be done.
    Warning,
    /// Stored data is missing or altered.
    Damage,
}

/// A problem found by a check.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How severe it is.
    pub severity: Severity,
    /// Key of the object that has the problem.
    pub object: String,
    /// The problem, and what the user can do.
    pub message: String,
}

impl Finding {
    fn damage(object: impl Into<String>, message: impl Into<String>) -> Self {
        let (object, message) = (object.into(), message.into());
        Self {
            severity: Severity::Damage,
            object,
            message,
        }
    }

    fn warning(object: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::damage(object, message)
        }
    }

    fn note(object: impl Into<String>, message: impl Into<String>) -> Self {
        let (object, message) = (object.into(), message.into());
        Self {
            severity: Severity::Note,
            object,
            message,
        }
    }
}

/// Verifies a repository.
///
/// # Errors
/// When the store does not answer. When the log is lost, or differs from the log that this machine saw before, and
/// [`CheckOptions::repair_log`] is not set. Any other damage is a finding.
pub async fn check(
    repository: &Repository,
    options: &CheckOptions,
    context: &Context,
) -> Result<CheckReport> {
    if options.data != ReadData::None {
        repository.check_reads_content("a check of all data")?;
    }
    if options.repair_index || options.repair_log {
        repository.check_reads_content("a repair")?;
        repository.check_writable(context)?;
    }
    if options.locked_for.is_some() {
        let _ = repository.storage().object_lock().await?;
    }
    let options = options.clone();
    // Ignore the local cache: the check must read from the store.
    let work = move |io: &Io| run(&io.with_fresh_cache(), &options);
    repository.run(context, work).await
}

fn run(io: &Io, options: &CheckOptions) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    if options.repair_log {
        repair::log(io, &mut report)?;
    }
    let mut options = options.clone();
    if options.repair_index {
        repair::index(io, &mut report)?;
        take_back::packs(io, &mut report)?;
        if options.data != ReadData::None {
            salvage::packs(io, options.data, &mut report)?;
            // The repair read the requested data already.
            options.data = ReadData::None;
        }
    }
    let options = &options;
    for _ in 0..MAX_RACES {
        // List manifests before reading the log: then the log names every backup that is committed in between.
        let manifests = match options.backup {
            Some(_) => Vec::new(),
            None => io.list(Layout::MANIFESTS)?,
        };
        let view = View::open(io)?;
        let mut position = view.position.clone();
        let wanted = wanted(&view, options)?;
        let result = look(io, options, &view, &wanted, &manifests, report.clone());
        let alarm = match &result {
            Ok(report) => !report.is_sound(),
            Err(error) => error.kind() == ErrorKind::Damaged,
        };
        // If the log has new entries, a prune may have removed the missing data: check again.
        if alarm && !position.refresh(io)?.is_empty() {
            continue;
        }
        if let Ok(report) = &result {
            proof::record(
                io,
                &wanted,
                report,
                options.record_proof && proves(options, report),
            );
        }
        return result;
    }
    Err(conflict())
}

/// True if a check read or remembers all the data that the backups need.
fn proves(options: &CheckOptions, report: &CheckReport) -> bool {
    match options.data {
        ReadData::All => true,
        ReadData::Due { .. } => report.packs_due == 0,
        ReadData::None | ReadData::Fraction(_) | ReadData::Bytes(_) => false,
    }
}

/// The backups to check.
fn wanted(view: &View, options: &CheckOptions) -> Result<Vec<Backup>> {
    let state = &view.position.state;
    Ok(match &options.backup {
        Some(selector) => vec![state.find(selector)?.clone()],
        None => state.backups.values().cloned().collect(),
    })
}

/// Checks everything once.
fn look(
    io: &Io,
    options: &CheckOptions,
    view: &View,
    wanted: &[Backup],
    manifests: &[ObjectInfo],
    mut report: CheckReport,
) -> Result<CheckReport> {
    match (&options.backup, &view.log_damage) {
        (None, _) => {
            log::look(io, manifests, &mut report)?;
            keys::look(io, view, &mut report)?;
        }
        (Some(_), Some(error)) => {
            let finding = Finding::damage(Layout::LOG, in_one_line(error));
            report.findings.push(finding);
        }
        (Some(_), None) => {}
    }
    let index = view.reader.index();
    for (id, reason) in &index.damaged {
        report.findings.push(Finding::damage(
            Layout::segment(*id),
            format!("{reason}; `check --repair-index` rebuilds the index from the packs"),
        ));
    }
    // A check that reads every pack ignores damage recorded by earlier runs.
    let mut losses = structure::Losses::new(options.data != ReadData::All);
    let found = if options.backup.is_some() {
        let used = look_at_structure(io, options, view, wanted, &mut losses, &mut report)?;
        read_data(io, view, options.data, Some(&used), &mut report)?
    } else {
        // Reading packs does not depend on the structure check: run both in parallel.
        thread::scope(|scope| {
            let read = || {
                let mut report = CheckReport::default();
                read_data(io, view, options.data, None, &mut report).map(|found| (found, report))
            };
            let reading = thread::Builder::new().spawn_scoped(scope, read);
            let losses = &mut losses;
            let looked = look_at_structure(io, options, view, wanted, losses, &mut report);
            let (found, read) = match reading {
                Ok(thread) => thread
                    .join()
                    .map_err(|_| Error::internal("a check thread panicked"))?,
                Err(_) => read(),
            }?;
            looked?;
            report.packs_opened = read.packs_opened;
            report.packs_due = read.packs_due;
            report.verified_since = read.verified_since;
            Ok::<_, Error>(found)
        })?
    };
    report_data(view, wanted, found, &mut losses.files, &mut report);
    losses.report(&mut report);
    report.damaged_backups = losses.files.affected();
    if let Some(time) = options.locked_for {
        locks::look(io, view, time, &mut report)?;
    }
    let (files, count) = losses.files.finish();
    (report.files, report.files_count) = (files, count);
    report
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(report)
}

/// Checks packs, manifests and trees; returns the references of the backups.
fn look_at_structure(
    io: &Io,
    options: &CheckOptions,
    view: &View,
    wanted: &[Backup],
    losses: &mut structure::Losses,
    report: &mut CheckReport,
) -> Result<References> {
    let present = structure::packs(io, view, options.backup.is_none(), report)?;
    let resolver = view.reader.index().resolver();
    let mut used = References::default();
    for backup in wanted {
        let references = structure::backup(io, view, backup, &present, &resolver, losses, report)?;
        used.union(&references);
    }
    report.backups = wanted.len() as u64;
    Ok(used)
}

/// Reports packs with damaged parts, and names the files that need them.
fn report_data(
    view: &View,
    wanted: &[Backup],
    found: data::Found,
    files: &mut Files,
    report: &mut CheckReport,
) {
    report.packs_read += found.packs_read;
    report.bytes_read += found.bytes_read;
    let needed = if found.damaged.is_empty() {
        std::collections::HashSet::new()
    } else {
        structure::name_files(view, wanted, &found.damaged, files)
    };
    for pack in found.bad {
        let key = Layout::pack(pack.id);
        // The pack is missing or truncated and was already reported.
        if report.findings.iter().any(|finding| finding.object == key) {
            continue;
        }
        let mut chunks = found.damaged.iter();
        if pack.frame || chunks.any(|(id, of)| *of == pack.id && needed.contains(id)) {
            report.findings.push(Finding::damage(key, pack.reason));
        } else if pack.groups > 0 {
            let message = format!("{}; no backup depends on it", pack.reason);
            report.findings.push(Finding::note(key, message));
        }
    }
}

/// Reads the chosen packs in full. On a disk, also reads the header and footer of all other packs, and reads a pack in full if they do not
/// match.
fn read_data(
    io: &Io,
    view: &View,
    data: ReadData,
    scope: Option<&References>,
    report: &mut CheckReport,
) -> Result<data::Found> {
    let start = io.context.runtime.clock.now();
    let all = data::packs(view.reader.index(), scope);
    let mut packs = data::choose(io, all.clone(), data)?;
    let mut bad_frames = Vec::new();
    if !io.storage().is_remote() {
        let chosen: std::collections::HashSet<PackId> = packs.iter().map(|pack| pack.id).collect();
        let mut others = all.clone();
        others.retain(|pack| !chosen.contains(&pack.id));
        report.packs_opened = others.len() as u64;
        bad_frames = data::look_at_frames(io, view, &others)?;
    }
    // Read packs with known damage first: a limit of time must not hide it.
    let always: std::collections::HashSet<PackId> = bad_frames.iter().map(|pack| pack.id).collect();
    packs.splice(0..0, bad_frames);
    let bytes = packs.iter().map(|pack| pack.len).sum();
    io.context
        .progress
        .event(Event::Expect { bytes, entries: 0 });
    let found = data::read(io, view, &packs, &always, data.max_time())?;
    if data != ReadData::None {
        due::report(io, all, data, start, &found, report);
    }
    Ok(found)
}

/// Chunks that have no readable copy, with the pack that should contain them.
type DamagedChunks = HashMap<ChunkId, PackId>;
