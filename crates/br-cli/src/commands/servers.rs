//! The options of `br backup` for database servers.
//!
//! [`ServerArgs`] are the options, and each server that they name is a [`ServerOptions`]. Invariant: the dumps of a server are below a folder of the backup
//! with its name.

use std::path::PathBuf;

use br_sources::mysql::{MySqlOptions, MySqlServer, MySqlTable};
use br_sources::postgres::{
    PostgresBaseOptions, PostgresBaseServer, PostgresOptions, PostgresServer,
};
use br_sources::rabbitmq::{RabbitMqOptions, RabbitMqServer};
use br_sources::redis::{RedisOptions, RedisServer};
use br_sources::server::{DumpOptions, Examine, Launcher, Server, ServerError, ServerSource};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use tokio_util::sync::CancellationToken;

use super::rabbitmq_login::{self, RabbitMqLoginArgs};
use super::redis_login::{self, RedisLoginArgs};
use super::stream::secrets;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::values;

/// The word for all databases.
const ALL: &str = "all";

/// Dumps of database servers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Databases")]
pub(super) struct ServerArgs {
    /// Back up databases of a MySQL or MariaDB server: names separated by commas, or `all`
    ///
    /// DATABASE.TABLE stands for one table, without the others of its database; the first dot divides the two.
    ///
    /// br runs the dump program of the server, with options for one consistent state of all InnoDB tables, and stores `mysql/dump.sql` and, from MariaDB,
    /// `mysql/users.sql`. The rules of --stream apply. Address, user and password come from an option file such as ~/.my.cnf.
    #[arg(long, value_name = "DATABASES", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    mysql: Vec<String>,

    /// Leave out tables of MySQL: DATABASE.TABLE, separated by commas
    ///
    /// Patterns are not possible. A view that reads such a table must be left out, too.
    #[arg(long, value_name = "TABLES", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    mysql_exclude: Vec<String>,

    /// Option file of MySQL with address, user and password, instead of the usual ones
    #[arg(long, value_name = "FILE")]
    mysql_defaults_file: Option<PathBuf>,

    /// Run the programs of MySQL through this command, such as `docker exec -i db`
    ///
    /// It must pass on each argument as it is, and the exit code. The option file is in the container then.
    #[arg(long, value_name = "COMMAND", value_parser = values::launcher)]
    mysql_through: Option<Launcher>,

    /// Back up databases of a PostgreSQL server: names separated by commas, or `all`
    ///
    /// br runs pg_dump for each database, and stores `postgres/NAME.dump`, for pg_restore, and `postgres/globals.sql` with the roles. The rules of --stream
    /// apply. Address, user and password come from the variables of PostgreSQL, such as PGHOST, from ~/.pgpass, or from a service.
    #[arg(long, value_name = "DATABASES", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    postgres: Vec<String>,

    /// Back up a whole PostgreSQL server as the files of its data folder: all databases, for the same major version and the same kind of machine
    ///
    /// br runs pg_basebackup, stores the files below `postgres-base/`, and compares them with the manifest of the server. The user needs the right REPLICATION.
    /// A restore is by hand, into an empty folder.
    #[arg(long)]
    postgres_base: bool,

    /// Section of the service file of PostgreSQL with address and user
    #[arg(long, value_name = "NAME")]
    postgres_service: Option<String>,

    /// Run the programs of PostgreSQL through this command, such as `docker exec -i -u postgres db`
    #[arg(long, value_name = "COMMAND", value_parser = values::launcher)]
    postgres_through: Option<Launcher>,

    /// Back up all keys of a Redis or Valkey server: HOST:PORT, or the path of a socket
    ///
    /// Without a port, it is 6379.
    ///
    /// br reads a snapshot as a replica does, checks it, and stores `redis/dump.rdb`, `redis/users.acl` with the users, and `redis/redis.conf` with the settings
    /// without passwords. No program of Redis is needed.
    #[arg(long, value_name = "ADDRESS")]
    redis: Option<String>,

