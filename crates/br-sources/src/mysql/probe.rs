//! What a server is, and what it has.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::dump;
use super::examine::missing_rights;
use super::tables::{Chosen, MySqlTable};
use crate::server::{Dump, Launcher, Server, ServerError, message_of, output_of};

/// Schemas of the server itself. Users have a dump of their own; the others are made by the server.
const OWN_SCHEMAS: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];
/// The statement for the names of all schemas that the user may see.
pub(super) const ALL_SCHEMAS: &str =
    "SELECT schema_name FROM information_schema.schemata ORDER BY 1";
/// What and where the server is.
const SERVER: &str = "SELECT VERSION(), @@log_bin, @@hostname, @@port, @@datadir";
/// Clients, the better one first.
const CLIENTS: [&str; 2] = ["mariadb", "mysql"];

/// Which server to dump, and what of it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MySqlOptions {
    /// The databases; empty for all.
    pub databases: Vec<String>,
    /// Tables and views to dump. Of their databases, the others are left out.
    pub tables: Vec<MySqlTable>,
    /// Tables and views to leave out.
    pub excluded_tables: Vec<MySqlTable>,
    /// An option file with the address, the user and the password. The programs of MySQL then read no other option file.
    pub defaults_file: Option<PathBuf>,
    /// Where the programs of MySQL run. The option file is there, too.
    pub launcher: Launcher,
}

impl MySqlOptions {
    /// Limits the dump to these databases. Empty for all.
    #[must_use]
    pub fn with_databases(mut self, databases: Vec<String>) -> Self {
        self.databases = databases;
        self
    }

    /// Adds these tables and views, without the others of their databases. If no database is dumped as a whole, routines and events are left out.
    #[must_use]
    pub fn with_tables(mut self, tables: Vec<MySqlTable>) -> Self {
        self.tables = tables;
        self
    }

    /// Leaves out these tables and views.
    #[must_use]
    pub fn with_excluded_tables(mut self, tables: Vec<MySqlTable>) -> Self {
        self.excluded_tables = tables;
        self
    }

    /// The databases that are named, and those of the tables that are named; empty for all.
    pub(super) fn named_databases(&self) -> Vec<String> {
        let of_tables = self.tables.iter().map(|table| table.database().to_owned());
        let mut names: Vec<String> = self.databases.iter().cloned().chain(of_tables).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Sets an option file with the address, the user and the password.
    #[must_use]
    pub fn with_defaults_file(mut self, file: Option<PathBuf>) -> Self {
        self.defaults_file = file;
        self
    }

    /// Sets where the programs of MySQL run.
    #[must_use]
    pub fn with_launcher(mut self, launcher: Launcher) -> Self {
        self.launcher = launcher;
        self
    }

    /// False if an option file of the user may name another server, and the programs do not find it, because the variable `HOME` is not set.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        let has_home = std::env::var_os("HOME").is_some_and(|home| !home.is_empty());
        has_home || !self.launcher.is_local() || self.defaults_file.is_some()
    }

    /// The arguments that every program needs first.
    pub(super) fn first_arguments(&self) -> Vec<OsString> {
        let file = self.defaults_file.iter().map(|file| {
            // With `--defaults-extra-file`, ~/.my.cnf would win, and another server be dumped.
            let mut option = OsString::from("--defaults-file=");
            option.push(file);
            option
        });
        file.collect()
    }
}

/// A server that answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MySqlServer {
    /// Its version, such as `10.11.19-MariaDB`.
    pub version: String,
    /// The databases to dump.
    pub databases: Vec<String>,
    /// Tables to dump whose engine is not InnoDB, at most ten: if others write to them during the dump, it may have a mix of states.
    pub unsafe_tables: Vec<String>,
    /// Where it is: its host, its port and its data folder, as it says itself.
    pub place: String,
    /// True if the server writes a binary log: then the dump says where in it the dump was made.
    pub has_binary_log: bool,
    pub(super) chosen: Chosen,
    missing_rights: Option<String>,
    options: MySqlOptions,
}

impl MySqlServer {
    /// Asks the server. Blocks for some tenths of a second; a server that does not answer is given up after ten seconds.
    ///
    /// # Errors
    /// When there is no client, the server does not answer, or it has nothing to dump.
    pub fn probe(options: MySqlOptions, cancel: &CancellationToken) -> Result<Self, ServerError> {
        let ask = |options: &MySqlOptions, statement: &str| ask_until(options, statement, cancel);
        if let Some(name) = options.databases.iter().find(|name| !is_name(name)) {
            return Err(bad_name(name));
        }
        let answered = Answered::ask(&options, cancel)?;
        let mut databases = options.named_databases();
        if databases.is_empty() {
            let all = ask(&options, ALL_SCHEMAS)?;
            let names = all.into_iter().flatten();
            databases = names.filter(|name| !is_own(name)).collect();
        }
        if databases.is_empty() {
            return Err(ServerError::NoDatabases);
        }
        if let Some(name) = databases.iter().find(|name| !is_name(name)) {
            return Err(bad_name(name));
        }
        let chosen = Chosen::ask(&options, &databases, |statement| ask(&options, statement))?;
        let unsafe_tables = chosen.unsafe_among(ask(&options, &unsafe_tables_of(&databases))?);
        let missing_rights = missing_rights(&options, cancel);
        Ok(Self {
            chosen,
            missing_rights,
            version: answered.version,
            place: answered.place,
            has_binary_log: answered.has_binary_log,
            databases,
            unsafe_tables,
            options,
        })
    }

