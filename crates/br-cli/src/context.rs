//! What every command needs: where the repository is, how to open it, where output goes, and when to stop.
//!
//! [`CommandContext`] is made once from the global options. Invariant: a repository is opened here and nowhere else, so
//! that every command finds passwords and reports their absence alike.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use br_core::model::Backup;
use br_core::runtime::Runtime;
use br_core::{
    BackupSelector, CacheOptions, Context, ErrorKind, InitOptions, Location, Repository,
    S3Location, Secret, Storage, StorageOptions,
};
use tokio_util::sync::CancellationToken;

use crate::cli::GlobalOptions;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::output::{Console, Output, ProgressGuard, ProgressReporter, format};
use crate::password::Password;
use crate::secret;
use crate::storage::{BucketKeys, Place};

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
    /// Where the repository is, once it was asked for.
    place: OnceLock<Place>,
    /// Set once the user was warned of secrets that were typed.
    warned: OnceLock<()>,
    /// Files with secrets that the user was warned of.
    open_files: Mutex<HashSet<PathBuf>>,
}

impl CommandContext {
    /// A context of the real world.
    pub(crate) fn new(options: GlobalOptions, output: Output) -> Self {
        Self {
            output,
            cancel: CancellationToken::new(),
            runtime: Runtime::system(),
            options,
            place: OnceLock::new(),
            warned: OnceLock::new(),
            open_files: Mutex::default(),
        }
    }

    /// What the engine needs, for an operation that is over at once. Warnings are shown.
    pub(crate) fn engine(&self) -> Context {
        Context {
            runtime: self.runtime.clone(),
            progress: Arc::new(self.reporter()),
            cancel: self.cancel.clone(),
        }
    }

    /// Makes a reporter of events.
    pub(crate) fn reporter(&self) -> ProgressReporter {
        let (console, clock) = (&self.output.console, &self.runtime.clock);
        ProgressReporter::new(Arc::clone(console), Arc::clone(clock))
            .with_network(self.options.storage.status.clone())
    }

    /// Has a command that shows no progress say what it waits for, until the process ends.
    pub(crate) fn tell_what_is_waited_for(&self) {
        let console = Arc::clone(&self.output.console);
        let status = self.options.storage.status.clone();
        if !console.quiet {
            tokio::spawn(crate::output::tell_what_is_waited_for(console, status));
        }
    }

    /// What the engine needs, for an operation that tells what it does. Progress is shown until the guard is dropped.
    pub(crate) fn engine_with(&self, reporter: &Arc<ProgressReporter>) -> (Context, ProgressGuard) {
        let guard = ProgressGuard::start(&self.output.console, reporter);
        let mut context = self.engine();
        context.progress = Arc::<ProgressReporter>::clone(reporter);
        (context, guard)
    }

    /// Where the repository is, and how the store there is used.
    pub(crate) fn place(&self) -> Result<&Place, CommandError> {
        if let Some(place) = self.place.get() {
            return Ok(place);
        }
        let place = self.find_place(self.options.repo.as_deref())?;
        Ok(self.place.get_or_init(|| place))
    }

    /// True when a repository was named by an option, and not only by the environment.
    pub(crate) const fn names_repository(&self) -> bool {
        self.options.repo.is_some()
    }

    /// A bucket that an option of a command names, with the server that the storage options and the environment name.
    pub(crate) fn complete_bucket(&self, bucket: &S3Location) -> Result<S3Location, CommandError> {
        self.warn_of_secrets();
        self.options.storage.complete(bucket, &environment)
    }

    /// What the storage options say of a bucket that is no repository.
    pub(crate) fn bucket_keys(&self) -> BucketKeys {
        self.options.storage.bucket_keys()
    }

