//! `br matrixone`: backups of MatrixOne clusters.
//!
//! One file per subcommand; [`place`] finds backups, [`progress`] reports progress. `compat::mo_br` translates `mo_br` command
//! lines to these. Invariant: these commands use the catalogue and MatrixOne's own backup files; a repository only gets a copy.

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
use br_matrixone::catalogue::{
    Catalogue, CatalogueEntry, CatalogueError, DEFAULT_META_PATH, Listing, OWN_NAME,
};
use clap::{Args, Subcommand};

use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::thread;

const EXAMPLES: &str = "\
  br matrixone backup --host 127.0.0.1 --user dump --server-password-file pw --location /backup
  br matrixone backup --host 127.0.0.1 --user dump --server-password-file pw --location /backup --base-id 01942b54
  br matrixone list
  br matrixone check 01942b54
  br matrixone restore 01942b54 --target /srv/matrixone";

const CODES: &[ExitStatus] = ExitStatus::MATRIXONE;

/// Back up MatrixOne clusters, and check and restore their backups
///
/// `br mo-br` accepts the command lines of mo_br's manual unchanged. br keeps its catalogue in `br-matrixone.json` next to
/// `mo_br.meta`, which it reads but never changes.
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

/// Options for the settings and the log of `mo_br`. br has neither, but accepts command lines with these options.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// Ignored: br has options and environment variables
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Ignored, unless it is `console`: br prints messages on stderr
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    log_file: Option<PathBuf>,

    /// No effect: use -v for more output, -q for less
    #[arg(long, global = true, hide = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl SettingsArgs {
    fn warn(&self, context: &CommandContext) {
        let console = &context.output.console;
        if let Some(file) = &self.config {
            let file = format::path(file);
            console.warning(&format!("br does not read the settings in {file}"));
        }
        let file = self.log_file.as_deref();
        if let Some(file) = file.filter(|file| *file != Path::new("console")) {
            let file = format::path(file);
            console.warning(&format!(
                "br writes no log to {file}, only messages to stderr"
            ));
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Verb {
    Backup(Box<backup::BackupArgs>),
    List(list::ListArgs),
    Check(check::CheckArgs),
    Restore(Box<restore::RestoreArgs>),
    Delete(delete::DeleteArgs),
    Rebuild(rebuild::RebuildArgs),
}

/// The location of the catalogue.
#[derive(Debug, Clone, Args)]
pub(super) struct CatalogueArgs {
    /// Catalogue of mo_br or of br; br keeps its own file next to mo_br's
    #[arg(long, value_name = "FILE", default_value = DEFAULT_META_PATH)]
    meta_path: PathBuf,
}

impl CatalogueArgs {
    fn open(&self) -> Result<Catalogue, CommandError> {
        Ok(Catalogue::open(&self.meta_path)?)
    }

    /// Refuses to continue without a catalogue: an empty list would look as if there were no backups.
    fn must_exist(&self) -> Result<(), CommandError> {
        let mut own = self.meta_path.clone().into_os_string();
        own.push(format!(".{OWN_NAME}"));
        let places = [
            self.meta_path.clone(),
            self.meta_path.with_file_name(OWN_NAME),
            own.into(),
        ];
        // If the check fails, assume that the file exists: reading it reports the error.
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
                "there is no catalogue of MatrixOne backups: neither {path} nor {OWN_NAME} exists"
            ),
            "change to the folder with mo_br.meta, or name the file with --meta-path; `br matrixone rebuild` creates a catalogue",
        ))
    }

    /// All backups. Warns of problems in the catalogue first.
    fn list(&self, context: &CommandContext) -> Result<Listing, CommandError> {
        self.must_exist()?;
        let listing = self.open()?.list()?;
        for warning in &listing.warnings {
            context.output.console.warning(&warning.to_string());
        }
        Ok(listing)
    }

    /// Finds the selected backup.
    fn find(&self, id: &str, context: &CommandContext) -> Result<CatalogueEntry, CommandError> {
        Ok(self.list(context)?.find(id)?)
    }
}

pub(crate) async fn run(args: MatrixOneCommand, context: &CommandContext) -> CommandResult {
    args.settings.warn(context);
    if !matches!(args.verb, Verb::Backup(_) | Verb::Rebuild(_)) {
        context.refuse_password_options("this command uses none")?;
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

/// Runs blocking work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> archive::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    Ok(thread::on_thread(work).await??)
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
                "put the backups named above back into the same root: nothing was restored",
            ),
            ErrorKind::Damaged => (
                ExitStatus::Damaged,
                "`br matrixone check` lists the damage; use another backup",
            ),
            ErrorKind::Refused => (
                ExitStatus::Refused,
                "MatrixOne does not write such an archive: find out who made it",
            ),
            ErrorKind::Denied => (
                ExitStatus::AccessDenied,
                "check the access key and its permissions for the bucket, or the permissions of the folder",
            ),
            ErrorKind::Unavailable => (
                ExitStatus::StorageUnavailable,
                "check the connection and run the command again: it uses the existing files",
            ),
            ErrorKind::Cancelled => (
                ExitStatus::Interrupted,
                "run the command again: it uses the existing files",
            ),
            _ => (
                ExitStatus::Failure,
                "fix the cause above and run the command again",
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

impl From<CatalogueError> for CommandError {
    fn from(error: CatalogueError) -> Self {
        let (status, hint) = match &error {
            CatalogueError::NotFound(_)
            | CatalogueError::Several { .. }
            | CatalogueError::Deleted(_) => (
                ExitStatus::Usage,
                "`br matrixone list` shows the backups in the catalogue; --meta-path names another catalogue",
            ),
            CatalogueError::SecretInPlace(_) => (
                ExitStatus::Usage,
                "give keys with --access-key-id and --secret-access-key-file",
            ),
            CatalogueError::Busy(_) => (
                ExitStatus::Conflict,
                "run the command again when the other one has finished",
            ),
            CatalogueError::Damaged { .. } => (
                ExitStatus::Damaged,
                "the backups are not affected: use --location, which needs no catalogue; `br matrixone rebuild` creates a new \
                 catalogue",
            ),
            CatalogueError::Newer { .. } => (
                ExitStatus::UnsupportedFormat,
                "use a newer br: this version does not know the format and changes nothing",
            ),
            _ => (
                ExitStatus::Failure,
                "fix the cause above, or name another catalogue with --meta-path",
            ),
        };
        let mut out = Self::new(status, error.to_string(), hint);
        if let Some(cause) = std::error::Error::source(&error) {
            out = out.because(cause);
        }
        out
    }
}
