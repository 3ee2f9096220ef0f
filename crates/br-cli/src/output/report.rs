//! JSON reports of the longer operations; `docs/json.md` describes the shapes.
//!
//! Invariant: the fields are those of the engine's reports; nothing is computed here.

use br_core::engine::check::{CheckReport, DamagedFile, Finding, Severity};
use br_core::engine::prune::{PrunePlan, PruneReport};
use br_core::engine::restore::RestoreReport;
use br_core::engine::stats::Stats;
use br_core::jiff::Timestamp;
use br_core::model::EntryPath;
use serde::Serialize;

/// Statistics of a repository.
#[derive(Debug, Serialize)]
pub(crate) struct StatsJson {
    backups: u64,
    bytes_logical: u64,
    bytes_unique: u64,
    bytes_stored: u64,
    chunks: u64,
    packs: u64,
    segments: u64,
    packs_condemned: u64,
}

impl From<&Stats> for StatsJson {
    fn from(stats: &Stats) -> Self {
        let Stats {
            backups,
            bytes_logical,
            bytes_unique,
            bytes_stored,
            chunks,
            packs,
            ..
        } = *stats;
        let (segments, packs_condemned) = (stats.segments, stats.packs_condemned);
        Self {
            backups,
            bytes_logical,
            bytes_unique,
            bytes_stored,
            chunks,
            packs,
            segments,
            packs_condemned,
        }
    }
}

/// The result of `check`.
#[derive(Debug, Serialize)]
pub(crate) struct CheckSummary<'a> {
    sound: bool,
    backups: u64,
    entries: u64,
    packs: u64,
    packs_opened: u64,
    packs_read: u64,
    bytes_read: u64,
    packs_due: u64,
    verified_since: Option<Timestamp>,
    findings: Vec<FindingJson<'a>>,
    files: Vec<DamagedFileJson<'a>>,
    files_count: u64,
    repaired: &'a [String],
}

impl<'a> From<&'a CheckReport> for CheckSummary<'a> {
    fn from(report: &'a CheckReport) -> Self {
        Self {
            sound: report.is_sound(),
            backups: report.backups,
            entries: report.entries,
            packs: report.packs,
            packs_opened: report.packs_opened,
            packs_read: report.packs_read,
            bytes_read: report.bytes_read,
            packs_due: report.packs_due,
            verified_since: report.verified_since,
            findings: report.findings.iter().map(FindingJson::from).collect(),
            files: report.files.iter().map(DamagedFileJson::from).collect(),
            files_count: report.files_count,
            repaired: &report.repaired,
        }
    }
}

#[derive(Debug, Serialize)]
struct FindingJson<'a> {
    severity: &'static str,
    object: &'a str,
    message: &'a str,
}

impl<'a> From<&'a Finding> for FindingJson<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            severity: severity(finding.severity),
            object: &finding.object,
            message: &finding.message,
        }
    }
}

#[derive(Debug, Serialize)]
struct DamagedFileJson<'a> {
    path: &'a str,
    backups: Vec<String>,
}

impl<'a> From<&'a DamagedFile> for DamagedFileJson<'a> {
    fn from(file: &'a DamagedFile) -> Self {
        Self {
            path: &file.path,
            backups: file.backups.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The word for output, also in JSON.
pub(crate) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Damage => "damage",
        _ => "other",
    }
}

/// The result of `restore`.
#[derive(Debug, Serialize)]
pub(crate) struct RestoreSummary<'a> {
    backup: String,
    target: String,
    dry_run: bool,
    entries: u64,
    files_restored: u64,
    files_unchanged: u64,
    files_kept: u64,
    bytes_restored: u64,
    deleted: Vec<String>,
    failed: Vec<FailedJson<'a>>,
    failed_count: u64,
    damaged: bool,
    attributes_refused: u64,
    privileges_dropped: u64,
    left_out: u64,
    stripped: u64,
    links_separate: u64,
    leftovers_removed: u64,
    duration_seconds: f64,
}

#[derive(Debug, Serialize)]
struct FailedJson<'a> {
    path: String,
    reason: &'a str,
}

impl<'a> RestoreSummary<'a> {
    pub(crate) fn new(
        report: &'a RestoreReport,
        target: String,
        dry_run: bool,
        duration_seconds: f64,
    ) -> Self {
        let failed = |(path, reason): &'a (EntryPath, String)| FailedJson {
            path: path.to_string(),
            reason,
        };
        Self {
            backup: report.backup.to_string(),
            target,
            dry_run,
            entries: report.entries,
            files_restored: report.files_restored,
            files_unchanged: report.files_unchanged,
            files_kept: report.files_kept,
            bytes_restored: report.bytes_restored,
            deleted: report.deleted.iter().map(ToString::to_string).collect(),
            failed: report.failed.iter().map(failed).collect(),
            failed_count: report.failed_count,
            damaged: report.damaged,
            attributes_refused: report.attributes_refused,
            privileges_dropped: report.privileges_dropped,
            left_out: report.left_out,
            stripped: report.stripped,
            links_separate: report.links_separate,
            leftovers_removed: report.leftovers_removed,
            duration_seconds,
        }
    }
}

/// The plan and the result of `prune`.
#[derive(Debug, Serialize)]
pub(crate) struct PruneSummary {
    pub(crate) dry_run: bool,
    pub(crate) plan: PlanJson,
    pub(crate) report: Option<PruneReportJson>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlanJson {
    packs_unused: u64,
    packs_rewritten: u64,
    packs_leftover: u64,
    packs_spared: u64,
    packs_condemned: u64,
    packs_kept: u64,
    bytes_removed: u64,
    bytes_copied: u64,
    objects_leftover: u64,
    deleted_kept: u64,
}

impl From<&PrunePlan> for PlanJson {
    fn from(plan: &PrunePlan) -> Self {
        Self {
            packs_unused: plan.packs_unused,
            packs_rewritten: plan.packs_rewritten,
            packs_leftover: plan.packs_leftover,
            packs_spared: plan.packs_spared,
            packs_condemned: plan.packs_condemned,
            packs_kept: plan.packs_kept,
            bytes_removed: plan.bytes_removed,
            bytes_copied: plan.bytes_copied,
            objects_leftover: plan.objects_leftover,
            deleted_kept: plan.deleted_kept,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct PruneReportJson {
    packs_deleted: u64,
    bytes_deleted: u64,
    bytes_written: u64,
    objects_deleted: u64,
    unfinished_removed: u64,
    locked: u64,
    locked_until: Option<String>,
    failed: u64,
}

impl From<&PruneReport> for PruneReportJson {
    fn from(report: &PruneReport) -> Self {
        Self {
            packs_deleted: report.packs_deleted,
            bytes_deleted: report.bytes_deleted,
            bytes_written: report.bytes_written,
            objects_deleted: report.objects_deleted,
            unfinished_removed: report.unfinished_removed,
            locked: report.locked,
            locked_until: report.locked_until.map(|until| until.to_string()),
            failed: report.failed,
        }
    }
}
