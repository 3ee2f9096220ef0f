//! Finds the configuration files, reads them and merges them.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Command;

use super::document::{Section, Setting, Value, parse};
use super::grammar::Grammar;
use super::hooks::Hooks;
use super::problem::{Place, Problem};
use super::reference::SecretReference;
use super::settings::{BackupSet, Config, NamedRepository};
use crate::environment::variable;

/// Maximum length of a file.
const MAX_LEN: u64 = 1 << 20;
/// Permission bits that let the group or others change a file.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Permission bit of a folder in which only the owner of a file can replace it.
const STICKY: u32 = 0o1000;

/// The file that the environment names instead of the default ones.
fn config_from_environment() -> Option<PathBuf> {
    variable("BR_CONFIG").map(PathBuf::from)
}

/// The files that br reads if none is named.
pub(crate) fn default_files() -> Vec<PathBuf> {
    let system = Path::new("/etc/br");
    let mut files = vec![system.join("br.toml")];
    let parts = std::fs::read_dir(system.join("br.d")).into_iter().flatten();
    let parts = parts.filter_map(|item| Some(item.ok()?.path()));
    let mut parts: Vec<_> = parts
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    parts.sort();
    files.extend(parts);
    let xdg = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".config"));
    let folder = xdg.filter(|folder| folder.is_absolute()).or_else(home);
    files.extend(folder.map(|folder| folder.join("br/br.toml")));
    files
}

