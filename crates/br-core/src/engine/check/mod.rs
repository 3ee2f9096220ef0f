//! Verifying a repository: structure, and on request every stored byte.
//!
//! [`check`] returns a [`CheckReport`] with [`Finding`]s as values. Invariant: a check changes nothing unless it is asked to
//! repair, and a repair only adds: it never deletes what it could not understand.

mod data;
mod log;
mod repair;
mod structure;

use std::thread;

use br_storage::ObjectInfo;

use crate::error::{Error, ErrorKind, Result, in_one_line};
use crate::model::{Backup, BackupId, PackId, References};
use crate::progress::{Context, Event};
use crate::repository::{BackupSelector, Io, Layout, Repository, conflict};

use super::references::Resolver;
use super::view::View;

/// How often others may change the repository before a check gives up.
const MAX_RACES: u32 = 20;

/// What [`check`] looks at.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckOptions {
    /// Only this backup and what it uses; everything when `None`.
    pub backup: Option<BackupSelector>,
    /// How much stored data is read.
    pub data: ReadData,
    /// Rebuild the index from the packs, if it is damaged.
    pub repair_index: bool,
    /// Rebuild the catalog from the log and the manifests, if the commit log is damaged or lost, and bring back complete backups
    /// that no log entry names.
    pub repair_log: bool,
}

impl CheckOptions {
    /// Looks at one backup only.
    #[must_use]
    pub fn with_backup(mut self, backup: Option<BackupSelector>) -> Self {
        self.backup = backup;
        self
    }

    /// Says how much stored data is read.
    #[must_use]
    pub const fn with_data(mut self, data: ReadData) -> Self {
        self.data = data;
        self
    }

    /// Rebuilds a damaged index.
    #[must_use]
    pub const fn with_repair_index(mut self, repair: bool) -> Self {
        self.repair_index = repair;
        self
    }

    /// Rebuilds a damaged log.
    #[must_use]
    pub const fn with_repair_log(mut self, repair: bool) -> Self {
        self.repair_log = repair;
        self
    }
}

/// How much stored data a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// None: only that everything that is needed is there.
    #[default]
    None,
    /// Every pack.
    All,
    /// Packs chosen at random, about this fraction of them.
    Fraction(f64),
    /// Packs chosen at random, about so many bytes.
    Bytes(u64),
}

/// What a check found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Backups looked at.
    pub backups: u64,
    /// Entries of their trees.
    pub entries: u64,
    /// Packs that are there.
    pub packs: u64,
    /// Packs that were read in full.
    pub packs_read: u64,
    /// Bytes of these.
    pub bytes_read: u64,
    /// What is wrong, the gravest first.
    pub findings: Vec<Finding>,
    /// What was repaired.
    pub repaired: Vec<String>,
}

impl CheckReport {
    /// True when nothing that a backup needs is missing or altered.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity < Severity::Damage)
    }
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Note,
    /// Stored data is missing or altered.
    Damage,
}

/// Something a check found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The object it is about, by its key.
    pub object: String,
    /// What is wrong, and what can be done.
    pub message: String,
    /// Files that cannot be restored because of it, with the backup they are in.
    pub files: Vec<(BackupId, String)>,
}

impl Finding {
    fn damage(object: impl Into<String>, message: impl Into<String>) -> Self {
        let (object, message) = (object.into(), message.into());
        Self {
            severity: Severity::Damage,
            object,
            message,
            files: Vec::new(),
        }
    }

    fn note(object: impl Into<String>, message: impl Into<String>) -> Self {
        let (object, message) = (object.into(), message.into());
        Self {
            severity: Severity::Note,
            object,
            message,
            files: Vec::new(),
        }
    }
}

/// Verifies a repository.
///
/// # Errors
/// When the store does not answer; when the log is lost, or is not the one that this machine knows, and
/// [`CheckOptions::repair_log`] is not set. Damage of anything else is a finding.
pub async fn check(
    repository: &Repository,
    options: &CheckOptions,
    context: &Context,
) -> Result<CheckReport> {
    if options.repair_index || options.repair_log {
        repository.check_writable(context)?;
    }
    let options = options.clone();
    // Copies on this machine tell nothing about what is in the store.
    let work = move |io: &Io| run(&io.with_fresh_cache(), &options);
    repository.run(context, work).await
}

