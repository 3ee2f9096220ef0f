//! The state of a server.
//!
//! [`State`] is the whole state, [`Settings`] the part that a test may change while the server runs, [`Session`] the shared state of one
//! connection. Invariant: locks are held only briefly, never while a backup writes or waits.

use std::collections::BTreeMap;
use std::fmt;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::cluster::Cluster;
use crate::fault::Faults;
use crate::record::Record;
use crate::sql::S3Target;
use crate::target::Target;
use crate::version::MoVersion;

/// A function that makes the target of a backup to S3.
pub type S3Writer = Arc<dyn Fn(&S3Target) -> Box<dyn Target> + Send + Sync>;

/// Settings that a test may change while the server runs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) version: MoVersion,
    /// Whether a second backup is refused while one runs.
    pub(crate) exclusive: bool,
    pub(crate) password: String,
    /// Accounts other than `sys` whose users may log in.
    pub(crate) accounts: Vec<String>,
    /// Whether the server requests a second proof from every client.
    pub(crate) switch_auth: bool,
    /// Whether rows end in the old format for every client.
    pub(crate) old_eof: bool,
}

/// A server.
pub(crate) struct State {
    pub(crate) settings: Mutex<Settings>,
    pub(crate) cluster: Mutex<Cluster>,
    pub(crate) faults: Faults,
    pub(crate) record: Mutex<Record>,
    pub(crate) sessions: Mutex<BTreeMap<u32, Arc<Session>>>,
    pub(crate) stopping: AtomicBool,
    /// The base folder of relative folders.
    pub(crate) root: PathBuf,
    pub(crate) s3: Option<S3Writer>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl State {
    pub(crate) fn settings(&self) -> Settings {
        self.settings.lock().unwrap().clone()
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends all connections.
    pub(crate) fn disconnect_all(&self) {
        for session in self.sessions.lock().unwrap().values() {
            session.disconnect();
        }
    }

    /// Cancels the current statement of a connection. Returns whether one was running; `None` if there is no such connection.
    pub(crate) fn kill(&self, connection: u64, query: bool) -> Option<bool> {
        let id = u32::try_from(connection).ok()?;
        let session = self.sessions.lock().unwrap().get(&id).cloned()?;
        let busy = session.busy.load(Ordering::SeqCst);
        if busy {
            session.killed.store(true, Ordering::SeqCst);
        }
        if !query {
            session.disconnect();
        }
        Some(busy)
    }
}

/// The shared state of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    socket: TcpStream,
    /// Whether a backup runs.
    pub(crate) busy: AtomicBool,
    /// Whether it must end.
    pub(crate) killed: AtomicBool,
}

impl Session {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            busy: AtomicBool::new(false),
            killed: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    pub(crate) fn disconnect(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}
