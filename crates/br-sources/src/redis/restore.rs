//! Gives a snapshot to a running server.
//!
//! br acts as a master: it tells the server to replicate it, sends the snapshot, and makes the server a master again. So the server needs no
//! restart, br does not touch its files, and it writes its append-only file anew. A server loads a snapshot only after it has received all of it:
//! until then it keeps its own keys.

use std::io::{self, Write};
use std::mem;
use std::net::IpAddr;
use std::thread;

use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Info, NOT_PERMITTED};
use super::probe::RedisOptions;
use super::rdb::RdbCheck;
use super::takeover::{LOOK_EVERY, Takeover, is_closed, setting};
use crate::server::ServerError;

/// Bytes at the end that the server gets only when the snapshot is known to be whole.
const HELD_BACK: usize = 64 << 10;
/// Length of the header of a snapshot.
const HEADER_LEN: usize = 9;
/// Length of a random identifier, in bytes.
const ID_LEN: usize = 20;
/// The newest format that a server reads, by the version of the server.
const FORMATS: [((u32, u32), u32); 5] = [
    ((7, 4), 12),
    ((7, 2), 11),
    ((7, 0), 10),
    ((5, 0), 9),
    ((4, 0), 8),
];

/// How to give a snapshot to a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisRestoreOptions {
    /// Length of the snapshot, in bytes.
    pub len: u64,
    /// Replace the keys that the server has. Without it, a server with keys is refused.
    pub replace: bool,
    /// The address of this machine to which the server connects; `None` for the one from which this machine reaches the server.
    pub listen: Option<IpAddr>,
    /// Random bytes. The server proves with them that it is the one that br told to connect.
    pub randomness: [u8; 2 * ID_LEN],
}

impl RedisRestoreOptions {
    /// A snapshot of `len` bytes for a server without keys. Take new random bytes each time.
    #[must_use]
    pub const fn new(len: u64, randomness: [u8; 2 * ID_LEN]) -> Self {
        Self {
            len,
            replace: false,
            listen: None,
            randomness,
        }
    }

    /// Sets whether to replace the keys that the server has.
    #[must_use]
    pub const fn with_replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Sets the address of this machine to which the server connects.
    #[must_use]
    pub const fn with_listen(mut self, listen: Option<IpAddr>) -> Self {
        self.listen = listen;
        self
    }
}

/// A snapshot on its way into a running server.
///
/// [`RedisRestore::start`], then write the whole snapshot, then [`RedisRestore::finish`]; or [`RedisRestore::give_up`], with which the server keeps the
/// keys that it had. A drop does the same as `give_up`, and loses its error. All of them block, also a write.
#[derive(Debug)]
pub struct RedisRestore {
    // First, so that it is closed before the server becomes a master again.
    replica: Connection,
    takeover: Takeover,
    max_format: Option<u32>,
    check: RdbCheck,
    held: Vec<u8>,
    written: u64,
    len: u64,
    options: RedisOptions,
    cancel: CancellationToken,
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Number of keys that the server has now. Keys whose time has come are not among them.
    pub keys: u64,
    /// What may go wrong with them; one line each.
    pub warnings: Vec<String>,
}

impl RedisRestore {
    /// Tells the server to take a snapshot. Until the end it answers with its old keys and refuses changes.
    ///
    /// # Errors
    /// When the server does not answer or refuses, is a replica or a node of a cluster, has keys or functions that are not to be replaced, or cannot connect to this
    /// machine. The server is as it was then.
    pub fn start(
        options: &RedisOptions,
        wanted: &RedisRestoreOptions,
        cancel: &CancellationToken,
    ) -> Result<Self, ServerError> {
        let mut control = Connection::open(options, cancel)?;
        let max_format = check_server(&mut control, wanted.replace)?;
        let own = wanted.listen.or_else(|| control.local_address());
        let own = own.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let (secret, id) = wanted.randomness.split_at(ID_LEN);
        let (secret, id) = (hex(secret), hex(id));
        let (takeover, mut replica) =
            Takeover::start(control, options, own, [&secret, &id], cancel)?;
        replica.send_raw(format!("${}\r\n", wanted.len).as_bytes())?;
        Ok(Self {
            replica,
            takeover,
            max_format,
            check: RdbCheck::default(),
            held: Vec::new(),
            written: 0,
            len: wanted.len,
            options: options.clone(),
            cancel: cancel.clone(),
        })
    }

