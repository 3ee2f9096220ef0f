//! `br matrixone backup`: makes a MatrixOne cluster back itself up, and verifies the backup.

use std::path::PathBuf;
use std::sync::Arc;

use br_core::{Repository, Secret};
use br_matrixone::BackupKind;
use br_matrixone::archive;
use br_matrixone::backup::{
    BackupContext, BackupError, BackupOptions, BackupReport, backup, new_id,
};
use br_matrixone::catalogue::BackupLocation;
use br_matrixone::client::{ClientError, ConnectOptions, DEFAULT_PORT, ServerReason};
use br_sources::matrixone::{KeepError, KeepOptions, keep};
use clap::{Args, ValueEnum};

use super::list::EntryJson;
use super::place::{LocationArgs, open, typed_keys};
use super::progress::ArchiveReporter;
use super::server_tls::ServerTlsArgs;
use super::{CODES, CatalogueArgs};
use crate::commands::sources::{host_name, user_name};
use crate::context::CommandContext;
use crate::create::Init;
use crate::environment::secret_variable;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::json::Summary;
use crate::secret;
use crate::storage::parse_secret;
use crate::values;

/// Maximum number of files named when a backup is incomplete.
const NAMED: usize = 20;

const EXAMPLES: &str = "\
  br matrixone backup --host 127.0.0.1 --user dump --server-password-file pw --location /backup
  br matrixone backup --host 127.0.0.1 --user dump --server-password-file pw --location /backup --base-id 2289638c
  br matrixone backup --host 127.0.0.1 --user dump --server-password-file pw --location s3://bucket/mo?endpoint=http://127.0.0.1:9000
  BR_REPOSITORY=/srv/repo br matrixone backup --host 127.0.0.1 --user dump --location /backup   # a copy in the repository as well";

/// Back up a cluster
///
/// The server writes the backup below the given folder or bucket. A folder must be the same for the server and for br. Then br
/// reads the whole backup, and lists it as complete only if nothing is missing or damaged. If a repository is named, br also
/// copies the backup to it; the copy shares unchanged data with earlier ones.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct BackupArgs {
    /// Host of the server
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,

    /// Port of the server
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = DEFAULT_PORT,
        value_parser = values::number(1_u16..=u16::MAX, "the port", "--port 6001")
    )]
    port: u16,

    /// User in the account sys, such as dump
    #[arg(long, value_name = "NAME")]
    user: String,

    /// Password of the user; visible to other users of this machine, so set the variable instead [env: BR_MATRIXONE_PASSWORD]
    #[arg(id = "server_password", long = "password", hide_short_help = true, value_name = "PASSWORD", value_parser = parse_secret)]
    password: Option<Secret>,

    /// Read the password of the user from a file, or from standard input (-)
    #[arg(long, value_name = "FILE", conflicts_with = "server_password")]
    server_password_file: Option<PathBuf>,

    #[command(flatten)]
    tls: ServerTlsArgs,

    #[command(flatten)]
    location: LocationArgs,

    /// Back up everything (full) or changes since --base-id (incremental) [default: full without --base-id]
    #[arg(long, value_name = "TYPE", value_enum)]
    backup_type: Option<TypeArg>,

    /// Base of an incremental backup: its id or the start of it
    #[arg(long, value_name = "ID")]
    base_id: Option<String>,

    /// Files that the server copies concurrently [default, and with 0 or at least 512: the server decides]
    #[arg(
        long,
        value_name = "N",
        value_parser = values::number(0..=u16::MAX, "the number of concurrent files", "--parallelism 8")
    )]
    parallelism: Option<u16>,

    /// Do not copy the backup to the repository, even if one is named
    #[arg(long)]
    in_place: bool,

    /// Ignored, as in MatrixOne
    #[arg(long, hide = true, value_name = "FORMAT")]
    compression: Option<String>,

    #[command(flatten)]
    catalogue: CatalogueArgs,
}

/// Scope of the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TypeArg {
    /// Everything
    Full,
    /// Changes since the base
    #[value(alias = "incr")]
    Incremental,
}