    /// Only looks whether the server answers and accepts the user, and returns what and where it is. Blocks as [`MySqlServer::probe`].
    ///
    /// # Errors
    /// When there is no client, or the server does not answer or refuses the user.
    pub fn look(options: &MySqlOptions, cancel: &CancellationToken) -> Result<String, ServerError> {
        let Answered { version, place, .. } = Answered::ask(options, cancel)?;
        Ok(description(&version, &place))
    }

    /// True for MariaDB, false for MySQL.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        is_mariadb(&self.version)
    }
}

impl Server for MySqlServer {
    fn folder(&self) -> &'static str {
        "mysql"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn description(&self) -> String {
        description(&self.version, &self.place)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.options.is_sure() {
            warnings.push(format!(
                "HOME is not set, so the programs of MySQL do not read ~/.my.cnf: br backs up {}; name an option file if you mean another server",
                self.description()
            ));
        }
        // Without `TRIGGER`, the dump program leaves out the triggers, and reports success.
        warnings.extend(self.missing_rights.clone());
        warnings.extend(self.chosen.unknown.iter().map(|table| {
            format!("the table {table} cannot be left out, because the databases of this dump do not have it; patterns are not possible")
        }));
        if !self.unsafe_tables.is_empty() {
            let tables = self.unsafe_tables.join(", ");
            warnings.push(format!(
                "these tables are not InnoDB tables, so their dump may have a mix of states if others write to them meanwhile: {tables}"
            ));
        }
        warnings
    }

    fn dumps(&self, cancel: &CancellationToken) -> Result<Vec<Dump>, ServerError> {
        dump::all(self, &self.options, cancel)
    }
}

/// What and where a server is.
struct Answered {
    version: String,
    has_binary_log: bool,
    place: String,
}

impl Answered {
    fn ask(options: &MySqlOptions, cancel: &CancellationToken) -> Result<Self, ServerError> {
        let rows = ask_until(options, SERVER, cancel)?;
        let [version, log_bin, host, port, folder] =
            rows.first().map(Vec::as_slice).unwrap_or_default()
        else {
            let answer = format!("{rows:?}");
            return Err(ServerError::Answer { answer });
        };
        Ok(Self {
            version: version.clone(),
            has_binary_log: log_bin == "1",
            place: format!("{host}, port {port}, {folder}"),
        })
    }
}

fn description(version: &str, place: &str) -> String {
    let (kind, number) = (kind(version), plain(version));
    format!("{kind} {number} on {place}")
}

/// True for the version of a MariaDB server or program.
pub(super) fn is_mariadb(version: &str) -> bool {
    version.contains("MariaDB")
}

/// What a server of this version is called.
pub(super) fn kind(version: &str) -> &'static str {
    if is_mariadb(version) {
        "MariaDB"
    } else {
        "MySQL"
    }
}

/// A version without what the distribution adds.
pub(super) fn plain(version: &str) -> &str {
    version.split('-').next().unwrap_or(version)
}

fn bad_name(name: &str) -> ServerError {
    ServerError::BadOption {
        what: format!("the name `{name}` of a database"),
        reason: "the dump program would take it for something else".to_owned(),
    }
}

/// True for a schema of the server itself.
pub(super) fn is_own(schema: &str) -> bool {
    OWN_SCHEMAS.contains(&&*schema.to_lowercase())
}

/// The statement for the tables of these databases that are not InnoDB tables.
pub(super) fn unsafe_tables_of(databases: &[String]) -> String {
    let names: Vec<String> = databases.iter().map(|name| quoted(name)).collect();
    format!(
        "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND engine <> 'InnoDB' \
         AND table_schema IN ({}) ORDER BY 1",
        names.join(", ")
    )
}

/// True for a name that cannot be an option of the dump program.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && !name.contains(['\0', '\n'])
}

/// A text as a string of SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Asks the server with a client, until `cancel` is cancelled, and returns the rows.
pub(super) fn ask_until(
    options: &MySqlOptions,
    statement: &str,
    cancel: &CancellationToken,
) -> Result<Vec<Vec<String>>, ServerError> {
    let mut last = None;
    for program in CLIENTS {
        let mut client = options.launcher.command(program);
        client
            .args(options.first_arguments())
            .args([
                "--batch",
                "--skip-column-names",
                "--raw",
                "--connect-timeout=10",
            ])
            .args(["--default-character-set=utf8mb4", "-e", statement]);
        match output_of(&mut client, cancel) {
            Ok(None) => return Err(ServerError::Cancelled),
            Ok(Some(output)) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                let row = |line: &str| line.split('\t').map(str::to_owned).collect();
                return Ok(text.lines().map(row).collect());
            }
            Ok(Some(output)) => {
                let message = message_of(&output);
                let error = ServerError::Refused { message };
                if !options.launcher.lacks_program(output.status.code()) {
                    return Err(error);
                }
                last = Some(error);
            }
            Err(source) => {
                let program = client.get_program().to_string_lossy().into_owned();
                last = Some(ServerError::NoClient { program, source });
            }
        }
    }
    Err(last.unwrap_or(ServerError::NoDatabases))
}
