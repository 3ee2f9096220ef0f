//! What a server is, and what it has.

use std::io::Cursor;

use br_core::Secret;
use tokio_util::sync::CancellationToken;

use super::address::RedisAddress;
use super::connection::{Connection, Reply};
use super::rdb::RdbReader;
use super::users;
use crate::server::{Dump, Server, ServerError};

/// Which server, and who logs in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// Where the server listens.
    pub address: RedisAddress,
    /// The user; `None` for the default user.
    pub user: Option<String>,
    /// The password, if the user needs one.
    pub password: Option<Secret>,
}

impl RedisOptions {
    /// The server at an address, without a login.
    #[must_use]
    pub const fn new(address: RedisAddress) -> Self {
        Self {
            address,
            user: None,
            password: None,
        }
    }

    /// Sets the user.
    #[must_use]
    pub fn with_user(mut self, user: Option<String>) -> Self {
        self.user = user;
        self
    }

    /// Sets the password.
    #[must_use]
    pub fn with_password(mut self, password: Option<Secret>) -> Self {
        self.password = password;
        self
    }
}

/// A server that answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisServer {
    /// What it is: `Redis` or `Valkey`.
    pub name: &'static str,
    /// Its version, such as `7.0.15`.
    pub version: String,
    /// Number of keys in all its databases.
    pub keys: u64,
    /// True if it is a node of a cluster: then it has only a part of the keys.
    pub is_cluster: bool,
    /// True if it writes an append-only file. Then it ignores a `dump.rdb` in its folder when it starts.
    pub has_append_only_file: bool,
    /// The users, in the form of a file of users; `None` if this user may not read them, or the server is older than 6.0.
    users: Option<String>,
    /// The settings without passwords, in the form of a configuration file; `None` if this user may not read them.
    settings: Option<String>,
    warnings: Vec<String>,
    options: RedisOptions,
}

/// Settings that are secrets.
const SECRETS: [&str; 5] = [
    "requirepass",
    "masterauth",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
    "sentinel-pass",
];

impl RedisServer {
    /// Asks the server. Blocks for some milliseconds; a server that does not accept a connection is given up after ten seconds.
    ///
    /// # Errors
    /// When the server does not answer, or refuses the user.
    pub fn probe(options: RedisOptions, cancel: &CancellationToken) -> Result<Self, ServerError> {
        let mut connection = Connection::open(&options, cancel)?;
        let of_server = connection.info("server")?;
        let replication = connection.info("replication")?;
        let persistence = connection.info("persistence")?;
        let keyspace = connection.info("keyspace")?;
        let Some((name, version)) = of_server.product() else {
            let answer = "INFO without a version".to_owned();
            return Err(ServerError::Answer { answer });
        };
        let mut warnings = Vec::new();
        let link = replication.get("master_link_status");
        if link.is_some_and(|status| status != "up") {
            warnings.push(
                "this server is a replica without a connection to its master, so its keys are old"
                    .to_owned(),
            );
        }
        let is_cluster = of_server.is("redis_mode", "cluster");
        if is_cluster {
            warnings.push(
                "this server is a node of a cluster: the backup has only the keys of this node, so back up every master".to_owned(),
            );
        }
        let users = users::list(&mut connection);
        if users.is_none() {
            warnings.push(
                "the users are not backed up, because this user may not run ACL LIST".to_owned(),
            );
        }
        let settings = settings(&mut connection);
        if settings.is_none() {
            warnings.push(
                "the settings are not backed up, because this user may not run CONFIG GET"
                    .to_owned(),
            );
        }
        Ok(Self {
            name,
            version: version.to_owned(),
            keys: keyspace.keys(),
            is_cluster,
            has_append_only_file: persistence.is("aof_enabled", "1"),
            users,
            settings,
            warnings,
            options,
        })
    }
}

/// The settings as lines of a configuration file, without those that are secrets.
fn settings(connection: &mut Connection) -> Option<String> {
    let reply = connection.ask(&["CONFIG", "GET", "*"]).ok()?;
    let pairs = reply.list().chunks(2).filter_map(|pair| match pair {
        [name, value] => Some((name.text(), value)),
        _ => None,
    });
    let mut lines: Vec<String> = pairs
        .filter(|(name, _)| !SECRETS.contains(&name.as_str()))
        .map(|(name, value)| format!("{name} {}\n", setting(value)))
        .collect();
    lines.sort();
    Some(lines.concat())
}

/// A value in a configuration file.
fn setting(value: &Reply) -> String {
    let text = value.text();
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '-' | ' ');
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    let escaped = text.chars().flat_map(|c| match c {
        '"' | '\\' => vec!['\\', c],
        '\n' => vec!['\\', 'n'],
        '\r' => vec!['\\', 'r'],
        _ => vec![c],
    });
    format!("\"{}\"", escaped.collect::<String>())
}

impl Server for RedisServer {
    fn folder(&self) -> &'static str {
        "redis"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn description(&self) -> String {
        format!("{} {} on {}", self.name, self.version, self.options.address)
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn dumps(&self, cancel: &CancellationToken) -> Result<Vec<Dump>, ServerError> {
        let reader = RdbReader::new(self.options.clone(), cancel.clone());
        let mut dumps = vec![Dump::of_reader("dump.rdb", reader)];
        for (name, text) in [("users.acl", &self.users), ("redis.conf", &self.settings)] {
            if let Some(text) = text {
                dumps.push(Dump::of_reader(
                    name,
                    Cursor::new(text.clone().into_bytes()),
                ));
            }
        }
        Ok(dumps)
    }
}
