//! `br restore --to-postgres`: restores a database, or the roles, into a running PostgreSQL server.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use br_core::BackupSelector;
use br_core::engine::dump::dump;
use br_sources::postgres::{PostgresOptions, PostgresRestore, PostgresServer};
use br_sources::server::{Launcher, Server as _, ServerError};
use clap::Args;

use super::paths::PathInBackup;
use super::restore_check::Moment;
use super::restore_to_command::{OF_FOLDERS, Taker};
use super::which::BackupAndPath;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::thread::on_thread;
use crate::values;

/// The end of the name of a file with a database, and of one with roles.
const DATABASE: &str = ".dump";
const GLOBALS: &str = ".sql";

/// A restore into a PostgreSQL server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Restore into PostgreSQL")]
pub(super) struct ToPostgresArgs {
    /// Restore the dump PATH, such as `postgres/shop.dump` or `postgres/globals.sql`, into a running PostgreSQL server
    ///
    /// br runs pg_restore or psql, in a version that fits the server. A database gets the name that it had. Roles that exist get their properties and passwords from the
    /// dump. Address, user and password come from the variables of PostgreSQL, such as PGHOST, from ~/.pgpass, or from a service.
    #[arg(
        long,
        conflicts_with_all = OF_FOLDERS,
        conflicts_with_all = ["to_command", "to_redis", "to_rabbitmq"]
    )]
    to_postgres: bool,

    /// Replace the database if it exists; without this, br refuses a database that exists
    ///
    /// br reads and verifies the whole dump before pg_restore deletes the database. Nobody else may be connected to it.
    #[arg(long, requires = "to_postgres")]
    replace_database: bool,

    /// Do not verify the dump before the database is replaced, because `br restore --verify-only` has done it
    #[arg(long, requires = "replace_database")]
    skip_verification: bool,

    /// Section of the service file of PostgreSQL with address and user
    #[arg(long, value_name = "NAME", requires = "to_postgres")]
    postgres_service: Option<String>,

    /// Run the programs of PostgreSQL through this command, such as `docker exec -i -u postgres db`
    #[arg(long, value_name = "COMMAND", requires = "to_postgres", value_parser = values::launcher)]
    postgres_through: Option<Launcher>,
}

impl ToPostgresArgs {
    /// True if these options select this kind of restore.
    pub(super) const fn is_chosen(&self) -> bool {
        self.to_postgres
    }

    /// Runs the restore. `paths` has one path, unless `from` has it.
    pub(super) async fn run(
        &self,
        from: &BackupAndPath,
        id: &BackupSelector,
        paths: &[OsString],
        context: &CommandContext,
    ) -> CommandResult {
        let example = "br restore latest postgres/shop.dump --to-postgres";
        let path = PathInBackup::only(from.path(paths)?, paths, example)?;
        let (repository, backup, path) = path.open(id, context).await?;
        let engine = context.engine();
        let snapshot = repository.snapshot(backup.id, &engine).await?;
        snapshot.stat(&path).await?;
        let (server, restore) = self.restore_of(path.name(), context).await?;
        if self.replace_database && !self.skip_verification {
            let path = path.clone();
            dump(&repository, backup.id, path, std::io::sink(), &engine).await?;
        }
        let failures = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&failures);
        let is_shown = move |line: &str| {
            if PostgresRestore::is_failure(line) {
                let mut failures = taken.lock().unwrap_or_else(PoisonError::into_inner);
                failures.push(line.to_owned());
            }
            !PostgresRestore::is_noise(line)
        };
        let taker = Taker {
            program: &restore.program,
            arguments: &restore.arguments,
            time_limit: None,
        };
        let given = taker
            .take(&repository, backup.id, &path, is_shown, context)
            .await
            .map_err(|error| self.way_on(error))?;
        let first = {
            let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.first().cloned()
        };
        if let Some(first) = first {
            let message = format!("psql could not run all of {path}: {first}");
            let hint = "correct that, often the rights of the user, and run the command again: it can be repeated";
            return Err(CommandError::new(ExitStatus::Failure, message, hint));
        }
        given.print(&context.output)?;
        let without = on_thread(move || server.roles_without_password()).await?;
        let without = without.unwrap_or_default();
        if path.name().ends_with(GLOBALS.as_bytes()) && !without.is_empty() {
            context.output.console.warning(&format!(
                "these roles have no password and cannot log in with one: {}",
                format::text(&without.join(", "))
            ));
        }
        Ok(ExitStatus::Ok)
    }

    /// What to do after pg_restore or psql failed.
    fn way_on(&self, error: CommandError) -> CommandError {
        if error.status == ExitStatus::Damaged {
            return error;
        }
        let state = if self.replace_database {
            "the old database may be deleted already"
        } else {
            "a part of it may be restored, also an empty database"
        };
        error.with_hint(format!(
            "{state}: correct what the messages above say (roles that are missing are in postgres/globals.sql), and run the command again with --replace-database"
        ))
    }

    /// Looks whether the server answers, and whether the restore could begin, if there is one.
    pub(super) async fn look(
        &self,
        paths: &[OsString],
        moment: Moment,
    ) -> Result<(), CommandError> {
        let (true, Some(path)) = (self.to_postgres, paths.first()) else {
            return Ok(());
        };
        let name = Path::new(path).file_name().unwrap_or_default();
        match self.find(name.as_encoded_bytes()).await? {
            Err(ServerError::InUse { .. }) if moment == Moment::First => Ok(()),
            found => found.map(drop).map_err(|error| explain(&error)),
        }
    }

    /// Asks the server, says which one it is, and finds the program that takes this file.
    async fn restore_of(
        &self,
        name: &[u8],
        context: &CommandContext,
    ) -> Result<(PostgresServer, PostgresRestore), CommandError> {
        let found = self.find(name).await?.map_err(|error| explain(&error))?;
        let console = &context.output.console;
        console.note(&format!("into {}", found.0.description()));
        Ok(found)
    }

    async fn find(
        &self,
        name: &[u8],
    ) -> Result<Result<(PostgresServer, PostgresRestore), ServerError>, CommandError> {
        let name = String::from_utf8_lossy(name).into_owned();
        let options = PostgresOptions::default()
            .with_service(self.postgres_service.clone())
            .with_launcher(self.postgres_through.clone().unwrap_or_default());
        let replace = self.replace_database;
        let find = move || {
            let server = PostgresServer::probe(options)?;
            let restore = match name.strip_suffix(DATABASE) {
                Some(database) => PostgresRestore::of_database(&server, database, replace),
                None if name.ends_with(GLOBALS) => PostgresRestore::of_globals(&server),
                None => Err(ServerError::BadOption {
                    what: format!("the file {name}"),
                    reason: format!(
                        "a dump for {} is a file such as shop.dump or globals.sql",
                        server.description()
                    ),
                }),
            }?;
            Ok((server, restore))
        };
        on_thread(find).await
    }
}

fn explain(error: &ServerError) -> CommandError {
    let hint = match error {
        ServerError::HasDatabase { .. } => "restore into another server, or add --replace-database",
        ServerError::BadOption { .. } => {
            return CommandError::usage(
                error.to_string(),
                "`br ls` lists the files; --to-command gives a file to any program",
            );
        }
        ServerError::InUse { .. } => "stop these programs, and run the command again",
        ServerError::Refused { .. } => {
            "check the address, the user and the password: PGHOST, PGPORT, PGUSER and ~/.pgpass, or --postgres-service"
        }
        _ => "correct that, and run the command again; br has changed nothing",
    };
    CommandError::failure(error, hint)
}
