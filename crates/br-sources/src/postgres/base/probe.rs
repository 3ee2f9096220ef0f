//! Whether a server can be copied as a whole.

use std::ffi::OsString;

use tokio_util::sync::CancellationToken;

use super::super::dump::{folder_for, in_folder};
use super::super::probe::{FIRST_DATABASE, PostgresOptions, ask_at, ask_until};
use super::super::rights::identifier;
use super::unpack::BaseUnpack;
use crate::server::{Dump, Launcher, MissingRights, Server, ServerError};

/// The program.
pub(super) const PROGRAM: &str = "pg_basebackup";
/// The first version that writes a manifest.
const FIRST_MAJOR: u32 = 13;
/// The statement that says what the server is, one line for each value. The last has the names of tablespaces.
const SERVER: &str = "SELECT unnest(ARRAY[current_setting('server_version'), current_setting('server_version_num'), \
     coalesce(host(inet_server_addr()), 'a socket') || ', port ' || current_setting('port'), current_user::text, \
     (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)::text, current_setting('wal_level'), \
     current_setting('max_wal_senders'), current_setting('wal_keep_size'), \
     coalesce((SELECT string_agg(quote_ident(spcname), ', ' ORDER BY spcname) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')), '')])";
/// The version alone: an older server does not know all settings of the other statement.
const VERSION: &str = "SHOW server_version_num";
/// The name of the database that `pg_basebackup` gives: ~/.pgpass is searched for it.
const REPLICATION: &str = "replication";
/// What only a connection for replication answers.
const IDENTIFY: &str = "IDENTIFY_SYSTEM";

/// Which server to copy.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PostgresBaseOptions {
    /// How to reach it. The databases are not used, because a base backup has all of them.
    pub connection: PostgresOptions,
}

impl PostgresBaseOptions {
    /// Sets a section of the service file, with address and user.
    #[must_use]
    pub fn with_service(mut self, service: Option<String>) -> Self {
        self.connection = self.connection.with_service(service);
        self
    }

    /// Sets where the programs of PostgreSQL run.
    #[must_use]
    pub fn with_launcher(mut self, launcher: Launcher) -> Self {
        self.connection = self.connection.with_launcher(launcher);
        self
    }

    const fn launcher(&self) -> &Launcher {
        &self.connection.launcher
    }
}

/// What a server says about itself.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    pub(super) version: String,
    pub(super) major: u32,
    pub(super) place: String,
    pub(super) user: String,
    pub(super) may_replicate: bool,
    pub(super) wal_level: String,
    pub(super) max_wal_senders: String,
    pub(super) wal_keep_size: String,
    pub(super) tablespaces: String,
}

impl Answers {
    /// Asks the server.
    pub(super) fn of(
        options: &PostgresBaseOptions,
        cancel: &CancellationToken,
    ) -> Result<Self, ServerError> {
        let ask =
            |statement: &str| ask_until(&options.connection, FIRST_DATABASE, statement, cancel);
        let number = ask(VERSION)?;
        let major = number.trim().parse::<u32>().map(|number| number / 10_000);
        let Ok(major) = major else {
            return Err(ServerError::Answer { answer: number });
        };
        if major < FIRST_MAJOR {
            let message = format!(
                "PostgreSQL {major} writes no manifest of a base backup, as versions from {FIRST_MAJOR} do; use --postgres"
            );
            return Err(ServerError::Refused { message });
        }
        let answer = ask(SERVER)?;
        let lines: Vec<&str> = answer.lines().map(str::trim).collect();
        let [
            version,
            _,
            place,
            user,
            may_replicate,
            wal_level,
            max_wal_senders,
            wal_keep_size,
            rest @ ..,
        ] = lines.as_slice()
        else {
            return Err(ServerError::Answer { answer });
        };
        Ok(Self {
            version: (*version).to_owned(),
            major,
            place: (*place).to_owned(),
            user: (*user).to_owned(),
            may_replicate: *may_replicate == "true",
            wal_level: (*wal_level).to_owned(),
            max_wal_senders: (*max_wal_senders).to_owned(),
            wal_keep_size: (*wal_keep_size).to_owned(),
            tablespaces: rest.join(" "),
        })
    }

    /// What the login lacks.
    pub(super) fn missing(&self) -> Option<MissingRights> {
        let statement = format!("ALTER ROLE {} REPLICATION;", identifier(&self.user));
        let rights = vec!["REPLICATION".to_owned()];
        let missing = MissingRights::new(rights, vec![statement], "in `psql`, as a superuser");
        (!self.may_replicate).then_some(missing)
    }

    /// Why the server cannot be copied, and what to do.
    pub(super) fn obstacle(&self) -> Option<(String, String)> {
        if self.wal_level == "minimal" || self.max_wal_senders == "0" {
            let message = format!(
                "it sends no WAL (wal_level {}, max_wal_senders {})",
                self.wal_level, self.max_wal_senders
            );
            let fix =
                "set `wal_level = replica` and `max_wal_senders = 10`, and restart the server";
            return Some((message, fix.to_owned()));
        }
        if !self.tablespaces.is_empty() {
            let message = format!(
                "it has tablespaces ({}), which {PROGRAM} cannot write into one stream",
                self.tablespaces
            );
            let fix = format!(
                "use --postgres; or run `{PROGRAM} --format=tar` into a folder, and back up the folder"
            );
            return Some((message, fix));
        }
        None
    }
}

