//! `br restore --to-postgres`: restores a database, or the roles, into a running PostgreSQL server.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use br_core::BackupSelector;
use br_sources::postgres::{PostgresOptions, PostgresRestore, PostgresServer};
use br_sources::server::{Launcher, Server as _, ServerError};
use clap::Args;

use super::paths::PathInBackup;
use super::restore_check::Moment;
use super::restore_to_command::{OF_FOLDERS, Taker};
use super::servers::launcher;
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
    /// The old database gets another name, and is deleted when the new one is complete; if the restore fails, it gets its name again. So the server needs space for both. Nobody
    /// else may be connected to it.
    #[arg(long, requires = "to_postgres")]
    replace_database: bool,

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
        let (server, mut restore) = self.restore_of(path.name(), context).await?;
        let aside = move || restore.set_aside().map(|()| restore);
        let restore = on_thread(aside).await?.map_err(|error| explain(&error))?;
        let failure = Arc::new(OnceLock::new());
        let first = Arc::clone(&failure);
        let is_shown = move |line: &str| {
            if PostgresRestore::is_failure(line) {
                first.get_or_init(|| line.to_owned());
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
            .await;
        let given = match given {
            Ok(given) => {
                let kept = on_thread(move || restore.keep()).await?;
                kept.map_err(|error| explain(&error))?;
                given
            }
            Err(error) => {
                let undone = on_thread(move || restore.give_up()).await?;
                undone.map_err(|error| explain(&error))?;
                return Err(self.way_on(error));
            }
        };
        if let Some(failure) = failure.get() {
            let message = format!("psql could not run all of {path}: {failure}");
            let hint = "correct that, often the rights of the user, and run the command again: it can be repeated";
            return Err(CommandError::new(ExitStatus::Failure, message, hint));
        }
        given.print(&context.output)?;
        if path.name().ends_with(GLOBALS.as_bytes()) {
            warn_of_roles(server, context).await?;
        }
        Ok(ExitStatus::Ok)
    }

    /// What to do after pg_restore or psql failed.
    fn way_on(&self, error: CommandError) -> CommandError {
        if error.status == ExitStatus::Damaged {
            return error;
        }
        let state = if self.replace_database {
            "a database that existed is as it was before"
        } else {
            "a part may be restored, also an empty database"
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
        context: &CommandContext,
    ) -> Result<(), CommandError> {
        let (true, Some(path)) = (self.to_postgres, paths.first()) else {
            return Ok(());
        };
        let name = Path::new(path).file_name().unwrap_or_default();
        match self.find(name.as_encoded_bytes(), context).await? {
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
        let found = self
            .find(name, context)
            .await?
            .map_err(|error| explain(&error))?;
        let console = &context.output.console;
        console.note(&format!("into {}", found.0.description()));
        Ok(found)
    }

    async fn find(
        &self,
        name: &[u8],
        context: &CommandContext,
    ) -> Result<Result<(PostgresServer, PostgresRestore), ServerError>, CommandError> {
        let name = String::from_utf8_lossy(name).into_owned();
        let cancel = context.cancel.clone();
        let options = PostgresOptions::default()
            .with_service(self.postgres_service.clone())
            .with_launcher(launcher(self.postgres_through.as_ref()));
        let replace = self.replace_database;
        let find = move || {
            let server = PostgresServer::probe(options, &cancel)?;
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

/// Names the roles that need a password now.
async fn warn_of_roles(
    server: PostgresServer,
    context: &CommandContext,
) -> Result<(), CommandError> {
    let without = on_thread(move || server.roles_without_password()).await?;
    let without = without.unwrap_or_default();
    if !without.is_empty() {
        context.output.console.warning(&format!(
            "these roles have no password and cannot log in with one: {}",
            format::text(&without.join(", "))
        ));
    }
    Ok(())
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
        ServerError::StillAside { .. } => {
            "in psql: `DROP DATABASE` for the new one if it exists, and `ALTER DATABASE … RENAME TO …`"
        }
        ServerError::InUse { .. } => "stop these programs, and run the command again",
        ServerError::Refused { .. } => {
            "check the address, the user and the password: PGHOST, PGPORT, PGUSER and ~/.pgpass, or --postgres-service"
        }
        _ => "correct that, and run the command again; br has changed nothing",
    };
    CommandError::failure(error, hint)
}
