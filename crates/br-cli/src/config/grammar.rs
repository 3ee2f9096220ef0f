//! The sections of a configuration file and their keys.
//!
//! [`Grammar`] takes the keys of commands from clap. Invariant: a key of a command's section is a long option of the command, with the same
//! rules for its value.

use clap::{Arg, ArgAction, Command, Parser};

use super::document::{NAMED, Section, Setting, Value};
use super::hooks;
use super::problem::Problem;
use super::reference::SecretReference;
use super::settings::{contradict, find};
use crate::output::usage;
use crate::storage::StorageArgs;

/// A command line with the options of a store.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub(super) struct StoreLine {
    #[command(flatten)]
    pub(super) storage: StorageArgs,
}

/// The kind of a value.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Switch,
    Text,
    List,
    Secret,
    /// As the option of a command.
    Option(Box<Arg>),
}

/// A key of a section.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// What it means, in one sentence.
    pub(super) about: String,
}

/// The sections and keys of a configuration file.
pub(super) struct Grammar {
    br: Command,
}

/// Maximum number of mistakes that are explained.
const MAX_PROBLEMS: usize = 200;
/// Options that a user must type: a forgotten setting would change what the command does, or answer its question.
const NO_DEFAULT: [&str; 33] = [
    "dry-run",
    "yes",
    "force",
    "init",
    "stdin",
    "stdin-from-command",
    "stream",
    "mysql",
    "postgres",
    "postgres-base",
    "redis",
    "to-command",
    "verify-only",
    "to-postgres",
    "replace-database",
    "to-redis",
    "replace-keys",
    "rabbitmq",
    // Without the server, they would be refused in every backup.
    "mysql-exclude",
    "redis-user",
    "redis-password",
    "rabbitmq-user",
    "rabbitmq-password",
    "to-rabbitmq",
    "plan",
    "execute",
    "only",
    "expect-trailer",
    "allow-empty",
    "files-from",
    "files-from-raw",
    "repair-log",
    "help",
];
/// Options of `br forget` that are no part of a policy.
const NO_POLICY: [&str; 9] = [
    "dry-run", "yes", "prune", "force", "host", "path", "tag", "complete", "help",
];
/// Options of `br backup` that a set has another key for, or cannot have.
const NO_SET: [&str; 9] = [
    "copy-to",
    "init",
    "dry-run",
    "stdin",
    "stdin-from-command",
    "stdin-name",
    "files-from",
    "files-from-raw",
    "help",
];
/// Options with a reference to the password of a server.
const OF_SERVERS: [&str; 2] = ["redis-password", "rabbitmq-password"];
/// Storage options that hold a secret or name one.
const NO_STORE: [&str; 2] = ["secret-access-key", "secret-access-key-file"];

impl Grammar {
    pub(super) fn new(mut br: Command) -> Self {
        br.build();
        Self { br }
    }

    /// Checks a section, and removes the settings that have problems. False if the section itself is unknown.
    pub(super) fn check(&self, section: &mut Section, problems: &mut Vec<Problem>) -> bool {
        let Some(keys) = self.keys(&section.kind) else {
            let known = self.sections();
            let message = format!("unknown section `{}`", section.kind);
            let hint = suggest(&section.kind, known.iter().map(String::as_str));
            problems.push(Problem::new(&section.place, message, hint));
            return false;
        };
        section.settings.retain_mut(|setting| {
            if problems.len() >= MAX_PROBLEMS {
                return false;
            }
            let found = keys.iter().find(|key| key.name == setting.key);
            let problem = match found {
                None => {
                    let message = format!("unknown key `{}`", setting.key);
                    let hint = suggest(&setting.key, keys.iter().map(|key| key.name.as_str()));
                    Some(Problem::new(&setting.place, message, hint))
                }
                Some(key) => key.kind.check(setting),
            };
            let is_sound = problem.is_none();
            problems.extend(problem);
            is_sound
        });
        self.check_contradictions(section, problems);
        true
    }