    /// Gives the server the rest, and waits until it has loaded the snapshot, is a master again, and has written its append-only file.
    ///
    /// When the server has all bytes, a cancellation cannot stop it: br waits until the snapshot is loaded. A cancellation ends the wait for the
    /// append-only file.
    ///
    /// # Errors
    /// When the bytes are no whole snapshot, and the server still has its own keys; when the server fails to load it;
    /// [`ServerError::StillReplica`] when it does not answer any more; and [`ServerError::Cancelled`] when it has the keys of the snapshot, and has not yet
    /// written its append-only file.
    pub fn finish(mut self) -> Result<Restored, ServerError> {
        let given = self.give_rest();
        let Self {
            replica,
            mut takeover,
            cancel,
            ..
        } = self;
        drop(replica);
        // Where the server is left says more than why the restore failed.
        takeover.end()?;
        let memory = given?;
        let control = &mut takeover.control;
        let unsaved = wait_until_saved(control, &cancel)?;
        Ok(Restored {
            keys: control.info("keyspace")?.keys(),
            warnings: memory_warning(&memory).into_iter().chain(unsaved).collect(),
        })
    }

    /// Ends the restore: the server keeps the keys that it had.
    ///
    /// # Errors
    /// [`ServerError::StillReplica`] when the server does not answer or refuses.
    pub fn give_up(self) -> Result<(), ServerError> {
        let Self {
            replica,
            mut takeover,
            ..
        } = self;
        drop(replica);
        takeover.end()
    }

    /// Gives the server the rest, and returns its memory when it has loaded all: as a replica, it deletes no keys.
    fn give_rest(&mut self) -> Result<Info, ServerError> {
        let bad = |reason: &str| ServerError::BadOption {
            what: "the file".to_owned(),
            reason: reason.to_owned(),
        };
        if self.written != self.len {
            return Err(bad("it has another length than announced"));
        }
        mem::take(&mut self.check).finish().map_err(bad)?;
        self.replica.send_raw(&self.held)?;
        wait_until_loaded(&self.options, &mut self.replica)
    }
}

