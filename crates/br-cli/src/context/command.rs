//! Shared state of a command: where the repository is, how to open it, where output goes, and when to stop.
//!
//! [`CommandContext`] is created once from the global options. Invariant: only this module opens a repository, so that all
//! commands find passwords, and report a missing password, in the same way.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use br_core::model::{Backup, Configuration};
use br_core::runtime::Runtime;
use br_core::{
    BackupSelector, CacheOptions, Context, ErrorKind, Location, Repository, S3Location, Secret,
    Storage,
};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::environment::{environment, variable};
use crate::error::CommandError;
use crate::global_options::GlobalOptions;
use crate::hint::Kept;
use crate::output::{Console, Output, ProgressGuard, ProgressReporter, format};
use crate::password::{Password, PasswordNames};
use crate::secret;
use crate::storage::{BucketKeys, StoreLocation};

/// Maximum password attempts.
const MAX_ATTEMPTS: u32 = 3;

/// Shared state of a command.
#[derive(Debug)]
pub(crate) struct CommandContext {
    /// Where results and messages go.
    pub(crate) output: Output,
    /// Cancelled when the user wants to stop.
    pub(crate) cancel: CancellationToken,
    /// Time and randomness.
    pub(crate) runtime: Runtime,
    /// The whole command line, for the commands that print it.
    pub(crate) grammar: fn() -> clap::Command,
    pub(super) options: GlobalOptions,
    /// What the configuration files say.
    pub(crate) config: Arc<Config>,
    /// Where the repository is; set when a command first needs it.
    pub(super) place: OnceLock<StoreLocation>,
    /// The set whose backup `br run` makes, if the command is a part of it.
    set: Option<String>,
    /// Set after br has warned of secrets on the command line.
    warned: OnceLock<()>,
    /// Files with secrets that br has warned of.
    open_files: Mutex<HashSet<PathBuf>>,
}

impl CommandContext {
    /// Creates a context with the system's clock and random numbers.
    pub(crate) fn new(
        options: GlobalOptions,
        config: Arc<Config>,
        output: Output,
        grammar: fn() -> clap::Command,
    ) -> Self {
        Self {
            output,
            cancel: CancellationToken::new(),
            runtime: Runtime::system(),
            grammar,
            options,
            config,
            place: OnceLock::new(),
            set: None,
            warned: OnceLock::new(),
            open_files: Mutex::default(),
        }
    }

    /// A context for a command line of a set. The passwords of the configuration files take precedence, because the variables and options are for
    /// one repository.
    pub(crate) fn for_set(&self, set: &str, options: GlobalOptions) -> Self {
        let output = Output {
            console: Arc::clone(&self.output.console),
        };
        Self {
            cancel: self.cancel.clone(),
            runtime: self.runtime.clone(),
            set: Some(set.to_owned()),
            ..Self::new(options, Arc::clone(&self.config), output, self.grammar)
        }
    }

    /// The configuration that a backup of a set keeps for another machine.
    pub(crate) fn portable_config(&self) -> Option<Configuration> {
        let set = self.set.as_deref()?;
        Some(self.config.portable(set))
    }

    /// The options that all commands accept.
    pub(crate) const fn global_options(&self) -> &GlobalOptions {
        &self.options
    }

    /// The engine context for a short operation. Warnings are shown.
    pub(crate) fn engine(&self) -> Context {
        Context {
            runtime: self.runtime.clone(),
            progress: Arc::new(self.reporter()),
            cancel: self.cancel.clone(),
        }
    }

    /// Creates an event reporter.
    pub(crate) fn reporter(&self) -> ProgressReporter {
        let (console, clock) = (&self.output.console, &self.runtime.clock);
        ProgressReporter::new(Arc::clone(console), Arc::clone(clock))
            .with_network(self.options.storage.status.clone())
    }

    /// Makes a command without progress report long waits, until the process ends.
    pub(crate) fn report_waits(&self) {
        let console = Arc::clone(&self.output.console);
        let status = self.options.storage.status.clone();
        if !console.quiet {
            tokio::spawn(crate::output::report_waits(console, status));
        }
    }

