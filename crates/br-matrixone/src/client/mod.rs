//! The connection to a MatrixOne server: log in, run a statement for hours, stop it.
//!
//! A [`Client`] is one connection, made from [`ConnectOptions`]; [`Client::backup`] runs a
//! [`BackupStatement`] to its end. Invariant: br sends neither user nor password before the greeting has
//! shown that the server is MatrixOne. If br does not know how a statement ended, the result is
//! [`ClientError::Ambiguous`], never a failure or a success.
//!
//! `mysql_async` implements the protocol, over a connection whose greeting `link` has read. A [`TlsMode`]
//! says whether the connection is encrypted. On an unencrypted connection br sends only a proof of the
//! password, but the keys of a bucket in clear. Dropping a client closes its connection; the server cancels a
//! dropped backup when it notices.

mod error;
mod link;
mod session;
mod tls;
mod user;

use std::fmt;
use std::io;
use std::pin::pin;
use std::time::Duration;

use br_storage::Secret;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::link::Link;
use self::session::{Session, SessionError};
use super::BackupTs;
use super::server_version::ServerVersion;
use super::sql::{self, BackupStatement};

pub use error::{ClientError, Result, ServerError, ServerReason};
pub use tls::TlsMode;

/// The default port of MatrixOne.
pub const DEFAULT_PORT: u16 = 6001;

/// How long the connection is idle before the system sends keepalive probes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// Unanswered probes before the connection counts as lost.
const KEEPALIVE_TRIES: u32 = 8;

/// The server, the user and the settings of a connection. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Name or address of the host.
    pub host: String,
    /// The port of a CN or of the proxy.
    pub port: u16,
    /// The user in any form that MatrixOne accepts: `dump`, `sys:dump`, `sys:dump:role`, `sys#dump`.
    pub user: String,
    /// The user's password; empty for none.
    pub password: Secret,
    /// The time limit for connecting and logging in together, and for each statement except a backup.
    pub timeout: Duration,
    /// How long to wait for the end of a cancelled backup after the server was told to stop it.
    pub grace: Duration,
    /// Whether the connection is encrypted.
    pub tls: TlsMode,
}

/// A connection to MatrixOne.
#[derive(Debug)]
pub struct Client {
    options: ConnectOptions,
    version: ServerVersion,
    connection_id: u32,
    /// `None` after the connection was lost or its state became unknown.
    session: Option<Session>,
}

impl ConnectOptions {
    /// Makes options with a time limit of 20 seconds for every response except that of a backup, which has no
    /// limit.
    pub fn new(
        host: impl Into<String>,
        port: u16,
        user: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Self {
        Self {
            host: host.into(),
            port,
            user: user.into(),
            password: password.into(),
            timeout: Duration::from_secs(20),
            grace: Duration::from_secs(10),
            tls: TlsMode::default(),
        }
    }

    /// Sets the time limit for connecting and logging in, and for each statement except a backup.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long to wait for the end of a cancelled backup.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets whether the connection is encrypted.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsMode) -> Self {
        self.tls = tls;
        self
    }

    /// Returns the host without the brackets around an IPv6 address.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    fn address(&self) -> String {
        let host = &self.host;
        if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{}", self.port)
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectOptions({} as {:?})", self.address(), self.user)
    }
}

impl Client {
    /// Connects and logs in.
    ///
    /// # Errors
    /// If no server or another product responds, or the login fails, see [`ClientError`].
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        if !user::is_sys(&options.user) {
            return Err(ClientError::NotSysAccount {
                user: options.user.clone(),
                account: user::account(&options.user).to_owned(),
            });
        }
        let late = || ClientError::Timeout {
            address: options.address(),
            after: options.timeout,
        };
        let connected = timeout(options.timeout, establish(options)).await;
        connected.map_err(|_| late())?
    }

    /// Returns the version of the server.
    #[must_use]
    pub fn version(&self) -> &ServerVersion {
        &self.version
    }

    /// Returns the server's number for this connection.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// Runs a backup to its end, which takes minutes to hours. `Ok` means that the server reported success,
    /// even if the backup was cancelled at the last moment. The caller must still check that all files exist.
    ///
    /// # Errors
    /// - [`ClientError::Server`] if the server returned an error: do not use the folder again.
    /// - [`ClientError::Ambiguous`] if the connection was lost: check the files.
    /// - [`ClientError::Cancelled`] if `cancel` was triggered. br kills the statement from a second connection.
    /// - [`ClientError::Lost`] if nothing was sent.
    pub async fn backup(
        &mut self,
        statement: &BackupStatement,
        cancel: &CancellationToken,
    ) -> Result<()> {
        if cancel.is_cancelled() {
            return Err(ClientError::Cancelled {
                stopped: true,
                source: None,
            });
        }
        // Moved out of `self`, so that dropping this future closes the connection, which cannot be used again
        // then.
        let mut session = self.session.take().ok_or_else(closed)?;
        let outcome = {
            let mut running = pin!(session.query(statement.reveal()));
            tokio::select! {
                biased;
                answer = &mut running => answer.map_err(|error| not_finished(error, statement)),
                () = cancel.cancelled() => {
                    let killed = kill(&self.options, self.connection_id).await;
                    let answer = timeout(self.options.grace, &mut running).await.ok();
                    after_kill(answer, killed.err())
                }
            }
        };
        if is_usable_after(&outcome) {
            self.session = Some(session);
        }
        outcome
    }

    /// Delays the garbage collection of the data at `since`. The delay expires after 20 minutes unless this
    /// is called again. A running backup sets and removes the same delay, so use this for the time before and
    /// after.
    ///
    /// # Errors
    /// If the server is older than v3.0.5, refuses (the user needs the role `moadmin`), or does not respond.
    pub async fn protect_gc(&mut self, since: BackupTs) -> Result<()> {
        self.order(&sql::protect_gc(since), "hold off the garbage collection")
            .await
    }

    /// Lets the garbage collection run again.
    ///
    /// # Errors
    /// As for [`protect_gc`](Self::protect_gc).
    pub async fn unprotect_gc(&mut self) -> Result<()> {
        self.order(&sql::unprotect_gc(), "hold off the garbage collection")
            .await
    }

    /// Closes the connection properly, so that the server does not log an aborted connection.
    pub async fn close(self) {
        if let Some(session) = self.session {
            let _ = timeout(self.options.timeout, session.quit()).await;
        }
    }

    async fn order(&mut self, sql: &str, what: &'static str) -> Result<()> {
        if !self.version.protects_from_gc() {
            return Err(ClientError::Unsupported {
                server: self.version.to_string(),
                what,
            });
        }
        self.query(sql).await
    }

    /// Runs a short statement.
    async fn query(&mut self, sql: &str) -> Result<()> {
        let mut session = self.session.take().ok_or_else(closed)?;
        let answer = timeout(self.options.timeout, session.query(sql)).await;
        let Ok(answer) = answer else {
            return Err(ClientError::Timeout {
                address: self.options.address(),
                after: self.options.timeout,
            });
        };
        let answer = answer.map_err(|error| plain(error, ClientError::Lost));
        if is_usable_after(&answer) {
            self.session = Some(session);
        }
        answer
    }
}

