//! What a server lacks for a good backup.

use tokio_util::sync::CancellationToken;

use super::acl::{Lacks, allows_sync};
use super::connection::{Connection, Info, NOT_PERMITTED, Reply};
use super::probe::RedisOptions;
use super::users::{self, DEFAULT_USER};
use crate::server::{Examine, Finding, Fix, ServerError, Topic};

impl Examine for RedisOptions {
    fn folder(&self) -> &'static str {
        "redis"
    }

    fn examine(&self, cancel: &CancellationToken) -> Vec<Finding> {
        let mut connection = match Connection::open(self, cancel) {
            Ok(connection) => connection,
            Err(error) => return vec![self.unreachable(&error, cancel)],
        };
        let mut lacks = Lacks::default();
        let info = match connection.info("default") {
            Ok(info) => Some(info),
            Err(ServerError::Refused { message }) if message.starts_with(NOT_PERMITTED) => {
                lacks.info = true;
                None
            }
            Err(error) => return vec![self.unreachable(&error, cancel)],
        };
        let mut found = Vec::new();
        if let Some(info) = &info {
            found.push(self.connection(info));
        }
        found.push(self.rights(&mut connection, lacks));
        if let Some(info) = &info {
            let save = connection.ask(&["CONFIG", "GET", "save"]).ok();
            let save = save.and_then(|reply| reply.list().get(1).map(Reply::text));
            found.extend(replication(info));
            found.extend(persistence(info, save.as_deref()));
            found.extend(eviction(info));
        }
        found
    }
}

impl RedisOptions {
    fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(DEFAULT_USER)
    }

    fn connection(&self, info: &Info) -> Finding {
        let Some((kind, version)) = info.product() else {
            let fix = "check that the address is that of a server of Redis or Valkey";
            let error = ServerError::Answer {
                answer: "INFO without a version".to_owned(),
            };
            return Finding::of_error(Topic::Connection, &error, fix);
        };
        let message = format!(
            "{kind} {version} at {} answers the user {}, and has {} keys",
            self.address,
            self.user(),
            info.keys()
        );
        Finding::ok(Topic::Connection, message)
    }

    fn unreachable(&self, error: &ServerError, cancel: &CancellationToken) -> Finding {
        if cancel.is_cancelled() {
            return Finding::of_error(Topic::Connection, &ServerError::Cancelled, "");
        }
        let fix = match error {
            ServerError::Refused { message } if message.starts_with("NOAUTH") => {
                "give the password: --redis-password file:PATH, or BR_REDIS_PASSWORD".to_owned()
            }
            ServerError::Refused { .. } => format!(
                "correct --redis-user and --redis-password, or create the user: `ACL SETUSER {} on >PASSWORD`",
                self.user()
            ),
            _ => "start the server, or correct the address of --redis".to_owned(),
        };
        Finding::of_error(Topic::Connection, error, &fix)
    }

    /// Tries every command that a backup uses, except `SYNC`.
    fn rights(&self, connection: &mut Connection, mut lacks: Lacks) -> Finding {
        let mut refuses = |words: &[&str]| {
            let answer = connection.ask(words);
            matches!(answer, Err(ServerError::Refused { message }) if message.starts_with(NOT_PERMITTED))
        };
        // Without options, it changes nothing.
        lacks.replconf = refuses(&["REPLCONF"]);
        lacks.config_get = refuses(&["CONFIG", "GET", "save"]);
        lacks.acl_list = refuses(&["ACL", "LIST"]);
        let list = users::list(connection);
        let sync = list.and_then(|list| allows_sync(&list, self.user()));
        // Without the list, it is not known. The statement names it then, too: otherwise the next look would find it missing.
        lacks.sync = sync.map_or(lacks.acl_list, |allows| !allows);
        let user = self.user();
        let Some(missing) = lacks.rights(user) else {
            let message = format!("the user {user} may run all commands that a backup needs");
            return Finding::ok(Topic::Rights, message);
        };
        let rights = missing.rights.join(", ");
        let is_known = lacks.info || sync.is_some();
        let message = match (lacks.is_fatal(), is_known) {
            (true, true) => format!("the user {user} lacks rights, so a backup fails: {rights}"),
            (true, false) => {
                format!("the user {user} lacks rights, or br cannot see that it has them: {rights}")
            }
            (false, _) => format!(
                "the user {user} lacks rights, so a backup has no users or no settings, or takes longer: {rights}"
            ),
        };
        if lacks.is_fatal() {
            Finding::problem(Topic::Rights, message, Fix::Grant(missing))
        } else {
            Finding::warning(Topic::Rights, message, Fix::Grant(missing))
        }
    }
}

/// What the server is among others.
fn replication(info: &Info) -> Vec<Finding> {
    let mut found = Vec::new();
    if info.is("role", "slave") {
        let host = info.get("master_host").unwrap_or_default();
        let port = info.get("master_port").unwrap_or_default();
        if info.is("master_link_status", "up") {
            let message = format!("it is a replica of {host}:{port}, and in contact with it");
            found.push(Finding::ok(Topic::State, message));
        } else {
            let message = format!(
                "it is a replica without a connection to {host}:{port}, so its keys are old"
            );
            let fix = "repair the connection between the servers, or back up the other one";
            found.push(Finding::warning(Topic::State, message, Fix::advice(fix)));
        }
    }
    if info.is("redis_mode", "cluster") {
        let message = "it is a node of a cluster: the backup has only the keys of this node";
        let fix = "back up every master";
        found.push(Finding::warning(Topic::State, message, Fix::advice(fix)));
    }
    found
}

/// What the server keeps on disk.
fn persistence(info: &Info, save: Option<&str>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (field, what) in [
        ("rdb_last_bgsave_status", "snapshot"),
        (
            "aof_last_bgrewrite_status",
            "rewrite of the append-only file",
        ),
        ("aof_last_write_status", "write to the append-only file"),
    ] {
        if info.is(field, "err") {
            let message = format!("the last {what} of the server failed");
            let fix = "look at the log of the server, and at the free memory and disk space of its machine";
            found.push(Finding::warning(
                Topic::Persistence,
                message,
                Fix::advice(fix),
            ));
        }
    }
    let has_file = info.is("aof_enabled", "1");
    found.push(match (has_file, save) {
        (true, _) => Finding::ok(
            Topic::Persistence,
            "the append-only file is on: restore with --to-redis, because the server ignores a dump.rdb that is copied into its folder",
        ),
        (false, Some("")) => Finding::advice(
            Topic::Persistence,
            "the server keeps its keys in memory only: after a crash, what came after the last backup is lost",
            Fix::advice("if the keys matter, write `appendonly yes` into the configuration of the server, and type `CONFIG SET appendonly yes`"),
        ),
        (false, Some(save)) => Finding::ok(
            Topic::Persistence,
            format!("the append-only file is off, and the server saves a snapshot by the rule `save {save}`"),
        ),
        (false, None) => Finding::ok(Topic::Persistence, "the append-only file is off"),
    });
    found
}

/// Whether the server deletes keys itself.
fn eviction(info: &Info) -> Option<Finding> {
    let policy = info
        .get("maxmemory_policy")
        .filter(|policy| *policy != "noeviction")?;
    let limit = info.get("maxmemory").filter(|limit| *limit != "0")?;
    let message = format!(
        "the server deletes keys when it has {limit} bytes of them (maxmemory-policy {policy}), so a backup has only what is left"
    );
    let fix = "if the keys are no cache, set `maxmemory-policy noeviction`, and more memory";
    Some(Finding::advice(Topic::State, message, Fix::advice(fix)))
}
