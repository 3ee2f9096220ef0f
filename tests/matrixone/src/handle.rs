//! The handle of a server for tests.
//!
//! [`MoServer`] runs until it is dropped, [`MoServerOptions`] configure it. Invariant: after the drop, the port and every connection are
//! closed.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::cluster::{Cluster, ClusterOptions};
use crate::fault::{Fault, Faults};
use crate::record::{BackupRecord, KillRecord, LoggedStatement, LoginRecord, Record};
use crate::server::Running;
use crate::sql::S3Target;
use crate::state::{S3Writer, Settings, State};
use crate::target::Target;
use crate::version::MoVersion;

/// Options of a server.
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

    /// Sets the base folder for relative folders in `BACKUP`; it is the current one by default.
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

    /// Lets the users of another account log in. They have no permission for backups.
    #[must_use]
    pub fn with_account(mut self, account: impl Into<String>) -> Self {
        self.settings.accounts.push(account.into());
        self
    }

    /// Switches the authentication plugin for every client, as the server may.
    #[must_use]
    pub fn with_auth_switch(mut self) -> Self {
        self.settings.switch_auth = true;
        self
    }

    /// Ends rows in the format before MySQL 5.7 for every client.
    #[must_use]
    pub fn with_old_eof(mut self) -> Self {
        self.settings.old_eof = true;
        self
    }

    /// Sets the target of backups to S3. Without it they are refused, except those to the endpoint `disk`.
    #[must_use]
    pub fn with_s3<F>(self, writer: F) -> Self
    where
        F: Fn(&S3Target) -> Box<dyn Target> + Send + Sync + 'static,
    {
        let s3: Option<S3Writer> = Some(Arc::new(writer));
        Self { s3, ..self }
    }

    /// Starts a server.
    ///
    /// # Panics
    /// If the port is in use, or no thread can be started.
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

/// A simulated MatrixOne server on a local port.
#[derive(Debug)]
pub struct MoServer(Running);

impl MoServer {
    /// Starts one with the default options.
    #[must_use]
    pub fn start() -> Self {
        MoServerOptions::default().start()
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.address.port()
    }

    /// The cluster, to read or change it. No backup starts until the guard is dropped.
    ///
    /// # Panics
    /// If a thread panicked while it held the guard.
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.0.state.cluster.lock().unwrap()
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.0.state.settings.lock().unwrap()
    }
}

/// Faults.
impl MoServer {
    /// Adds a fault to the next backup. Several can be added.
    pub fn inject(&self, fault: Fault) {
        self.0.state.faults.inject(fault);
    }

    /// Adds a fault to every backup.
    pub fn always(&self, fault: Fault) {
        self.0.state.faults.always(fault);
    }

    /// Removes all faults that did not strike yet.
    pub fn clear_faults(&self) {
        self.0.state.faults.clear();
    }

    /// Changes its release, for statements and connections from now on.
    pub fn set_version(&self, version: MoVersion) {
        self.settings().version = version;
    }

    /// Sets whether it refuses a backup while another one runs. Real servers run both.
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

/// Log of requests since the start.
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

    /// All backups that started, in order. A `BACKUP` that was refused before is only in the statements.
    #[must_use]
    pub fn backups(&self) -> Vec<BackupRecord> {
        self.0.state.record().backups.clone()
    }

    /// All `KILL`s, in order.
    #[must_use]
    pub fn kills(&self) -> Vec<KillRecord> {
        self.0.state.record().kills.clone()
    }

    /// Number of running backups.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.state.record().running()
    }

    /// Number of backups that [`Fault::Delay`] or [`Fault::Hang`] holds up now. A test that waits for it knows the progress of the backup.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.state.record().waiting
    }

    /// Highest number of concurrent backups.
    #[must_use]
    pub fn most_running(&self) -> usize {
        self.0.state.record().most_running
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.state.sessions.lock().unwrap().len()
    }

    /// The owner of the protection from garbage collection: `backup.<ts>`. There is only one slot.
    #[must_use]
    pub fn protection(&self) -> Option<String> {
        self.0.state.record().protection.clone()
    }
}
