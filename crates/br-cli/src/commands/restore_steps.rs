//! The steps that restore a whole set, in their order.
//!
//! [`Plan::make`] finds them. Invariant: it runs nothing; each step is a command line that a user can type.

use std::path::{Path, PathBuf};

use br_core::model::{Backup, StreamRecord, escape};
use br_sources::mysql::MySqlOptions;
use br_sources::server::Launcher;
use serde::Serialize;

use super::programs::find_program;
use super::run::quoted;
use super::servers::launcher;
use crate::config::{BackupSet, HookCommand, Setting, Value, place_of, texts_of};
use crate::error::CommandError;
use crate::output::format;

/// What a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StepKind {
    /// Reads and verifies all that the steps restore, before anything is replaced.
    Intact,
    /// A command before anything is restored.
    Before,
    /// Restores a part.
    Restore,
    /// A command after everything is restored.
    After,
    /// Checks the result.
    Verify,
}

/// A step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: StepKind,
    /// The part that it restores, such as `mysql`, `files` or the name of a stream; for other steps, their kind.
    pub(super) part: String,
    /// What it restores: paths in the backup.
    pub(super) paths: Vec<String>,
    /// The server of MySQL that takes it: the client in `action` does not say before whether it answers.
    pub(super) mysql: Option<MySqlOptions>,
    pub(super) action: Action,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    /// A command line of br, without the name of the program.
    Br(Vec<String>),
    /// A command of the set.
    Hook(HookCommand),
    /// Something that br does not know how to do: the words of a command line with `PROGRAM` to fill in.
    Unknown(Vec<String>),
}

/// The steps that restore a backup of a set.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// The parts that the set has now and the backup does not have.
    pub(super) missing: Vec<String>,
    /// What the backup has and no step restores, because the set does not name it any more.
    pub(super) left_out: Vec<String>,
    /// The command line that restores the files of a PostgreSQL server, if the backup has them. It needs an empty folder and a server that is stopped, so it is no step.
    pub(super) by_hand: Option<String>,
}

/// The part with files and folders.
const FILES: &str = "files";
/// The servers that a set can name.
const SERVERS: [&str; 4] = ["mysql", "postgres", "redis", "rabbitmq"];
/// The files of a whole PostgreSQL server.
pub(super) const BASE: &str = "postgres-base";
/// A dump that a person looks at: a running server takes no settings from a file.
const TO_READ: &str = "redis/redis.conf";

impl Step {
    fn new(kind: StepKind, part: &str, paths: Vec<String>, action: Action) -> Self {
        Self {
            kind,
            part: part.to_owned(),
            paths,
            mysql: None,
            action,
        }
    }

    /// The command line, as one would type it.
    pub(super) fn line(&self) -> String {
        let of_br = |words: &[String]| {
            let program = std::iter::once("br".to_owned());
            quoted(&program.chain(words.iter().cloned()).collect::<Vec<_>>())
        };
        match &self.action {
            Action::Br(words) | Action::Unknown(words) => of_br(words),
            Action::Hook(hook) => format::visible(&hook.text).into_owned(),
        }
    }
}

