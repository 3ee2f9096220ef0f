//! Prints the result of a restore into a folder.

use std::path::Path;

use br_core::engine::restore::RestoreReport;

use crate::error::CommandError;
use crate::output::{Lines, Output, SHOWN, format};

/// Prints the result. `is_dry` and `deletes` are the options of the command.
pub(super) fn print(
    (is_dry, deletes): (bool, bool),
    target: &Path,
    report: &RestoreReport,
    seconds: f64,
    output: &Output,
) -> Result<(), CommandError> {
    let more = report.failed_count.saturating_sub(SHOWN);
    if more > 0 && !output.is_verbose() {
        output.console.warning(&format!(
            "and {} more not restored (-v shows all)",
            format::count(more)
        ));
    }
    if output.console.quiet {
        return Ok(());
    }
    let files = format!(
        "{} {}, {} unchanged",
        format::count(report.files_restored),
        if is_dry { "to restore" } else { "restored" },
        format::count(report.files_unchanged)
    );
    let files = match report.files_kept {
        0 => files,
        kept => format!(
            "{files}, {} kept because of --overwrite never",
            format::count(kept)
        ),
    };
    let mut fields = vec![
        ("backup", report.backup.to_string()),
        ("target", format::path(target)),
        ("files", files),
        ("written", format::size(report.bytes_restored)),
        ("duration", format::speed(report.bytes_restored, seconds)),
    ];
    if is_dry {
        fields.push(("dry run", "nothing was written".to_owned()));
    }
    if deletes {
        fields.push((
            "deleted",
            format::counted(report.deleted.len() as u64, "entry", "entries"),
        ));
    }
    if report.attributes_refused > 0 {
        let attributes = format::counted(report.attributes_refused, "attribute", "attributes");
        fields.push(("refused", format!("{attributes} could not be set")));
    }
    fields.extend(left_out(report));
    if report.failed_count > 0 {
        fields.push((
            "failed",
            format::counted(report.failed_count, "entry", "entries"),
        ));
    }
    output.fields(&fields)?;
    // The list above already included entries that would be deleted.
    if is_dry != output.is_verbose() {
        let mut lines = output.lines();
        print_deleted(report, is_dry, output.is_verbose(), &mut lines)?;
        lines.finish()?;
    }
    Ok(())
}

/// Differences between the restored entries and the backup.
fn left_out(report: &RestoreReport) -> Vec<(&'static str, String)> {
    let entries = |count| format::counted(count, "entry", "entries");
    let mut fields = Vec::new();
    if report.privileges_dropped > 0 {
        let entries = entries(report.privileges_dropped);
        let why = "whose owner differs from the backup";
        fields.push((
            "dropped",
            format!("set-user-ID or set-group-ID bits or capabilities of {entries}, {why}"),
        ));
    }
    if report.left_out > 0 {
        let entries = entries(report.left_out);
        fields.push((
            "left out",
            format!("devices, bits or attributes: {entries}"),
        ));
    }
    if report.links_separate > 0 {
        let links = format::counted(report.links_separate, "hard link", "hard links");
        fields.push(("links", format!("{links} became separate files")));
    }
    if report.leftovers_removed > 0 {
        let files = format::counted(report.leftovers_removed, "file", "files");
        fields.push(("removed", format!("{files} left by a killed restore")));
    }
    fields
}

fn print_deleted(
    report: &RestoreReport,
    dry_run: bool,
    all: bool,
    lines: &mut Lines,
) -> Result<(), CommandError> {
    let shown = if all { usize::MAX } else { SHOWN as usize };
    let verb = if dry_run { "would delete" } else { "deleted" };
    for path in report.deleted.iter().take(shown) {
        lines.line(&format!("{verb} {path}"))?;
    }
    match report.deleted.len().saturating_sub(shown) {
        0 => Ok(()),
        more => lines.line(&format!(
            "and {} more (-v shows all)",
            format::count(more as u64)
        )),
    }
}
