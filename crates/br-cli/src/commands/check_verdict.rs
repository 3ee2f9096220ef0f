//! The text that says how a check ended.

use br_core::engine::check::{CheckReport, Finding, Severity};

use crate::output::format;

/// Says which data is not verified yet.
pub(super) fn due(report: &CheckReport, has_age: bool) -> String {
    match (report.packs_due, report.verified_since) {
        (1.., _) if has_age => {
            let packs = format::counted(report.packs_due, "pack", "packs");
            format!("{packs} left to verify: run the command again")
        }
        (_, Some(since)) => format!("all data was verified since {}", format::local_time(since)),
        (_, None) => {
            "some data was never verified on this machine: run the command again".to_owned()
        }
    }
}

/// The last line of a check.
pub(super) fn verdict(report: &CheckReport, structure_only: bool) -> String {
    let findings = report.findings.iter();
    let is_damage = |finding: &&Finding| finding.severity == Severity::Damage;
    let problems = findings.filter(is_damage).count() as u64;
    let notes = report.findings.len() as u64 - problems;
    let notes_text = match report.has_warnings() {
        true if notes == 1 => "1 warning".to_owned(),
        true => format!("{} with warnings", format::counted(notes, "note", "notes")),
        false => format::counted(notes, "note", "notes"),
    };
    let verdict = match (problems, notes) {
        (0, 0) => "no problems found".to_owned(),
        (0, _) => format!("no damage found, {notes_text}"),
        (_, 0) => format!("{} found", format::counted(problems, "problem", "problems")),
        (_, _) => format!(
            "{} and {notes_text} found",
            format::counted(problems, "problem", "problems")
        ),
    };
    let data = if !structure_only {
        format!(
            "{} of {} read, {}",
            format::count(report.packs_read),
            format::counted(report.packs, "pack", "packs"),
            format::size(report.bytes_read)
        )
    } else if report.packs_opened == 0 && report.packs > 0 {
        "packs were not read (--read-data reads them)".to_owned()
    } else {
        "only headers and footers of packs were read (--read-data reads all data)".to_owned()
    };
    format!(
        "{verdict}: {}, {}, {}; {data}",
        format::counted(report.backups, "backup", "backups"),
        format::counted(report.entries, "entry", "entries"),
        format::counted(report.packs, "pack", "packs"),
    )
}