/// Looks whether the server accepts a connection for replication, as `pg_basebackup` makes it.
pub(super) fn look_for_entry(
    options: &PostgresBaseOptions,
    user: &str,
    cancel: &CancellationToken,
) -> Result<(), (ServerError, String)> {
    let connection = options.connection.connection(REPLICATION) + " replication=true";
    let answer = ask_at(&options.connection, &connection, IDENTIFY, cancel);
    let Err(error) = answer else {
        return Ok(());
    };
    let text = error.in_one_line();
    let fix = if text.contains("pg_hba.conf") {
        format!(
            "add a line such as `host replication {user} 127.0.0.1/32 scram-sha-256` with the address of this machine to pg_hba.conf, and run `SELECT pg_reload_conf()`"
        )
    } else if text.contains("max_wal_senders") {
        "all senders of WAL are in use: raise max_wal_senders, and restart the server".to_owned()
    } else if text.contains("no password supplied") {
        "in ~/.pgpass, the database of the line must be `replication` or `*`".to_owned()
    } else {
        "look at the log of the server".to_owned()
    };
    Err((error, fix))
}

/// A server that can be copied.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresBaseServer {
    /// Its version, such as `15.20`.
    pub version: String,
    /// Where it is: the address and the port of the connection.
    pub place: String,
    /// Its major version.
    pub major: u32,
    program: OsString,
    options: PostgresBaseOptions,
}

impl PostgresBaseServer {
    /// Asks the server. Blocks for some tenths of a second; a server that does not answer is given up after ten seconds.
    ///
    /// # Errors
    /// When there is no client, the server does not answer, or it cannot be copied: the error says how to correct it.
    pub fn probe(
        options: PostgresBaseOptions,
        cancel: &CancellationToken,
    ) -> Result<Self, ServerError> {
        let answers = Answers::of(&options, cancel)?;
        if let Some((message, fix)) = answers.obstacle() {
            let message = format!("{message}; {fix}");
            return Err(ServerError::Refused { message });
        }
        if let Some(missing) = answers.missing() {
            let message = format!(
                "the user {} may not make base backups; as a superuser: {}",
                answers.user,
                missing.statements.join(" ")
            );
            return Err(ServerError::NotPermitted { message });
        }
        let folder = folder_for(PROGRAM, answers.major, options.launcher())?;
        look_for_entry(&options, &answers.user, cancel).map_err(|(error, fix)| match error {
            ServerError::Refused { message } => ServerError::Refused {
                message: format!("{message}; {fix}"),
            },
            other => other,
        })?;
        let Answers {
            version,
            place,
            major,
            ..
        } = answers;
        Ok(Self {
            version,
            place,
            major,
            program: in_folder(folder.as_deref(), PROGRAM),
            options,
        })
    }
}

impl Server for PostgresBaseServer {
    fn folder(&self) -> &'static str {
        "postgres-base"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn description(&self) -> String {
        format!("PostgreSQL {} on {}", self.version, self.place)
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn dumps(&self, cancel: &CancellationToken) -> Result<Vec<Dump>, ServerError> {
        let mut command = self.options.launcher().command(&self.program);
        // Only `fetch` puts the WAL into the same stream. br compresses, so the program must not.
        command.args([
            "--pgdata=-",
            "--format=tar",
            "--wal-method=fetch",
            "--manifest-checksums=SHA256",
            "--checkpoint=fast",
            "--no-password",
        ]);
        if self.options.connection.service.is_some() {
            let connection = self.options.connection.connection(REPLICATION);
            command.arg(format!("--dbname={connection}"));
        }
        let (options, cancel) = (self.options.clone(), cancel.clone());
        let check = move |messages: &str| {
            if let Some(message) = messages.lines().find(|line| names_skipped(line)) {
                return Err(format!(
                    "the server has left out what is behind a link in its data folder, so it cannot be copied as a whole; move it back, or use --postgres: {message}"
                ));
            }
            // One that was made meanwhile is a link to its folder in the restored server, too.
            let answers = Answers::of(&options, &cancel).map_err(|error| error.in_one_line())?;
            match answers.obstacle() {
                Some((message, fix)) => Err(format!("{message}; {fix}")),
                None => Ok(()),
            }
        };
        let dump = Dump::of_archive(command, BaseUnpack::default()).with_last_check(check);
        Ok(vec![dump])
    }
}

/// True for a warning of the server about a file of its data folder: `skipping special file "./base/1"`, in any language. Sockets may be there.
fn names_skipped(line: &str) -> bool {
    const SOCKET: &str = ".s.PGSQL.";
    let named = line.split_once("./");
    named.is_some_and(|(before, name)| {
        before
            .ends_with(|last: char| !last.is_alphanumeric() && !last.is_whitespace() && last != '.')
            && !name.starts_with(SOCKET)
    })
}

#[cfg(test)]
mod tests {
    use super::names_skipped;

    #[test]
    fn warnings_about_files_of_the_data_folder_are_found() {
        for line in [
            "WARNING:  skipping special file \"./base/16384\"",
            "WARNUNG:  überspringe besondere Datei »./postgresql.conf«",
        ] {
            assert!(names_skipped(line), "{line}");
        }
        for line in [
            "WARNING:  skipping special file \"./.s.PGSQL.5432\"",
            "NOTICE:  WAL archiving is not enabled; you must ensure that all required WAL segments are copied",
            "run ./script first",
            "",
        ] {
            assert!(!names_skipped(line), "{line}");
        }
    }
}
