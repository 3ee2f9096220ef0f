//! `br matrixone`: backups of MatrixOne clusters.
//!
//! One verb a file; [`place`] is where backups lie, [`progress`] what is told meanwhile. `compat::mo_br` turns command lines of `mo_br` into these. Invariant:
//! these commands work on the catalogue and on what MatrixOne wrote; a repository of br only ever gets a copy.

mod backup;
mod check;
mod delete;
mod list;
mod place;
mod progress;
mod rebuild;
mod restore;
mod server_tls;

use std::path::{Path, PathBuf};

use br_matrixone::archive::{self, ErrorKind};
use br_matrixone::catalog::{Catalog, CatalogError, DEFAULT_META_PATH, Entry, Listing, OWN_NAME};
use clap::{Args, Subcommand};

use crate::cli::{examples, exit_codes};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;

const EXAMPLES: &str = "\
  br matrixone backup --host 127.0.0.1 --user dump --server-password-file pw --location /backup
  br matrixone backup --host 127.0.0.1 --user dump --server-password-file pw --location /backup --base-id 01942b54
  br matrixone list
  br matrixone check 01942b54
  br matrixone restore 01942b54 --target /srv/matrixone";

pub(crate) const CODES: &[ExitStatus] = &[
    ExitStatus::Ok,
    ExitStatus::Failure,
    ExitStatus::Usage,
    ExitStatus::RepositoryNotFound,
    ExitStatus::Locked,
    ExitStatus::AccessDenied,
    ExitStatus::StorageUnavailable,
    ExitStatus::Damaged,
    ExitStatus::UnsupportedFormat,
    ExitStatus::Refused,
    ExitStatus::Interrupted,
];

/// Back up MatrixOne clusters, and check and restore their backups
///
/// `br mo-br` takes the command lines of mo_br's manual as they are. br remembers its backups in
/// `br-matrixone.json` next to `mo_br.meta`, which it reads and never changes.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(crate) struct MatrixOneCommand {
    #[command(flatten)]
    settings: SettingsArgs,

    #[command(subcommand)]
    verb: Verb,
}

/// Where `mo_br` has its settings and its log. br has neither, and command lines with them work nevertheless.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// Not read: br has options and variables of the environment
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Not written, unless it is `console`: br says what it has to say on stderr
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    log_file: Option<PathBuf>,

    /// No effect: -v says more, -q says less
    #[arg(long, global = true, hide = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl SettingsArgs {
    fn warn(&self, context: &CommandContext) {
        let console = &context.output.console;
        if let Some(file) = &self.config {
            let file = format::path(file);
            console.warning(&format!("the settings in {file} are not read"));
        }
        let file = self.log_file.as_deref();
        if let Some(file) = file.filter(|file| *file != Path::new("console")) {
            let file = format::path(file);
            console.warning(&format!(
                "no log is written to {file}: this is all there is"
            ));
        }
    }
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Verb {
    Backup(Box<backup::BackupArgs>),
    List(list::ListArgs),
    Check(check::CheckArgs),
    Restore(Box<restore::RestoreArgs>),
    Delete(delete::DeleteArgs),
    Rebuild(rebuild::RebuildArgs),
}

/// Where the catalogue is.
#[derive(Debug, Clone, Args)]
pub(super) struct CatalogArgs {
    /// The catalogue of mo_br or of br; br keeps its own next to the former
    #[arg(long, value_name = "FILE", default_value = DEFAULT_META_PATH)]
    meta_path: PathBuf,
}

impl CatalogArgs {
    fn open(&self) -> Result<Catalog, CommandError> {
        Ok(Catalog::open(&self.meta_path)?)
    }

    /// Refuses to continue where no catalogue is: an empty list would look as if there were no backups.
    fn must_exist(&self) -> Result<(), CommandError> {
        let mut beside = self.meta_path.clone().into_os_string();
        beside.push(format!(".{OWN_NAME}"));
        let places = [
            self.meta_path.clone(),
            self.meta_path.with_file_name(OWN_NAME),
            beside.into(),
        ];
        // What cannot be looked at is there: reading it says what is wrong.
        if places
            .iter()
            .any(|place| place.try_exists().unwrap_or(true))
        {
            return Ok(());
        }
        let path = format::path(&self.meta_path);
        Err(CommandError::new(
            ExitStatus::RepositoryNotFound,
            format!(
                "there is no catalogue of MatrixOne's backups: neither {path} nor {OWN_NAME} is there"
            ),
            "go to the folder with mo_br.meta, or name it with --meta-path; `br matrixone rebuild` makes a catalogue",
        ))
    }