    /// Finds settings of a command that exclude each other.
    fn check_contradictions(&self, section: &Section, problems: &mut Vec<Problem>) {
        let Some(command) = self.command(&section.kind) else {
            return;
        };
        for (at, one) in section.settings.iter().enumerate() {
            for other in &section.settings[at + 1..] {
                let (Some(first), Some(second)) =
                    (find(command, &one.key), find(command, &other.key))
                else {
                    continue;
                };
                if contradict(command, first, second) {
                    let message =
                        format!("`{}` and `{}` contradict each other", one.key, other.key);
                    let hint = "remove one of them";
                    problems.push(Problem::new(&other.place, message, hint));
                }
            }
        }
    }

    pub(super) fn sections(&self) -> Vec<String> {
        let commands = self
            .br
            .get_subcommands()
            .filter(|one| is_with_defaults(one));
        let commands = commands.map(|one| one.get_name().to_owned());
        let others = NAMED.iter().chain(&["defaults"]);
        commands
            .chain(others.map(|&name| name.to_owned()))
            .collect()
    }

    /// What a section is for, in one sentence.
    pub(super) fn about(kind: &str) -> String {
        match kind {
            "defaults" => "What all commands use".to_owned(),
            "repositories" => "Repositories by name".to_owned(),
            "policies" => "Rules of `br forget` by name".to_owned(),
            "sets" => "What `br run` backs up, by name".to_owned(),
            command => format!("Defaults of the options of `br {command}`"),
        }
    }

    pub(super) fn keys(&self, kind: &str) -> Option<Vec<Key>> {
        let own = |keys: &[(&str, Kind, &str)]| -> Vec<Key> {
            let key = |(name, kind, about): &(&str, Kind, &str)| Key {
                name: (*name).to_owned(),
                kind: kind.clone(),
                about: (*about).to_owned(),
            };
            keys.iter().map(key).collect()
        };
        let mut keys = match kind {
            "defaults" => own(&[
                (
                    "repository",
                    Kind::Text,
                    "The repository that commands use without --repo",
                ),
                (
                    "cache-dir",
                    Kind::Text,
                    "Folder for caches and the backup journal",
                ),
            ]),
            "repositories" => own(&[
                ("location", Kind::Text, "Path or URL"),
                ("password", Kind::Secret, "Where the password is"),
                (
                    "secret-access-key",
                    Kind::Secret,
                    "Where the secret key of the bucket is",
                ),
            ]),
            "sets" => own(&[
                ("paths", Kind::List, "Files and folders"),
                ("repository", Kind::Text, "Name of the repository"),
                ("copy-to", Kind::List, "Names of further repositories"),
                ("policy", Kind::Text, "Name of the policy"),
                (
                    "prune",
                    Kind::Switch,
                    "Also free the space of backups that the policy does not keep",
                ),
            ]),
            _ => Vec::new(),
        };
        match kind {
            "defaults" => {}
            "repositories" => {
                let store = <StoreLine as clap::CommandFactory>::command();
                keys.extend(options(&store, true, &NO_STORE));
            }
            "policies" => keys.extend(options(self.command("forget")?, false, &NO_POLICY)),
            "sets" => {
                let lists = hooks::KEYS.map(|(name, about)| (name, Kind::List, about));
                keys.extend(own(&lists));
                let logins = hooks::LOGIN_KEYS.map(|(name, about)| {
                    let is_secret = name.ends_with("password");
                    let kind = if is_secret { Kind::Secret } else { Kind::Text };
                    (name, kind, about)
                });
                keys.extend(own(&logins));
                keys.extend(own(&[(
                    hooks::TIME_LIMIT_KEY,
                    Kind::Text,
                    "How long each of these commands may run, such as \"10min\"",
                )]));
                keys.extend(options(self.command("backup")?, false, &NO_SET));
            }
            _ => keys = options(self.command(kind)?, false, &NO_DEFAULT),
        }
        Some(keys)
    }

    fn command(&self, name: &str) -> Option<&Command> {
        let mut commands = self.br.get_subcommands();
        commands.find(|one| one.get_name() == name && is_with_defaults(one))
    }
}

