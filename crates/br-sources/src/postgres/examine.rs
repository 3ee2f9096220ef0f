//! What a server lacks for a good backup.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::dump::{folder_for, version_of};
use super::probe::{ALL_DATABASES, FIRST_DATABASE, PostgresOptions, ask_until};
use super::rights::{
    READ_ALL_SINCE, SCHEMAS, UNREADABLE, Unreadable, missing, of_future, of_passwords,
};
use crate::server::{Examine, Finding, Fix, Launcher, ServerError, Topic};

/// The statement that says what the server is; one line for each value.
const SERVER: &str = "SELECT unnest(ARRAY[current_setting('server_version'), current_setting('server_version_num'), current_setting('is_superuser'), \
     current_user::text, current_setting('wal_level'), current_setting('archive_mode'), has_table_privilege('pg_catalog.pg_authid', 'SELECT')::text])";
/// The command of the client that says where the server is. The port comes first, because it has no space.
const PLACE: &str = "\\echo :PORT :HOST";
/// Whether a user has the role that reads everything.
const READS_ALL: &str = "SELECT pg_has_role('pg_read_all_data', 'USAGE')";
/// Databases to which this user may not connect.
const CLOSED: &str = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND NOT has_database_privilege(oid, 'CONNECT')";

impl Examine for PostgresOptions {
    fn folder(&self) -> &'static str {
        "postgres"
    }

    fn examine(&self, cancel: &CancellationToken) -> Vec<Finding> {
        let ask = |database: &str, statement: &str| ask_until(self, database, statement, cancel);
        let text = match ask(FIRST_DATABASE, SERVER) {
            Ok(text) => text,
            Err(error) => return vec![unreachable(&error)],
        };
        let lines: Vec<&str> = text.lines().collect();
        let [
            version,
            number,
            is_superuser,
            user,
            wal_level,
            archive_mode,
            passwords,
        ] = lines.as_slice()
        else {
            return vec![unreachable(&ServerError::Answer { answer: text })];
        };
        let Ok(number) = number.parse::<u32>() else {
            let answer = (*number).to_owned();
            return vec![unreachable(&ServerError::Answer { answer })];
        };
        let server = Answered {
            options: self,
            version,
            major: number / 10_000,
            is_superuser: *is_superuser == "on",
            reads_passwords: *passwords == "true",
            user,
        };
        let mut found = vec![
            server.connection(&ask),
            client(server.major, &self.launcher),
        ];
        found.extend(server.content(&ask));
        found.push(server.passwords());
        found.push(log(wal_level, archive_mode));
        found
    }
}

/// A function that asks a database of the server.
type Ask<'a> = dyn Fn(&str, &str) -> Result<String, ServerError> + 'a;

/// A server that answered.
struct Answered<'a> {
    options: &'a PostgresOptions,
    version: &'a str,
    major: u32,
    is_superuser: bool,
    reads_passwords: bool,
    user: &'a str,
}

