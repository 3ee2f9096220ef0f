//! `br config`: shows and checks the configuration files.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::run::mistakes;
use crate::config::{
    Config, NamedRepository, Place, Problem, SecretReference, Setting, Value, default_files,
    place_of, schema,
};
use crate::context::CommandContext;
use crate::environment::{environment, variable};
use crate::error::CommandResult;
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::json::Summary;
use crate::storage::StoreLocation;

const EXAMPLES: &str = "\
  br config check
  br config show
  br --config ./br.toml config check";

/// Variables that take precedence over the configuration files.
const VARIABLES: [&str; 11] = [
    "BR_CONFIG",
    "BR_REPOSITORY",
    "BR_PASSWORD",
    "BR_PASSWORD_FILE",
    "BR_PASSWORD_COMMAND",
    "BR_CACHE_DIR",
    "BR_S3_ENDPOINT",
    "BR_S3_REGION",
    "BR_S3_ACCESS_KEY_ID",
    "BR_S3_SECRET_ACCESS_KEY",
    "BR_COPY_TO_PASSWORD",
];

/// Show and check the configuration files
///
/// br reads /etc/br/br.toml, /etc/br/br.d/*.toml (in the order of their names) and
/// ~/.config/br/br.toml, or only the file of --config or BR_CONFIG. Options take precedence over
/// the variables of br, and these over the files. An example:
///
///   [repositories.main]
///   location = "/srv/backup"
///   password = "file:/etc/br/main.password"
///
///   [repositories.offsite]
///   location = "s3://bucket/backup"
///   password = "file:/etc/br/offsite.password"
///
///   [defaults]
///   repository = "main"
///
///   [backup]
///   exclude = ["*.tmp"]
///
///   [policies.standard]
///   keep-daily = 7
///
///   [sets.home]
///   paths = ["/home"]
///   copy-to = ["offsite"]   # further repositories
///   policy = "standard"
///   prune = true            # also free the space
///
/// `--repo main` then means this repository. `[backup]` sets defaults of the options of
/// `br backup`, and other commands have such sections, too. `br run` backs up the sets. Passwords
/// are references: file:PATH, command:COMMAND, env:NAME, credential:NAME, or none.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = exit_codes(ExitStatus::PLAIN),
    after_long_help = examples(EXAMPLES, &exit_codes(ExitStatus::PLAIN))
)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every setting and where it comes from
    ///
    /// Also names the variables that take precedence over the files. Secrets are not shown.
    #[command(
        after_help = exit_codes(ExitStatus::PLAIN),
        after_long_help = examples("  br config show\n  br config show --json", &exit_codes(ExitStatus::PLAIN))
    )]
    Show,
    /// Check the files, and explain mistakes by line
    ///
    /// br also checks that the files and variables with secrets exist. It runs no command and opens no repository.
    #[command(
        after_help = exit_codes(ExitStatus::PLAIN),
        after_long_help = examples("  br config check", &exit_codes(ExitStatus::PLAIN))
    )]
    Check,
    /// Print a JSON schema of the files, for editors
    ///
    /// An editor with the schema completes the sections and keys, and marks unknown ones. docs/config.md explains how to use it.
    #[command(
        after_help = exit_codes(ExitStatus::PLAIN),
        after_long_help = examples("  br config schema > br.schema.json", &exit_codes(ExitStatus::PLAIN))
    )]
    Schema,
}

pub(crate) fn run(args: &ConfigCommand, context: &CommandContext) -> CommandResult {
    context.refuse_repository_options("`br config` opens none")?;
    if matches!(args.action, Action::Schema) {
        return print_schema(context);
    }
    let named = context.global_options().config.clone();
    let (config, problems) = Config::load(named, (context.grammar)());
    match args.action {
        Action::Show => show(&config, &problems, context),
        Action::Check | Action::Schema => check(&config, problems, context),
    }
}

