//! `br import`: merges a bundle into a folder, or stores it in the repository.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use br_archive::{ChangeKind, ImportOptions, ImportReport, Inspection, import};
use br_core::engine::backup::{BackupOptions, BackupReport, Base, backup};
use br_core::model::{Origin, OriginKind};
use br_sources::bundle::{self, BundleSource};
use clap::Args;

use super::show;
use super::sources::{current_folder, host_name, user_name};
use crate::bundles::{self, LimitArgs, NodeArgs, SelectionArgs};
use crate::context::CommandContext;
use crate::create::Init;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes_and};
use crate::output::bundle::{Narration, details, finding, import_order};
use crate::output::bundle_json::{ImportJson, ImportedJson};
use crate::output::json::Summary;
use crate::output::{Table, format};
use crate::values;

const EXAMPLES: &str = "\
  br import emqx-export-2023-06-19-15-14-19.947.tar.gz --into unpacked --dry-run
  br import emqx-export-2023-06-19-15-14-19.947.tar.gz --into unpacked --table-sets banned,psk
  br -r /mnt/disk/backup import /srv/emqx/backup/emqx-export-2023-06-19-15-14-19.947.tar.gz
  br -r /mnt/disk/backup export latest --dir /tmp   # the same bundle again";

/// Merge a bundle into a folder, or store it in the repository
///
/// br first reads and verifies the whole bundle, before it changes anything. In a folder it adds missing files, updates different
/// ones, and deletes nothing. All changes appear at once; after a failure the folder is unchanged. In folders with EMQX content,
/// br merges tables record by record and the configuration key by key, as EMQX does.
///
/// Without --into, br stores the members of the bundle as a backup in an existing repository, which shares data with other
/// backups. `br export ID` writes the original bundle under its original name. br unpacks the bundle below TMPDIR during the
/// import.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Refused]),
    after_long_help = examples(EXAMPLES, &exit_codes_and(ExitStatus::REPOSITORY, &[ExitStatus::Refused]))
)]
pub(crate) struct ImportArgs {
    /// Bundle file, with its original name
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Folder to merge the bundle into; created if it is missing
    #[arg(long, value_name = "DIR", value_parser = values::folder())]
    into: Option<PathBuf>,

