//! The settings of all configuration files together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Parser as _};

use super::document::{Setting, Value};
use super::grammar::StoreLine;
use super::hooks::Hooks;
use super::problem::Place;
use super::reference::SecretReference;
use crate::storage::StorageArgs;

/// What the configuration files say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// The files that exist, in the order in which they are read.
    pub(crate) files: Vec<PathBuf>,
    /// The same files with their contents.
    pub(crate) texts: Vec<(PathBuf, String)>,
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
    pub(crate) hooks: Hooks,
    /// Options of `br backup`.
    pub(crate) options: Vec<Setting>,
    /// All settings of the section.
    pub(crate) settings: Vec<Setting>,
}

impl Config {
    /// The repository of commands that name none.
    pub(crate) fn default_repository(&self) -> Option<&str> {
        self.repository.as_ref()?.text()
    }

    /// The name of the repository at a location.
    pub(crate) fn name_of(&self, location: &str) -> Option<&str> {
        let mut all = self.repositories.iter();
        all.find(|(_, repository)| repository.location == location)
            .map(|(name, _)| name.as_str())
    }

    /// The first repository of a set. That of the environment is for other commands.
    pub(crate) fn repository_of<'s>(&'s self, set: &'s BackupSet) -> Option<&'s str> {
        let own = set.repository.as_deref();
        own.or_else(|| self.default_repository())
    }

    /// Gives the options of the command that was typed their defaults. Options that are typed, and options that contradict a typed one, get none.
    pub(crate) fn with_defaults(&self, br: Command, typed: &ArgMatches) -> Command {
        let Some((name, matches)) = typed.subcommand() else {
            return br;
        };
        // `br doctor` looks at what `br backup` reads.
        let section = if name == "doctor" { "backup" } else { name };
        let Some(settings) = self.commands.get(section) else {
            return br;
        };
        br.mut_subcommand(name, |command| {
            let typed: Vec<Arg> = command
                .get_arguments()
                .filter(|arg| is_typed(arg, matches))
                .cloned()
                .collect();
            let fits = |setting: &&Setting| {
                let own = find(&command, &setting.key);
                own.is_some_and(|own| !typed.iter().any(|one| contradict(&command, own, one)))
            };
            let settings: Vec<&Setting> = settings.iter().filter(fits).collect();
            settings.into_iter().fold(command, with_default)
        })
    }
}

fn is_typed(arg: &Arg, matches: &ArgMatches) -> bool {
    let source = matches.try_contains_id(arg.get_id().as_str());
    source.is_ok_and(|has| has)
        && matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

/// The option with this long name.
pub(super) fn find<'c>(command: &'c Command, long: &str) -> Option<&'c Arg> {
    let mut all = command.get_arguments();
    all.find(|arg| arg.get_long() == Some(long))
}

/// True when two options of a command exclude each other.
pub(super) fn contradict(command: &Command, one: &Arg, other: &Arg) -> bool {
    let excludes = |one: &Arg, other: &Arg| {
        let excluded = command.get_arg_conflicts_with(one);
        excluded.iter().any(|arg| arg.get_id() == other.get_id())
    };
    excludes(one, other) || excludes(other, one)
}

fn with_default(command: Command, setting: &Setting) -> Command {
    let Some(id) = find(&command, &setting.key).map(|arg| arg.get_id().clone()) else {
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
