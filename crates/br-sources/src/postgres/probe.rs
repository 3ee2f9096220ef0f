//! What a server is, and what it has.

use tokio_util::sync::CancellationToken;

use super::dump;
use crate::server::{Dump, Launcher, Server, ServerError, message_of, output_of};

/// The variable that names a section of the service file.
const SERVICE: &str = "service=";
/// The statement for the names of all databases that can be dumped.
pub(super) const ALL_DATABASES: &str =
    "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname";
/// Databases that accept no connections, except the one that every server has.
const CLOSED_DATABASES: &str = "SELECT datname FROM pg_database WHERE NOT datallowconn AND datname <> 'template0' ORDER BY datname";
/// The database that every server has.
pub(super) const FIRST_DATABASE: &str = "postgres";

/// Which server to dump, and what of it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The databases; empty for all.
    pub databases: Vec<String>,
    /// A section of the service file, with address and user.
    pub service: Option<String>,
    /// Where the programs of PostgreSQL run.
    pub launcher: Launcher,
}

impl PostgresOptions {
    /// Limits the dump to these databases. Empty for all.
    #[must_use]
    pub fn with_databases(mut self, databases: Vec<String>) -> Self {
        self.databases = databases;
        self
    }

    /// Sets a section of the service file.
    #[must_use]
    pub fn with_service(mut self, service: Option<String>) -> Self {
        self.service = service;
        self
    }

    /// Sets where the programs of PostgreSQL run.
    #[must_use]
    pub fn with_launcher(mut self, launcher: Launcher) -> Self {
        self.launcher = launcher;
        self
    }

    /// The connection to a database, as one argument: a connection string, in which a name can hold any character.
    pub(super) fn connection(&self, database: &str) -> String {
        let service = self
            .service
            .iter()
            .map(|name| format!("{SERVICE}{} ", quoted(name)));
        format!("{}dbname={}", service.collect::<String>(), quoted(database))
    }
}

/// A value in a connection string.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A server that answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresServer {
    /// Its version, such as `15.20`.
    pub version: String,
    /// Where it is: the address and the port of the connection.
    pub place: String,
    /// Its major version.
    pub major: u32,
    /// The databases to dump.
    pub databases: Vec<String>,
    /// Databases that are not dumped with all others, because they accept no connections.
    pub closed: Vec<String>,
    /// False if the user may not read the passwords of roles: then the roles are dumped without them.
    pub reads_passwords: bool,
    pub(super) options: PostgresOptions,
}

impl PostgresServer {
    /// Asks the server. Blocks for some tenths of a second; a server that does not answer is given up after ten seconds.
    ///
    /// # Errors
    /// When there is no client, the server does not answer, or it lacks one of the databases.
    pub fn probe(
        options: PostgresOptions,
        cancel: &CancellationToken,
    ) -> Result<Self, ServerError> {
        let ask = |options: &PostgresOptions, statement: &str| {
            ask_until(options, FIRST_DATABASE, statement, cancel)
        };
        let version = ask(&options, "SHOW server_version")?;
        let number = ask(&options, "SHOW server_version_num")?;
        let major = number.trim().parse::<u32>().map(|number| number / 10_000);
        let Ok(major) = major else {
            return Err(ServerError::Answer { answer: number });
        };
        let place = ask(
            &options,
            "SELECT coalesce(host(inet_server_addr()), 'a socket') || ', port ' || current_setting('port')",
        )?;
        // Superusers may, and members of `pg_read_all_data`.
        let may_read = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
        let reads_passwords = ask(&options, may_read)?.trim() == "t";
        let all = ask(&options, ALL_DATABASES)?;
        let all: Vec<String> = all.lines().map(str::to_owned).collect();
        let mut closed = String::new();
        let databases = if options.databases.is_empty() {
            closed = ask(&options, CLOSED_DATABASES)?;
            all
        } else {
            if let Some(name) = options.databases.iter().find(|name| !all.contains(name)) {
                let name = name.clone();
                return Err(ServerError::NoDatabase { name });
            }
            options.databases.clone()
        };
        Ok(Self {
            version: version.trim().to_owned(),
            place: place.trim().to_owned(),
            major,
            databases,
            closed: closed.lines().map(str::to_owned).collect(),
            reads_passwords,
            options,
        })
    }