impl Plan {
    /// The steps that restore a backup of a set: databases, caches, brokers, other streams, and then files. `start` are the words before `restore`, and
    /// `only` the parts to restore; empty for all.
    pub(super) fn make(
        set: &BackupSet,
        backup: &Backup,
        start: &[String],
        only: &[String],
    ) -> Result<Self, CommandError> {
        let maker = Maker { set, backup, start };
        let mut restores = maker.mysql();
        restores.extend(maker.postgres());
        restores.extend(maker.redis());
        restores.extend(maker.rabbitmq());
        restores.extend(maker.streams());
        restores.extend(maker.files());
        let by_hand = maker.by_hand();
        let missing = maker.missing(&restores);
        let left_out = maker.left_out(&restores);
        let names = |step: &Step| -> Vec<String> {
            let files = step.paths.iter().filter(|_| step.part != FILES);
            std::iter::once(&step.part).chain(files).cloned().collect()
        };
        let mut known: Vec<String> = restores.iter().flat_map(names).collect();
        known.sort();
        known.dedup();
        if let (Some(line), true) = (&by_hand, only.iter().any(|part| part == BASE)) {
            let message = format!("{BASE} is restored by hand, into an empty folder DIR: {line}");
            return Err(CommandError::usage(message, "leave it out of --only"));
        }
        if let Some(unknown) = only.iter().find(|part| !known.contains(part)) {
            let message = format!("the backup has no part `{}`", format::text(unknown));
            let hint = format!("its parts are {}", known.join(", "));
            return Err(CommandError::usage(message, hint));
        }
        restores
            .retain(|step| only.is_empty() || names(step).iter().any(|name| only.contains(name)));
        let hooks = |kind, part: &str, hooks: &[HookCommand]| -> Vec<Step> {
            let step =
                |hook: &HookCommand| Step::new(kind, part, Vec::new(), Action::Hook(hook.clone()));
            hooks.iter().map(step).collect()
        };
        let hook = &set.hooks;
        let mut steps = vec![maker.intact(&restores)];
        steps.extend(hooks(StepKind::Before, "before", &hook.restore_before));
        steps.extend(restores);
        steps.extend(hooks(StepKind::After, "after", &hook.restore_after));
        steps.extend(hooks(StepKind::Verify, "verify", &hook.verify));
        Ok(Self {
            steps,
            missing,
            left_out,
            by_hand,
        })
    }

    /// A program that a step needs and that this machine does not have. Those of later commands may be among the files to restore.
    pub(super) fn missing_program(&self) -> Option<&str> {
        let programs = self.steps.iter().filter_map(|step| match &step.action {
            Action::Br(words) => {
                let at = words.iter().position(|word| word == TO_COMMAND)?;
                words.get(at + 2)
            }
            Action::Hook(hook) if step.kind == StepKind::Before => hook.words.first(),
            Action::Hook(_) | Action::Unknown(_) => None,
        });
        let mut missing = programs.filter(|program| find_program(program).is_none());
        missing.next().map(String::as_str)
    }
}

/// The option before `--` and a program.
const TO_COMMAND: &str = "--to-command";

/// Makes the steps of the parts.
struct Maker<'p> {
    set: &'p BackupSet,
    backup: &'p Backup,
    start: &'p [String],
}