    /// Change nothing, but show what would change
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Tag to find the backup by (can be repeated)
    #[arg(long, value_name = "TAG", conflicts_with = "into", value_parser = values::word("--tag emqx"))]
    tag: Vec<String>,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    node: NodeArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

pub(crate) async fn run(args: &ImportArgs, context: &CommandContext) -> CommandResult {
    match &args.into {
        Some(into) => merge(args, into, context).await,
        None => keep(args, context).await,
    }
}

impl ImportArgs {
    fn options(&self, context: &CommandContext) -> ImportOptions {
        let mut id = [0; 8];
        context.runtime.random.fill(&mut id);
        ImportOptions::new(u64::from_le_bytes(id))
            .with_selection(self.selection.selection())
            .with_limits(self.limits.limits())
            .with_node(self.node.node())
            .with_dry_run(self.dry_run)
    }
}

/// Merges the bundle into a folder.
async fn merge(args: &ImportArgs, into: &Path, context: &CommandContext) -> CommandResult {
    if context.names_repository() {
        let message = "--into and --repo both name a target for the bundle";
        return Err(CommandError::usage(message, "leave one of them out"));
    }
    context.refuse_repository_options("--into names a folder")?;
    let start = context.runtime.clock.elapsed();
    begin(args, context)?;
    let (file, folder) = (args.file.clone(), into.to_owned());
    let options = args.options(context);
    let report = bundles::run(context, move |progress| {
        import(&file, &folder, &options, progress)
    })
    .await?;
    let seconds = context.runtime.clock.elapsed().saturating_sub(start);
    warn(&report.inspection, context);
    let output = &context.output;
    if output.is_json() {
        let seconds = seconds.as_secs_f64();
        let json = ImportJson::new(&report, into, args.dry_run, seconds);
        output.document(&Summary::new(json))?;
    } else if args.dry_run {
        print_plan(&report, context)?;
    } else {
        print_import(&report, context)?;
    }
    Ok(ExitStatus::Ok)
}

/// The first line, printed before br reads the bundle.
fn begin(args: &ImportArgs, context: &CommandContext) -> Result<(), CommandError> {
    let output = &context.output;
    if output.is_json() || output.console.quiet {
        return Ok(());
    }
    let mut lines = output.lines();
    lines.line(&Narration::importing().begin(&args.file))?;
    lines.finish()
}

/// Losses that EMQX would not report.
fn warn(inspection: &Inspection, context: &CommandContext) {
    for warning in &inspection.warnings {
        context.output.console.warning(&finding(warning));
    }
}

fn print_plan(report: &ImportReport, context: &CommandContext) -> Result<(), CommandError> {
    let mut table = Table::new(&["ACTION", "PATH", "WHAT"], &[]);
    for change in import_order(&report.changes) {
        table.row(vec![
            change.kind.name().to_owned(),
            format::text(change.path.as_str()),
            details(change),
        ]);
    }
    let mut lines = context.output.lines();
    lines.table(table, None, &[])?;
    lines.line(&format!("{}; dry run: nothing was changed", counts(report)))?;
    lines.finish()
}

fn print_import(report: &ImportReport, context: &CommandContext) -> Result<(), CommandError> {
    if context.output.console.quiet {
        return Ok(());
    }
    let mut lines = context.output.lines();
    if report.inspection.is_emqx {
        let mut narration = Narration::importing();
        for change in import_order(&report.changes) {
            for line in narration.member(&change.path) {
                lines.line(&line)?;
            }
            for line in overwritten(change) {
                lines.line(&line)?;
            }
        }
    }
    lines.line("Data has been imported successfully.")?;
    lines.line(&counts(report))?;
    lines.finish()
}

/// EMQX's line for existing keys that the import replaced.
fn overwritten(change: &br_archive::Change) -> Vec<String> {
    use br_emqx::config::ChangeKind::Updated;
    let keys = change.config.iter().flatten();
    let keys = keys.filter(|key| key.kind == Updated);
    keys.map(|key| {
        let path = format::text(&key.path.to_string());
        format!("Config key path \"{path}\" was present before import and has been overwritten.")
    })
    .collect()
}

fn counts(report: &ImportReport) -> String {
    let count = |kind| format::count(report.count(kind));
    let files = format::counted(report.changes.len() as u64, "file", "files");
    let (inserted, updated) = (count(ChangeKind::Insert), count(ChangeKind::Update));
    let same = report.count(ChangeKind::Unchanged) + report.count(ChangeKind::Kept);
    let same = format::count(same);
    format!("{files}: {inserted} inserted, {updated} updated, {same} unchanged")
}

/// Stores the bundle in the repository.
async fn keep(args: &ImportArgs, context: &CommandContext) -> CommandResult {
    let start = context.runtime.clock.elapsed();
    let place = context.place().map_err(|error| {
        let hint = format!("{}; --into DIR merges into a folder", error.hint);
        error.with_hint(hint)
    })?;
    begin(args, context)?;
    // Open the repository before reading the bundle: this finds mistakes early, and a password prompt comes first.
    let repository = context
        .open_or_init(place, Init::Never, args.dry_run)
        .await?;
    let (file, options) = (args.file.clone(), args.options(context));
    let spool = std::env::temp_dir();
    let opened = bundles::run(context, move |progress| {
        BundleSource::open(&file, &spool, &options, progress)
    });
    let (source, inspection) = opened.await?;
    warn(&inspection, context);
    let mut tags = vec![bundle::TAG.to_owned()];
    tags.extend(args.tag.iter().map(|tag| tag.trim().to_owned()));
    let mut seen = std::collections::HashSet::new();
    tags.retain(|tag| !tag.is_empty() && seen.insert(tag.clone()));
    let path = args.file.as_os_str().as_bytes().to_vec();
    let folder = if args.file.is_relative() {
        current_folder()
    } else {
        Vec::new()
    };
    let options = BackupOptions::new(host_name(), user_name(), vec![path])
        .with_folder(folder)
        .with_origin(Origin::new(OriginKind::Bundle))
        .with_tags(tags.clone())
        .with_base(Base::Tagged(tags))
        .with_dry_run(args.dry_run);
    let reporter = std::sync::Arc::new(context.reporter());
    let (engine, guard) = context.engine_with(&reporter);
    let report = backup(&repository, source, &options, &engine).await;
    drop(guard);
    let seconds = context.runtime.clock.elapsed().saturating_sub(start);
    let report = report?;
    print_kept(&inspection, &report, seconds.as_secs_f64(), context)?;
    Ok(if report.backup.is_complete() {
        ExitStatus::Ok
    } else {
        ExitStatus::Partial
    })
}

fn print_kept(
    inspection: &Inspection,
    report: &BackupReport,
    seconds: f64,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let (output, backup) = (&context.output, &report.backup);
    if output.is_json() {
        let json = ImportedJson::new(inspection, report, seconds);
        return output.document(&Summary::new(json));
    }
    let id = if report.dry_run {
        "none: dry run, nothing was stored".to_owned()
    } else {
        backup.id.to_string()
    };
    let mut fields = vec![
        ("bundle", format::text(inspection.name.directory())),
        ("backup", id),
    ];
    fields.extend(show::change_fields(&backup.changes));
    fields.push(("size", show::contents(&backup.totals)));
    fields.push((
        "duration",
        format::speed(backup.changes.bytes_read, seconds),
    ));
    output.summary(&fields)?;
    if output.console.quiet || report.dry_run || !backup.is_complete() {
        return Ok(());
    }
    let mut lines = output.lines();
    lines.line("Data has been imported successfully.")?;
    lines.finish()
}