fn run(io: &Io, options: &CheckOptions) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    if options.repair_log {
        repair::log(io, &mut report)?;
    }
    if options.repair_index {
        repair::index(io, &mut report)?;
    }
    for _ in 0..MAX_RACES {
        // Listed before the log is read: a backup that is committed in between is named by the log by then.
        let manifests = match options.backup {
            Some(_) => Vec::new(),
            None => io.list(Layout::MANIFESTS)?,
        };
        let view = View::open(io)?;
        let mut position = view.position.clone();
        let result = look(io, options, &view, &manifests, report.clone());
        let alarm = match &result {
            Ok(report) => !report.is_sound(),
            Err(error) => error.kind() == ErrorKind::Damaged,
        };
        // What is missing as a prune removed it meanwhile is no damage: the log has moved on then.
        if !alarm || position.refresh(io)?.is_empty() {
            return result;
        }
    }
    Err(conflict())
}

/// Looks at everything once.
fn look(
    io: &Io,
    options: &CheckOptions,
    view: &View,
    manifests: &[ObjectInfo],
    mut report: CheckReport,
) -> Result<CheckReport> {
    match (&options.backup, &view.log_damage) {
        (None, _) => log::look(io, manifests, &mut report)?,
        (Some(_), Some(error)) => {
            let finding = Finding::damage(Layout::LOG, in_one_line(error));
            report.findings.push(finding);
        }
        (Some(_), None) => {}
    }
    let wanted = match &options.backup {
        Some(selector) => vec![view.position.state.find(selector)?.clone()],
        None => view.position.state.backups.values().cloned().collect(),
    };
    let index = view.reader.index();
    for (id, reason) in &index.damaged {
        report.findings.push(Finding::damage(
            Layout::segment(*id),
            format!("{reason}; `check --repair-index` rebuilds the index from the packs"),
        ));
    }
    let (used, found) = if options.backup.is_some() {
        let (used, is_known) = look_at_structure(io, options, view, &wanted, &mut report)?;
        let found = read_data(io, view, options.data, Some(&used))?;
        (is_known.then_some(used), found)
    } else {
        // What is read does not depend on what the structure tells: both at once.
        thread::scope(|scope| {
            let reading = scope.spawn(|| read_data(io, view, options.data, None));
            let looked = look_at_structure(io, options, view, &wanted, &mut report);
            let read = reading.join();
            let (used, is_known) = looked?;
            let found = read.map_err(|_| Error::internal("a check thread panicked"))??;
            Ok::<_, Error>((is_known.then_some(used), found))
        })?
    };
    let damaged = data::judge(view, found, used.as_ref(), &mut report);
    if !damaged.is_empty() {
        structure::name_files(view, &wanted, &damaged, &mut report)?;
    }
    report
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(report)
}

/// Looks at packs, manifests and trees; returns what they use, and whether that is all they use.
fn look_at_structure(
    io: &Io,
    options: &CheckOptions,
    view: &View,
    wanted: &[Backup],
    report: &mut CheckReport,
) -> Result<(References, bool)> {
    let present = structure::packs(io, view, options.backup.is_none(), report)?;
    let resolver = Resolver::new(view.reader.index());
    let mut used = References::default();
    let mut is_known = true;
    for backup in wanted {
        let mut references = structure::backup(io, view, backup, &present, &resolver, report)?;
        let is_read = backup.tree.is_none() || references.iter().len() > 0;
        is_known &= is_read && resolver.resolve(&mut references);
        used.union(&references);
    }
    report.backups = wanted.len() as u64;
    Ok((used, is_known))
}

/// Reads packs.
fn read_data(
    io: &Io,
    view: &View,
    data: ReadData,
    scope: Option<&References>,
) -> Result<data::Found> {
    let packs = data::choose(io, view.reader.index(), scope, data);
    let bytes = packs.iter().map(|pack| pack.len).sum();
    io.context
        .progress
        .event(Event::Expect { bytes, entries: 0 });
    data::read(io, view, &packs)
}

/// Chunks that could not be read anywhere, with the pack they were expected in.
type DamagedChunks = std::collections::HashMap<crate::model::ChunkId, PackId>;