/// True for commands whose options can have defaults in a file.
fn is_with_defaults(command: &Command) -> bool {
    let name = command.get_name();
    let is_other = matches!(
        name,
        "config"
            | "init-config"
            | "run"
            | "doctor"
            | "bootstrap"
            | "mo-br"
            | "link"
            | "completions"
            | "man"
            | "help"
    );
    !is_other && !command.is_hide_set() && !command.has_subcommands()
}

/// The long options of a command. `global`: those that all commands have.
fn options(command: &Command, global: bool, without: &[&str]) -> Vec<Key> {
    let is_option = |arg: &&Arg| {
        let long = arg.get_long().unwrap_or_default();
        !long.is_empty()
            && !without.contains(&long)
            // Each repository has its own password, in its section. For a server, the option is a reference.
            && (!long.contains("password") || OF_SERVERS.contains(&long))
            && arg.is_global_set() == global
            && !arg.is_required_set()
    };
    let options = command.get_arguments().filter(is_option);
    let key = |arg: &Arg| Key {
        name: arg.get_long().unwrap_or_default().to_owned(),
        kind: Kind::Option(Box::new(arg.clone())),
        about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
    };
    options.map(key).collect()
}

impl Kind {
    fn check(&self, setting: &mut Setting) -> Option<Problem> {
        let key = &setting.key;
        let wants = |what: &str| {
            let message = format!("`{key}` must be {what}");
            let hint = format!("correct the value of `{key}`");
            Some(Problem::new(&setting.place, message, hint))
        };
        match (self, &setting.value) {
            (Self::Switch, Value::Switch(_))
            | (Self::Text, Value::Text(_))
            | (Self::List, Value::List(_)) => None,
            (Self::List, Value::Text(text)) => {
                setting.value = Value::List(vec![text.clone()]);
                None
            }
            (Self::Secret, Value::Text(text)) if SecretReference::parse(text).is_some() => None,
            (Self::Secret, _) => {
                // The error does not repeat the value: it may be the secret.
                let message = format!("`{key}` is no reference to a secret");
                let hint = SecretReference::FORMS;
                Some(Problem::new(&setting.place, message, hint))
            }
            (Self::Switch, _) => wants("true or false"),
            (Self::Text, _) => wants("text in quotes"),
            (Self::List, _) => wants("a list of text"),
            (Self::Option(arg), _) => check_option(arg, setting),
        }
    }
}

/// Checks a value by the rules of the option.
fn check_option(arg: &Arg, setting: &Setting) -> Option<Problem> {
    let key = &setting.key;
    let problem = |message: String| {
        Problem::new(
            &setting.place,
            message,
            format!("correct the value of `{key}`"),
        )
    };
    let takes_list = matches!(arg.get_action(), ArgAction::Append);
    match (arg.get_action().takes_values(), &setting.value) {
        (false, Value::Switch(_)) => return None,
        (false, _) => return Some(problem(format!("`{key}` must be true or false"))),
        (true, Value::Switch(_)) => {
            return Some(problem(format!(
                "`{key}` must be text in quotes or a number"
            )));
        }
        (true, Value::List(texts)) if !takes_list && texts.len() != 1 => {
            return Some(problem(format!("`{key}` must be one value, not a list")));
        }
        _ => {}
    }
    let alone = Arg::new("value")
        .long(key.clone())
        .action(arg.get_action().clone())
        .value_parser(arg.get_value_parser().clone())
        .value_delimiter(arg.get_value_delimiter());
    let line = Command::new("br")
        .no_binary_name(true)
        .disable_help_flag(true)
        .arg(alone);
    let words = setting
        .value
        .texts()
        .iter()
        .map(|text| format!("--{key}={text}"));
    let error = line.try_get_matches_from(words).err()?;
    let first = usage::first_line(&error);
    let reason = first
        .split_once("': ")
        .map_or(&*first, |(_, reason)| reason);
    let shown = match setting.value.texts() {
        [text] if !setting.is_hidden() => format!("`{text}`"),
        _ => "its value".to_owned(),
    };
    Some(problem(format!("`{key}` cannot be {shown}: {reason}")))
}

/// The most similar name, as a hint.
fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let scored = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((score, known)) if score > 0.75 => format!("write `{known}`, or remove it"),
        _ => "remove it; `br help config` explains the sections and keys".to_owned(),
    }
}
