//! `br matrixone restore`: makes the data of a MatrixOne from a backup.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use br_core::Secret;
use br_matrixone::archive::{
    Place, RestoreOptions, RestorePlan, RestoreReport, RestoreTarget, TnConfig,
};
use br_matrixone::catalog::State;
use clap::{Args, ValueEnum};

use super::place::Source;
use super::progress::ArchiveProgress;
use super::{CODES, CatalogArgs, blocking};
use crate::cli::{examples, exit_codes};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::output::json::Summary;
use crate::output::matrixone::human;
use crate::storage::{BucketTarget, parse_secret};
use crate::values;

const EXAMPLES: &str = "\
  br matrixone restore 25536ff0 --restore-path /srv/matrixone
  br matrixone restore 25536ff0 --restore-path /srv/matrixone --dn-config-path /srv/matrixone/etc/tn.toml
  br matrixone restore --backup_dir filesystem --backup_path /backup/full-25536ff0-… --restore-path /srv/matrixone";

/// Restore a backup into an empty MatrixOne
///
/// Stop MatrixOne first, and move its mo-data away. Nothing is written before it is sure that no file is missing; each file is verified
/// while it is copied and appears when it is whole. An interrupted restore goes on where it was when it is run again.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct RestoreArgs {
    /// A backup of the catalogue: its id, or the start of it [default: the one at --backup_dir]
    #[arg(value_name = "ID")]
    id: Option<String>,

    /// The backup, as later releases of mo_br want it said
    #[arg(
        long,
        alias = "base_id",
        value_name = "ID",
        hide = true,
        conflicts_with = "id"
    )]
    base_id: Option<String>,

    /// Kind of target [default: what the other options say]
    #[arg(
        long,
        alias = "restore_dir",
        value_name = "KIND",
        value_enum,
        hide_short_help = true
    )]
    restore_dir: Option<KindArg>,

    /// Folder in which MatrixOne runs: mo-data comes to lie there
    #[arg(long, alias = "restore_path", value_name = "DIR", value_parser = values::folder())]
    restore_path: Option<PathBuf>,

    /// tn.toml of that MatrixOne, which says where its data lies and how
    #[arg(
        long,
        alias = "dn_config_path",
        value_name = "FILE",
        requires = "restore_path"
    )]
    dn_config_path: Option<PathBuf>,

    /// Bucket to restore to
    #[arg(long, alias = "restore_bucket", value_name = "NAME")]
    restore_bucket: Option<String>,

    /// Folder in that bucket
    #[arg(
        long,
        alias = "restore_filepath",
        value_name = "FOLDER",
        requires = "restore_bucket"
    )]
    restore_filepath: Option<String>,

    /// Server of that bucket
    #[arg(
        long,
        alias = "restore_endpoint",
        value_name = "URL",
        requires = "restore_bucket"
    )]
    restore_endpoint: Option<String>,

    /// Region of that bucket
    #[arg(
        long,
        alias = "restore_region",
        value_name = "NAME",
        requires = "restore_bucket",
        hide_short_help = true
    )]
    restore_region: Option<String>,

    /// Access key for that bucket [default: as for the backup]
    #[arg(
        long,
        alias = "restore_access_key_id",
        value_name = "ID",
        requires = "restore_bucket",
        hide_short_help = true
    )]
    restore_access_key_id: Option<String>,

    /// Its secret; others on this machine can see it
    #[arg(long, alias = "restore_secret_access_key", value_name = "SECRET", requires = "restore_access_key_id", hide_short_help = true, value_parser = parse_secret)]
    restore_secret_access_key: Option<Secret>,

    /// Role to take for that bucket
    #[arg(
        long,
        alias = "restore_role_arn",
        value_name = "ARN",
        requires = "restore_bucket",
        hide_short_help = true
    )]
    restore_role_arn: Option<String>,

    /// The server of that bucket is MinIO
    #[arg(long, alias = "restore_is_minio", requires = "restore_bucket", hide_short_help = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    restore_is_minio: bool,

    /// Ignored, as MatrixOne ignores it
    #[arg(
        long,
        alias = "restore_compression",
        hide = true,
        value_name = "FORMAT"
    )]
    restore_compression: Option<String>,

    /// Accepted and not needed: every file is verified
    #[arg(long, hide = true)]
    checksum: bool,

    /// Files copied at once, at most 512 [default: as many as there are cores, and so with 0]
    #[arg(long, value_name = "N", value_parser = values::number(0_u16..=512, "the number of files at once", "--parallelism 8"))]
    parallelism: Option<u16>,

    #[command(flatten)]
    catalog: CatalogArgs,
}