impl Maker<'_> {
    /// A step that restores `path` with these words after it.
    fn step(&self, part: &str, path: &str, words: &[&str]) -> Step {
        let action = Action::Br(self.line([path].iter().chain(words)));
        Step::new(StepKind::Restore, part, vec![path.to_owned()], action)
    }

    /// The step that verifies all that the others restore.
    fn intact(&self, restores: &[Step]) -> Step {
        let paths = restores.iter().flat_map(|step| &step.paths).cloned();
        let paths: Vec<String> = paths.collect();
        let words: Vec<&str> = paths.iter().map(String::as_str).collect();
        let action = Action::Br(self.line(["--verify-only"].iter().chain(&words)));
        Step::new(StepKind::Intact, "intact", paths, action)
    }

    /// The command line that restores from the backup, with these words at its end.
    fn line<'w>(&self, words: impl Iterator<Item = &'w &'w str>) -> Vec<String> {
        let mut line = self.start.to_vec();
        line.extend(["restore".to_owned(), self.backup.id.to_string()]);
        line.extend(words.map(|&word| word.to_owned()));
        line
    }

    /// The paths of the streams in a folder, without the folder.
    fn names_in(&self, folder: &str) -> Vec<String> {
        let paths = self
            .backup
            .streams
            .iter()
            .map(|stream| escape(&stream.path));
        let names = paths.filter_map(|path| {
            let (first, name) = path.split_once('/')?;
            (first == folder).then(|| name.to_owned())
        });
        names.collect()
    }

    fn has(&self, key: &str) -> bool {
        place_of(&self.set.settings, key).is_some()
    }

    /// The value of a key, or of the one that a restore uses instead.
    fn text(&self, key: &str) -> Option<&str> {
        if let Some(value) = self.set.hooks.restore_logins.get(key) {
            return Some(value);
        }
        let first = texts_of(&self.set.settings, key).first();
        first.map(String::as_str)
    }

    /// The command through which the programs of a server run; empty if they run on this machine.
    fn through(&self, server: &str) -> Vec<String> {
        let command = self.text(&format!("{server}-through"));
        command.and_then(shlex::split).unwrap_or_default()
    }

    fn mysql(&self) -> Vec<Step> {
        if !self.has("mysql") {
            return Vec::new();
        }
        let is_mysql = |stream: &StreamRecord| {
            stream
                .server
                .as_deref()
                .is_some_and(|server| server.starts_with("MySQL"))
        };
        let of_mysql = self.backup.streams.iter().any(is_mysql);
        let through = self.through("mysql");
        // A machine with an old client has only the other name.
        let has_new_name = !through.is_empty() || find_program("mariadb").is_some();
        let client = if of_mysql || !has_new_name {
            "mysql"
        } else {
            "mariadb"
        };
        let file = self.text("mysql-defaults-file");
        let file = file.map(|file| format!("--defaults-file={file}"));
        let mut words = vec!["--to-command", "--"];
        words.extend(through.iter().map(String::as_str));
        words.push(client);
        words.extend(file.as_deref());
        let names = self.names_in("mysql");
        // Views and routines of the databases belong to users.
        let order = ["users.sql", "dump.sql"].into_iter();
        let found = order.filter(|name| names.iter().any(|one| one == name));
        let options = MySqlOptions::default()
            .with_defaults_file(self.text("mysql-defaults-file").map(PathBuf::from))
            .with_launcher(launcher(Some(&Launcher::through(through.clone()))));
        let step = |name| Step {
            mysql: Some(options.clone()),
            ..self.step("mysql", &format!("mysql/{name}"), &words)
        };
        found.map(step).collect()
    }

    fn postgres(&self) -> Vec<Step> {
        if !self.has("postgres") {
            return Vec::new();
        }
        let service = self.text("postgres-service");
        let service = service.map(|name| format!("--postgres-service={name}"));
        let through = self.text("postgres-through");
        let through = through.map(|command| format!("--postgres-through={command}"));
        let names = self.names_in("postgres");
        let step = |name: &str, more: &[&str]| {
            let mut words = vec!["--to-postgres"];
            words.extend(more);
            words.extend(service.as_deref());
            words.extend(through.as_deref());
            self.step("postgres", &format!("postgres/{name}"), &words)
        };
        // Databases belong to roles.
        let globals = names.iter().filter(|name| *name == "globals.sql");
        let mut steps: Vec<Step> = globals.map(|name| step(name, &[])).collect();
        let wanted = self.databases("postgres");
        let is_wanted = |name: &&String| {
            let database = name.strip_suffix(".dump");
            database.is_some_and(|name| wanted.is_empty() || wanted.iter().any(|one| one == name))
        };
        let databases = names.iter().filter(is_wanted);
        steps.extend(databases.map(|name| step(name, &["--replace-database"])));
        steps
    }

    /// The databases that the set names, as their files are called; empty for all.
    fn databases(&self, server: &str) -> Vec<String> {
        let names = texts_of(&self.set.settings, server).iter();
        let names: Vec<String> = names.map(|name| name.replace('/', "_")).collect();
        if names.iter().any(|name| name == "all") {
            return Vec::new();
        }
        names
    }

    /// The words that name a server and its login.
    fn login(&self, server: &str) -> Vec<String> {
        let mut words = Vec::new();
        for key in ["user", "password"] {
            let key = format!("{server}-{key}");
            words.extend(self.text(&key).map(|value| format!("--{key}={value}")));
        }
        words
    }

    fn redis(&self) -> Vec<Step> {
        let Some(address) = self.text("redis") else {
            return Vec::new();
        };
        let names = self.names_in("redis");
        let login = self.login("redis");
        let step = |name: &str, more: &[&str]| {
            let mut words = vec!["--to-redis", address];
            words.extend(login.iter().map(String::as_str).chain(more.iter().copied()));
            self.step("redis", &format!("redis/{name}"), &words)
        };
        let has = |name: &str| names.iter().any(|one| one == name);
        let mut steps = Vec::new();
        if has("dump.rdb") {
            steps.push(step("dump.rdb", &["--replace-keys"]));
        }
        if has("users.acl") {
            steps.push(step("users.acl", &[]));
        }
        steps
    }

    fn rabbitmq(&self) -> Vec<Step> {
        let Some(address) = self.text("rabbitmq") else {
            return Vec::new();
        };
        let login = self.login("rabbitmq");
        let mut words = vec!["--to-rabbitmq", address];
        words.extend(login.iter().map(String::as_str));
        let names = self.names_in("rabbitmq");
        let step = |name: &String| self.step("rabbitmq", &format!("rabbitmq/{name}"), &words);
        names.iter().map(step).collect()
    }

    /// The names of the streams of programs of the user's own.
    fn stream_names(&self) -> impl Iterator<Item = &str> {
        let streams = texts_of(&self.set.settings, "stream").iter();
        let names = streams.filter_map(|text| Some(text.split_once('=')?.0));
        names.map(str::trim)
    }

    fn streams(&self) -> Vec<Step> {
        let names = self.stream_names().filter(|name| self.has_stream(name));
        names.map(|name| self.stream(name)).collect()
    }

    fn stream(&self, name: &str) -> Step {
        let mut words = vec!["--to-command", "--"];
        let mut known = self.set.hooks.restore_streams.iter();
        if let Some((_, program)) = known.find(|(stream, _)| stream == name) {
            words.extend(program.words.iter().map(String::as_str));
            return self.step(name, name, &words);
        }
        words.push("PROGRAM");
        let action = Action::Unknown(self.line([name].iter().chain(&words)));
        Step::new(StepKind::Restore, name, vec![name.to_owned()], action)
    }

    fn has_stream(&self, name: &str) -> bool {
        let mut streams = self.backup.streams.iter();
        streams.any(|stream| escape(&stream.path) == name)
    }

    /// The command line for the files of a PostgreSQL server.
    fn by_hand(&self) -> Option<String> {
        let words = [&format!("{}:{BASE}", self.backup.id), "--target", "DIR"];
        let mut line = vec!["br".to_owned()];
        line.extend(self.start.iter().cloned());
        line.push("restore".to_owned());
        line.extend(words.map(str::to_owned));
        self.has_stream(BASE).then(|| quoted(&line))
    }

    /// The parts of the set that no step restores.
    fn missing(&self, steps: &[Step]) -> Vec<String> {
        let servers = SERVERS.into_iter().filter(|server| self.has(server));
        let wanted = servers.chain(self.stream_names());
        let parts = wanted
            .filter(|part| !steps.iter().any(|step| step.part == *part))
            .map(str::to_owned);
        let databases = self.databases("postgres").into_iter();
        let files = databases.map(|name| format!("postgres/{name}.dump"));
        let files = files.filter(|file| !steps.iter().any(|step| step.paths.contains(file)));
        let is_on = |setting: &Setting| setting.key == BASE && setting.value == Value::Switch(true);
        let needs_base = self.set.settings.iter().any(is_on) && !self.has_stream(BASE);
        let base = needs_base.then(|| BASE.to_owned());
        parts.chain(files).chain(base).collect()
    }

    fn files(&self) -> Vec<Step> {
        let Some((first, others)) = self.set.paths.split_first() else {
            return Vec::new();
        };
        let folder = String::from_utf8_lossy(&self.backup.folder).into_owned();
        let target = if folder.is_empty() { "/" } else { &folder };
        let mut words: Vec<&str> = others.iter().map(String::as_str).collect();
        words.extend(["--target", target]);
        let mut step = self.step(FILES, first, &words);
        step.paths.clone_from(&self.set.paths);
        vec![step]
    }

    /// What the backup has and no step restores.
    fn left_out(&self, steps: &[Step]) -> Vec<String> {
        let restored: Vec<&str> = steps
            .iter()
            .flat_map(|step| &step.paths)
            .map(String::as_str)
            .collect();
        let streams = self
            .backup
            .streams
            .iter()
            .map(|stream| escape(&stream.path));
        let streams: Vec<String> = streams.collect();
        let paths = self.backup.paths.iter().map(|path| escape(path));
        let is_file = |path: &String| {
            let is_stream =
                |stream: &String| stream == path || stream.starts_with(&format!("{path}/"));
            !SERVERS.contains(&path.as_str()) && !streams.iter().any(is_stream)
        };
        let is_restored = |path: &String| {
            let mut above = Path::new(path).ancestors();
            above.any(|folder| restored.iter().any(|one| Path::new(one) == folder))
        };
        let left_out = streams.iter().cloned().chain(paths.filter(is_file));
        left_out
            .filter(|path| path != TO_READ && path != BASE && !is_restored(path))
            .collect()
    }
}