impl Config {
    /// Reads the file that `--config` or the environment names, or the default files that exist. Returns what is understood, and the problems.
    pub(crate) fn load(option: Option<PathBuf>, br: Command) -> (Self, Vec<Problem>) {
        let (files, is_named) = match option.or_else(config_from_environment) {
            Some(file) => (vec![file], true),
            None => (default_files(), false),
        };
        let mut problems = Vec::new();
        let mut texts = Vec::new();
        for file in files {
            match read(&file) {
                Ok(text) => texts.push((file, text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {}
                Err(error) => {
                    let place = Place { file, line: 0 };
                    let message = format!("the configuration file cannot be read: {error}");
                    let hint = "correct --config or BR_CONFIG, or the permissions of the file";
                    problems.push(Problem::new(&place, message, hint));
                }
            }
        }
        let (config, more) = Self::from_texts(texts, br);
        problems.extend(more);
        (config, problems)
    }

    /// Reads the contents of files. Returns what is understood, and the problems.
    pub(crate) fn from_texts(texts: Vec<(PathBuf, String)>, br: Command) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        if texts.is_empty() {
            return (Self::default(), problems);
        }
        let grammar = Grammar::new(br);
        let mut merged = Merged::default();
        for (file, text) in &texts {
            for mut section in parse(file, text, &mut problems) {
                if grammar.check(&mut section, &mut problems) {
                    problems.extend(section.settings.iter().filter_map(unfilled));
                    merged.add(section);
                }
            }
        }
        let mut config = merged.into_config(&mut problems);
        config.files = texts.iter().map(|(file, _)| file.clone()).collect();
        config.texts = texts;
        config.check_names(&mut problems);
        (config, problems)
    }
}

/// What `br init-config` writes in place of a value.
pub(crate) const FILL_IN: &str = "FILL IN";

/// A setting that still has no value.
fn unfilled(setting: &Setting) -> Option<Problem> {
    let mut texts = setting.value.texts().iter();
    texts.any(|text| text.contains(FILL_IN)).then(|| {
        let message = format!("`{}` still says {FILL_IN}", setting.key);
        Problem::new(
            &setting.place,
            message,
            "write its value, or remove the line",
        )
    })
}

/// Reads a file that only its owner can change.
fn read(file: &Path) -> io::Result<String> {
    if file == Path::new("/dev/null") {
        return Ok(String::new());
    }
    // Not opened before this: opening a named pipe can block.
    let found = std::fs::metadata(file)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = std::fs::metadata(folder.unwrap_or(Path::new(".")))?;
    if is_open(&found) || is_open(&folder) && folder.mode() & STICKY == 0 {
        return Err(io::Error::other(
            "other users can change the file or its folder; both must belong to you or to root, and `chmod go-w` closes them",
        ));
    }
    let mut text = String::new();
    let file = std::fs::File::open(file)?;
    if file.take(MAX_LEN + 1).read_to_string(&mut text)? as u64 > MAX_LEN {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// True when other users can change a file or a folder.
fn is_open(found: &Metadata) -> bool {
    let is_own = found.uid() == 0 || found.uid() == rustix::process::geteuid().as_raw();
    !is_own || found.mode() & WRITABLE_BY_OTHERS != 0
}

/// The kind and the name of a section.
type SectionName = (String, Option<String>);
/// Where a section is first, and its settings by key.
type SectionContent = (Place, BTreeMap<String, Setting>);

/// Settings of all files by section. A later file takes precedence.
#[derive(Debug, Default)]
struct Merged(BTreeMap<SectionName, SectionContent>);

impl Merged {
    fn add(&mut self, section: Section) {
        let place = section.place;
        let new = || (place, BTreeMap::new());
        let (_, settings) = self
            .0
            .entry((section.kind, section.name))
            .or_insert_with(new);
        for setting in section.settings {
            settings.insert(setting.key.clone(), setting);
        }
    }

    fn into_config(self, problems: &mut Vec<Problem>) -> Config {
        let mut config = Config::default();
        for ((kind, name), (place, mut settings)) in self.0 {
            match (kind.as_str(), name) {
                ("defaults", _) => {
                    config.repository = settings.remove("repository");
                    config.cache_dir = settings.remove("cache-dir");
                }
                ("repositories", Some(name)) => {
                    let repository = repository(&name, place, settings);
                    insert(&mut config.repositories, name, repository, problems);
                }
                ("policies", Some(name)) => {
                    config
                        .policies
                        .insert(name, settings.into_values().collect());
                }
                ("sets", Some(name)) => {
                    let set = set(&name, place, settings);
                    insert(&mut config.sets, name, set, problems);
                }
                _ => {
                    config
                        .commands
                        .insert(kind, settings.into_values().collect());
                }
            }
        }
        config
    }
}

fn insert<T>(
    all: &mut BTreeMap<String, T>,
    name: String,
    item: Result<T, Problem>,
    problems: &mut Vec<Problem>,
) {
    match item {
        Ok(item) => drop(all.insert(name, item)),
        Err(problem) => problems.push(problem),
    }
}

fn repository(
    name: &str,
    place: Place,
    settings: BTreeMap<String, Setting>,
) -> Result<NamedRepository, Problem> {
    if name.is_empty() || name.contains(['/', ':', '\\']) || name.starts_with(['.', '-', '~']) {
        let message = format!("`{name}` could be a location");
        let hint = "give the repository a name without `/` and `:`, such as `main`";
        return Err(Problem::new(&place, message, hint));
    }
    let text = |key: &str| settings.get(key)?.text();
    let reference = |key: &str| SecretReference::parse(text(key)?);
    let Some(location) = text("location").map(str::to_owned) else {
        let message = format!("the repository `{name}` has no location");
        let hint = "add a line such as `location = \"/srv/backup\"`";
        return Err(Problem::new(&place, message, hint));
    };
    let authority = location.split_once("://").map(|(_, rest)| rest);
    let authority = authority.and_then(|rest| rest.split('/').next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        // The error does not repeat the location: it has a key.
        let message = format!("the location of the repository `{name}` has a key");
        let hint = "write it as `access-key-id` and `secret-access-key = \"file:PATH\"`";
        let place = settings.get("location").map_or(&place, |one| &one.place);
        return Err(Problem::new(place, message, hint));
    }
    Ok(NamedRepository {
        location,
        password: reference("password"),
        secret_access_key: reference("secret-access-key"),
        settings: settings.into_values().collect(),
        place,
    })
}

fn set(
    name: &str,
    place: Place,
    mut settings: BTreeMap<String, Setting>,
) -> Result<BackupSet, Problem> {
    let all = settings.values().cloned().collect();
    let of_streams = [
        "stream",
        "mysql",
        "postgres",
        "postgres-base",
        "redis",
        "rabbitmq",
    ];
    for setting in of_streams.iter().filter_map(|key| settings.get(*key)) {
        let texts = setting.value.texts();
        let is_switch = matches!(setting.value, Value::Switch(_));
        if !is_switch && (texts.is_empty() || texts.iter().any(String::is_empty)) {
            let message = format!("`{}` of the set `{name}` names nothing", setting.key);
            let hint = "name what to back up, or delete the line";
            return Err(Problem::new(&setting.place, message, hint));
        }
    }
    let is_named = |setting: &Setting| setting.value != Value::Switch(false);
    let mut streams = of_streams.iter().filter_map(|key| settings.get(*key));
    let has_streams = streams.any(is_named);
    let hooks = Hooks::take(&mut settings)?;
    let mut take = |key: &str| settings.remove(key).map(|setting| setting.value);
    let texts = |value: Option<Value>| value.map_or_else(Vec::new, |value| value.texts().to_vec());
    let paths = texts(take("paths"));
    let is_word = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let has_input = !paths.is_empty() || has_streams;
    if !has_input || name.is_empty() || !name.chars().all(is_word) {
        let (message, hint) = if !has_input {
            let message = format!("the set `{name}` has no paths and no streams");
            (message, "add a line such as `paths = [\"/home\"]`")
        } else {
            let message = format!("`{name}` is no name of a set, because backups get it as a tag");
            (message, "use letters, digits, `-`, `_` and `.`")
        };
        return Err(Problem::new(&place, message, hint));
    }
    Ok(BackupSet {
        paths,
        repository: texts(take("repository")).into_iter().next(),
        copy_to: texts(take("copy-to")),
        policy: texts(take("policy")).into_iter().next(),
        prune: take("prune") == Some(Value::Switch(true)),
        hooks,
        options: settings.into_values().collect(),
        settings: all,
        place,
    })
}
