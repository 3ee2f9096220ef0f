//! A server, and all that tests do with it.
//!
//! [`MoServer`] runs until it is dropped, [`MoServerOptions`] say how it starts. Invariant: when the value is gone, so are
//! the port and every connection.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::cluster::{Cluster, ClusterOptions};
use crate::fault::{Fault, Faults};
use crate::record::{BackupRecord, KillRecord, LoggedStatement, LoginRecord, Record};
use crate::server::Running;
use crate::sql::S3Place;
use crate::state::{S3Writer, Settings, State};
use crate::target::Target;
use crate::version::MoVersion;

/// How a server starts.
#[derive(Clone)]
pub struct MoServerOptions {
    settings: Settings,
    cluster: ClusterOptions,
    port: u16,
    root: PathBuf,
    s3: Option<S3Writer>,
}

impl fmt::Debug for MoServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MoServerOptions({})", self.settings.version)
    }
}

impl Default for MoServerOptions {
    fn default() -> Self {
        Self {
            settings: Settings {
                version: MoVersion::V3_0_11,
                exclusive: false,
                password: "111".to_owned(),
                accounts: Vec::new(),
                switch_auth: false,
                old_eof: false,
            },
            cluster: ClusterOptions::default(),
            port: 0,
            root: PathBuf::from("."),
            s3: None,
        }
    }
}

impl MoServerOptions {
    /// Sets the release; it is [`MoVersion::V3_0_11`] by default.
    #[must_use]
    pub fn with_version(mut self, version: MoVersion) -> Self {
        self.settings.version = version;
        self
    }

    /// Sets the cluster.
    #[must_use]
    pub fn with_cluster(self, cluster: ClusterOptions) -> Self {
        Self { cluster, ..self }
    }

    /// Sets the port; the system chooses one by default.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Sets the folder that relative folders in `BACKUP` are below; it is the current one by default.
    #[must_use]
    pub fn with_root(self, root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { root, ..self }
    }

    /// Sets the password of `dump` and `root`, and of all users of other accounts; it is `111` by default.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.settings.password = password.into();
        self
    }

    /// Lets the users of another account log in. They may not back up.
    #[must_use]
    pub fn with_account(mut self, account: impl Into<String>) -> Self {
        self.settings.accounts.push(account.into());
        self
    }

    /// Asks every client for its proof with a switch of plug-ins, as the server may.
    #[must_use]
    pub fn with_auth_switch(mut self) -> Self {
        self.settings.switch_auth = true;
        self
    }

    /// Ends rows in the form of before MySQL 5.7 for every client.
    #[must_use]
    pub fn with_old_eof(mut self) -> Self {
        self.settings.old_eof = true;
        self
    }

    /// Sets where backups to S3 go. Without it they are refused, except those to the endpoint `disk`.
    #[must_use]
    pub fn with_s3<F>(self, writer: F) -> Self
    where
        F: Fn(&S3Place) -> Box<dyn Target> + Send + Sync + 'static,
    {
        let s3: Option<S3Writer> = Some(Arc::new(writer));
        Self { s3, ..self }
    }

    /// Starts a server.
    ///
    /// # Panics
    /// When the port is taken, or the system gives no threads.
    #[must_use]
    pub fn start(self) -> MoServer {
        let state = State {
            settings: Mutex::new(self.settings),
            cluster: Mutex::new(self.cluster.build()),
            faults: Faults::default(),
            record: Mutex::new(Record::default()),
            sessions: Mutex::default(),
            stopping: AtomicBool::new(false),
            root: self.root,
            s3: self.s3,
        };
        MoServer(Running::start(state, self.port).unwrap())
    }
}

/// A server of MatrixOne on a port of this machine.
#[derive(Debug)]
pub struct MoServer(Running);

impl MoServer {
    /// Starts one with the default options.
    #[must_use]
    pub fn start() -> Self {
        MoServerOptions::default().start()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.address.port()
    }

    /// The cluster, to look at it or to change it. No backup begins until the guard is dropped.
    ///
    /// # Panics
    /// When a thread panicked with the guard.
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.0.state.cluster.lock().unwrap()
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.0.state.settings.lock().unwrap()
    }
}

/// How it misbehaves.
impl MoServer {
    /// The next backup meets a fault. Several can be added.
    pub fn inject(&self, fault: Fault) {
        self.0.state.faults.inject(fault);
    }

    /// Every backup meets a fault.
    pub fn always(&self, fault: Fault) {
        self.0.state.faults.always(fault);
    }

    /// Forgets all faults that did not strike yet.
    pub fn clear_faults(&self) {
        self.0.state.faults.clear();
    }

    /// Makes it another release, for statements and connections from now on.
    pub fn set_version(&self, version: MoVersion) {
        self.settings().version = version;
    }

    /// Whether a backup is refused while another one runs. Real servers let both run.
    pub fn set_exclusive(&self, exclusive: bool) {
        self.settings().exclusive = exclusive;
    }

    /// Changes the password, for connections from now on.
    pub fn set_password(&self, password: impl Into<String>) {
        self.settings().password = password.into();
    }

    /// Ends all connections.
    pub fn disconnect_all(&self) {
        self.0.state.disconnect_all();
    }
}

/// What it was asked for since it started.
impl MoServer {
    /// All clients that sent a user and a password, in order.
    #[must_use]
    pub fn logins(&self) -> Vec<LoginRecord> {
        self.0.state.record().logins.clone()
    }

    /// All statements, in order.
    #[must_use]
    pub fn statements(&self) -> Vec<LoggedStatement> {
        self.0.state.record().statements.clone()
    }

    /// All backups that were begun, in order. A `BACKUP` that was refused before is among the statements only.
    #[must_use]
    pub fn backups(&self) -> Vec<BackupRecord> {
        self.0.state.record().backups.clone()
    }

    /// All `KILL`s, in order.
    #[must_use]
    pub fn kills(&self) -> Vec<KillRecord> {
        self.0.state.record().kills.clone()
    }

    /// How many backups run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.state.record().running()
    }

    /// How many backups are held up by [`Fault::Delay`] or [`Fault::Hang`] now: a test that waits for it knows how far they
    /// are.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.state.record().waiting
    }

    /// How many backups ran at once, at most.
    #[must_use]
    pub fn most_running(&self) -> usize {
        self.0.state.record().most_running
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.state.sessions.lock().unwrap().len()
    }

    /// Who protects objects from garbage collection: `backup.<ts>`. There is one slot only.
    #[must_use]
    pub fn protection(&self) -> Option<String> {
        self.0.state.record().protection.clone()
    }
}
