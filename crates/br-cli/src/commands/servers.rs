//! The options of `br backup` for database servers.
//!
//! [`ServerArgs`] are the options, and each server that they name is a [`ServerOptions`]. Invariant: the dumps of a server are below a folder of the backup
//! with its name.

use std::path::PathBuf;

use br_core::model::EntryPath;
use br_sources::mysql::{MySqlOptions, MySqlServer};
use br_sources::postgres::{PostgresOptions, PostgresServer};
use br_sources::rabbitmq::{RabbitMqOptions, RabbitMqServer};
use br_sources::server::{Dump, DumpContent, Server, ServerError};
use clap::Args;

use super::rabbitmq;
use crate::context::CommandContext;
use crate::error::CommandError;

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

    /// Back up the definitions of a RabbitMQ server: the address of its management plugin, such as http://127.0.0.1:15672
    ///
    /// br stores `rabbitmq/definitions.json`: users, virtual hosts, permissions, policies, parameters, queues, exchanges and bindings, but no messages. The
    /// password comes from --rabbitmq-password-file or the variable BR_RABBITMQ_PASSWORD.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["stdin", "stdin_from_command"])]
    rabbitmq: Option<String>,

    /// User of RabbitMQ, who needs the tag `administrator`
    #[arg(long, value_name = "NAME", default_value = rabbitmq::USER)]
    rabbitmq_user: String,

    /// Read the password of the user of RabbitMQ from a file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    rabbitmq_password_file: Option<PathBuf>,
}

/// A server to dump.
#[derive(Debug, Clone)]
pub(super) enum ServerOptions {
    MySql(MySqlOptions),
    Postgres(PostgresOptions),
    /// With the file of the password.
    RabbitMq(RabbitMqOptions, Option<PathBuf>),
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
        if let Some(address) = &self.rabbitmq {
            let file = self.rabbitmq_password_file.as_deref();
            let options = rabbitmq::options("--rabbitmq", address, &self.rabbitmq_user, file)?;
            servers.push(ServerOptions::RabbitMq(options, file.map(Into::into)));
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
            Self::RabbitMq(..) => "rabbitmq",
        }
    }

    fn probe(&self) -> Result<Box<dyn Server>, ServerError> {
        Ok(match self.clone() {
            Self::MySql(options) => Box::new(MySqlServer::probe(options)?),
            Self::Postgres(options) => Box::new(PostgresServer::probe(options)?),
            Self::RabbitMq(options, _) => Box::new(RabbitMqServer::probe(options)?),
        })
    }

    /// Asks the server, reports its warnings, and returns its dumps. The error is one line.
    pub(super) fn dumps(&self, context: &CommandContext) -> Result<Vec<PlacedDump>, String> {
        if let Self::RabbitMq(_, Some(file)) = self {
            context.warn_of_file(rabbitmq::PASSWORD_FILE, file);
        }
        let server = self.probe().map_err(|error| error.to_string())?;
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