pub(super) async fn run(args: BackupArgs, context: &CommandContext) -> CommandResult {
    let place = args.location.required(context)?;
    let catalogue = args.catalogue.open()?;
    let base = args.base(context)?;
    let server = args.server(context)?;
    if args.compression.is_some() {
        context
            .output
            .console
            .note("--compression has no effect: MatrixOne ignores it");
    }
    let keys = match place {
        BackupLocation::S3(_) => typed_keys(context)?,
        _ => None,
    };
    let repository = if args.in_place {
        None
    } else {
        context.additional_repository()?
    };
    let repository = match repository {
        // Open the repository now: this finds mistakes before hours of work, and the password prompt comes first.
        Some(place) => Some(context.open_or_init(place, Init::Never, false).await?),
        None => {
            context.refuse_password_options("this command uses none")?;
            None
        }
    };
    let root = open(&place, context)?;
    let mut random = [0; 10];
    context.runtime.random.fill(&mut random);
    let millis = context.runtime.clock.now().as_millisecond();
    let id = new_id(u64::try_from(millis).unwrap_or(0), random);
    let options = BackupOptions::new(id, place)
        .with_keys(keys)
        .with_parallelism(args.parallelism)
        .with_base(base);
    let reporter = Arc::new(context.reporter());
    let progress = Arc::new(ArchiveReporter::new(&reporter, context));
    let (_, guard) = context.engine_with(&reporter);
    let clock = || context.runtime.clock.now();
    let name = format!("{}-{}", args.host, args.port);
    let surroundings = BackupContext {
        catalogue: &catalogue,
        clock: &clock,
        progress,
        cancel: &context.cancel,
    };
    let done = backup(&server, &name, root.clone(), &options, &surroundings).await;
    drop(guard);
    let report = done.map_err(|error| explain(&error, &id.to_string()))?;
    let kept = match &repository {
        Some(repository) => copy(&report, &root, repository, context).await.map(Some),
        None => Ok(None),
    };
    // The backup itself has succeeded, even if the copy fails.
    let copy = kept.as_ref().ok().and_then(Option::as_deref);
    print(&report, copy, context)?;
    kept?;
    Ok(ExitStatus::Ok)
}

impl BackupArgs {
    /// The base; checks that it fits the type of the backup.
    fn base(
        &self,
        context: &CommandContext,
    ) -> Result<Option<br_matrixone::catalogue::CatalogueEntry>, CommandError> {
        match (&self.base_id, self.backup_type) {
            (None, Some(TypeArg::Incremental)) => Err(CommandError::usage(
                "an incremental backup needs a base",
                "give --base-id; `br matrixone list` shows the backups",
            )),
            (Some(_), Some(TypeArg::Full)) => Err(CommandError::usage(
                "a full backup has no base",
                "leave out --base-id, or use --backup-type incremental",
            )),
            (Some(id), _) => self.catalogue.find(id, context).map(Some),
            (None, _) => Ok(None),
        }
    }

    fn server(&self, context: &CommandContext) -> Result<ConnectOptions, CommandError> {
        if self.password.is_some() {
            let better = "use --server-password-file, or BR_MATRIXONE_PASSWORD";
            context.warn_exposed("--password", better);
        }
        let password = match (&self.password, &self.server_password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(file)) => {
                context.warn_of_file("--server-password-file", file);
                let secret = secret::Secret::of_file(file, "--server-password-file")
                    .and_then(|secret| secret.to_text());
                secret.map_err(|error| {
                    let message = format!("cannot use the password in {}", file.display());
                    let hint =
                        "check --server-password-file: the file must contain only the password";
                    CommandError::usage(message, hint).because(&error)
                })?
            }
            (None, None) => from_environment()?,
        };
        let options = ConnectOptions::new(&self.host, self.port, &self.user, password);
        Ok(options.with_tls(self.tls.mode()?))
    }
}

/// The password from the environment; empty if there is none.
fn from_environment() -> Result<Secret, CommandError> {
    const NAME: &str = "BR_MATRIXONE_PASSWORD";
    let Some(value) = secret_variable(NAME)? else {
        return Ok(Secret::new(""));
    };
    let secret = secret::Secret::of_variable(value).and_then(|secret| secret.to_text());
    secret.map_err(|error| {
        let message = format!("cannot use the password in {NAME}");
        CommandError::usage(message, "set it to the password, as one line of text").because(&error)
    })
}

/// Copies the backup to the repository.
async fn copy(
    report: &BackupReport,
    root: &archive::Folder,
    repository: &Repository,
    context: &CommandContext,
) -> Result<String, CommandError> {
    let reporter = Arc::new(context.reporter());
    let (engine, _guard) = context.engine_with(&reporter);
    let options = KeepOptions::new(host_name(), user_name());
    let backup = keep(repository, root, &report.entry, &options, &engine).await;
    Ok(backup.map(|backup| backup.id.to_string())?)
}

fn print(
    report: &BackupReport,
    kept: Option<&str>,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let output = &context.output;
    if output.is_json() {
        return output.document(&Summary::new(serde_json::json!({
            "backup": EntryJson::from(&report.entry),
            "repository_backup": kept,
            "unproven": report.check.unproven_count,
        })));
    }
    let mut lines = output.lines();
    lines.line("Backup ID")?;
    lines.line(&format!("    {}", report.entry.id))?;
    if !output.console.quiet {
        let kind = match report.entry.kind {
            BackupKind::Full => "full",
            BackupKind::Incremental => "incremental",
        };
        let files = format::counted(report.check.files, "file", "files");
        let bytes = format::size(report.check.logical_bytes);
        lines.line(&format!("{kind}, {files}, {bytes}, all verified"))?;
        if let Some(kept) = kept {
            lines.line(&format!("copied to the repository as {kept}"))?;
        }
    }
    lines.finish()
}