/// Kinds of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    /// A bucket
    S3,
    /// A folder
    Filesystem,
}

pub(super) async fn run(args: RestoreArgs, context: &CommandContext) -> CommandResult {
    let id = args.id.as_deref().or(args.base_id.as_deref());
    let source = Source::find(id, &args.catalog, context)?;
    refuse_unusable(&source)?;
    let (target, to) = args.target(context)?;
    if args.restore_secret_access_key.is_some() {
        let better = "use a profile, or AWS_SECRET_ACCESS_KEY";
        context.warn_exposed("--restore-secret-access-key", better);
    }
    let tae_path = target.shared_label().to_owned();
    say_where(&source.shown, &to, &tae_path, context)?;
    let mut options = RestoreOptions::default();
    if let Some(threads) = args.parallelism.and_then(|n| NonZeroUsize::new(n.into())) {
        options = options.with_threads(threads);
    }
    let reporter = Arc::new(context.reporter());
    let progress = Arc::new(ArchiveProgress::new(&reporter, context));
    let (_, guard) = context.engine_with(&reporter);
    let teller = Arc::clone(&progress);
    let done = blocking(move || {
        let archive = source.archive()?;
        let backup = source.wanted.pick(&archive)?;
        let plan = RestorePlan::new(&archive, backup, target, &*teller)?;
        let warnings = plan.warnings().to_vec();
        Ok((plan.execute(&options, &*teller)?, warnings))
    })
    .await;
    drop(guard);
    let (report, warnings) = done?;
    for warning in &warnings {
        context.output.console.warning(&format::text(warning));
    }
    let done = Done {
        report,
        tae_path,
        threads: options.threads,
        files: progress.take_restored(),
        duration: reporter.elapsed(),
    };
    print(&done, context)?;
    Ok(ExitStatus::Ok)
}

/// A restore that is over.
struct Done {
    report: RestoreReport,
    tae_path: String,
    threads: NonZeroUsize,
    files: Vec<String>,
    duration: std::time::Duration,
}

/// A backup that was not found whole is none to restore.
fn refuse_unusable(source: &Source) -> Result<(), CommandError> {
    match &source.entry {
        Some(entry) if entry.state != State::Complete => Err(CommandError::new(
            ExitStatus::Damaged,
            format!(
                "the backup {} is {}: it is not whole",
                entry.id, entry.state
            ),
            "restore another one; `br matrixone check` says what there is of this one",
        )),
        _ => Ok(()),
    }
}

