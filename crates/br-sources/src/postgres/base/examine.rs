//! What a server lacks for a base backup.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::super::dump::{folder_for, version_of};
use super::probe::{Answers, PROGRAM, PostgresBaseOptions, look_for_entry};
use crate::server::{Examine, Finding, Fix, ServerError, Topic};

impl Examine for PostgresBaseOptions {
    fn folder(&self) -> &'static str {
        "postgres-base"
    }

    fn examine(&self, cancel: &CancellationToken) -> Vec<Finding> {
        let answers = match Answers::of(self, cancel) {
            Ok(answers) => answers,
            Err(error) => return vec![unreachable(&error)],
        };
        let Answers {
            version,
            place,
            user,
            ..
        } = &answers;
        let message = format!("PostgreSQL {version} on {place} answers the user {user}");
        let mut found = vec![
            Finding::ok(Topic::Connection, message),
            self.client(answers.major),
        ];
        if let Some((message, fix)) = answers.obstacle() {
            let message = format!("the server cannot be copied: {message}");
            found.push(Finding::problem(Topic::State, message, Fix::Advice(fix)));
        } else if answers.wal_keep_size == "0" {
            found.push(Finding::advice(
                Topic::Log,
                "the server may delete WAL that a long base backup still needs (wal_keep_size 0); the backup then fails",
                Fix::advice(
                    "set wal_keep_size to more than the WAL that is written during a backup",
                ),
            ));
        }
        found.push(self.rights(&answers, cancel));
        found
    }
}

impl PostgresBaseOptions {
    fn client(&self, major: u32) -> Finding {
        let launcher = &self.connection.launcher;
        match folder_for(PROGRAM, major, launcher) {
            Ok(folder) => {
                let program = folder.as_deref().unwrap_or(Path::new("")).join(PROGRAM);
                let version = version_of(&program, launcher).unwrap_or(major);
                let message = format!("{} of version {version} copies it", program.display());
                Finding::ok(Topic::Client, message)
            }
            Err(error) => Finding::of_error(Topic::Client, &error, ""),
        }
    }

    fn rights(&self, answers: &Answers, cancel: &CancellationToken) -> Finding {
        let user = &answers.user;
        if let Some(missing) = answers.missing() {
            let message =
                format!("the user {user} lacks a right, so the backup fails: REPLICATION");
            return Finding::problem(Topic::Rights, message, Fix::Grant(missing));
        }
        match look_for_entry(self, user, cancel) {
            Ok(()) => {
                let message = format!("the user {user} may copy the server");
                Finding::ok(Topic::Rights, message)
            }
            Err((error, fix)) => Finding::of_error(Topic::Rights, &error, &fix),
        }
    }
}

/// Why there are no answers.
fn unreachable(error: &ServerError) -> Finding {
    let fix = "start the server, or correct address, user and password: PGHOST, PGPORT, PGUSER and ~/.pgpass, or the section of --postgres-service";
    Finding::of_error(Topic::Connection, error, fix)
}