fn print_schema(context: &CommandContext) -> CommandResult {
    let schema = schema((context.grammar)());
    let text = format!("{schema:#}");
    let mut lines = context.output.lines();
    text.lines().try_for_each(|line| lines.line(line))?;
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

#[derive(Serialize)]
struct ShowSummary {
    files: Vec<String>,
    settings: Vec<SettingJson>,
    environment: Vec<&'static str>,
}

#[derive(Serialize)]
struct SettingJson {
    section: String,
    key: String,
    value: serde_json::Value,
    file: String,
    line: usize,
}

fn show(config: &Config, problems: &[Problem], context: &CommandContext) -> CommandResult {
    Problem::refuse(problems)?;
    let output = &context.output;
    let is_set = |name: &&&str| environment(name).is_some();
    let variables: Vec<&str> = VARIABLES.iter().filter(is_set).copied().collect();
    let sections = sections(config);
    if output.is_json() {
        let settings = sections.iter().flat_map(|(section, settings)| {
            let setting = |setting: &Setting| SettingJson {
                section: section.clone(),
                key: setting.key.clone(),
                value: json(setting),
                file: format::path(&setting.place.file),
                line: setting.place.line,
            };
            settings.iter().map(setting).collect::<Vec<_>>()
        });
        output.document(&Summary::new(ShowSummary {
            files: config.files.iter().map(|file| format::path(file)).collect(),
            settings: settings.collect(),
            environment: variables,
        }))?;
        return Ok(ExitStatus::Ok);
    }
    let mut lines = output.lines();
    for (section, settings) in &sections {
        lines.line(&format!("[{section}]"))?;
        let texts: Vec<String> = settings.iter().map(text).collect();
        let width = texts
            .iter()
            .map(|text| text.chars().count())
            .max()
            .unwrap_or(0);
        for (setting, text) in settings.iter().zip(texts) {
            lines.line(&format!("{text:width$}  # {}", setting.place))?;
        }
    }
    lines.finish()?;
    if config.files.is_empty() {
        note_files(context);
    }
    if !variables.is_empty() {
        let note = format!("these variables take precedence: {}", variables.join(", "));
        output.console.note(&note);
    }
    Ok(ExitStatus::Ok)
}

/// Says which files br looks for.
fn note_files(context: &CommandContext) {
    let files = default_files();
    let files: Vec<String> = files.iter().map(|file| format::path(file)).collect();
    let files = files.join(", ");
    let note = format!("there is no configuration file; br looks for {files}");
    context.output.console.note(&note);
}

/// All settings by section.
fn sections(config: &Config) -> Vec<(String, Vec<Setting>)> {
    let mut out = Vec::new();
    for (name, repository) in &config.repositories {
        out.push((format!("repositories.{name}"), repository.settings.clone()));
    }
    let defaults = config.repository.iter().chain(&config.cache_dir);
    out.push(("defaults".to_owned(), defaults.cloned().collect()));
    for (name, settings) in &config.commands {
        out.push((name.clone(), settings.clone()));
    }
    for (name, settings) in &config.policies {
        out.push((format!("policies.{name}"), settings.clone()));
    }
    for (name, set) in &config.sets {
        out.push((format!("sets.{name}"), set.settings.clone()));
    }
    out.retain(|(_, settings)| !settings.is_empty());
    out
}

fn json(setting: &Setting) -> serde_json::Value {
    match &setting.value {
        _ if setting.is_hidden() => serde_json::Value::Null,
        Value::Switch(yes) => (*yes).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(texts) => texts.clone().into(),
    }
}

/// `keep-daily = "7"`.
fn text(setting: &Setting) -> String {
    let value = match json(setting) {
        serde_json::Value::Null => "…".to_owned(),
        value => value.to_string(),
    };
    format!("{} = {value}", setting.key)
}

#[derive(Serialize)]
struct CheckSummary {
    files: Vec<String>,
    mistakes: Vec<MistakeJson>,
}

#[derive(Serialize)]
struct MistakeJson {
    file: String,
    line: usize,
    message: String,
    hint: String,
}

fn check(config: &Config, mut problems: Vec<Problem>, context: &CommandContext) -> CommandResult {
    if problems.is_empty() {
        problems = mistakes(config, context);
    }
    for repository in config.repositories.values() {
        let references = [
            ("password", &repository.password),
            ("secret-access-key", &repository.secret_access_key),
        ];
        for (key, reference) in references {
            let place = place_of(&repository.settings, key).unwrap_or(&repository.place);
            let reference = reference.as_ref();
            problems.extend(reference.and_then(|one| missing(one, place, context)));
        }
        problems.extend(wrong_place(repository));
    }
    problems.sort_by(|one, other| one.place.cmp(&other.place));
    let output = &context.output;
    let status = if problems.is_empty() {
        ExitStatus::Ok
    } else {
        ExitStatus::Usage
    };
    if output.is_json() {
        let mistakes = problems.into_iter().map(|problem| MistakeJson {
            file: format::path(&problem.place.file),
            line: problem.place.line,
            message: problem.message,
            hint: problem.hint,
        });
        output.document(&Summary::new(CheckSummary {
            files: config.files.iter().map(|file| format::path(file)).collect(),
            mistakes: mistakes.collect(),
        }))?;
        return Ok(status);
    }
    let mut lines = output.lines();
    for problem in &problems {
        lines.line(&format!("{}: {}", problem.place, problem.message))?;
        lines.line(&format!("  {}", problem.hint))?;
    }
    lines.finish()?;
    if config.files.is_empty() {
        note_files(context);
    } else if problems.is_empty() {
        let files = format::counted(config.files.len() as u64, "file", "files");
        output.summary(&[("checked", format!("{files}, no mistakes"))])?;
    }
    Ok(status)
}

/// A location that is wrong, or options that do not fit it.
fn wrong_place(repository: &NamedRepository) -> Option<Problem> {
    let mut storage = repository.storage();
    if repository.secret_access_key.is_some() {
        // Its value does not matter here.
        storage = storage.with_secret_access_key(String::new().into());
    }
    let location = Some(repository.location.as_str());
    let error = StoreLocation::find(&storage, location, &environment).err()?;
    let place = place_of(&repository.settings, "location").unwrap_or(&repository.place);
    Some(Problem {
        place: place.clone(),
        message: error.message,
        hint: error.hint,
    })
}

/// The problem of a reference to a secret that is not there.
pub(super) fn missing(
    reference: &SecretReference,
    place: &Place,
    context: &CommandContext,
) -> Option<Problem> {
    let problem = |message: String, hint: &str| {
        Some(Problem {
            place: place.clone(),
            message,
            hint: hint.to_owned(),
        })
    };
    if let SecretReference::Variable(name) = reference {
        if variable(name).is_some() {
            return None;
        }
        return problem(
            format!("the variable {name} of `{reference}` is not set"),
            "set it where br runs",
        );
    }
    let file = match reference.file() {
        Ok(file) => file?,
        Err(error) => return problem(error.message, &error.hint),
    };
    context.warn_of_file(&reference.to_string(), &file);
    let error = std::fs::File::open(&file).err()?;
    problem(
        format!("the file of `{reference}` cannot be read: {error}"),
        "create the file, or correct its path",
    )
}
