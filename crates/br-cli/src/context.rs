//! What every command needs: where the repository is, how to open it, where output goes, and when to stop.
//!
//! [`CommandContext`] is made once from the global options. Invariant: a repository is opened here and nowhere else, so
//! that every command finds passwords and reports their absence alike.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use br_core::model::Backup;
use br_core::runtime::Runtime;
use br_core::{
    BackupSelector, Context, ErrorKind, InitOptions, Location, Repository, Silent, StorageOptions,
};
use tokio_util::sync::CancellationToken;

use crate::cli::GlobalOptions;
use crate::error::CommandError;
use crate::output::{Console, Output, ProgressGuard, ProgressReporter};
use crate::password::Password;

/// How often a password may be typed.
const MAX_ATTEMPTS: u32 = 3;

/// What every command needs.
#[derive(Debug)]
pub(crate) struct CommandContext {
    /// Where results and messages go.
    pub(crate) output: Output,
    /// Cancelled when the user wants to stop.
    pub(crate) cancel: CancellationToken,
    /// Time and randomness.
    pub(crate) runtime: Runtime,
    options: GlobalOptions,
}

impl CommandContext {
    /// A context of the real world.
    pub(crate) fn new(options: GlobalOptions, output: Output) -> Self {
        Self {
            output,
            cancel: CancellationToken::new(),
            runtime: Runtime::system(),
            options,
        }
    }

    /// What the engine needs, for an operation that is over at once.
    pub(crate) fn engine(&self) -> Context {
        Context {
            runtime: self.runtime.clone(),
            progress: Arc::new(Silent),
            cancel: self.cancel.clone(),
        }
    }

    /// Makes a reporter of events.
    pub(crate) fn reporter(&self) -> ProgressReporter {
        let (console, clock) = (&self.output.console, &self.runtime.clock);
        ProgressReporter::new(Arc::clone(console), Arc::clone(clock))
    }

    /// What the engine needs, for an operation that tells what it does. Progress is shown until the guard is dropped.
    pub(crate) fn engine_with(&self, reporter: &Arc<ProgressReporter>) -> (Context, ProgressGuard) {
        let guard = ProgressGuard::start(&self.output.console, reporter);
        let mut context = self.engine();
        context.progress = Arc::<ProgressReporter>::clone(reporter);
        (context, guard)
    }

    /// Where the repository is.
    pub(crate) fn location(&self) -> Result<Location, CommandError> {
        let text = self.options.repo.clone();
        let text = text.or_else(|| variable("BR_REPOSITORY")?.into_string().ok());
        let Some(text) = text else {
            let hint = "name one with --repo PATH, or set BR_REPOSITORY";
            return Err(CommandError::usage("no repository was named", hint));
        };
        Location::parse(&text).map_err(|error| {
            let error = CommandError::from(br_core::Error::from(error));
            error.with_hint(
                "name the repository with --repo or BR_REPOSITORY: a path or file:///path",
            )
        })
    }

    /// The password, if the user says where it is.
    pub(crate) fn password(&self) -> Result<Option<Password>, CommandError> {
        Password::find(&self.options)
    }

    /// Opens the repository, and asks for the password when it needs one and can.
    pub(crate) async fn open(&self) -> Result<Repository, CommandError> {
        let location = self.location()?;
        let mut password = self.password()?;
        let options = StorageOptions::default();
        let given = password.is_some();
        let mut attempts = if Console::is_terminal() && !given {
            MAX_ATTEMPTS
        } else {
            0
        };
        loop {
            let bytes = password.as_ref().map(Password::as_bytes);
            let error = match Repository::open(&location, &options, bytes).await {
                Ok(repository) => return Ok(repository),
                Err(error) => error,
            };
            if error.kind() != ErrorKind::Password || attempts == 0 {
                return Err(explain(error, given));
            }
            if password.is_some() {
                self.output.console.warning("that is not the password");
            }
            attempts -= 1;
            password = Some(Password::ask(&format!("Password for {location}: "))?);
        }
    }

    /// Makes a repository, and says so.
    pub(crate) async fn create(
        &self,
        location: &Location,
        password: Option<&Password>,
    ) -> Result<Repository, CommandError> {
        let mut options = InitOptions::default();
        if let Some(password) = password {
            options = options.with_password(password.as_bytes());
        }
        Repository::init(location, &options, &self.engine())
            .await
            .map_err(|error| {
                let invalid = error.kind() == ErrorKind::Invalid;
                let error = CommandError::from(error);
                match invalid {
                    true => {
                        error.with_hint("name a new folder for the repository, or an empty one")
                    }
                    false => error,
                }
            })
    }

    /// Says that a new repository can be read by everyone, and how to have it otherwise.
    pub(crate) fn note_unencrypted(&self) {
        let console = &self.output.console;
        console.note("the repository is not encrypted, which cannot be changed later");
        if !console.quiet {
            console.hint("for an encrypted one run `br init --encrypt` at another location");
        }
    }

    /// Finds the backup that is meant.
    pub(crate) async fn find(
        &self,
        repository: &Repository,
        selector: &BackupSelector,
    ) -> Result<Backup, CommandError> {
        Ok(repository.find(selector, &self.engine()).await?)
    }

    /// Folders of this machine in which br keeps its own data: not to be backed up, not to be deleted.
    pub(crate) fn own_folders(&self) -> Result<Vec<PathBuf>, CommandError> {
        let mut folders: Vec<_> = self.cache_dir().into_iter().collect();
        if let Location::Local(folder) = self.location()? {
            folders.push(folder);
        }
        Ok(folders)
    }

    /// The cache folder; `None` when there is to be none.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        if self.options.no_cache {
            return None;
        }
        let set = |name| variable(name).map(PathBuf::from);
        let given = self
            .options
            .cache_dir
            .clone()
            .or_else(|| set("BR_CACHE_DIR"));
        given.or_else(|| {
            let xdg = set("XDG_CACHE_HOME");
            let home = || std::env::home_dir().map(|home| home.join(".cache"));
            let base = xdg.filter(|dir| dir.is_absolute()).or_else(home)?;
            Some(base.join("br")).filter(|dir| dir.is_absolute())
        })
    }

    /// Asks a question; stops when the user stops br.
    pub(crate) async fn confirm(&self, question: String) -> Result<bool, CommandError> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        // Not a thread of the runtime, which would wait for the answer at its end.
        std::thread::spawn(move || sender.send(Console::confirm(&question)));
        tokio::select! {
            answer = answer => match answer {
                Ok(Ok(answer)) => Ok(answer),
                _ => Err(CommandError::usage("there was no answer", "give --yes to go on without a question")),
            },
            () = self.cancel.cancelled() => Err(CommandError::interrupted()),
        }
    }
}

/// A variable of the environment; an empty one counts as none.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Says what is wrong with the password.
fn explain(error: br_core::Error, given: bool) -> CommandError {
    let kind = error.kind();
    let has_cause = std::error::Error::source(&error).is_some();
    let error = CommandError::from(error);
    match (kind, given, has_cause) {
        (ErrorKind::Password, true, false) => error.with_hint(
            "leave the password out (--password-file, --password-command, BR_PASSWORD…); if the repository \
             ought to be encrypted, this is another one",
        ),
        (ErrorKind::Password, _, true) => {
            error.with_hint("check the password, and that this is the repository it belongs to")
        }
        _ => error,
    }
}