    /// True if there is a database of this name.
    pub(super) fn has_database(&self, name: &str) -> Result<bool, ServerError> {
        let name = text(name);
        let question = format!("SELECT count(*) FROM pg_database WHERE datname = {name}");
        Ok(ask(&self.options, &question)?.trim() != "0")
    }

    /// The roles that can log in and have no password, as far as this user may see it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn roles_without_password(&self) -> Result<Vec<String>, ServerError> {
        if !self.reads_passwords {
            return Ok(Vec::new());
        }
        let question =
            "SELECT rolname FROM pg_authid WHERE rolcanlogin AND rolpassword IS NULL ORDER BY 1";
        let answer = ask(&self.options, question)?;
        Ok(answer.lines().map(str::to_owned).collect())
    }

    /// The programs or users that are connected to a database; empty if there are none.
    pub(super) fn connected_to(&self, name: &str) -> Result<String, ServerError> {
        let question = format!(
            "SELECT string_agg(DISTINCT coalesce(nullif(application_name, ''), usename), ', ') FROM pg_stat_activity \
             WHERE datname = {} AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
            text(name)
        );
        Ok(ask(&self.options, &question)?.trim().to_owned())
    }
}

/// A text as a string of SQL.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Server for PostgresServer {
    fn folder(&self) -> &'static str {
        "postgres"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn description(&self) -> String {
        format!("PostgreSQL {} on {}", self.version, self.place)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.closed.is_empty() {
            let closed = self.closed.join(", ");
            warnings.push(format!(
                "these databases are not backed up, because they accept no connections: {closed}"
            ));
        }
        if self.reads_passwords {
            return warnings;
        }
        warnings.push(
            "roles are dumped without their passwords, because the user may not read pg_authid: after a restore into a new server, set their passwords again".to_owned(),
        );
        warnings
    }

    fn dumps(&self, _cancel: &CancellationToken) -> Result<Vec<Dump>, ServerError> {
        dump::all(self, &self.options)
    }
}

/// Asks the server with a client, and returns the rows.
fn ask(options: &PostgresOptions, statement: &str) -> Result<String, ServerError> {
    ask_until(
        options,
        FIRST_DATABASE,
        statement,
        &CancellationToken::new(),
    )
}

/// The same in any database, until `cancel` is cancelled. A statement may also be a command of `psql`.
pub(super) fn ask_until(
    options: &PostgresOptions,
    database: &str,
    statement: &str,
    cancel: &CancellationToken,
) -> Result<String, ServerError> {
    ask_at(options, &options.connection(database), statement, cancel)
}

/// The same with a connection string.
pub(super) fn ask_at(
    options: &PostgresOptions,
    connection: &str,
    statement: &str,
    cancel: &CancellationToken,
) -> Result<String, ServerError> {
    let mut psql = options.launcher.command("psql");
    psql.args([
        "--no-psqlrc",
        "--no-align",
        "--tuples-only",
        "--quiet",
        "--no-password",
    ])
    .args([
        "--set=ON_ERROR_STOP=1",
        "--command",
        statement,
        "--dbname",
        connection,
    ])
    .env("PGCONNECT_TIMEOUT", "10")
    .env("PGCLIENTENCODING", "UTF8");
    let output = output_of(&mut psql, cancel).map_err(|source| ServerError::NoClient {
        program: psql.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    let output = output.ok_or(ServerError::Cancelled)?;
    if !output.status.success() {
        let message = message_of(&output);
        if options.launcher.lacks_program(output.status.code()) {
            return Err(ServerError::NoClient {
                program: "psql".to_owned(),
                source: std::io::Error::other(message),
            });
        }
        return Err(ServerError::Refused { message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
