//! `br check`: verifies a repository.

use std::sync::Arc;

use br_core::BackupSelector;
use br_core::engine::check::{CheckOptions, CheckReport, Finding, ReadData, Severity};
use clap::Args;

use super::which::FilterArgs;
use crate::cli::{examples, exit_codes};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::output::json::Summary;
use crate::output::report::{CheckSummary, severity};
use crate::output::{Lines, Output};

/// Affected files that are shown without `--verbose`.
const SHOWN: usize = 20;
/// Backups that are shown for each.
const SHOWN_BACKUPS: usize = 3;

const EXAMPLES: &str = "\
  br check                              # everything that is needed is there
  br check --read-data                  # read and verify every byte
  br check --read-data-subset 10%       # verify a tenth, chosen at random: good every night
  br check latest --read-data           # verify what one backup needs
  br check --repair-index --read-data   # give up what cannot be read; then back up the same data again";

/// Verify the repository, and repair it on request
///
/// Without --read-data only the structure is looked at: that the log and the index are sound and that every piece of every
/// backup is there. On a disk the header and the footer of each pack are read as well. What is damaged is listed with the files
/// it affects; everything else can still be restored.
///
/// Damage that was found is remembered in the repository: the next backup of the same data stores it again. With --repair-index
/// and --read-data together, what cannot be read is given up, and what is sound next to it is kept.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(ExitStatus::REPOSITORY),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::REPOSITORY))
)]
pub(crate) struct CheckArgs {
    /// Only this backup and what it needs: an id, a part of one as `br list` shows it, `latest`, or `latest~1`
    #[arg(value_name = "ID")]
    id: Option<BackupSelector>,

    /// Read and verify all stored data
    #[arg(long)]
    read_data: bool,

    /// Read and verify a part of it, chosen at random: 10% or 512MiB
    #[arg(long, value_name = "SHARE", value_parser = parse_subset, conflicts_with = "read_data")]
    read_data_subset: Option<ReadData>,

    /// Build a damaged index again from the packs, and give up packs that are missing
    ///
    /// With --read-data (or --read-data-subset) packs in which something cannot be read are replaced as well: what is sound in
    /// them is copied. What was given up is stored again by the next backup that finds it at its source, which makes older
    /// backups whole, too.
    #[arg(long)]
    repair_index: bool,

    /// Build a damaged or lost catalog again from the log and the manifests
    ///
    /// Also brings back complete backups that no log entry names, as when the last entry was lost. Deleted backups do not come
    /// back as long as the log still says that they were deleted.
    #[arg(long)]
    repair_log: bool,

    // Last, as its heading holds for all that follows.
    #[command(flatten)]
    filter: FilterArgs,
}

fn parse_subset(text: &str) -> Result<ReadData, String> {
    let subset = if text.ends_with('%') {
        format::parse_percent(text).map(ReadData::Fraction)?
    } else {
        let is_nothing = text.bytes().all(|byte| byte == b'0');
        let has_unit = !text.ends_with(|c: char| c.is_ascii_digit());
        let size = format::parse_size(text).ok();
        let size = size.filter(|_| has_unit || is_nothing);
        size.map(ReadData::Bytes).ok_or_else(|| {
            format!("`{text}` is neither a percentage nor a size: write 10% or 512MiB")
        })?
    };
    // A check that reads nothing would end as if what it read were sound.
    match subset {
        ReadData::Bytes(0) => Err(of_nothing(text)),
        ReadData::Fraction(share) if share <= 0.0 => Err(of_nothing(text)),
        subset => Ok(subset),
    }
}

fn of_nothing(text: &str) -> String {
    format!("`{text}` reads nothing: write 10% or 512MiB, or leave the option out")
}

pub(crate) async fn run(args: CheckArgs, context: &CommandContext) -> CommandResult {
    let id = args.filter.apply_list(args.id.as_slice())?.pop();
    let repository = context.open().await?;
    let data = match args.read_data_subset {
        Some(subset) => subset,
        None if args.read_data => ReadData::All,
        None => ReadData::None,
    };
    let options = CheckOptions::default()
        .with_backup(id)
        .with_data(data)
        .with_repair_index(args.repair_index)
        .with_repair_log(args.repair_log);
    let reporter = Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let report = br_core::engine::check::check(&repository, &options, &engine).await;
    drop(guard);
    let report = report.map_err(advise)?;
    let output = &context.output;
    if output.is_json() {
        output.document(&Summary::new(CheckSummary::from(&report)))?;
    } else {
        print(&report, data == ReadData::None, output)?;
    }
    if report.is_sound() {
        return Ok(ExitStatus::Ok);
    }
    let repaired = options.repair_index && data != ReadData::None;
    output.console.hint(way_on(&report, repaired));
    Ok(ExitStatus::Damaged)
}

