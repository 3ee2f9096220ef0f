//! What is left to do after `br bootstrap` wrote the configuration files.
//!
//! [`find`] returns the steps in the order in which a user takes them. Invariant: it runs no command and reads no secret.

use std::path::{Path, PathBuf};

use br_core::model::{Backup, Configuration};
use serde::Serialize;

use super::config::missing;
use super::run::quoted;
use super::sources;
use crate::config::{BackupSet, Config, Problem, SecretReference, default_files, place_of};
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::output::format;

/// A step.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    /// What kind of step it is.
    kind: StepKind,
    /// What to do, for people.
    pub(super) text: String,
    /// The command line to type.
    pub(super) command: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum StepKind {
    /// The files have a mistake.
    Mistake,
    /// A secret is missing on this machine.
    Secret,
    /// A setting is missing from the files, because it can hold a secret.
    Setting,
    /// The name of this machine differs.
    Host,
    /// Restore a set.
    Restore,
    /// Continue the backups.
    Run,
}

/// Finds the steps for the files of a configuration.
pub(super) fn find(
    configuration: &Configuration,
    chosen: &Backup,
    backups: &[Backup],
    context: &CommandContext,
) -> Result<Vec<Step>, CommandError> {
    let files = configuration.files.iter();
    let texts = files.map(|file| (PathBuf::from(&file.path), file.text.clone()));
    let (config, problems) = Config::from_texts(texts.collect(), (context.grammar)());
    let mut steps: Vec<Step> = problems.iter().map(mistake).collect();
    steps.extend(secrets(&config, context));
    for file in &configuration.files {
        let removed = file.removed.iter();
        steps.extend(removed.map(|setting| Step {
            kind: StepKind::Setting,
            text: format!(
                "write the value of `{}` into {}: the backup has no values that can hold a secret",
                format::text(setting),
                format::text(&file.path)
            ),
            command: None,
        }));
    }
    let start = start(configuration);
    let of_host = backups.iter().filter(|backup| backup.host == chosen.host);
    let of_host: Vec<&Backup> = of_host.collect();
    for (name, set) in &config.sets {
        let newest = of_host.iter().rfind(|backup| backup.tags.contains(name));
        if let Some(newest) = newest {
            steps.push(restore(name, set, newest, &config, &start, context)?);
        }
    }
    steps.extend(host(&config, chosen));
    let mut command = start;
    command.push("run".to_owned());
    steps.push(Step {
        kind: StepKind::Run,
        text: "continue the backups, and schedule this command:".to_owned(),
        command: Some(line(&command)),
    });
    Ok(steps)
}

fn mistake(problem: &Problem) -> Step {
    Step {
        kind: StepKind::Mistake,
        text: format!(
            "correct {}: {}; {}",
            problem.place, problem.message, problem.hint
        ),
        command: None,
    }
}

fn secrets(config: &Config, context: &CommandContext) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, repository) in &config.repositories {
        let references = [
            ("password", &repository.password),
            ("secret-access-key", &repository.secret_access_key),
        ];
        for (key, reference) in references {
            let Some(reference) = reference else { continue };
            let place = place_of(&repository.settings, key).unwrap_or(&repository.place);
            let problem = match reference {
                SecretReference::Command(_) => Some("check that the command works here".to_owned()),
                _ => missing(reference, place, context)
                    .map(|problem| format!("{}: {}", problem.message, problem.hint)),
            };
            steps.extend(problem.map(|problem| Step {
                kind: StepKind::Secret,
                text: format!(
                    "provide the {key} of the repository {}, `{}`: {problem}",
                    format::text(name),
                    format::text(&reference.to_string())
                ),
                command: None,
            }));
        }
    }
    steps
}

/// The beginning of command lines that use the files.
fn start(configuration: &Configuration) -> Vec<String> {
    let usual = default_files();
    let of_folder = Path::new("/etc/br/br.d");
    let is_usual = |path: &str| {
        let path = Path::new(path);
        usual.iter().any(|one| one == path) || path.parent() == Some(of_folder)
    };
    let mut words = vec!["br".to_owned()];
    let mut others = configuration.files.iter();
    if let Some(other) = others.find(|file| !is_usual(&file.path)) {
        words.push(format!("--config={}", other.path));
    }
    words
}

fn restore(
    name: &str,
    set: &BackupSet,
    newest: &Backup,
    config: &Config,
    start: &[String],
    context: &CommandContext,
) -> Result<Step, CommandError> {
    let own = config.repository_of(set).unwrap_or_default();
    let here = context.location()?.to_string();
    let mut all = std::iter::once(own).chain(set.copy_to.iter().map(String::as_str));
    let is_here = |named: &&str| {
        let section = config.repositories.get(*named);
        section.is_some_and(|section| is_same(&section.location, &here))
    };
    let repository = all.find(is_here).unwrap_or(own);
    let target = if newest.folder.is_empty() {
        "/".to_owned()
    } else {
        String::from_utf8_lossy(&newest.folder).into_owned()
    };
    let mut words = start.to_vec();
    let select = [
        "-r",
        repository,
        "restore",
        "latest",
        "--host",
        &newest.host,
    ];
    words.extend(select.map(str::to_owned));
    words.extend(["--tag", name].map(str::to_owned));
    let name = format::text(name);
    // Dumps are no files to write into the file system.
    let has_dumps = DUMPS
        .iter()
        .any(|key| place_of(&set.settings, key).is_some());
    let text = if has_dumps {
        words.push("--plan".to_owned());
        format!(
            "look at the steps that restore the set {name}, and take them with --execute in place of --plan:"
        )
    } else {
        words.extend(["--target".to_owned(), target]);
        format!("restore the files of the set {name}:")
    };
    Ok(Step {
        kind: StepKind::Restore,
        text,
        command: Some(line(&words)),
    })
}

/// Keys of a set for what is no file.
const DUMPS: [&str; 6] = [
    "mysql",
    "postgres",
    "postgres-base",
    "redis",
    "rabbitmq",
    "stream",
];

/// True when both are the same location, or the same folder.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let path = text.strip_prefix("file://").unwrap_or(text);
        std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path))
    };
    one == other || plain(one) == plain(other)
}

/// br finds the last backup by the host name: if it differs, the next backup reads every file.
fn host(config: &Config, chosen: &Backup) -> Option<Step> {
    let here = sources::host_name();
    let of_backup = config.commands.get("backup");
    let has_host = place_of(of_backup.map_or(&[], Vec::as_slice), "host").is_some();
    let all_have = config
        .sets
        .values()
        .all(|set| place_of(&set.settings, "host").is_some());
    if has_host || all_have || here == chosen.host {
        return None;
    }
    Some(Step {
        kind: StepKind::Host,
        text: format!(
            "this machine is called {}: to continue the backups of {host}, give it this name, or add `host = \"{host}\"` to the section `[backup]`",
            format::text(&here),
            host = format::text(&chosen.host)
        ),
        command: None,
    })
}

fn line(words: &[String]) -> String {
    quoted(words)
}
