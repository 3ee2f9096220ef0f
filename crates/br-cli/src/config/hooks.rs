//! Commands that a set runs around its backup and its restore.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::Setting;
use super::problem::{Place, Problem};
use crate::output::format::parse_duration;

/// How long a command may run, if the set does not say it.
const TIME_LIMIT: Duration = Duration::from_mins(10);
/// The key for another limit.
pub(super) const TIME_LIMIT_KEY: &str = "hook-timeout";

/// A command, without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HookCommand {
    /// As the file has it.
    pub(crate) text: String,
    /// The program and its arguments. Never empty.
    pub(crate) words: Vec<String>,
}

/// The commands of a set.
#[derive(Debug, Clone)]
pub(crate) struct Hooks {
    /// Before the backup. If one fails, there is no backup.
    pub(crate) before: Vec<HookCommand>,
    /// After the backup, in any case.
    pub(crate) after: Vec<HookCommand>,
    /// Before a restore. If one fails, there is no restore.
    pub(crate) restore_before: Vec<HookCommand>,
    /// After a restore that succeeded.
    pub(crate) restore_after: Vec<HookCommand>,
    /// Checks after a restore.
    pub(crate) verify: Vec<HookCommand>,
    /// The programs that take the streams of the set: path and command.
    pub(crate) restore_streams: Vec<(String, HookCommand)>,
    /// How long each command may run.
    pub(crate) time_limit: Duration,
    /// How a restore logs in to the servers, where it does so in another way than the backup: by key, without the beginning.
    pub(crate) restore_logins: BTreeMap<String, String>,
}

/// How the keys begin that only a restore uses.
const RESTORE: &str = "restore-";

/// The keys for the logins of a restore, and what they are for.
pub(super) const LOGIN_KEYS: [(&str, &str); 6] = [
    (
        "restore-mysql-defaults-file",
        "Option file of MySQL for a restore, if the user of the backup may not write",
    ),
    (
        "restore-postgres-service",
        "Section of the service file of PostgreSQL for a restore",
    ),
    ("restore-redis-user", "User of Redis for a restore"),
    (
        "restore-redis-password",
        "Where the password of this user is, such as \"file:/etc/br/redis.password\"",
    ),
    ("restore-rabbitmq-user", "User of RabbitMQ for a restore"),
    (
        "restore-rabbitmq-password",
        "Where the password of this user is, such as \"file:/etc/br/rabbitmq.password\"",
    ),
];

/// The keys of the commands, and what they are for.
pub(super) const KEYS: [(&str, &str); 6] = [
    (
        "before",
        "Commands before the backup; if one fails, there is no backup",
    ),
    (
        "after",
        "Commands after the backup, which also run if it fails",
    ),
    (
        "restore-before",
        "Commands before `br restore --execute` restores anything",
    ),
    (
        "restore-after",
        "Commands after a restore that succeeded, such as starting the application",
    ),
    (
        "verify",
        "Commands that check a restore: each must exit with 0, and br keeps what it prints",
    ),
    (
        "restore-stream",
        "Programs that take the streams of the set in a restore, as NAME=COMMAND",
    ),
];

impl Hooks {
    /// Takes the keys of commands out of the settings of a set.
    pub(super) fn take(settings: &mut BTreeMap<String, Setting>) -> Result<Self, Problem> {
        let mut list = |key: &str| -> Result<Vec<HookCommand>, Problem> {
            let Some(setting) = settings.remove(key) else {
                return Ok(Vec::new());
            };
            let texts = setting.value.texts().iter();
            texts
                .map(|text| command(key, text, &setting.place))
                .collect()
        };
        let [before, after] = [list("before")?, list("after")?];
        let [restore_before, restore_after] = [list("restore-before")?, list("restore-after")?];
        let verify = list("verify")?;
        let mut restore_streams = Vec::new();
        if let Some(setting) = settings.remove("restore-stream") {
            for text in setting.value.texts() {
                let Some((name, rest)) = text.split_once('=') else {
                    let message = format!("`{text}` in `restore-stream` has no `=`");
                    let hint = "write NAME=COMMAND, such as \"db/shop.sql=psql shop\"";
                    return Err(Problem::new(&setting.place, message, hint));
                };
                let command = command("restore-stream", rest, &setting.place)?;
                restore_streams.push((name.trim().to_owned(), command));
            }
        }
        let time_limit = settings.remove(TIME_LIMIT_KEY).map(|setting| {
            let text = setting.text().unwrap_or_default();
            parse_duration(text).map_err(|error| {
                let message = format!("`{TIME_LIMIT_KEY}`: {error}");
                Problem::new(&setting.place, message, "for example, write \"10min\"")
            })
        });
        let time_limit = time_limit.transpose()?.unwrap_or(TIME_LIMIT);
        let logins = LOGIN_KEYS.iter().filter_map(|(key, _)| {
            let value = settings.remove(*key)?.text()?.to_owned();
            Some((key.strip_prefix(RESTORE)?.to_owned(), value))
        });
        let restore_logins = logins.collect();
        Ok(Self {
            before,
            after,
            restore_before,
            restore_after,
            verify,
            restore_streams,
            time_limit,
            restore_logins,
        })
    }
}

fn command(key: &str, text: &str, place: &Place) -> Result<HookCommand, Problem> {
    let problem = |reason: &str| {
        let message = format!("a command in `{key}` {reason}");
        let hint = "write the program and its arguments, with quotes as in a shell; for a pipe, write \"bash -o pipefail -c '…'\"";
        Problem::new(place, message, hint)
    };
    let words = shlex::split(text).ok_or_else(|| problem("has a quote that does not end"))?;
    if words.first().is_none_or(String::is_empty) {
        return Err(problem("is empty"));
    }
    Ok(HookCommand {
        text: text.to_owned(),
        words,
    })
}
