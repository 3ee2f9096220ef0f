//! `br restore --to-rabbitmq`: imports definitions into a server of RabbitMQ, and compares.

use std::ffi::OsString;
use std::sync::Arc;

use br_core::BackupSelector;
use br_core::engine::dump::dump;
use br_sources::rabbitmq::{Imported, RabbitMqServer};
use br_sources::server::{Server as _, ServerError};
use clap::Args;
use serde::Serialize;

use super::memory::Memory;
use super::paths::PathInBackup;
use super::rabbitmq_login::{self, RabbitMqLoginArgs};
use super::restore_to_command::OF_FOLDERS;
use super::which::BackupAndPath;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::output::json::Summary;
use crate::thread::on_thread;

/// How many differences are named.
const SHOWN: usize = 20;

/// An import into RabbitMQ.
#[derive(Debug, Args)]
#[command(next_help_heading = "Restore into RabbitMQ")]
pub(super) struct ToRabbitMqArgs {
    /// Import the file PATH, definitions of RabbitMQ, into the server with this address of its management plugin
    ///
    /// br verifies the whole file before the import. RabbitMQ deletes nothing, and skips queues and exchanges that exist with other properties: br asks for
    /// the definitions again, and fails if something of the backup is missing or differs.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = OF_FOLDERS, conflicts_with_all = ["to_command", "to_redis"])]
    to_rabbitmq: Option<String>,

    #[command(flatten)]
    login: RabbitMqLoginArgs,
}

/// The result of an import.
#[derive(Serialize)]
struct ToRabbitMqSummary {
    backup: String,
    path: String,
    server: String,
    server_version: String,
    objects: u64,
    objects_only_on_server: u64,
    differences: Vec<DifferenceJson>,
    bytes: u64,
    duration_seconds: f64,
}

#[derive(Serialize)]
struct DifferenceJson {
    kind: String,
    name: String,
    difference: String,
}

impl ToRabbitMqArgs {
    /// The address of the server, if there is to be an import.
    pub(super) fn address(&self) -> Option<&str> {
        self.to_rabbitmq.as_deref()
    }

    /// Refuses options that would have no effect.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        self.login
            .check("--to-rabbitmq", self.to_rabbitmq.is_some())
    }

    /// Looks whether the server answers and accepts the login, if there is one.
    pub(super) async fn look(&self, context: &CommandContext) -> Result<(), CommandError> {
        let Some(address) = &self.to_rabbitmq else {
            return Ok(());
        };
        let server = rabbitmq_login::parse_address(address)?;
        let server = self.login.options(server, context)?;
        let cancel = context.cancel.clone();
        let looked = on_thread(move || RabbitMqServer::probe(server, &cancel)).await?;
        looked.map(drop).map_err(explain)
    }

    /// Runs the import. `paths` has one path, unless `from` has it.
    pub(super) async fn run(
        &self,
        address: &str,
        from: &BackupAndPath,
        id: &BackupSelector,
        paths: &[OsString],
        context: &CommandContext,
    ) -> CommandResult {
        let path = PathInBackup::only(
            from.path(paths)?,
            paths,
            "br restore latest rabbitmq/definitions.json --to-rabbitmq http://127.0.0.1:15672",
        )?;
        let options = rabbitmq_login::parse_address(address)?;
        let options = self.login.options(options, context)?;
        let address = options.address();
        let (repository, backup, path) = path.open(id, context).await?;
        let reporter = Arc::new(context.reporter());
        let (engine, guard) = context.engine_with(&reporter);
        let memory = Memory::default();
        let read = dump(
            &repository,
            backup.id,
            path.clone(),
            memory.clone(),
            &engine,
        )
        .await;
        drop(guard);
        read?;
        let definitions = memory.take();
        let bytes = definitions.len() as u64;
        let cancel = context.cancel.clone();
        let import = move || {
            let server = RabbitMqServer::probe(options, &cancel)?;
            let imported = server.import(&definitions, &cancel)?;
            Ok((server.version().to_owned(), imported))
        };
        let imported = on_thread(import).await?;
        let (version, imported) = imported.map_err(explain)?;
        let seconds = reporter.elapsed().as_secs_f64();
        let output = &context.output;
        if let Some(newer) = &imported.newer {
            output.console.note(&format!("the definitions are from RabbitMQ {newer}, and the server is {version}: RabbitMQ ignores what it does not know"));
        }
        if output.is_json() {
            let differences = imported.differences.iter().map(|one| DifferenceJson {
                kind: one.kind.clone(),
                name: one.name.clone(),
                difference: one.what.clone(),
            });
            output.document(&Summary::new(ToRabbitMqSummary {
                backup: backup.id.to_string(),
                path: path.to_string(),
                server: address,
                server_version: version,
                objects: imported.objects,
                objects_only_on_server: imported.others,
                differences: differences.collect(),
                bytes,
                duration_seconds: format::round_seconds(seconds),
            }))?;
        } else {
            let others = match imported.others {
                0 => String::new(),
                others => format!("; the server has {} more", format::count(others)),
            };
            let objects = format::counted(imported.objects, "object", "objects");
            output.summary(&[
                ("backup", backup.id.to_string()),
                ("imported", format!("{path} into {address}")),
                ("compared", format!("{objects}{others}")),
                ("duration", format::speed(bytes, seconds)),
            ])?;
        }
        verdict(&imported, context)
    }
}

/// Names what differs, and fails then.
fn verdict(imported: &Imported, context: &CommandContext) -> CommandResult {
    let differences = &imported.differences;
    if differences.is_empty() {
        return Ok(ExitStatus::Ok);
    }
    let console = &context.output.console;
    for difference in differences.iter().take(SHOWN) {
        console.warning(&difference.to_string());
    }
    if let Some(more @ 1..) = differences.len().checked_sub(SHOWN) {
        console.warning(&format!("and {} more", format::count(more as u64)));
    }
    let count = differences.len() as u64;
    let what = format::counted(count, "object of the backup", "objects of the backup");
    let verb = if count == 1 { "is" } else { "are" };
    let message = format!("{what} {verb} missing on the server, or different there");
    let skips = |kind: &str| matches!(kind, "queue" | "exchange");
    let hint = if differences.iter().any(|one| skips(&one.kind)) {
        "RabbitMQ skips a queue or an exchange that exists with other properties: delete it, with its messages, and run the command again"
    } else {
        "another program may have changed this: run the command again; if it stays so, this version of RabbitMQ does not have it"
    };
    Err(CommandError::new(ExitStatus::Failure, message, hint))
}

/// Says what is left to do after a failure.
fn explain(error: ServerError) -> CommandError {
    let again = "correct that, and run the command again: an import can be repeated";
    match error {
        ServerError::Cancelled => CommandError::interrupted()
            .with_hint("run the command again: an import can be repeated, and this one may have ended in the middle"),
        ServerError::BadOption { .. } => {
            let hint = "name the file with the definitions, such as rabbitmq/definitions.json, and check the user";
            CommandError::usage(error.to_string(), hint)
        }
        error => CommandError::failure(&error, again),
    }
}
