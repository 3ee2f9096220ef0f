//! `br restore --to-redis`: gives a snapshot, or a file of users, to a running Redis server.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use br_core::engine::dump::dump;
use br_core::model::{BackupId, EntryPath};
use br_core::{BackupSelector, Context, Repository, Site};
use br_sources::redis::{RedisOptions, RedisRestore, RedisRestoreOptions, RedisServer};
use br_sources::server::ServerError;
use clap::Args;
use serde::Serialize;

use super::memory::Memory;
use super::paths::PathInBackup;
use super::redis_login::{self, RedisLoginArgs};
use super::restore_to_command::OF_FOLDERS;
use super::which::BackupAndPath;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::json::Summary;
use crate::output::{Output, format};
use crate::thread::on_thread;

/// Maximum length of a file of users, in bytes.
const MAX_USERS: u64 = 16 << 20;

/// A restore into a Redis server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Restore into Redis")]
pub(super) struct ToRedisArgs {
    /// Give the snapshot PATH, such as `redis/dump.rdb`, to a running Redis server: HOST:PORT, or the path of a socket
    ///
    /// The server loads the snapshot as if it replicated br, and then is a master again: it needs no restart, and its append-only file is correct. It
    /// connects to br on this machine for that. Until it has the whole snapshot, it keeps its keys and refuses changes. With a file of users such as `redis/users.acl`, br sets
    /// these users.
    #[arg(
        long,
        value_name = "ADDRESS",
        conflicts_with_all = OF_FOLDERS,
        conflicts_with_all = ["to_command"]
    )]
    pub(super) to_redis: Option<String>,

    #[command(flatten)]
    login: RedisLoginArgs,

    /// Replace the keys that the server has; without it, br refuses a server with keys
    #[arg(long, requires = "to_redis")]
    replace_keys: bool,

    /// Address of this machine to which the server connects [default: the one from which br reaches the server]
    #[arg(long, value_name = "IP", requires = "to_redis")]
    redis_listen: Option<IpAddr>,
}

/// The result of a restore into a server.
#[derive(Serialize)]
struct ToRedisSummary {
    backup: String,
    path: String,
    server: String,
    bytes: u64,
    keys: Option<u64>,
    users: Option<u64>,
    warnings: Vec<String>,
    duration_seconds: f64,
}

impl ToRedisArgs {
    /// Refuses options that would have no effect.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        self.login.check("--to-redis", self.to_redis.is_some())
    }

    /// Looks whether the server answers and accepts the login, if there is one.
    pub(super) async fn look(&self, context: &CommandContext) -> Result<(), CommandError> {
        let Some(address) = &self.to_redis else {
            return Ok(());
        };
        let address = redis_login::parse_address(address)?;
        let server = self.login.options(RedisOptions::new(address), context)?;
        let cancel = context.cancel.clone();
        let looked = on_thread(move || RedisServer::probe(server, &cancel)).await?;
        looked.map(drop).map_err(|error| explain(&error, context))
    }

    /// Runs the restore. `paths` has one path, unless `from` has it.
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
            "br restore latest redis/dump.rdb --to-redis 127.0.0.1:6379",
        )?;
        let address = redis_login::parse_address(address)?;
        let server = self
            .login
            .options(RedisOptions::new(address.clone()), context)?;
        let (repository, backup, path) = path.open(id, context).await?;
        let reporter = Arc::new(context.reporter());
        let (engine, guard) = context.engine_with(&reporter);
        let len = repository
            .snapshot(backup.id, &engine)
            .await?
            .stat(&path)
            .await?
            .size();
        let is_users = path.as_bytes().ends_with(b".acl");
        let file = FileToRestore {
            repository: &repository,
            backup: backup.id,
            path: &path,
            len,
            engine: &engine,
        };
        let restored = if is_users {
            file.users_into(server).await
        } else {
            let mut randomness = [0; 40];
            context.runtime.random.fill(&mut randomness);
            let wanted = RedisRestoreOptions::new(len, randomness)
                .with_replace(self.replace_keys)
                .with_listen(self.redis_listen);
            file.keys_into(server, wanted, context).await
        };
        drop(guard);
        let restored = restored.map_err(|failure| failure.explain(context))?;
        let seconds = reporter.elapsed().as_secs_f64();
        let summary = ToRedisSummary {
            backup: backup.id.to_string(),
            path: path.to_string(),
            server: address.to_string(),
            bytes: len,
            keys: restored.keys,
            users: restored.users,
            warnings: restored.warnings,
            duration_seconds: format::round_seconds(seconds),
        };
        print(&summary, &context.output)?;
        for warning in &summary.warnings {
            context.output.console.warning(warning);
        }
        // Keys that the server may delete are a part that is missing; users are complete until a restart.
        Ok(if summary.warnings.is_empty() || summary.keys.is_none() {
            ExitStatus::Ok
        } else {
            ExitStatus::Partial
        })
    }
}

fn print(summary: &ToRedisSummary, output: &Output) -> Result<(), CommandError> {
    if output.is_json() {
        return output.document(&Summary::new(summary));
    }
    let has = match (summary.keys, summary.users) {
        (Some(keys), _) => format::counted(keys, "key", "keys"),
        (None, users) => format::counted(users.unwrap_or_default(), "user", "users"),
    };
    output.summary(&[
        ("backup", summary.backup.clone()),
        (
            "restored",
            format!("{} into {}", summary.path, summary.server),
        ),
        ("now there", has),
        (
            "duration",
            format::speed(summary.bytes, summary.duration_seconds),
        ),
    ])
}