/// What to do about damage; `repaired` says that what cannot be read was given up by this run.
fn way_on(report: &CheckReport, repaired: bool) -> &'static str {
    let is_damaged = |folder: &str| {
        report.findings.iter().any(|finding| {
            finding.severity == Severity::Damage && finding.object.starts_with(folder)
        })
    };
    let elsewhere = ["packs", "index", "backup"].map(is_damaged).contains(&true);
    let has_lost_data = elsewhere || report.files_count > 0;
    match (is_damaged("log"), has_lost_data) {
        (true, false) => {
            "`br check --repair-log` rebuilds the log from the manifests; backups can be listed and restored meanwhile"
        }
        (true, true) => {
            "everything else can be restored; `br check --repair-log --repair-index --read-data` rebuilds the log and gives up \
             what cannot be read, then `br backup` of the same data stores it again"
        }
        (false, true) if !repaired => {
            "everything else can be restored; `br check --repair-index --read-data` gives up what cannot be read, then `br \
             backup` of the same data stores it again"
        }
        (false, true) => {
            "now run `br backup` of the same data: what is still there is stored again, and the backups named above are whole \
             again; `br delete` those that need what is nowhere any more, or keep them for the rest"
        }
        // Only manifests.
        (false, false) => {
            "all files can be restored; back up the same data again and `br delete` the backup whose manifest is lost: `prune` \
             does nothing until then"
        }
    }
}

/// A log that cannot be read ends a check; only a repair helps.
fn advise(error: br_core::Error) -> CommandError {
    let damaged = error.kind() == br_core::ErrorKind::Damaged;
    let error = CommandError::from(error);
    if damaged {
        return error
            .with_hint("`br check --repair-log` builds the catalog anew from the manifests");
    }
    error
}

fn print(report: &CheckReport, structure_only: bool, output: &Output) -> Result<(), CommandError> {
    let mut lines = output.lines();
    for repaired in &report.repaired {
        lines.line(&format!("repaired: {}", format::text(repaired)))?;
    }
    for finding in &report.findings {
        print_finding(finding, &mut lines)?;
    }
    print_files(report, output.is_verbose(), &mut lines)?;
    if !(report.is_sound() && output.console.quiet) {
        lines.line(&verdict(report, structure_only))?;
    }
    lines.finish()
}

fn print_finding(finding: &Finding, lines: &mut Lines) -> Result<(), CommandError> {
    let Finding {
        object, message, ..
    } = finding;
    let label = severity(finding.severity);
    lines.line(&format!(
        "{label}: {}: {}",
        format::text(object),
        format::text(message)
    ))
}

/// One line for each damaged file, with the backups it is in.
fn print_files(report: &CheckReport, all: bool, lines: &mut Lines) -> Result<(), CommandError> {
    if report.files_count == 0 {
        return Ok(());
    }
    let files = format::counted(report.files_count, "file", "files");
    lines.line(&format!("{files} cannot be restored:"))?;
    let shown = if all { report.files.len() } else { SHOWN };
    for file in report.files.iter().take(shown) {
        let named = if all {
            file.backups.len()
        } else {
            SHOWN_BACKUPS
        };
        let ids = file.backups.iter().take(named).map(ToString::to_string);
        let ids = ids.collect::<Vec<_>>().join(", ");
        let more = match file.backups.len().saturating_sub(named) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.line(&format!("  {} in {ids}{more}", format::text(&file.path)))?;
    }
    if let Some(more @ 1..) = report.files_count.checked_sub(shown as u64) {
        let all = if all { "" } else { " (-v shows more)" };
        lines.line(&format!("  and {} more{all}", format::count(more)))?;
    }
    Ok(())
}

fn verdict(report: &CheckReport, structure_only: bool) -> String {
    let findings = report.findings.iter();
    let is_damage = |finding: &&Finding| finding.severity == Severity::Damage;
    let problems = findings.filter(is_damage).count() as u64;
    let notes = report.findings.len() as u64 - problems;
    let notes_text = format::counted(notes, "note", "notes");
    let verdict = match (problems, notes) {
        (0, 0) => "no problems found".to_owned(),
        (0, _) => format!("no damage found, {notes_text}"),
        (_, 0) => format!("{} found", format::counted(problems, "problem", "problems")),
        (_, _) => format!(
            "{} and {notes_text} found",
            format::counted(problems, "problem", "problems")
        ),
    };
    let data = match structure_only {
        true if report.packs_opened == 0 && report.packs > 0 => {
            "packs were not looked into (--read-data does)".to_owned()
        }
        true => {
            "of their data only headers and footers were read (--read-data reads all)".to_owned()
        }
        false => format!(
            "{} of {} read, {}",
            format::count(report.packs_read),
            format::counted(report.packs, "pack", "packs"),
            format::size(report.bytes_read)
        ),
    };
    format!(
        "{verdict}: {}, {}, {}; {data}",
        format::counted(report.backups, "backup", "backups"),
        format::counted(report.entries, "entry", "entries"),
        format::counted(report.packs, "pack", "packs"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_is_a_share_or_a_size() {
        assert_eq!(parse_subset("10%"), Ok(ReadData::Fraction(0.1)));
        assert_eq!(parse_subset("512MiB"), Ok(ReadData::Bytes(512 << 20)));
        assert!(parse_subset("110%").is_err() && parse_subset("a lot").is_err());
        for nothing in ["0%", "0.0%", "-0%", "0", "0B", "0MiB"] {
            let error = parse_subset(nothing).unwrap_err();
            assert!(error.contains("reads nothing"), "{nothing}: {error}");
        }
    }
}