impl Answered<'_> {
    fn connection(&self, ask: &Ask<'_>) -> Finding {
        let place = ask(FIRST_DATABASE, PLACE).unwrap_or_default();
        let place = match place.trim().split_once(' ') {
            Some((port, folder)) if folder.starts_with('/') => {
                format!(" at {folder}/.s.PGSQL.{port}")
            }
            Some((port, host)) => format!(" at {host}:{port}"),
            None => String::new(),
        };
        let version = self.version.split(' ').next().unwrap_or_default();
        let message = format!("PostgreSQL {version}{place} answers the user {}", self.user);
        Finding::ok(Topic::Connection, message)
    }

    /// The databases, and what the user may read of them.
    fn content(&self, ask: &Ask<'_>) -> Vec<Finding> {
        let lists = ask(FIRST_DATABASE, ALL_DATABASES)
            .and_then(|all| Ok((all, ask(FIRST_DATABASE, CLOSED)?)));
        let (all, closed) = match lists {
            Ok((all, closed)) => (lines(&all), lines(&closed)),
            Err(error) => return vec![unanswered(Topic::Content, &error)],
        };
        let mut found = Vec::new();
        let mut databases = self.options.databases.clone();
        if databases.is_empty() {
            databases.clone_from(&all);
        }
        let absent = databases.iter().filter(|name| !all.contains(name));
        found.extend(absent.map(|name| {
            let error = ServerError::NoDatabase { name: name.clone() };
            let fix = "correct the names of the databases, or write `all`";
            Finding::of_error(Topic::Content, &error, fix)
        }));
        databases.retain(|name| all.contains(name));
        let reads_all = self.reads_all(ask);
        let mut unreadable = Vec::new();
        for database in &databases {
            match self.unreadable(ask, database, &closed) {
                Ok(one) => unreadable.push(one),
                Err(ServerError::Cancelled) => {
                    let (seen, all) = (unreadable.len(), databases.len());
                    let message = format!(
                        "br could look at {seen} of {all} databases only, because the server answers too slowly"
                    );
                    let fix =
                        Fix::advice("look at the load of the server, or name fewer databases");
                    found.push(Finding::warning(Topic::Content, message, fix));
                    break;
                }
                Err(error) => {
                    let mut finding = unanswered(Topic::Content, &error);
                    finding.message = format!("database {database}: {}", finding.message);
                    found.push(finding);
                }
            }
        }
        found.push(self.rights(reads_all, &unreadable));
        found
    }

    /// True if the user may read everything, as far as there is a role for it.
    fn reads_all(&self, ask: &Ask<'_>) -> bool {
        self.major < READ_ALL_SINCE
            || ask(FIRST_DATABASE, READS_ALL).is_ok_and(|answer| answer.trim() == "t")
    }

    fn unreadable(
        &self,
        ask: &Ask<'_>,
        database: &str,
        closed: &[String],
    ) -> Result<Unreadable, ServerError> {
        let mut one = Unreadable {
            database: database.to_owned(),
            may_connect: !closed.iter().any(|name| name == database),
            ..Unreadable::default()
        };
        if self.is_superuser || !one.may_connect {
            return Ok(one);
        }
        for line in lines(&ask(database, UNREADABLE)?) {
            match line.split_at_checked(1) {
                Some(("t", table)) => one.tables.push(table.to_owned()),
                Some(("f", table)) => one.filtered.push(table.to_owned()),
                Some(("l", count)) => one.large_objects = count.parse().unwrap_or(0),
                _ => return Err(ServerError::Answer { answer: line }),
            }
        }
        if !one.tables.is_empty() && self.major < READ_ALL_SINCE {
            one.schemas = lines(&ask(database, SCHEMAS)?);
        }
        Ok(one)
    }

    fn rights(&self, reads_all: bool, all: &[Unreadable]) -> Finding {
        let user = self.user;
        if self.is_superuser {
            let message = format!("the user {user} is a superuser, who may read everything");
            return Finding::ok(Topic::Rights, message);
        }
        if let Some(missing) = missing(user, self.major, all) {
            let tables = all.iter().flat_map(|one| {
                let tables = one.tables.iter().chain(&one.filtered);
                tables.map(|table| format!("{}: {table}", one.database))
            });
            let tables: Vec<String> = tables.take(10).collect();
            let tables = if tables.is_empty() {
                String::new()
            } else {
                format!("; it cannot read {}", tables.join(", "))
            };
            let rights = missing.rights.join(", ");
            let message =
                format!("the user {user} lacks rights, so a dump fails: {rights}{tables}");
            return Finding::problem(Topic::Rights, message, Fix::Grant(missing));
        }
        if reads_all {
            let message = format!("the user {user} may read all tables");
            return Finding::ok(Topic::Rights, message);
        }
        Finding::advice(
            Topic::Rights,
            format!(
                "the user {user} may read all tables that exist now, but perhaps not those that others create later"
            ),
            Fix::Grant(of_future(user)),
        )
    }

    fn passwords(&self) -> Finding {
        if self.reads_passwords {
            return Finding::ok(Topic::Content, "roles are dumped with their passwords");
        }
        Finding::warning(
            Topic::Content,
            format!(
                "roles are dumped without their passwords, because the user {} may not read them: after a restore into a new server, set their passwords again",
                self.user
            ),
            Fix::Grant(of_passwords(self.user)),
        )
    }
}

/// The dump program; one that is older than the server refuses to dump it.
fn client(major: u32, launcher: &Launcher) -> Finding {
    match folder_for("pg_dump", major, launcher) {
        Ok(folder) => {
            let program = folder.as_deref().unwrap_or(Path::new("")).join("pg_dump");
            let version = version_of(&program, launcher).unwrap_or(major);
            let message = format!("{} of version {version} dumps it", program.display());
            Finding::ok(Topic::Client, message)
        }
        Err(error) => Finding::of_error(Topic::Client, &error, ""),
    }
}

/// Whether the server keeps what changes after a dump.
fn log(wal_level: &str, archive_mode: &str) -> Finding {
    if archive_mode != "off" && wal_level != "minimal" {
        let message = format!(
            "the server archives its WAL (wal_level {wal_level}, archive_mode {archive_mode}); br does not back up the archive itself"
        );
        return Finding::ok(Topic::Log, message);
    }
    Finding::advice(
        Topic::Log,
        format!(
            "the server does not archive its WAL (wal_level {wal_level}, archive_mode {archive_mode}): it can be restored to the moments of the backups only"
        ),
        Fix::advice(
            "for any other moment, set `wal_level = replica`, `archive_mode = on` and `archive_command`, and make base backups with `pg_basebackup`",
        ),
    )
}

/// Why there is no connection.
fn unreachable(error: &ServerError) -> Finding {
    let fix = "start the server, or correct address, user and password: PGHOST, PGPORT, PGUSER and ~/.pgpass, or the section of --postgres-service";
    Finding::of_error(Topic::Connection, error, fix)
}

/// Why a question has no answer.
fn unanswered(topic: Topic, error: &ServerError) -> Finding {
    Finding::of_error(topic, error, "look at the log of the server")
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}
