//! The way to a MatrixOne server: log in, run one statement, wait for hours, stop it.
//!
//! A [`Client`] is one connection, made of [`ConnectOptions`]; [`Client::backup`] runs a
//! [`BackupStatement`] to its end. Invariant: a server is told neither user nor password before its
//! greeting has shown it to be MatrixOne, and an end that nobody saw is [`ClientError::Ambiguous`], never a failure or a success.
//!
//! `mysql_async` speaks the protocol, over a connection whose greeting `link` has read. A [`TlsMode`] says whether the connection is
//! encrypted. On an unencrypted one the password crosses as a proof only, but the keys of a bucket as they are. Drop a client
//! to close its connection; a dropped backup is cancelled by the server when it notices.

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

/// The port of MatrixOne unless it was told another.
pub const DEFAULT_PORT: u16 = 6001;

/// Silence on the connection before the system asks whether the other end is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// Questions without an answer before the connection counts as lost.
const KEEPALIVE_TRIES: u32 = 8;

/// Who connects to what. Shown and debugged without the password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Name or address of the host.
    pub host: String,
    /// The port of a CN or of the proxy.
    pub port: u16,
    /// The user in any form that MatrixOne knows: `dump`, `sys:dump`, `sys:dump:role`, `sys#dump`.
    pub user: String,
    /// The user's password; empty for none.
    pub password: Secret,
    /// How long connecting and logging in may take together, and any statement but a backup.
    pub timeout: Duration,
    /// How long a cancelled backup is waited for after the server was told to stop it.
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
    /// `None` once it was lost or is in an unknown state.
    session: Option<Session>,
}

impl ConnectOptions {
    /// Allows 20 seconds for every answer but that of a backup, which has as long as it takes.
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

    /// Sets how long connecting and logging in may take, and any statement but a backup.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a cancelled backup is waited for.
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

    /// The host without the brackets around an address of IPv6.
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
    /// When nobody or somebody else answers, or the user is refused, see [`ClientError`].
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

    /// Returns what the server is.
    #[must_use]
    pub fn version(&self) -> &ServerVersion {
        &self.version
    }

    /// Returns the number by which the server knows this connection.
    #[must_use]
    pub fn connection_id(&self) -> u32 {
        self.connection_id
    }

    /// Runs a backup to its end, which takes minutes to hours. `Ok` means that the server calls it finished, even if it was
    /// cancelled at the last moment; whether the files are all there has still to be checked.
    ///
    /// # Errors
    /// - [`ClientError::Server`] when the server says no: the folder is not to be used again.
    /// - [`ClientError::Ambiguous`] when the connection was lost: look at the files.
    /// - [`ClientError::Cancelled`] when `cancel` was triggered. The statement was killed from a second connection.
    /// - [`ClientError::Lost`] when nothing was sent.
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
        // Taken out so that a future dropped in the middle closes the connection, which is of no use then.
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

    /// Holds off the garbage collection for what existed at `since`. It expires after 20 minutes unless called again. A running
    /// backup takes the same hold and gives it back at its end, so that this is for the time before and after.
    ///
    /// # Errors
    /// When the server is older than v3.0.5, does not let the user (it takes the role `moadmin`), or does not answer.
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

    /// Says goodbye, so that the server does not note an aborted connection.
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

    /// Runs a statement that is soon done.
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
    // Without it a backup would be waited for in vain after a firewall has forgotten the connection.
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

/// Ends a statement from another connection.
async fn kill(options: &ConnectOptions, connection_id: u32) -> Result<()> {
    let mut second = Client::connect(options).await?;
    second.query(&sql::kill_query(connection_id)).await?;
    second.close().await;
    Ok(())
}

/// What became of a backup whose statement was killed, or should have been.
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

/// After an answer the connection can take the next statement.
fn is_usable_after<T>(outcome: &Result<T>) -> bool {
    matches!(
        outcome,
        Ok(_) | Err(ClientError::Server(_) | ClientError::Cancelled { stopped: true, .. })
    )
}

fn closed() -> ClientError {
    ClientError::Lost(io::ErrorKind::NotConnected.into())
}