impl From<KeepError> for CommandError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Archive(error) => error.into(),
            KeepError::Repository(error) => error.into(),
            error => Self::new(
                ExitStatus::Failure,
                error.to_string(),
                "run the command again",
            ),
        }
    }
}

/// The error message and the hint for a failed backup.
fn explain(error: &BackupError, id: &str) -> CommandError {
    let remove = format!("; `br matrixone delete {id}` removes its files");
    let (status, hint) = match error {
        BackupError::Client(error) => of_client(error, &remove),
        BackupError::Statement(_) | BackupError::Base(_) => (
            ExitStatus::Usage,
            "correct the arguments; br did not start a backup".to_owned(),
        ),
        BackupError::Busy => (
            ExitStatus::Conflict,
            "run the command again when the other one has finished".to_owned(),
        ),
        BackupError::Unsound { .. } => (
            ExitStatus::Damaged,
            format!("it counts as failed: read the server's log, and make another backup{remove}"),
        ),
        BackupError::Archive(error) => of_archive(error, &remove),
        _ => (
            ExitStatus::Failure,
            "check --meta-path and the permissions of its folder".to_owned(),
        ),
    };
    let mut out = CommandError::new(status, error.to_string(), hint);
    if let Some(cause) = std::error::Error::source(error) {
        out = out.because(cause);
    }
    if let BackupError::Unsound { problems, .. } = error {
        // The message has the first cause.
        let more = problems.iter().skip(1).take(NAMED);
        out.causes.extend(more.map(ToString::to_string));
    }
    let message = out.message.clone();
    out.causes.retain(|cause| *cause != message);
    out.causes.dedup();
    out
}

/// The server did not make the backup, or its state is unknown.
fn of_client(error: &ClientError, remove: &str) -> (ExitStatus, String) {
    match error {
        ClientError::WrongPassword { .. } | ClientError::NotSysAccount { .. } => (
            ExitStatus::AccessDenied,
            "check --user and the password".to_owned(),
        ),
        ClientError::Cancelled { .. } => (
            ExitStatus::Interrupted,
            format!("run the command again{remove}"),
        ),
        ClientError::NotMatrixOne { .. } | ClientError::NotMySql { .. } => {
            (ExitStatus::Usage, "check --host and --port".to_owned())
        }
        ClientError::TlsNotOffered { .. } => (
            ExitStatus::Usage,
            "let the server offer encryption, or use --server-tls preferred or disabled".to_owned(),
        ),
        ClientError::Tls { .. } => (
            ExitStatus::Usage,
            "check --server-tls, --server-ca-certificate and the certificate of the server"
                .to_owned(),
        ),
        ClientError::PasswordInClear => (
            ExitStatus::Usage,
            "let the server offer encryption, and use --server-tls required or verified".to_owned(),
        ),
        ClientError::Server(error) if error.reason() == ServerReason::Denied => {
            (ExitStatus::AccessDenied, "check --user".to_owned())
        }
        ClientError::Server(_) => (
            ExitStatus::Failure,
            format!("read the log of the server, and run the command again{remove}"),
        ),
        ClientError::Ambiguous(_) => (
            ExitStatus::StorageUnavailable,
            format!("check that the server still runs, and run the command again{remove}"),
        ),
        ClientError::Unsupported { .. } => (ExitStatus::Usage, "make a full backup".to_owned()),
        _ => (
            ExitStatus::StorageUnavailable,
            "check --host, --port and the server, and run the command again".to_owned(),
        ),
    }
}

/// br could not read the backup that the server wrote.
fn of_archive(error: &archive::Error, remove: &str) -> (ExitStatus, String) {
    match error.kind() {
        archive::ErrorKind::Cancelled => (
            ExitStatus::Interrupted,
            format!("run the command again{remove}"),
        ),
        archive::ErrorKind::NotFound => (
            ExitStatus::RepositoryNotFound,
            "name a folder that is the same for the server and for br, or a bucket".to_owned(),
        ),
        archive::ErrorKind::Denied => (
            ExitStatus::AccessDenied,
            "run br as the server's user so that it can read the backup, or check the access key"
                .to_owned(),
        ),
        archive::ErrorKind::Unavailable => (
            ExitStatus::StorageUnavailable,
            format!("check the connection, and run the command again{remove}"),
        ),
        archive::ErrorKind::Io => (
            ExitStatus::Failure,
            format!("fix the cause above, and run the command again{remove}"),
        ),
        _ => (
            ExitStatus::Damaged,
            format!("it counts as failed: read the server's log, and make another backup{remove}"),
        ),
    }
}