    /// What was typed that only a bucket has, when nothing that was named is one.
    pub(crate) fn idle_bucket_option(&self) -> Option<&'static str> {
        let named = self.options.repo.clone().map(OsString::from);
        let named = named.or_else(|| variable("BR_REPOSITORY"));
        let is_remote = named.is_some_and(|named| named.to_string_lossy().contains(':'));
        self.options.storage.typed().filter(|_| !is_remote)
    }

    /// The access key that was typed.
    pub(crate) fn typed_s3_keys(&self) -> Result<Option<(Secret, Secret)>, CommandError> {
        self.options.storage.typed_keys(&environment)
    }

    /// Opens a bucket that is no repository.
    pub(crate) fn open_bucket(
        &self,
        bucket: &S3Location,
        keys: &BucketKeys,
    ) -> Result<Storage, CommandError> {
        self.warn_of_secrets();
        let place = Place::of_bucket(&self.options.storage, bucket, keys, &environment)?;
        let opened = Storage::open(&place.location, &place.options);
        opened.map_err(|error| place.explain(error.into()))
    }

    /// The repository that is named next to another place; from now on it is the one that is meant.
    pub(crate) fn repository_beside(&self) -> Result<Option<&Place>, CommandError> {
        let named = self.options.repo.as_deref();
        let place = Place::beside(&self.options.storage, named, &environment)?;
        Ok(place.map(|place| self.place.get_or_init(|| place)))
    }

    /// A store that is named by an argument of a command; without it, that of the repository.
    pub(crate) fn place_at(&self, named: Option<&str>) -> Result<Place, CommandError> {
        if named.is_some() && self.options.repo.is_some() {
            let message = "the store is named twice: by --repo and by the argument";
            return Err(CommandError::usage(message, "leave one of them out"));
        }
        self.find_place(named.or(self.options.repo.as_deref()))
    }

    fn find_place(&self, named: Option<&str>) -> Result<Place, CommandError> {
        self.warn_of_secrets();
        Place::find(&self.options.storage, named, &environment)
    }

    /// Warns of the secrets that were typed.
    fn warn_of_secrets(&self) {
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

    /// Warns of a file with a secret that others can read.
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
            "others on this machine can read {file}, which {option} names"
        ));
        if !console.quiet {
            console.hint(&format!("`chmod 600 {file}` leaves it to its owner"));
        }
    }

    /// Warns of a secret that was typed.
    pub(crate) fn warn_exposed(&self, option: &str, better: &str) {
        let console = &self.output.console;
        console.warning(&format!("{option} can be seen by others on this machine"));
        if !console.quiet {
            console.hint(better);
        }
    }

    /// True when the store of the repository is a server; `None` when no repository was asked for.
    pub(crate) fn is_remote(&self) -> Option<bool> {
        self.place.get().map(Place::is_remote)
    }

    /// Where the repository is.
    pub(crate) fn location(&self) -> Result<&Location, CommandError> {
        Ok(&self.place()?.location)
    }

    /// The password, if the user says where it is.
    pub(crate) fn password(&self) -> Result<Option<Password>, CommandError> {
        if let Some(file) = Password::file(&self.options)? {
            let option = match self.options.password_file {
                Some(_) => "--password-file",
                None => "BR_PASSWORD_FILE",
            };
            self.warn_of_file(option, &file);
        }
        Password::find(&self.options)
    }

    /// Refuses what was typed about a repository by a command that works on none.
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

    /// Refuses a password that was typed for a repository by a command that works on none.
    pub(crate) fn refuse_password_options(&self, why: &str) -> Result<(), CommandError> {
        match self.options.typed_password() {
            None => Ok(()),
            Some(option) => Err(CommandError::usage(
                format!("{option} is for repositories, and {why}"),
                format!(
                    "leave {option} out; the password of a server is in --server-password-file"
                ),
            )),
        }
    }

    /// Opens the repository, and asks for the password when it needs one and can.
    pub(crate) async fn open(&self) -> Result<Repository, CommandError> {
        let place = self.place()?;
        let mut password = self.password()?;
        let given = password.is_some();
        let mut attempts = if Console::is_terminal() && !given {
            MAX_ATTEMPTS
        } else {
            0
        };
        loop {
            let bytes = password.as_ref().map(Password::as_bytes);
            let opened = Repository::open(&place.location, &place.options, bytes).await;
            let error = match opened {
                Ok(repository) => {
                    self.use_cache(&repository);
                    return Ok(repository);
                }
                Err(error) => error,
            };
            if error.kind() != ErrorKind::Password || attempts == 0 {
                return Err(explain(error, given, place));
            }
            if password.is_some() {
                self.output.console.warning("that is not the password");
            }
            attempts -= 1;
            password = Some(Password::ask(&format!(
                "Password for {}: ",
                place.location
            ))?);
        }
    }

    /// Makes a repository.
    pub(crate) async fn create(
        &self,
        place: &Place,
        password: Option<&Password>,
    ) -> Result<Repository, CommandError> {
        let mut options = InitOptions::default().with_storage(place.options.clone());
        if let Some(password) = password {
            options = options.with_password(password.as_bytes());
        }
        let made = Repository::init(&place.location, &options, &self.engine()).await;
        made.map_err(|error| {
            // What has no cause is about what is there, and not about the way to it.
            let occupied =
                error.kind() == ErrorKind::Invalid && std::error::Error::source(&error).is_none();
            let error = place.explain(error);
            match occupied {
                true => error.with_hint("name a new folder for the repository, or an empty one"),
                false => error,
            }
        })
    }

    /// Opens the repository; with `init` a missing one is made. A dry run makes it in memory.
    pub(crate) async fn open_or_init(
        &self,
        place: &Place,
        init: bool,
        dry_run: bool,
    ) -> Result<Repository, CommandError> {
        let console = &self.output.console;
        let error = match self.open().await {
            Ok(repository) => return Ok(repository),
            Err(error) => error,
        };
        // What has a cause is about the way there, such as a bucket that is missing.
        let is_missing = error.status == ExitStatus::RepositoryNotFound && error.causes.is_empty();
        if !init || !is_missing {
            return Err(error);
        }
        if dry_run {
            console.note(&format!(
                "there is no repository at {} yet: this run only pretends",
                place.location
            ));
            let memory = Place {
                location: Location::Memory,
                options: StorageOptions::default(),
            };
            return self.create(&memory, None).await;
        }
        let password = self.password()?;
        let repository = self.create(place, password.as_ref()).await?;
        console.note(&format!(
            "made a new repository at {}",
            repository.location()
        ));
        if password.is_none() {
            self.note_unencrypted();
        }
        Ok(repository)
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
            folders.push(folder.clone());
        }
        Ok(folders)
    }

    /// Remembers the newest log entry, so that a repository that went back is noticed; keeps copies of small objects if the
    /// repository is on a server. Without them everything works, and takes longer.
    fn use_cache(&self, repository: &Repository) {
        let Some(folder) = self.cache_dir() else {
            return;
        };
        let engine = self.engine();
        let mut used = repository.remember_log(&folder.join("known"), &engine);
        if used.is_ok() && repository.storage().is_remote() {
            let options = CacheOptions::new(folder.join("objects"));
            used = repository.use_cache(&options, &engine);
        }
        if let Err(error) = used {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            let console = &self.output.console;
            console.warning(&format!("{error}, going on without: {cause}"));
        }
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

/// A variable of the environment, as it is.
fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// A variable of the environment; an empty one counts as none.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A variable that has a secret or says where one is. An empty one is an error: a secret that failed to expand must not mean
/// that there is none.
pub(crate) fn secret_variable(name: &str) -> Result<Option<OsString>, CommandError> {
    not_empty(name, std::env::var_os(name))
}

/// Refuses a variable that is set and empty.
pub(crate) fn not_empty(
    name: &str,
    value: Option<OsString>,
) -> Result<Option<OsString>, CommandError> {
    match value {
        Some(value) if value.is_empty() => Err(CommandError::new(
            ExitStatus::AccessDenied,
            format!("{name} is set and empty"),
            format!("set {name} to what it should hold, or remove it with `unset {name}`"),
        )),
        value => Ok(value),
    }
}

/// Says what is wrong with the password, or with the place.
fn explain(error: br_core::Error, given: bool, place: &Place) -> CommandError {
    let kind = error.kind();
    let has_cause = std::error::Error::source(&error).is_some();
    let error = place.explain(error);
    match (kind, given, has_cause) {
        (ErrorKind::NotEncrypted, _, _) => error.with_hint(
            "leave the password out (--password-file, --password-command, BR_PASSWORD…); if the repository \
             ought to be encrypted, this is another one",
        ),
        (ErrorKind::Password, _, true) => {
            error.with_hint("check the password, and that this is the repository it belongs to")
        }
        _ => error,
    }
}