async fn establish(options: &ConnectOptions) -> Result<Client> {
    let address = options.address();
    let stream = open_stream(options, &address).await?;
    let not_mysql = |_| ClientError::NotMySql {
        address: address.clone(),
    };
    let opened = Link::open(stream).await;
    let (link, greeting) = opened.map_err(|error| plain(error, not_mysql))?;
    let version =
        ServerVersion::parse(&greeting.version).map_err(|found| ClientError::NotMatrixOne {
            address: address.clone(),
            found,
        })?;
    let tls = options
        .tls
        .options(options.bare_host(), greeting.offers_tls);
    let tls = tls.map_err(|tls::NoTls| ClientError::TlsNotOffered {
        address: address.clone(),
    })?;
    let session = Session::log_in(link, &options.user, options.password.reveal(), tls).await;
    Ok(Client {
        options: options.clone(),
        version,
        connection_id: greeting.connection_id,
        session: Some(session.map_err(|error| not_logged_in(error, options))?),
    })
}

async fn open_stream(options: &ConnectOptions, address: &str) -> Result<TcpStream> {
    let connected = TcpStream::connect((options.bare_host(), options.port)).await;
    let stream = connected.map_err(|source| {
        let address = address.to_owned();
        if source.kind() == io::ErrorKind::ConnectionRefused {
            ClientError::Refused { address }
        } else {
            ClientError::Unreachable { address, source }
        }
    })?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TRIES);
    // Without keepalive, br would wait forever after a firewall has dropped the connection.
    SockRef::from(&stream)
        .set_tcp_keepalive(&keepalive)
        .map_err(ClientError::Lost)?;
    stream.set_nodelay(true).map_err(ClientError::Lost)?;
    Ok(stream)
}

fn not_logged_in(error: SessionError, options: &ConnectOptions) -> ClientError {
    match error {
        SessionError::Server(answer) if answer.code == 1045 => ClientError::WrongPassword {
            user: options.user.clone(),
            answer: answer.message,
        },
        SessionError::Tls(source) => ClientError::Tls {
            address: options.address(),
            source,
        },
        error => plain(error, ClientError::Lost),
    }
}

/// Kills the statement of a connection from another one.
async fn kill(options: &ConnectOptions, connection_id: u32) -> Result<()> {
    let mut second = Client::connect(options).await?;
    second.query(&sql::kill_query(connection_id)).await?;
    second.close().await;
    Ok(())
}

/// Returns the result of a backup whose statement br killed or tried to kill.
fn after_kill(
    answer: Option<Result<(), SessionError>>,
    not_killed: Option<ClientError>,
) -> Result<()> {
    let (stopped, source) = match answer {
        Some(Ok(())) => return Ok(()),
        Some(Err(SessionError::Server(_) | SessionError::Send(_))) => (true, None),
        Some(Err(SessionError::Receive(error))) => {
            (false, Some(not_killed.unwrap_or(ClientError::Lost(error))))
        }
        _ => (false, not_killed),
    };
    Err(ClientError::Cancelled {
        stopped,
        source: source.map(Box::new),
    })
}

fn not_finished(error: SessionError, statement: &BackupStatement) -> ClientError {
    match plain(error, ClientError::Ambiguous) {
        ClientError::Server(mut answer) => {
            answer.message = statement.redact(&answer.message);
            ClientError::Server(answer)
        }
        error => error,
    }
}

fn plain(error: SessionError, received: impl FnOnce(io::Error) -> ClientError) -> ClientError {
    match error {
        SessionError::Send(error) => ClientError::Lost(error),
        SessionError::Receive(error) => received(error),
        SessionError::Server(answer) => ClientError::Server(answer),
        SessionError::AuthMethod(plugin) => ClientError::AuthMethod(plugin),
        SessionError::PasswordInClear => ClientError::PasswordInClear,
        SessionError::Tls(error) => ClientError::Lost(error),
    }
}

/// After a response, the connection can run the next statement.
fn is_usable_after<T>(outcome: &Result<T>) -> bool {
    matches!(
        outcome,
        Ok(_) | Err(ClientError::Server(_) | ClientError::Cancelled { stopped: true, .. })
    )
}

fn closed() -> ClientError {
    ClientError::Lost(io::ErrorKind::NotConnected.into())
}
