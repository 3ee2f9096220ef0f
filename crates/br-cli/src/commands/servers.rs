//! The options of `br backup` for database servers.
//!
//! [`ServerArgs`] are the options, and each server that they name is a [`Server`]. Invariant: the dumps of a server are below a folder of the backup
//! with its name.

use std::ffi::OsString;
use std::path::PathBuf;

use br_core::model::EntryPath;
use br_sources::mysql::{MySqlOptions, MySqlServer};
use br_sources::postgres::{PostgresOptions, PostgresServer};
use clap::Args;

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
}

/// A server to dump.
#[derive(Debug, Clone)]
pub(super) enum Server {
    MySql(MySqlOptions),
    Postgres(PostgresOptions),
}

/// A program that writes a dump.
#[derive(Debug)]
pub(super) struct Dump {
    pub(super) path: EntryPath,
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
}

impl ServerArgs {
    /// The servers that the options name.
    pub(super) fn servers(&self) -> Result<Vec<Server>, CommandError> {
        let mut servers = Vec::new();
        if !self.mysql.is_empty() {
            let options = MySqlOptions::default()
                .with_databases(databases("--mysql", &self.mysql)?)
                .with_defaults_file(self.mysql_defaults_file.clone());
            servers.push(Server::MySql(options));
        }
        if !self.postgres.is_empty() {
            let options = PostgresOptions::default()
                .with_databases(databases("--postgres", &self.postgres)?)
                .with_service(self.postgres_service.clone());
            servers.push(Server::Postgres(options));
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

impl Server {
    /// The folder of its dumps in a backup.
    pub(super) const fn folder(&self) -> &'static str {
        match self {
            Self::MySql(_) => "mysql",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Asks the server, and returns the programs that dump it. The error is one line.
    pub(super) fn dumps(&self, context: &CommandContext) -> Result<Vec<Dump>, String> {
        match self {
            Self::MySql(options) => {
                let server =
                    MySqlServer::probe(options.clone()).map_err(|error| error.to_string())?;
                warn_of_tables(&server.unsafe_tables, context);
                let dumps = server
                    .dumps()
                    .map_err(|error| error.to_string())?
                    .into_iter();
                dumps
                    .map(|dump| self.dump(dump.name, dump.program, dump.arguments))
                    .collect()
            }
            Self::Postgres(options) => {
                let server =
                    PostgresServer::probe(options.clone()).map_err(|error| error.to_string())?;
                if !server.is_superuser {
                    let warning = "roles are dumped without their passwords, because the user is no superuser";
                    context.output.console.warning(warning);
                }
                let dumps = server
                    .dumps()
                    .map_err(|error| error.to_string())?
                    .into_iter();
                dumps
                    .map(|dump| self.dump(&dump.name, dump.program, dump.arguments))
                    .collect()
            }
        }
    }

    fn dump(
        &self,
        name: &str,
        program: OsString,
        arguments: Vec<OsString>,
    ) -> Result<Dump, String> {
        // A database may have any name; a slash would make a folder.
        let name = name.replace('/', "_");
        let path = EntryPath::new(format!("{}/{name}", self.folder()).into_bytes());
        Ok(Dump {
            path: path.map_err(|error| error.to_string())?,
            program,
            arguments,
        })
    }
}

fn warn_of_tables(tables: &[String], context: &CommandContext) {
    if tables.is_empty() {
        return;
    }
    let tables = tables.join(", ");
    context.output.console.warning(&format!(
        "these tables are not InnoDB tables, so their dump may have a mix of states if others write to them meanwhile: {tables}"
    ));
}