/// A file of a backup that a server gets.
struct FileToRestore<'f> {
    repository: &'f Repository,
    backup: BackupId,
    path: &'f EntryPath,
    len: u64,
    engine: &'f Context,
}

impl FileToRestore<'_> {
    async fn dump(&self, to: impl Write + Send + 'static) -> Result<(), br_core::Error> {
        let path = self.path.clone();
        let dumped = dump(self.repository, self.backup, path, to, self.engine);
        dumped.await.map(drop)
    }

    async fn users_into(&self, server: RedisOptions) -> Result<Restored, Failure> {
        if self.len > MAX_USERS {
            let message = format!("{} is too long for a file of users", self.path);
            return Err(CommandError::usage(message, "restore another file").into());
        }
        let text = Memory::default();
        self.dump(text.clone()).await?;
        let text = String::from_utf8(text.take()).map_err(|error| {
            let message = format!("{} has bytes that are no UTF-8", self.path);
            let hint = "write it with `br dump`, and set these users yourself";
            CommandError::usage(message, hint).because(&error)
        })?;
        let set = on_thread(move || RedisServer::set_users(&server, &text)).await??;
        let warning = "the server forgets the users when it restarts, because it has no file of users (`aclfile`): write `ACL SETUSER` or `user` lines into its configuration";
        Ok(Restored {
            keys: None,
            users: Some(set.users as u64),
            warnings: if set.is_kept {
                Vec::new()
            } else {
                vec![warning.to_owned()]
            },
        })
    }

    async fn keys_into(
        &self,
        server: RedisOptions,
        wanted: RedisRestoreOptions,
        context: &CommandContext,
    ) -> Result<Restored, Failure> {
        let snapshot = Snapshot::start(server, wanted, context).await?;
        let Err(error) = self.dump(snapshot.clone()).await else {
            return snapshot.finish(context).await;
        };
        on_thread(move || snapshot.give_up()).await??;
        let is_of_server = error.site() == Site::Output;
        let error = CommandError::from(error);
        let is_kept = is_of_server || error.status == ExitStatus::Interrupted;
        Err(Failure::Command(if is_kept {
            error.with_hint("the server has the keys that it had before")
        } else {
            error
        }))
    }
}

/// What the server has got.
struct Restored {
    keys: Option<u64>,
    users: Option<u64>,
    warnings: Vec<String>,
}

/// Why a restore failed.
enum Failure {
    Server(ServerError),
    Command(CommandError),
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<br_core::Error> for Failure {
    fn from(error: br_core::Error) -> Self {
        Self::Command(error.into())
    }
}

impl Failure {
    fn explain(self, context: &CommandContext) -> CommandError {
        match self {
            Self::Server(error) => explain(&error, context),
            Self::Command(error) => error,
        }
    }
}

/// A restore that several threads have in turn.
#[derive(Clone)]
struct Snapshot(Arc<Mutex<Option<RedisRestore>>>);

impl Snapshot {
    async fn start(
        server: RedisOptions,
        wanted: RedisRestoreOptions,
        context: &CommandContext,
    ) -> Result<Self, Failure> {
        let cancel = context.cancel.clone();
        let start = move || RedisRestore::start(&server, &wanted, &cancel);
        let started = on_thread(start).await??;
        Ok(Self(Arc::new(Mutex::new(Some(started)))))
    }

    fn take(&self) -> Option<RedisRestore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Makes the server a master again, with its own keys. A thread that still writes gets an error.
    fn give_up(&self) -> Result<(), ServerError> {
        self.take().map_or(Ok(()), RedisRestore::give_up)
    }

    /// Ends the restore.
    async fn finish(self, context: &CommandContext) -> Result<Restored, Failure> {
        let finish = on_thread(move || self.take().map(RedisRestore::finish));
        tokio::pin!(finish);
        let finished = tokio::select! {
            finished = &mut finish => finished,
            () = context.cancel.cancelled() => {
                let console = &context.output.console;
                console.note("the server has the whole snapshot: br waits until it has loaded it and is a master again");
                finish.await
            }
        };
        match finished? {
            Some(Ok(restored)) => Ok(Restored {
                keys: Some(restored.keys),
                users: None,
                warnings: restored.warnings,
            }),
            Some(Err(ServerError::Cancelled)) => Err(Failure::Command(
                CommandError::interrupted().with_hint(
                    "the server has the keys of the snapshot; before you stop it, wait until `INFO persistence` says aof_rewrite_in_progress:0",
                ),
            )),
            Some(Err(error)) => Err(error.into()),
            None => Err(Failure::Command(CommandError::interrupted())),
        }
    }
}

impl Write for Snapshot {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(restore) => restore.write(bytes),
            None => Err(io::Error::other("the restore has ended")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn explain(error: &ServerError, context: &CommandContext) -> CommandError {
    let hint = match error {
        ServerError::StillReplica { .. } => {
            "wait until the server answers, and send it these commands; its own configuration also applies again when it is restarted"
        }
        _ if context.cancel.is_cancelled() => return CommandError::interrupted(),
        ServerError::HasKeys { .. } | ServerError::HasFunctions => {
            "restore into an empty server, or add --replace-keys"
        }
        ServerError::NoWayBack { .. } => {
            "the server must be able to connect to br: --redis-listen gives the address; or stop the server and put the file into its folder, as \
             docs/databases.md describes"
        }
        ServerError::Unreachable { .. } => "check the address, and whether the server runs",
        ServerError::Refused { .. } => "check the user, the password and the server's log",
        _ => "check the file and the server",
    };
    CommandError::failure(error, hint)
}