    #[command(flatten)]
    redis_login: RedisLoginArgs,

    /// Back up the definitions of a RabbitMQ server: the address of its management plugin, such as http://127.0.0.1:15672
    ///
    /// br stores `rabbitmq/definitions.json`: users, virtual hosts, permissions, policies, parameters, queues, exchanges and bindings, but no messages.
    #[arg(long, value_name = "ADDRESS")]
    rabbitmq: Option<String>,

    #[command(flatten)]
    rabbitmq_login: RabbitMqLoginArgs,
}

/// A server to dump.
#[derive(Debug, Clone)]
pub(super) enum ServerOptions {
    MySql(MySqlOptions),
    Postgres(PostgresOptions),
    PostgresBase(PostgresBaseOptions),
    Redis(RedisOptions),
    RabbitMq(RabbitMqOptions),
}

impl ServerArgs {
    /// The servers that the options name. Reads their passwords if there is a context.
    pub(super) fn servers(
        &self,
        context: Option<&CommandContext>,
    ) -> Result<Vec<ServerOptions>, CommandError> {
        let each = self.each(context).into_iter();
        each.map(|(_, server)| server).collect()
    }

    /// The same with the folder of each server, and with the reason if its options or its password cannot be used.
    pub(super) fn each(
        &self,
        context: Option<&CommandContext>,
    ) -> Vec<(&'static str, Result<ServerOptions, CommandError>)> {
        let all = [
            ("mysql", self.mysql()),
            ("postgres", self.postgres()),
            ("postgres-base", Ok(self.postgres_base())),
            ("redis", self.redis(context)),
            ("rabbitmq", self.rabbitmq(context)),
        ];
        let named =
            |(folder, server): (_, Result<Option<_>, _>)| Some((folder, server.transpose()?));
        all.into_iter().filter_map(named).collect()
    }

    /// True if a server is named.
    pub(super) fn names_server(&self) -> bool {
        let names_database = !self.mysql.is_empty() || !self.postgres.is_empty();
        names_database || self.postgres_base || self.redis.is_some() || self.rabbitmq.is_some()
    }

    fn mysql(&self) -> Result<Option<ServerOptions>, CommandError> {
        if self.mysql.is_empty() {
            if !self.mysql_exclude.is_empty() {
                let message = "--mysql-exclude has no effect without --mysql";
                return Err(CommandError::usage(message, "leave it out"));
            }
            return Ok(None);
        }
        let (tables, databases): (Vec<String>, Vec<String>) = databases("--mysql", &self.mysql)?
            .into_iter()
            .partition(|name| name.contains('.'));
        let has_whole = |table: &&String| {
            let database = table.split('.').next();
            databases.iter().any(|name| Some(&**name) == database)
        };
        if let Some(table) = tables.iter().find(has_whole) {
            let message = format!("--mysql names {table}, and also its whole database");
            return Err(CommandError::usage(message, "write one of them"));
        }
        let options = MySqlOptions::default()
            .with_databases(databases)
            .with_tables(parsed(&tables)?)
            .with_excluded_tables(parsed(&self.mysql_exclude)?)
            .with_defaults_file(self.mysql_defaults_file.clone())
            .with_launcher(launcher(self.mysql_through.as_ref()));
        Ok(Some(ServerOptions::MySql(options)))
    }

    fn postgres(&self) -> Result<Option<ServerOptions>, CommandError> {
        if self.postgres.is_empty() {
            return Ok(None);
        }
        let options = PostgresOptions::default()
            .with_databases(databases("--postgres", &self.postgres)?)
            .with_service(self.postgres_service.clone())
            .with_launcher(launcher(self.postgres_through.as_ref()));
        Ok(Some(ServerOptions::Postgres(options)))
    }

