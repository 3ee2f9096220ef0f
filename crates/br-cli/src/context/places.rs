//! Where the repositories of a command are.
//!
//! Options, variables and configuration files name them. Invariant: a name of a configuration file selects its repository wherever a location
//! can be given.

use std::path::Path;

use super::CommandContext;
use crate::config::SecretReference;
use crate::environment::{environment, variable};
use crate::error::CommandError;
use crate::password::Password;
use crate::storage::{StorageArgs, StoreLocation};

impl CommandContext {
    /// Where the repository is, and the options of its store.
    pub(crate) fn place(&self) -> Result<&StoreLocation, CommandError> {
        if let Some(place) = self.place.get() {
            return Ok(place);
        }
        let place = self.find_place(self.options.repo.as_deref())?;
        Ok(self.place.get_or_init(|| place))
    }

    /// The repository named in addition to another location; later calls use this repository.
    pub(crate) fn additional_repository(&self) -> Result<Option<&StoreLocation>, CommandError> {
        let named = self.options.repo.as_deref();
        let place = self.find_additional(named, &self.options.storage)?;
        Ok(place.map(|place| self.place.get_or_init(|| place)))
    }

    /// The store that an argument names, or the store of the repository if there is no argument.
    pub(crate) fn place_at(&self, named: Option<&str>) -> Result<StoreLocation, CommandError> {
        if named.is_some() && self.options.repo.is_some() {
            let message = "--repo and the argument both name a store";
            return Err(CommandError::usage(message, "leave one of them out"));
        }
        self.find_place(named.or(self.options.repo.as_deref()))
    }

    /// Uses this location as the repository of the command.
    pub(crate) fn use_repository(&self, named: Option<&str>) -> Result<(), CommandError> {
        self.warn_of_secrets();
        let named = named.or(self.options.repo.as_deref());
        // Options of buckets may be meant for the other repository.
        let place = self.find_additional(named, &self.options.storage)?;
        let _ = self.place.set(match place {
            Some(place) => place,
            None => self.find_place(None)?,
        });
        Ok(())
    }

    /// A repository in addition to that of the command. `profile` has its keys, if they are not those of the storage options.
    pub(crate) fn other_repository(
        &self,
        named: &str,
        profile: Option<&str>,
    ) -> Result<StoreLocation, CommandError> {
        self.warn_of_secrets();
        let storage = self.options.storage.with_profile(profile);
        let place = self.find_additional(Some(named), &storage)?;
        place.map_or_else(|| self.find_place(Some(named)), Ok)
    }

    fn find_place(&self, named: Option<&str>) -> Result<StoreLocation, CommandError> {
        self.warn_of_secrets();
        let found = self.resolve(named, &self.options.storage)?;
        let place = StoreLocation::find(&found.storage, found.location.as_deref(), &environment)?;
        Ok(found.place(place))
    }

    /// A repository that may be in a folder while the options of buckets are meant for another one.
    fn find_additional(
        &self,
        named: Option<&str>,
        storage: &StorageArgs,
    ) -> Result<Option<StoreLocation>, CommandError> {
        let found = self.resolve(named, storage)?;
        let location = found.location.as_deref();
        let place = StoreLocation::additional(&found.storage, location, &environment)?;
        Ok(place.map(|place| found.place(place)))
    }

    /// Looks up the name of a repository in the configuration files. Without a name, it is that of the environment or the default one.
    fn resolve(
        &self,
        named: Option<&str>,
        storage: &StorageArgs,
    ) -> Result<Resolved, CommandError> {
        let of_environment = || variable("BR_REPOSITORY")?.into_string().ok();
        let named = named.map(str::to_owned).or_else(of_environment);
        // A variable that is no text is an error later.
        let is_free = variable("BR_REPOSITORY").is_none();
        let default = self.config.default_repository().filter(|_| is_free);
        let named = named.or_else(|| default.map(str::to_owned));
        let Some(section) = named
            .as_ref()
            .and_then(|name| self.config.repositories.get(name))
        else {
            self.refuse_unknown(named.as_deref())?;
            return Ok(Resolved {
                location: named,
                storage: storage.clone(),
                password: None,
            });
        };
        let mut file = section.storage();
        if let Some(reference) = &section.secret_access_key {
            let key = self.read_reference(reference)?.to_text()?;
            file = file.with_secret_access_key(key);
        }
        let is_set = |name: &str| variable(name).is_some();
        Ok(Resolved {
            location: Some(section.location.clone()),
            storage: storage.or(file, is_set),
            password: section.password.clone(),
        })
    }

    /// Refuses a word that is neither the name of a repository nor a folder, if the configuration files name repositories: it is probably
    /// mistyped, and `br init` would create a repository in the current folder.
    fn refuse_unknown(&self, named: Option<&str>) -> Result<(), CommandError> {
        let known = &self.config.repositories;
        let Some(name) = named.filter(|name| !name.is_empty() && !name.contains(['/', ':'])) else {
            return Ok(());
        };
        if known.is_empty() || Path::new(name).exists() {
            return Ok(());
        }
        let known: Vec<&str> = known.keys().map(String::as_str).collect();
        let message = format!("the configuration files have no repository `{name}`");
        let hint = format!(
            "write one of {}; a folder is written as `./{name}`",
            known.join(", ")
        );
        Err(CommandError::usage(message, hint))
    }

    fn read_reference(&self, reference: &SecretReference) -> Result<Password, CommandError> {
        let warn = |named: &str, file: &Path| self.warn_of_file(named, file);
        Password::of_reference(reference, warn)
    }

    /// The password that a configuration file has for a repository.
    pub(crate) fn own_password(
        &self,
        place: &StoreLocation,
    ) -> Result<Option<Password>, CommandError> {
        let reference = place.password.as_ref().filter(|_| !place.has_no_password());
        reference
            .map(|reference| self.read_reference(reference))
            .transpose()
    }
}

/// A repository, by the command line, the environment and the configuration files.
struct Resolved {
    location: Option<String>,
    storage: StorageArgs,
    password: Option<SecretReference>,
}

impl Resolved {
    fn place(self, place: StoreLocation) -> StoreLocation {
        StoreLocation {
            password: self.password,
            ..place
        }
    }
}
