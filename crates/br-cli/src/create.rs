//! Creates repositories for commands.
//!
//! [`Init`] says whether a command may create one. Invariant: `br` says so when a new repository is not encrypted.

use br_core::{ErrorKind, InitOptions, Location, Repository, StorageOptions};

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::password::Password;
use crate::storage::StoreLocation;

/// Whether a command creates the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    Never,
    IfMissing,
    /// Only with a password.
    EncryptedIfMissing,
}

impl Init {
    /// For a copy: an encrypted source gets an encrypted copy.
    pub(crate) fn for_copy(init: bool, source: &Repository) -> Self {
        match (init, source.is_encrypted()) {
            (false, _) => Self::Never,
            (true, false) => Self::IfMissing,
            (true, true) => Self::EncryptedIfMissing,
        }
    }
}

impl From<bool> for Init {
    fn from(init: bool) -> Self {
        if init { Self::IfMissing } else { Self::Never }
    }
}

impl CommandContext {
    /// Creates a repository.
    pub(crate) async fn create(
        &self,
        place: &StoreLocation,
        password: Option<&Password>,
    ) -> Result<Repository, CommandError> {
        self.create_with(place, password, InitOptions::default())
            .await
    }

    /// As [`CommandContext::create`], with options.
    pub(crate) async fn create_with(
        &self,
        place: &StoreLocation,
        password: Option<&Password>,
        options: InitOptions,
    ) -> Result<Repository, CommandError> {
        let mut options = options.with_storage(place.options.clone());
        if let Some(password) = password {
            options = options.with_password(password.as_bytes());
        }
        let made = Repository::init(&place.location, &options, &self.engine()).await;
        made.map_err(|error| {
            // Without a cause, the error is about the folder itself, not about access to it.
            let occupied =
                error.kind() == ErrorKind::Invalid && std::error::Error::source(&error).is_none();
            let error = place.explain(error);
            if occupied {
                error.with_hint("name a new folder for the repository, or an empty one")
            } else {
                error
            }
        })
    }

    /// Opens the repository; with `init`, creates it if it is missing. A dry run creates it in memory.
    pub(crate) async fn open_or_init(
        &self,
        place: &StoreLocation,
        init: Init,
        dry_run: bool,
    ) -> Result<Repository, CommandError> {
        let password = self.password()?;
        let opened = self.open_at(place, password.clone()).await;
        let opened = opened.map(|(repository, _)| repository);
        self.or_init(opened, place, password.as_ref(), init, dry_run)
            .await
    }

    /// Passes an opened repository on; with `init`, creates it if it is missing. A dry run creates it in memory.
    pub(crate) async fn or_init(
        &self,
        opened: Result<Repository, CommandError>,
        place: &StoreLocation,
        password: Option<&Password>,
        init: Init,
        dry_run: bool,
    ) -> Result<Repository, CommandError> {
        let console = &self.output.console;
        let error = match opened {
            Ok(repository) => return Ok(repository),
            Err(error) => error,
        };
        // With a cause, the error is about access, such as a missing bucket.
        let is_missing = error.status == ExitStatus::RepositoryNotFound && error.causes.is_empty();
        if init == Init::Never || !is_missing {
            return Err(error);
        }
        if init == Init::EncryptedIfMissing && password.is_none() {
            return Err(CommandError::usage(
                "the source is encrypted, and the new repository would not be",
                "give a password for the new repository, for example with --password-file; if it needs none, create it with `br init` first",
            ));
        }
        if dry_run {
            console.note(&format!(
                "there is no repository at {} yet: the dry run uses an empty one",
                place.location
            ));
            let memory = StoreLocation {
                location: Location::Memory,
                options: StorageOptions::default(),
                password: None,
            };
            return self.create(&memory, None).await;
        }
        let repository = self.create(place, password).await?;
        console.note(&format!(
            "created a new repository at {}",
            repository.location()
        ));
        if password.is_none() {
            self.note_unencrypted();
        }
        Ok(repository)
    }

    /// Notes that a new repository is not encrypted, and how to get an encrypted one.
    pub(crate) fn note_unencrypted(&self) {
        let console = &self.output.console;
        console.note("the repository is not encrypted; this cannot be changed later");
        if !console.quiet {
            console.hint("to get an encrypted one, run `br init --encrypt` at another location");
        }
    }
}
