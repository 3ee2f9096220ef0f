//! What a server lacks for a good backup.

use tokio_util::sync::CancellationToken;

use super::dump::DumpProgram;
use super::grants::{Dumped, Grants};
use super::probe::{
    ALL_SCHEMAS, MySqlOptions, ask_until, is_mariadb, is_own, kind, plain, unsafe_tables_of,
};
use super::tables::Chosen;
use crate::server::{Examine, Finding, Fix, Launcher, ServerError, Topic};

/// The statement that says what the server is.
const SERVER: &str = "SELECT VERSION(), @@log_bin, CURRENT_USER()";

/// What the user may not do, in one line with the statements that change it; `None` if nothing is known to be missing.
pub(super) fn missing_rights(options: &MySqlOptions, cancel: &CancellationToken) -> Option<String> {
    let ask = |statement: &str| ask_until(options, statement, cancel);
    let rows = ask(SERVER).ok()?;
    let rights = Answered::of(options, &rows)?.rights(&ask);
    match rights.fix {
        Some(Fix::Grant(missing)) => {
            let statements = missing.statements.join(" ");
            Some(format!(
                "{}; {}: {statements}",
                rights.message, missing.place
            ))
        }
        _ => None,
    }
}

impl Examine for MySqlOptions {
    fn folder(&self) -> &'static str {
        "mysql"
    }

    fn examine(&self, cancel: &CancellationToken) -> Vec<Finding> {
        let ask = |statement: &str| ask_until(self, statement, cancel);
        let rows = match ask(SERVER) {
            Ok(rows) => rows,
            Err(error) => return vec![unreachable(&error)],
        };
        let Some(server) = Answered::of(self, &rows) else {
            let answer = format!("{rows:?}");
            return vec![unreachable(&ServerError::Answer { answer })];
        };
        let mut found = vec![server.connection(&ask)];
        found.push(client(server.version, server.is_mariadb, &self.launcher));
        let rights = server.rights(&ask);
        let is_blind = matches!(rights.fix, Some(Fix::Grant(_)));
        found.push(rights);
        found.extend(server.content(&ask, is_blind));
        found.push(server.log());
        found
    }
}

/// A function that asks the server.
type Ask<'a> = dyn Fn(&str) -> Result<Vec<Vec<String>>, ServerError> + 'a;

/// A server that answered.
struct Answered<'a> {
    options: &'a MySqlOptions,
    version: &'a str,
    account: &'a str,
    is_mariadb: bool,
    has_binary_log: bool,
}

impl<'a> Answered<'a> {
    /// Reads the answer to [`SERVER`].
    fn of(options: &'a MySqlOptions, rows: &'a [Vec<String>]) -> Option<Self> {
        let [version, log_bin, account] = rows.first()?.as_slice() else {
            return None;
        };
        Some(Self {
            options,
            version,
            account,
            is_mariadb: is_mariadb(version),
            has_binary_log: log_bin == "1",
        })
    }

    fn connection(&self, ask: &Ask<'_>) -> Finding {
        let status = ask("status").unwrap_or_default();
        let place = place_in(&status).unwrap_or_default();
        let (kind, version, account) = (kind(self.version), plain(self.version), self.account);
        let message = format!("{kind} {version}{place} answers the user {account}");
        Finding::ok(Topic::Connection, message)
    }

    fn rights(&self, ask: &Ask<'_>) -> Finding {
        let rows = match self.grants(ask) {
            Ok(rows) => rows,
            Err(error) => return unanswered(Topic::Rights, &error),
        };
        // A line has no tab, unless a name has one.
        let lines: Vec<String> = rows.iter().map(|row| row.join("\t")).collect();
        let dumped = Dumped {
            account: self.account,
            databases: &self.options.named_databases(),
            is_mariadb: self.is_mariadb,
            has_binary_log: self.has_binary_log,
            version: numbers(self.version),
        };
        let missing = Grants::parse(lines.iter().map(String::as_str)).missing(&dumped);
        let account = self.account;
        match missing {
            None => Finding::ok(
                Topic::Rights,
                format!("the user {account} has all rights that a dump needs"),
            ),
            Some(missing) => {
                let message = format!(
                    "the user {account} lacks rights, so the dump fails or has only a part: {}",
                    missing.rights.join(", ")
                );
                Finding::problem(Topic::Rights, message, Fix::Grant(missing))
            }
        }
    }