    /// All backups, after what is odd about the catalogue was told.
    fn list(&self, context: &CommandContext) -> Result<Listing, CommandError> {
        self.must_exist()?;
        let listing = self.open()?.list()?;
        for warning in &listing.warnings {
            context.output.console.warning(&warning.to_string());
        }
        Ok(listing)
    }

    /// The backup that is meant.
    fn find(&self, id: &str, context: &CommandContext) -> Result<Entry, CommandError> {
        Ok(self.list(context)?.find(id)?)
    }
}

pub(crate) async fn run(args: MatrixOneCommand, context: &CommandContext) -> CommandResult {
    args.settings.warn(context);
    if !matches!(args.verb, Verb::Backup(_) | Verb::Rebuild(_)) {
        context.refuse_password_options("this command works on none")?;
    }
    match args.verb {
        Verb::Backup(args) => backup::run(*args, context).await,
        Verb::List(args) => list::run(args, context).await,
        Verb::Check(args) => check::run(args, context).await,
        Verb::Restore(args) => restore::run(*args, context).await,
        Verb::Delete(args) => delete::run(args, context).await,
        Verb::Rebuild(args) => rebuild::run(args, context).await,
    }
}

/// Runs something that blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> archive::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(CommandError::new(
            ExitStatus::Failure,
            "a thread ended unexpectedly",
            "this is a bug in br: please report it with the command you ran",
        )
        .because(&error)),
    }
}

impl From<archive::Error> for CommandError {
    fn from(error: archive::Error) -> Self {
        let (status, hint) = match error.kind() {
            ErrorKind::Invalid => (ExitStatus::Usage, "correct the argument"),
            ErrorKind::NotFound => (
                ExitStatus::RepositoryNotFound,
                "name the folder or the bucket that the backup was written to",
            ),
            ErrorKind::Exists => (
                ExitStatus::Failure,
                "stop MatrixOne and move its mo-data away, or restore into another folder",
            ),
            ErrorKind::Missing => (
                ExitStatus::Damaged,
                "bring back the backups that are named, into the same root: nothing was restored",
            ),
            ErrorKind::Damaged => (
                ExitStatus::Damaged,
                "`br matrixone check` names what is damaged; take another backup",
            ),
            ErrorKind::Refused => (
                ExitStatus::Refused,
                "the archive is none that MatrixOne writes: find out who made it",
            ),
            ErrorKind::Denied => (
                ExitStatus::AccessDenied,
                "check the access key and what its owner may do with the bucket, or the permissions of the folder",
            ),
            ErrorKind::Unavailable => (
                ExitStatus::StorageUnavailable,
                "check the connection and run the command again: what is there is used",
            ),
            ErrorKind::Cancelled => (
                ExitStatus::Interrupted,
                "run the command again: what is there is used",
            ),
            _ => (
                ExitStatus::Failure,
                "see the cause above; when it is mended, run the command again",
            ),
        };
        let mut out = Self::new(status, error.to_string(), hint);
        if let Some(cause) = std::error::Error::source(&error) {
            out = out.because(cause);
        }
        for problem in error.problems().iter().take(20) {
            out.causes.push(problem.to_string());
        }
        out
    }
}

impl From<CatalogError> for CommandError {
    fn from(error: CatalogError) -> Self {
        let (status, hint) = match &error {
            CatalogError::NotFound(_) | CatalogError::Several { .. } | CatalogError::Deleted(_) => {
                (
                    ExitStatus::Usage,
                    "`br matrixone list` shows the backups that are known here; --meta-path names another catalogue",
                )
            }
            CatalogError::SecretInPlace(_) => (
                ExitStatus::Usage,
                "give keys with --access-key-id and --secret-access-key-file",
            ),
            CatalogError::Busy(_) => (
                ExitStatus::Locked,
                "run the command again when the other one is done",
            ),
            CatalogError::Damaged { .. } => (
                ExitStatus::Damaged,
                "the backups are not affected, and are found with --location without any catalogue; `br matrixone rebuild` \
                 makes a new one",
            ),
            CatalogError::Newer { .. } => (
                ExitStatus::UnsupportedFormat,
                "use a newer br: this one does not know the format and leaves it alone",
            ),
            _ => (
                ExitStatus::Failure,
                "see the cause above, and name the catalogue with --meta-path",
            ),
        };
        let mut out = Self::new(status, error.to_string(), hint);
        if let Some(cause) = std::error::Error::source(&error) {
            out = out.because(cause);
        }
        out
    }
}