    /// The engine context for an operation that reports progress. Progress is shown until the guard is dropped.
    pub(crate) fn engine_with(&self, reporter: &Arc<ProgressReporter>) -> (Context, ProgressGuard) {
        let guard = ProgressGuard::start(&self.output.console, reporter);
        let mut context = self.engine();
        context.progress = Arc::<ProgressReporter>::clone(reporter);
        (context, guard)
    }

    /// True when an option names a repository, not only the environment.
    pub(crate) const fn names_repository(&self) -> bool {
        self.options.repo.is_some()
    }

    /// A bucket that an option of a command names; the server comes from the storage options and the environment.
    pub(crate) fn complete_bucket(&self, bucket: &S3Location) -> Result<S3Location, CommandError> {
        self.warn_of_secrets();
        self.options.storage.complete(bucket, &environment)
    }

    /// The keys of the storage options, for a bucket that is not a repository.
    pub(crate) fn bucket_keys(&self) -> BucketKeys {
        self.options.storage.bucket_keys()
    }

    /// The first storage option on the command line that applies only to buckets, if no bucket is named.
    pub(crate) fn idle_bucket_option(&self) -> Option<&'static str> {
        let named = self.options.repo.clone().map(OsString::from);
        let named = named.or_else(|| variable("BR_REPOSITORY"));
        let is_remote = named.is_some_and(|named| named.to_string_lossy().contains(':'));
        self.options.storage.typed().filter(|_| !is_remote)
    }

    /// The access key on the command line.
    pub(crate) fn typed_s3_keys(&self) -> Result<Option<(Secret, Secret)>, CommandError> {
        self.options.storage.typed_keys(&environment)
    }

    /// Opens a bucket that is not a repository.
    pub(crate) fn open_bucket(
        &self,
        bucket: &S3Location,
        keys: &BucketKeys,
    ) -> Result<Storage, CommandError> {
        self.warn_of_secrets();
        let place = StoreLocation::of_bucket(&self.options.storage, bucket, keys, &environment)?;
        let opened = Storage::open(&place.location, &place.options);
        opened.map_err(|error| place.explain(error.into()))
    }

    /// Warns of secrets on the command line.
    pub(super) fn warn_of_secrets(&self) {
        if self.warned.set(()).is_err() {
            return;
        }
        for (option, better) in self.options.storage.exposed() {
            self.warn_exposed(option, better);
        }
        for (option, file) in self.options.storage.secret_files() {
            self.warn_of_file(option, &file);
        }
    }

    /// Warns of a file with a secret that other users can read.
    pub(crate) fn warn_of_file(&self, option: &str, file: &Path) {
        let mut warned = self
            .open_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !secret::is_readable_by_others(file) || !warned.insert(file.to_owned()) {
            return;
        }
        let console = &self.output.console;
        let file = format::path(file);
        console.warning(&format!(
            "other users of this machine can read {file}, the file of {option}"
        ));
        if !console.quiet {
            console.hint(&format!("`chmod 600 {file}` restricts it to its owner"));
        }
    }

    /// Warns of a secret on the command line.
    pub(crate) fn warn_exposed(&self, option: &str, better: &str) {
        let console = &self.output.console;
        console.warning(&format!(
            "{option} is visible to other users of this machine"
        ));
        if !console.quiet {
            console.hint(better);
        }
    }

    /// True when the repository is on a server; `None` when the command has not used a repository.
    pub(crate) fn is_remote(&self) -> Option<bool> {
        self.place.get().map(StoreLocation::is_remote)
    }

    /// Completes the hint of the error that ends a command.
    pub(crate) fn advise(&self, error: CommandError, kept: Kept) -> CommandError {
        let error = match self.is_remote() {
            Some(is_remote) => error.at_store(is_remote),
            None => error,
        };
        let error = error.advised(kept);
        match (&self.set, &self.options.repo) {
            // The command line has no options for the repository of a set.
            (Some(_), Some(repository)) => error.advised_for_set(repository),
            _ => error,
        }
    }

    /// How to run the command with --force.
    pub(crate) const fn force_advice(&self) -> &'static str {
        match self.set {
            Some(_) => "run the line of `br forget` that `br run --dry-run` shows, with --force",
            None => "run the command again with --force",
        }
    }

    /// Where the repository is.
    pub(crate) fn location(&self) -> Result<&Location, CommandError> {
        Ok(&self.place()?.location)
    }

    /// The password, if the user has given one.
    pub(crate) fn password(&self) -> Result<Option<Password>, CommandError> {
        if self.set.is_some() && self.place()?.password.is_some() {
            return self.own_password(self.place()?);
        }
        let options = &self.options;
        let (file, command) = (&options.password_file, &options.password_command);
        let given = self.find_password(
            &PasswordNames::REPOSITORY,
            file.as_deref(),
            command.as_deref(),
        )?;
        match given {
            Some(password) => Ok(Some(password)),
            None => self.own_password(self.place()?),
        }
    }

    /// True if an option or a variable has the password, and not only the configuration file.
    pub(crate) fn has_own_password(&self) -> bool {
        let variables = ["BR_PASSWORD", "BR_PASSWORD_FILE", "BR_PASSWORD_COMMAND"];
        self.options.typed_password().is_some()
            || variables.iter().any(|name| variable(name).is_some())
    }

    /// A password, if the user has given one by these options or variables.
    pub(crate) fn find_password(
        &self,
        names: &PasswordNames,
        file: Option<&Path>,
        command: Option<&str>,
    ) -> Result<Option<Password>, CommandError> {
        let warn = |option: &str, file: &Path| self.warn_of_file(option, file);
        Password::find(names, file, command, warn)
    }

    /// Refuses repository options for a command that uses no repository.
    pub(crate) fn refuse_repository_options(&self, why: &str) -> Result<(), CommandError> {
        let options = &self.options;
        let repo = options.repo.as_ref().map(|_| "--repo");
        let typed = repo
            .or(options.typed_password())
            .or(options.storage.typed());
        match typed {
            None => Ok(()),
            Some(option) => Err(CommandError::usage(
                format!("{option} is for repositories, and {why}"),
                format!("leave {option} out"),
            )),
        }
    }

    /// Refuses password options for a command that uses no repository.
    pub(crate) fn refuse_password_options(&self, why: &str) -> Result<(), CommandError> {
        match self.options.typed_password() {
            None => Ok(()),
            Some(option) => Err(CommandError::usage(
                format!("{option} is for repositories, and {why}"),
                format!(
                    "leave {option} out; --server-password-file is for the password of a MatrixOne server"
                ),
            )),
        }
    }

    /// Opens the repository. Prompts for the password if one is needed and there is a terminal.
    pub(crate) async fn open(&self) -> Result<Repository, CommandError> {
        Ok(self.open_with_password().await?.0)
    }

    /// As [`CommandContext::open`]; also returns the password.
    pub(crate) async fn open_with_password(
        &self,
    ) -> Result<(Repository, Option<Password>), CommandError> {
        self.open_at(self.place()?, self.password()?).await
    }

    /// Opens the repository at a location. Prompts for the password if one is needed, none is given and there is a terminal.
    pub(crate) async fn open_at(
        &self,
        place: &StoreLocation,
        mut password: Option<Password>,
    ) -> Result<(Repository, Option<Password>), CommandError> {
        let given = password.is_some();
        let may_ask = Console::is_terminal() && !given;
        let mut attempts = if may_ask { MAX_ATTEMPTS } else { 0 };
        loop {
            let error = match self.try_open(place, password.as_ref()).await {
                Ok(repository) => return Ok((repository, password)),
                Err(error) => error,
            };
            if error.kind() != ErrorKind::Password || attempts == 0 {
                return Err(explain(error, given, place));
            }
            if password.is_some() {
                self.output.console.warning("wrong password");
            }
            attempts -= 1;
            password = Some(Password::ask(&format!(
                "Password for {}: ",
                place.location
            ))?);
        }
    }

    async fn try_open(
        &self,
        place: &StoreLocation,
        password: Option<&Password>,
    ) -> br_core::Result<Repository> {
        let bytes = password.map(Password::as_bytes);
        let repository = Repository::open(&place.location, &place.options, bytes).await?;
        self.use_cache(&repository);
        Ok(repository)
    }

    /// Finds the backup that an argument selects.
    pub(crate) async fn find(
        &self,
        repository: &Repository,
        selector: &BackupSelector,
    ) -> Result<Backup, CommandError> {
        Ok(repository.find(selector, &self.engine()).await?)
    }

    /// Local folders that br uses for its own data: excluded from backups and from deletion.
    pub(crate) fn own_folders(&self) -> Result<Vec<PathBuf>, CommandError> {
        let mut folders: Vec<_> = self.cache_dir().into_iter().collect();
        if let Location::Local(folder) = self.location()? {
            folders.push(folder.clone());
        }
        Ok(folders)
    }

    /// Enables the local state for a repository: the number of the newest log entry, so that br detects a repository that was set
    /// back, the times at which br verified its data, and for a repository on a server a cache of small objects. br also works without
    /// it, but more slowly.
    fn use_cache(&self, repository: &Repository) {
        let Some(folder) = self.cache_dir() else {
            return;
        };
        let engine = self.engine();
        let mut used = repository
            .remember_log(&folder.join("known"), &engine)
            .and_then(|()| repository.remember_checks(&folder.join("verified"), &engine))
            .and_then(|()| repository.remember_locks(&folder.join("locked"), &engine));
        if used.is_ok() && repository.storage().is_remote() {
            let options = CacheOptions::new(folder.join("objects"));
            used = repository.use_cache(&options, &engine);
        }
        if let Err(error) = used {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            let console = &self.output.console;
            console.warning(&format!("{error}, continuing without it: {cause}"));
        }
    }

    /// The cache folder; `None` with --no-cache or when there is no home folder.
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
        let of_file = || self.config.cache_dir.as_ref()?.text().map(PathBuf::from);
        given.or_else(of_file).or_else(|| {
            let xdg = set("XDG_CACHE_HOME");
            let home = || std::env::home_dir().map(|home| home.join(".cache"));
            let base = xdg.filter(|dir| dir.is_absolute()).or_else(home)?;
            Some(base.join("br")).filter(|dir| dir.is_absolute())
        })
    }

    /// Asks a yes-or-no question. Ends when the user interrupts br.
    pub(crate) async fn confirm(&self, question: String) -> Result<bool, CommandError> {
        let (sender, answer) = tokio::sync::oneshot::channel();
        // Not on a thread of the runtime, because the runtime waits for those when it ends.
        std::thread::spawn(move || sender.send(Console::confirm(&question)));
        tokio::select! {
            answer = answer => match answer {
                Ok(Ok(answer)) => Ok(answer),
                _ => Err(CommandError::usage("there was no answer", "give --yes to continue without a question")),
            },
            () = self.cancel.cancelled() => Err(CommandError::interrupted()),
        }
    }
}

/// Improves the hint of an error about the password or the location.
fn explain(error: br_core::Error, given: bool, place: &StoreLocation) -> CommandError {
    let kind = error.kind();
    let has_cause = std::error::Error::source(&error).is_some();
    let error = place.explain(error);
    match (kind, given, has_cause) {
        (ErrorKind::NotEncrypted, _, _) => error.with_hint(
            "leave out the password (--password-file, --password-command, BR_PASSWORD…); if you expect an encrypted repository, check \
             --repo"
        ),
        (ErrorKind::Password, _, true) => {
            error.with_hint("check the password, and that --repo names the right repository")
        }
        _ => error,
    }
}
