//! A login, and one statement at a time, through `mysql_async`.
//!
//! A [`Session`] is a connection of `mysql_async` over an [`OfferedLink`]. Invariant: its errors distinguish a statement that was not
//! sent from one that was sent, and no debug output contains the password.

use std::fmt;
use std::io;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, Error, IoError, OptsBuilder, SslOpts};

use super::error::ServerError;
use super::link::{Link, MAX_MESSAGE, OfferedLink};
use crate::server_version::shown_to;

/// The longest packet that is received or sent, in bytes. The protocol splits longer ones, which are not
/// needed here.
const MAX_PACKET: usize = (1 << 24) - 2;
/// Bytes of a packet with a statement that are not the statement.
const OVERHEAD: u64 = 5;
/// How long the server keeps an idle connection, in seconds. Nothing uses the value; without it `mysql_async` asks the server.
const WAIT_TIMEOUT: usize = 28_800;

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum SessionError {
    /// The statement was not sent completely, so it does not run.
    Send(io::Error),
    /// The statement was sent, and no valid response arrived.
    Receive(io::Error),
    /// The server refused the statement.
    Server(ServerError),
    /// The server requires another login method.
    AuthMethod(String),
    /// The server requires the password itself on a connection that is not encrypted.
    PasswordInClear,
    /// The connection cannot be encrypted.
    Tls(io::Error),
}

/// A connection that is logged in.
pub(super) struct Session {
    conn: Conn,
    link: OfferedLink,
}

impl fmt::Debug for Session {
    /// `Conn` would show the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.conn.id())
    }
}

impl Session {
    /// Logs in, over an encrypted connection if there are options for it.
    pub(super) async fn log_in(
        link: Link,
        user: &str,
        password: &str,
        tls: Option<SslOpts>,
    ) -> Result<Self, SessionError> {
        let is_plain = tls.is_none();
        let link = link.offer(is_plain).await.map_err(SessionError::Send)?;
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(link.port)
            .prefer_socket(false)
            .user(Some(user))
            .pass((!password.is_empty()).then_some(password))
            .ssl_opts(tls)
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(WAIT_TIMEOUT));
        match Conn::new(options).await {
            Ok(conn) => Ok(Self { conn, link }),
            Err(_) if link.was_refused() => Err(SessionError::PasswordInClear),
            Err(error) if !is_plain && is_about_tls(&error) => {
                Err(SessionError::Tls(io_error(error)))
            }
            Err(error) => Err(sort(error, SessionError::Receive)),
        }
    }

    /// Runs a statement and waits for the end, however long that takes. Ignores the rows of the answer.
    pub(super) async fn query(&mut self, sql: &str) -> Result<(), SessionError> {
        let before = self.link.sent();
        let answer = self.conn.query_drop(sql).await;
        answer.map_err(|error| {
            // An encrypted statement is longer. So an incompletely sent one may count as sent, but a sent one
            // never counts as unsent.
            let is_sent = self.link.sent() - before >= sql.len() as u64 + OVERHEAD;
            if is_sent {
                sort(error, SessionError::Receive)
            } else {
                sort(error, SessionError::Send)
            }
        })
    }

    /// Tells the server that the connection ends.
    pub(super) async fn quit(self) {
        if self.conn.disconnect().await.is_ok() {
            self.link.finish().await;
        }
    }
}

fn sort(error: Error, lost: impl FnOnce(io::Error) -> SessionError) -> SessionError {
    match error {
        Error::Server(answer) => SessionError::Server(ServerError {
            code: answer.code,
            state: shown_to(&answer.state, MAX_MESSAGE),
            message: shown_to(&answer.message, MAX_MESSAGE),
        }),
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => {
            SessionError::AuthMethod(shown_to(&name, MAX_MESSAGE))
        }
        Error::Driver(DriverError::CleartextPluginDisabled) => {
            SessionError::AuthMethod("mysql_clear_password".to_owned())
        }
        Error::Driver(DriverError::MysqlOldPasswordDisabled) => {
            SessionError::AuthMethod("mysql_old_password".to_owned())
        }
        error => lost(io_error(error)),
    }
}

/// A login fails with such errors only while the connection is being encrypted.
fn is_about_tls(error: &Error) -> bool {
    match error {
        Error::Io(IoError::Tls(_)) => true,
        Error::Io(IoError::Io(error)) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Shows none of the packets that some errors of `mysql_async` have.
fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(IoError::Io(error)) => error,
        Error::Io(IoError::Tls(error)) => io::Error::new(io::ErrorKind::InvalidData, error),
        error => io::Error::other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::*;

    /// Says that a test cannot run here. In CI no test may be skipped.
    fn skip(reason: &str) {
        assert!(
            std::env::var_os("CI_NO_SKIP").is_none(),
            "this test must not be skipped here: {reason}"
        );
        eprintln!("skipped: {reason}");
    }

    /// Logs in to MariaDB without a look at its version; returns the number of the connection.
    async fn mariadb() -> Option<(Session, u32)> {
        let stream = TcpStream::connect(("127.0.0.1", 3306)).await.ok()?;
        let (link, greeting) = Link::open(stream).await.unwrap();
        let session = Session::log_in(link, "root", "", None).await.ok()?;
        Some((session, greeting.connection_id))
    }

    #[tokio::test]
    async fn mariadb_answers_statements() {
        let Some((mut session, id)) = mariadb().await else {
            return skip("there is no MariaDB here, or it requires a password");
        };
        // A subquery of two rows is an error.
        let is_own = format!("select if(connection_id() = {id}, 1, (select 1 union select 2))");
        session.query(&is_own).await.unwrap();
        let refused = session.query("BACKUP 'x' FILESYSTEM '/x'").await;
        let Err(SessionError::Server(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((error.code, error.state.as_str()), (1064, "42000"));
        session.query("select null union select 2").await.unwrap();
        session.query("select repeat('x', 70000)").await.unwrap();
        session.query("do 1").await.unwrap();
        session.quit().await;
    }

    #[tokio::test]
    async fn mariadb_kills_a_statement_from_a_second_connection() {
        let (Some((mut first, id)), Some((mut second, _))) = (mariadb().await, mariadb().await)
        else {
            return skip("there is no MariaDB here, or it requires a password");
        };
        let running = tokio::spawn(async move {
            let killed = first.query("select sleep(60) from mysql.user").await;
            (killed, first.query("do 1").await)
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        second.query(&format!("KILL QUERY {id}")).await.unwrap();
        let (killed, next) = running.await.unwrap();
        assert!(
            matches!(&killed, Err(SessionError::Server(error)) if error.code == 1317),
            "{killed:?}"
        );
        next.unwrap();
    }
}
