//! The settings of all configuration files together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Command, Parser as _};

use super::document::{Setting, Value};
use super::grammar::StoreLine;
use super::problem::Place;
use super::reference::SecretReference;
use crate::storage::StorageArgs;

/// What the configuration files say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// The files that exist, in the order in which they are read.
    pub(crate) files: Vec<PathBuf>,
    /// The repository of commands that name none.
    pub(crate) repository: Option<Setting>,
    /// The cache folder.
    pub(crate) cache_dir: Option<Setting>,
    pub(crate) repositories: BTreeMap<String, NamedRepository>,
    /// Defaults of options, by command.
    pub(crate) commands: BTreeMap<String, Vec<Setting>>,
    /// Rules of `br forget`.
    pub(crate) policies: BTreeMap<String, Vec<Setting>>,
    pub(crate) sets: BTreeMap<String, BackupSet>,
}

/// A repository that a section describes.
#[derive(Debug, Clone)]
pub(crate) struct NamedRepository {
    pub(crate) place: Place,
    /// Path or URL.
    pub(crate) location: String,
    pub(crate) password: Option<SecretReference>,
    pub(crate) secret_access_key: Option<SecretReference>,
    /// All settings of the section.
    pub(crate) settings: Vec<Setting>,
}

/// What `br run` backs up together.
#[derive(Debug, Clone)]
pub(crate) struct BackupSet {
    pub(crate) place: Place,
    pub(crate) paths: Vec<String>,
    pub(crate) repository: Option<String>,
    pub(crate) copy_to: Vec<String>,
    pub(crate) policy: Option<String>,
    pub(crate) prune: bool,
    /// Options of `br backup`.
    pub(crate) options: Vec<Setting>,
    /// All settings of the section.
    pub(crate) settings: Vec<Setting>,
}

impl Config {
    /// Gives the options of commands their defaults. Values that are typed take precedence.
    pub(crate) fn with_defaults(&self, mut br: Command) -> Command {
        for (name, settings) in &self.commands {
            br = br.mut_subcommand(name, |command| settings.iter().fold(command, with_default));
        }
        br
    }
}

fn with_default(command: Command, setting: &Setting) -> Command {
    let has_name = |arg: &&clap::Arg| arg.get_long() == Some(&setting.key);
    let Some(id) = command
        .get_arguments()
        .find(has_name)
        .map(|arg| arg.get_id().clone())
    else {
        return command;
    };
    command.mut_arg(id, |arg| match &setting.value {
        Value::Switch(false) => arg,
        Value::Switch(true) => arg.default_value("true"),
        value => arg.default_values(value.texts().to_vec()),
    })
}

impl NamedRepository {
    /// The storage options of the section. Their values were checked.
    pub(crate) fn storage(&self) -> StorageArgs {
        let own = ["location", "password", "secret-access-key"];
        let settings = self.settings.iter().filter(|one| !own.contains(&&*one.key));
        let words = settings.flat_map(words);
        StoreLine::try_parse_from(words)
            .map_or_else(|_| StorageArgs::default(), |line| line.storage)
    }
}

/// The setting as words of a command line.
pub(crate) fn words(setting: &Setting) -> Vec<String> {
    let key = &setting.key;
    match &setting.value {
        Value::Switch(true) => vec![format!("--{key}")],
        value => value
            .texts()
            .iter()
            .map(|text| format!("--{key}={text}"))
            .collect(),
    }
}