    fn postgres_base(&self) -> Option<ServerOptions> {
        self.postgres_base.then(|| {
            let options = PostgresBaseOptions::default()
                .with_service(self.postgres_service.clone())
                .with_launcher(launcher(self.postgres_through.as_ref()));
            ServerOptions::PostgresBase(options)
        })
    }

    fn redis(
        &self,
        context: Option<&CommandContext>,
    ) -> Result<Option<ServerOptions>, CommandError> {
        self.redis_login.check("--redis", self.redis.is_some())?;
        let Some(address) = &self.redis else {
            return Ok(None);
        };
        let mut server = RedisOptions::new(redis_login::parse_address(address)?);
        if let Some(context) = context {
            server = self.redis_login.options(server, context)?;
        }
        Ok(Some(ServerOptions::Redis(server)))
    }

    fn rabbitmq(
        &self,
        context: Option<&CommandContext>,
    ) -> Result<Option<ServerOptions>, CommandError> {
        self.rabbitmq_login
            .check("--rabbitmq", self.rabbitmq.is_some())?;
        let Some(address) = &self.rabbitmq else {
            return Ok(None);
        };
        let mut server = rabbitmq_login::parse_address(address)?;
        if let Some(context) = context {
            server = self.rabbitmq_login.options(server, context)?;
        }
        Ok(Some(ServerOptions::RabbitMq(server)))
    }
}

/// Starts the programs of a server without the passwords of br.
pub(super) fn launcher(through: Option<&Launcher>) -> Launcher {
    let hidden = secrets().map(str::to_owned).collect();
    let launcher = through.cloned().unwrap_or_default();
    launcher.with_hidden_variables(hidden)
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

fn parsed(tables: &[String]) -> Result<Vec<MySqlTable>, CommandError> {
    let tables = tables.iter().map(|text| text.parse());
    let tables: Result<_, ServerError> = tables.collect();
    tables.map_err(|error| CommandError::usage(error.to_string(), "write DATABASE.TABLE"))
}

impl ServerOptions {
    /// The folder of its dumps in a backup.
    pub(super) const fn folder(&self) -> &'static str {
        match self {
            Self::MySql(_) => "mysql",
            Self::Postgres(_) => "postgres",
            Self::PostgresBase(_) => "postgres-base",
            Self::Redis(_) => "redis",
            Self::RabbitMq(_) => "rabbitmq",
        }
    }

    /// What can examine the server.
    pub(super) fn examine(self) -> Box<dyn Examine> {
        match self {
            Self::MySql(options) => Box::new(options),
            Self::Postgres(options) => Box::new(options),
            Self::PostgresBase(options) => Box::new(options),
            Self::Redis(options) => Box::new(options),
            Self::RabbitMq(options) => Box::new(options),
        }
    }

    fn probe(&self, cancel: &CancellationToken) -> Result<Box<dyn Server>, ServerError> {
        Ok(match self.clone() {
            Self::MySql(options) => Box::new(MySqlServer::probe(options, cancel)?),
            Self::Postgres(options) => Box::new(PostgresServer::probe(options, cancel)?),
            Self::PostgresBase(options) => Box::new(PostgresBaseServer::probe(options, cancel)?),
            Self::Redis(options) => Box::new(RedisServer::probe(options, cancel)?),
            Self::RabbitMq(options) => Box::new(RabbitMqServer::probe(options, cancel)?),
        })
    }

    /// Asks the server, says what it is, reports its warnings, and returns its dumps. The error is one line.
    pub(super) fn source(
        &self,
        options: &DumpOptions,
        context: &CommandContext,
    ) -> Result<ServerSource, String> {
        let server = self
            .probe(&context.cancel)
            .map_err(|error| error.in_one_line())?;
        let console = &context.output.console;
        console.note(&format!("{}: {}", server.folder(), server.description()));
        for warning in server.warnings() {
            console.warning(&warning);
        }
        let source = ServerSource::new(&*server, options, &context.cancel);
        source.map_err(|error| error.in_one_line())
    }
}
