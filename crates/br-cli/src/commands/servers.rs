//! The options of `br backup` for database servers.
//!
//! [`ServerArgs`] are the options, and each server that they name is a [`ServerOptions`]. Invariant: the dumps of a server are below a folder of the backup
//! with its name.

use std::path::PathBuf;

use br_core::model::EntryPath;
use br_sources::mysql::{MySqlOptions, MySqlServer};
use br_sources::postgres::{PostgresOptions, PostgresServer};
use br_sources::redis::{RedisAddress, RedisServer};
use br_sources::server::{Dump, DumpContent, Server, ServerError};
use clap::Args;

use super::redis_login::{self, RedisLoginArgs};
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;

/// The word for all databases.
const ALL: &str = "all";

/// Dumps of database servers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Databases")]
pub(super) struct ServerArgs {
    /// Back up databases of a MySQL or MariaDB server: names separated by commas, or `all`
    ///
    /// br runs the dump program of the server, with options for one consistent state of all InnoDB tables, and stores `mysql/dump.sql` and, from MariaDB,
    /// `mysql/users.sql`. The rules of --stream apply. Address, user and password come from an option file such as ~/.my.cnf.
    #[arg(long, value_name = "DATABASES", value_delimiter = ',', conflicts_with_all = ["stdin", "stdin_from_command"])]
    mysql: Vec<String>,

    /// Option file of MySQL with address, user and password, in addition to the usual ones
    #[arg(long, value_name = "FILE")]
    mysql_defaults_file: Option<PathBuf>,

    /// Back up databases of a PostgreSQL server: names separated by commas, or `all`
    ///
    /// br runs pg_dump for each database, and stores `postgres/NAME.dump`, for pg_restore, and `postgres/globals.sql` with the roles. The rules of --stream
    /// apply. Address, user and password come from the variables of PostgreSQL, such as PGHOST, from ~/.pgpass, or from a service.
    #[arg(long, value_name = "DATABASES", value_delimiter = ',', conflicts_with_all = ["stdin", "stdin_from_command"])]
    postgres: Vec<String>,

    /// Section of the service file of PostgreSQL with address and user
    #[arg(long, value_name = "NAME")]
    postgres_service: Option<String>,

    /// Back up all keys of a Redis or Valkey server: HOST:PORT, or the path of a socket
    ///
    /// br reads a snapshot as a replica does, checks it, and stores `redis/dump.rdb`, `redis/users.acl` with the users, and `redis/redis.conf` with the settings
    /// without passwords. No program of Redis is needed.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["stdin", "stdin_from_command"])]
    redis: Option<String>,

    #[command(flatten)]
    redis_login: RedisLoginArgs,
}

/// A server to dump.
#[derive(Debug, Clone)]
pub(super) enum ServerOptions {
    MySql(MySqlOptions),
    Postgres(PostgresOptions),
    Redis(RedisAddress, RedisLoginArgs),
}

/// A dump of a server, and its path in the backup.
#[derive(Debug)]
pub(super) struct PlacedDump {
    pub(super) path: EntryPath,
    pub(super) content: DumpContent,
}

impl ServerArgs {
    /// The servers that the options name.
    pub(super) fn servers(&self) -> Result<Vec<ServerOptions>, CommandError> {
        let mut servers = Vec::new();
        if !self.mysql.is_empty() {
            let options = MySqlOptions::default()
                .with_databases(databases("--mysql", &self.mysql)?)
                .with_defaults_file(self.mysql_defaults_file.clone());
            servers.push(ServerOptions::MySql(options));
        }
        if !self.postgres.is_empty() {
            let options = PostgresOptions::default()
                .with_databases(databases("--postgres", &self.postgres)?)
                .with_service(self.postgres_service.clone());
            servers.push(ServerOptions::Postgres(options));
        }
        self.redis_login.check()?;
        match &self.redis {
            Some(address) => servers.push(ServerOptions::Redis(
                redis_login::parse_address(address)?,
                self.redis_login.clone(),
            )),
            None if self.redis_login.is_typed() => {
                let message = "--redis-user and --redis-password have no effect without --redis";
                return Err(CommandError::usage(message, "leave them out"));
            }
            None => {}
        }
        Ok(servers)
    }
}

/// The names of databases; empty for all.
fn databases(option: &str, names: &[String]) -> Result<Vec<String>, CommandError> {
    let has_all = names.iter().any(|name| name == ALL);
    if has_all && names.len() > 1 {
        let message = format!("{option} {ALL} contains the other databases");
        return Err(CommandError::usage(message, "write `all`, or the names"));
    }
    Ok(if has_all { Vec::new() } else { names.to_vec() })
}

impl ServerOptions {
    /// The folder of its dumps in a backup.
    pub(super) const fn folder(&self) -> &'static str {
        match self {
            Self::MySql(_) => "mysql",
            Self::Postgres(_) => "postgres",
            Self::Redis(..) => "redis",
        }
    }

    fn probe(&self, context: &CommandContext) -> Result<Box<dyn Server>, CommandError> {
        let failed = |error: ServerError| {
            CommandError::new(ExitStatus::Failure, error.to_string(), "check the server")
        };
        Ok(match self.clone() {
            Self::MySql(options) => Box::new(MySqlServer::probe(options).map_err(failed)?),
            Self::Postgres(options) => Box::new(PostgresServer::probe(options).map_err(failed)?),
            Self::Redis(address, login) => {
                let options = login.options(address, context)?;
                Box::new(RedisServer::probe(options).map_err(failed)?)
            }
        })
    }

    /// Asks the server, reports its warnings, and returns its dumps. The error is one line.
    pub(super) fn dumps(&self, context: &CommandContext) -> Result<Vec<PlacedDump>, String> {
        let server = self.probe(context).map_err(|error| error.message)?;
        for warning in server.warnings() {
            context.output.console.warning(&warning);
        }
        let dumps = server
            .dumps(&context.cancel)
            .map_err(|error| error.to_string())?;
        let placed = |dump: Dump| {
            let path = EntryPath::new(format!("{}/{}", server.folder(), dump.name).into_bytes());
            Ok(PlacedDump {
                path: path.map_err(|error| error.to_string())?,
                content: dump.content,
            })
        };
        dumps.into_iter().map(placed).collect()
    }
}