impl RestoreArgs {
    /// Where to restore to, and what to call it.
    fn target(&self, context: &CommandContext) -> Result<(RestoreTarget, String), CommandError> {
        match (self.kind()?, &self.restore_path, &self.restore_bucket) {
            (KindArg::Filesystem, Some(path), None) => {
                let shown = format!("BackupDir: filesystem\n    Path: {}", format::path(path));
                Ok((self.folder(path)?, shown))
            }
            (KindArg::S3, None, Some(bucket)) => {
                let filepath = self.restore_filepath.as_deref().unwrap_or_default();
                let endpoint = self.restore_endpoint.as_deref().unwrap_or_default();
                let shown = format!(
                    "BackupDir: s3\nEndpoint: {endpoint} Bucket: {bucket} FilePath: {filepath}"
                );
                let there = BucketTarget {
                    endpoint: self.restore_endpoint.clone(),
                    bucket: bucket.clone(),
                    filepath: filepath.to_owned(),
                    region: self.restore_region.clone(),
                    role_arn: self.restore_role_arn.clone(),
                    is_minio: self.restore_is_minio,
                    access_key_id: self.restore_access_key_id.clone(),
                    secret_access_key: self.restore_secret_access_key.clone(),
                };
                let storage = context.open_bucket(&there)?;
                let handle = tokio::runtime::Handle::current();
                let place = Place::object(storage.object_store(), "", handle)?;
                let place = place.named(storage.location_text());
                Ok((RestoreTarget::object(&place)?, shown))
            }
            (KindArg::Filesystem, _, Some(_)) | (KindArg::S3, Some(_), _) => {
                Err(CommandError::usage(
                    "a folder and a bucket to restore to contradict each other",
                    "give --restore-path, or --restore-bucket and what belongs to it",
                ))
            }
            (KindArg::Filesystem, None, _) => Err(CommandError::usage(
                "it is not said where to restore to",
                "name the folder in which MatrixOne runs with --restore-path",
            )),
            (KindArg::S3, None, None) => Err(CommandError::usage(
                "restoring to s3 needs a bucket",
                "name it with --restore-bucket, and the folder in it with --restore-filepath",
            )),
        }
    }

    fn kind(&self) -> Result<KindArg, CommandError> {
        let guess = match self.restore_bucket {
            Some(_) => KindArg::S3,
            None => KindArg::Filesystem,
        };
        Ok(self.restore_dir.unwrap_or(guess))
    }

    fn folder(&self, path: &std::path::Path) -> Result<RestoreTarget, CommandError> {
        let Some(config) = &self.dn_config_path else {
            return Ok(RestoreTarget::local(path)?);
        };
        let text = std::fs::read_to_string(config).map_err(|error| {
            let message = format!("cannot read the configuration {}", config.display());
            CommandError::usage(message, "check --dn-config-path").because(&error)
        })?;
        Ok(RestoreTarget::local_with(path, &TnConfig::parse(&text)?)?)
    }
}

/// The first lines of the manual.
fn say_where(
    from: &str,
    to: &str,
    tae_path: &str,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let output = &context.output;
    if output.is_json() || output.console.quiet {
        return Ok(());
    }
    let mut lines = output.lines();
    lines.line("From:")?;
    for line in from.split("  ") {
        lines.line(&format!("    {}", format::text(line.trim())))?;
    }
    lines.line("")?;
    lines.line("To")?;
    for line in to.lines() {
        lines.line(&format!("    {}", line.trim()))?;
    }
    lines.line("")?;
    lines.line("TaePath")?;
    lines.line(&format!("    ./{tae_path}"))?;
    lines.finish()
}

fn print(done: &Done, context: &CommandContext) -> Result<(), CommandError> {
    let (output, report) = (&context.output, &done.report);
    if output.is_json() {
        return output.document(&Summary::new(serde_json::json!({
            "files": report.files,
            "bytes": report.bytes,
            "kept": report.kept,
            "reframed": report.reframed,
            "bytes_written": report.written_bytes,
            "unproven": report.unproven,
            "duration_seconds": format::round_seconds(done.duration.as_secs_f64()),
        })));
    }
    if output.console.quiet {
        return Ok(());
    }
    let mut lines = output.lines();
    // Two spaces, as the manual has it.
    lines.line(&format!(
        "restore tae file path ./{}, parallelism {threads},  parallel count num: {threads}",
        done.tae_path,
        threads = done.threads
    ))?;
    for line in &done.files {
        lines.line(line)?;
    }
    lines.line(&format!(
        "restore file num: {}, total file num: {}, cost : {}",
        report.files - report.kept,
        report.files,
        human::duration(done.duration)
    ))?;
    if report.kept > 0 {
        let kept = format::counted(report.kept, "file was", "files were");
        lines.line(&format!(
            "{kept} there already, from a restore that was interrupted"
        ))?;
    }
    if report.unproven > 0 {
        let files = format::counted(report.unproven, "file has", "files have");
        lines.line(&format!(
            "{files} no digest anywhere; sizes, frames and headers were right"
        ))?;
    }
    lines.finish()
}
