//! The configuration of the machine that made a backup.
//!
//! [`Configuration`] is kept with a backup, so that a new machine can get it from there. Invariant: it holds no secrets; the program that makes
//! the backup must leave them out.

use serde::Serialize;

/// What a program needs to continue the backups of a machine on another one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Configuration {
    /// Name of what was backed up together.
    pub set: String,
    /// Name and version of the operating system.
    pub system: String,
    /// The configuration files, in the order in which they are read. Empty in listings; the manifest has them.
    pub files: Vec<ConfigurationFile>,
    /// The repositories that the files name. Empty in listings.
    pub repositories: Vec<ConfiguredRepository>,
}

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConfigurationFile {
    /// Its absolute path on the machine.
    pub path: String,
    /// Its content without secrets.
    pub text: String,
    /// The settings that were removed from the text because they can hold a secret.
    pub removed: Vec<String>,
}

/// A repository that a configuration file names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConfiguredRepository {
    /// Its name.
    pub name: String,
    /// Path or URL, without keys.
    pub location: String,
}

impl Configuration {
    /// A configuration without files.
    #[must_use]
    pub fn new(set: impl Into<String>, system: impl Into<String>) -> Self {
        Self {
            set: set.into(),
            system: system.into(),
            ..Self::default()
        }
    }

    /// Adds the files, in the order in which they are read.
    #[must_use]
    pub fn with_files(mut self, files: Vec<ConfigurationFile>) -> Self {
        self.files = files;
        self
    }

    /// Adds the repositories that the files name.
    #[must_use]
    pub fn with_repositories(mut self, repositories: Vec<ConfiguredRepository>) -> Self {
        self.repositories = repositories;
        self
    }
}

impl ConfigurationFile {
    /// A file without secrets, and the names of the settings that were removed from it.
    #[must_use]
    pub const fn new(path: String, text: String, removed: Vec<String>) -> Self {
        Self {
            path,
            text,
            removed,
        }
    }
}

impl ConfiguredRepository {
    /// A repository; the location must have no keys.
    #[must_use]
    pub const fn new(name: String, location: String) -> Self {
        Self { name, location }
    }
}