impl Write for RedisRestore {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_first = self.written < HEADER_LEN as u64;
        self.check.update(bytes);
        self.held.extend_from_slice(bytes);
        self.written += bytes.len() as u64;
        if is_first && self.written >= HEADER_LEN as u64 {
            let Some(format) = self.check.version() else {
                return Err(io::Error::other("the file is no snapshot of Redis"));
            };
            if self.max_format.is_some_and(|max| format > max) {
                return Err(io::Error::other(
                    "the snapshot is of a newer version than the server: it cannot load it",
                ));
            }
        }
        let free = self.held.len().saturating_sub(HELD_BACK);
        if free >= HELD_BACK {
            let part = self.held.get(..free).unwrap_or_default();
            self.replica.send_raw(part).map_err(io::Error::other)?;
            self.held.drain(..free);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refuses a server that cannot take a snapshot, and returns the newest format that it reads, if that is known.
fn check_server(control: &mut Connection, replace: bool) -> Result<Option<u32>, ServerError> {
    let refused = |message: &str| ServerError::Refused {
        message: message.to_owned(),
    };
    let of_server = control.info("server")?;
    if of_server.is("redis_mode", "cluster") {
        return Err(refused(
            "a node of a cluster takes no snapshot while it runs; stop it, and put the file into its folder",
        ));
    }
    if !control.info("replication")?.is("role", "master") {
        return Err(refused(
            "it is a replica; restore into its master, and the replica follows",
        ));
    }
    let keys = control.info("keyspace")?.keys();
    if keys > 0 && !replace {
        return Err(ServerError::HasKeys { keys });
    }
    let functions = control.ask(&["FUNCTION", "LIST"]);
    // Servers before version 7 have none.
    if !replace && functions.is_ok_and(|functions| !functions.list().is_empty()) {
        return Err(ServerError::HasFunctions);
    }
    if setting(control, "tls-replication")? == "yes" {
        return Err(refused(
            "it replicates only with TLS, which br does not speak; set tls-replication to no for the restore",
        ));
    }
    // Valkey counts its own versions from 8 on, and reads the formats of Redis up to 11.
    let Some(("Redis", version)) = of_server.product() else {
        return Ok(None);
    };
    let mut parts = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return Ok(None);
    };
    let known = FORMATS.iter().find(|(from, _)| (major, minor) >= *from);
    // A newer server than those of the table may read newer formats.
    Ok(known
        .filter(|_| (major, minor) <= (7, 4))
        .map(|(_, format)| *format))
}

/// Waits until the server has loaded the snapshot, also after a cancellation.
fn wait_until_loaded(
    options: &RedisOptions,
    replica: &mut Connection,
) -> Result<Info, ServerError> {
    let mut control = Connection::open_loading(options)?;
    loop {
        let replication = control.info("replication")?;
        let is_loaded = replication.is("master_link_status", "up")
            && replication.is("master_sync_in_progress", "0");
        if is_loaded {
            return control.info("memory");
        }
        if is_closed(replica) {
            return Err(ServerError::Refused {
                message: "it has not loaded the snapshot; its log says why".to_owned(),
            });
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Warns of a server that holds more than it may.
fn memory_warning(memory: &Info) -> Option<String> {
    let number = |name: &str| memory.get(name)?.parse::<u64>().ok();
    let (used, limit) = (number("used_memory")?, number("maxmemory")?);
    if limit == 0 || used <= limit {
        return None;
    }
    Some(match memory.get("maxmemory_policy") {
        Some("noeviction") | None => format!(
            "the keys need {used} bytes, more than `maxmemory` allows ({limit}): the server refuses changes until you raise it"
        ),
        Some(policy) => format!(
            "the keys need {used} bytes, more than `maxmemory` allows ({limit}): the server deletes keys, as its policy {policy} says; raise `maxmemory` and restore again"
        ),
    })
}

/// Waits until the keys are on the disk of the server, if it keeps them there: it may have loaded them into memory only.
fn wait_until_saved(
    control: &mut Connection,
    cancel: &CancellationToken,
) -> Result<Option<String>, ServerError> {
    let has_file = !control.info("persistence")?.is("aof_enabled", "0");
    if has_file {
        let fields = AOF_FIELDS;
        return wait_for_file(control, fields, "its append-only file", cancel).map(|()| None);
    }
    if setting(control, "save")?.is_empty() {
        return Ok(None);
    }
    match control.ask(&["BGSAVE", "SCHEDULE"]) {
        // It is on its way.
        Err(ServerError::Refused { message }) if message.contains("in progress") => {}
        Err(ServerError::Refused { message }) if message.starts_with(NOT_PERMITTED) => {
            let warning = "the keys may be only in the memory of the server until its next snapshot, because this user may not run BGSAVE";
            return Ok(Some(warning.to_owned()));
        }
        answer => drop(answer?),
    }
    wait_for_file(control, RDB_FIELDS, "a snapshot", cancel).map(|()| None)
}

/// The fields of `INFO persistence` that say whether a file is being written, will be, and whether the last one was.
const AOF_FIELDS: [&str; 3] = [
    "aof_rewrite_in_progress",
    "aof_rewrite_scheduled",
    "aof_last_bgrewrite_status",
];
const RDB_FIELDS: [&str; 3] = [
    "rdb_bgsave_in_progress",
    "rdb_bgsave_scheduled",
    "rdb_last_bgsave_status",
];
/// How often a server may say that it has failed and is not writing: it tries again at once, or only after minutes.
const MAX_FAILED_LOOKS: u32 = 50;

fn wait_for_file(
    control: &mut Connection,
    [writes, will_write, last]: [&str; 3],
    what: &str,
    cancel: &CancellationToken,
) -> Result<(), ServerError> {
    let mut failed = 0;
    loop {
        let state = control.info("persistence")?;
        let is_written = state.is(last, "ok");
        if !state.is(writes, "1") {
            if is_written && !state.is(will_write, "1") {
                return Ok(());
            }
            failed += u32::from(!is_written);
        }
        if failed > MAX_FAILED_LOOKS {
            return Err(ServerError::Refused {
                message: format!(
                    "it has loaded the snapshot, but cannot write {what}; its log says why"
                ),
            });
        }
        pause(cancel)?;
    }
}

fn pause(cancel: &CancellationToken) -> Result<(), ServerError> {
    if cancel.is_cancelled() {
        return Err(ServerError::Cancelled);
    }
    thread::sleep(LOOK_EVERY);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