    /// The lines of `SHOW GRANTS`, with the rights of roles that are active.
    fn grants(&self, ask: &Ask<'_>) -> Result<Vec<Vec<String>>, ServerError> {
        // MariaDB adds them itself, and MySQL before 8.0 has no roles.
        let roles = if self.is_mariadb {
            None
        } else {
            ask("SELECT CURRENT_ROLE()").ok()
        };
        let roles = roles.and_then(|rows| rows.into_iter().flatten().next());
        match roles.filter(|roles| roles != "NONE") {
            Some(roles) => ask(&format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")),
            None => ask("SHOW GRANTS"),
        }
    }

    /// The databases and their tables. `is_blind`: the user may not see all.
    fn content(&self, ask: &Ask<'_>, is_blind: bool) -> Vec<Finding> {
        let seen: Vec<String> = match ask(ALL_SCHEMAS) {
            Ok(rows) => rows.into_iter().flatten().collect(),
            Err(error) => return vec![unanswered(Topic::Content, &error)],
        };
        let mut found = Vec::new();
        let mut databases = self.options.named_databases();
        if databases.is_empty() {
            databases = seen.into_iter().filter(|name| !is_own(name)).collect();
        } else {
            let missing = databases.iter().filter(|name| !seen.contains(name));
            let missing: Vec<&str> = missing.map(String::as_str).collect();
            // A user without rights does not see a database.
            if !missing.is_empty() && !is_blind {
                let message = format!("the server has no database {}", missing.join(", "));
                let fix = "correct the names of the databases, or write `all`";
                found.push(Finding::problem(Topic::Content, message, Fix::advice(fix)));
            }
        }
        if databases.is_empty() {
            if !is_blind {
                found.push(unanswered(Topic::Content, &ServerError::NoDatabases));
            }
            return found;
        }
        let chosen = match Chosen::ask(self.options, &databases, ask) {
            Ok(chosen) => chosen,
            Err(error) => {
                let fix = "correct the names of the tables";
                let message = error.in_one_line();
                found.push(Finding::problem(Topic::Content, message, Fix::advice(fix)));
                return found;
            }
        };
        if let Some(table) = chosen.unknown.first() {
            let message = format!("the databases have no table {table}, so nothing is left out");
            let fix = "correct the names of the excluded tables";
            found.push(Finding::warning(Topic::Content, message, Fix::advice(fix)));
        }
        let rows = ask(&unsafe_tables_of(&databases));
        found.push(match rows.map(|rows| chosen.unsafe_among(rows)) {
            Ok(tables) if tables.is_empty() => Finding::ok(
                Topic::Content,
                "all tables that the user sees are InnoDB tables: the dump is of one moment",
            ),
            Ok(tables) => {
                let message = format!(
                    "these tables are not InnoDB tables, so their dump may have a mix of states: {}",
                    tables.join(", ")
                );
                let fix = "convert them with `ALTER TABLE … ENGINE=InnoDB`, or stop the programs that write to them during the backup";
                Finding::warning(Topic::Content, message, Fix::advice(fix))
            }
            Err(error) => unanswered(Topic::Content, &error),
        });
        found
    }

    fn log(&self) -> Finding {
        if self.has_binary_log {
            let message = "the binary log is on: the dump has its position in it";
            return Finding::ok(Topic::Log, message);
        }
        Finding::advice(
            Topic::Log,
            "the binary log is off: the server can be restored to the moments of the backups only",
            Fix::advice(
                "for any other moment, write `log_bin` below `[mysqld]` into the configuration of the server, restart it, and keep its binary logs",
            ),
        )
    }
}

/// The dump program, and whether it is older than the server.
fn client(version: &str, is_mariadb: bool, launcher: &Launcher) -> Finding {
    let program = match DumpProgram::for_kind(is_mariadb, launcher) {
        Ok(program) => program,
        Err(error) => return Finding::of_error(Topic::Client, &error, ""),
    };
    let (name, server) = (program.name, plain(version));
    let Some(own) = program.version() else {
        let message = format!("{name} does not say which version it is");
        let fix = format!("make sure that it is not older than {server}");
        return Finding::warning(Topic::Client, message, Fix::advice(fix));
    };
    let [own_numbers, server_numbers] = [own, version].map(|text| {
        let mut numbers = numbers(text);
        numbers.truncate(2);
        numbers
    });
    if own_numbers < server_numbers {
        let message = format!(
            "{name} {own} is older than the server, {server}: it may leave out what it does not know"
        );
        let fix = format!("install the client of the version {server}");
        return Finding::warning(Topic::Client, message, Fix::advice(fix));
    }
    Finding::ok(Topic::Client, format!("{name} {own} dumps it"))
}

/// Why there is no connection.
fn unreachable(error: &ServerError) -> Finding {
    let text = error.to_string();
    let fix = if text.contains("defaults file") {
        "correct the path of --mysql-defaults-file, or let this user read the file"
    } else if text.contains("Access denied") {
        "correct `user` and `password` in the option file (~/.my.cnf, or that of --mysql-defaults-file), or create the user"
    } else {
        "start the server, or correct `socket`, `host` and `port` in the option file (~/.my.cnf, or that of --mysql-defaults-file)"
    };
    Finding::of_error(Topic::Connection, error, fix)
}

/// Why a question has no answer.
fn unanswered(topic: Topic, error: &ServerError) -> Finding {
    let fix = match error {
        ServerError::NoDatabases => "create a database, or leave out the server",
        _ => "look at the log of the server",
    };
    Finding::of_error(topic, error, fix)
}

/// ` at HOST:PORT` or ` at SOCKET`, as the client reports it.
fn place_in(status: &[Vec<String>]) -> Option<String> {
    let value = |label: &str| {
        let row = status
            .iter()
            .find(|row| row.first().is_some_and(|one| one == label))?;
        let mut values = row.iter().skip(1).filter(|value| !value.is_empty());
        values.next()
    };
    if let Some(socket) = value("UNIX socket:") {
        return Some(format!(" at {socket}"));
    }
    let (host, _) = value("Connection:")?.split_once(" via ")?;
    Some(format!(" at {host}:{}", value("TCP port:")?))
}

/// The numbers of a version.
fn numbers(version: &str) -> Vec<u32> {
    let digits = version.split('-').next().unwrap_or_default().split('.');
    digits.map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_that_of_the_connection() {
        let rows = |text: &str| -> Vec<Vec<String>> {
            let row = |line: &str| line.split('\t').map(str::to_owned).collect();
            text.lines().map(row).collect()
        };
        let socket = "Connection:\t\tLocalhost via UNIX socket\nUNIX socket:\t\t/run/x y\n";
        assert_eq!(place_in(&rows(socket)).as_deref(), Some(" at /run/x y"));
        let tcp = "Connection:\t\tdb1 via TCP/IP\nTCP port:\t\t3307\n";
        assert_eq!(place_in(&rows(tcp)).as_deref(), Some(" at db1:3307"));
        assert_eq!(place_in(&rows("")), None);
        assert_eq!(numbers("10.11.19-MariaDB-log"), [10, 11, 19]);
    }
}
