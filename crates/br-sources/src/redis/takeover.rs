//! A server that was told to replicate br.
//!
//! Invariant: [`Takeover::end`] makes the server a master again and gives it back its own settings, or says that it could not. It waits until
//! the server has loaded what it loads, because a server refuses the command until then.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Reply};
use super::probe::RedisOptions;
use crate::server::ServerError;

/// How often to look whether the server has connected.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many times: half a minute.
const MAX_LOOKS: usize = 300;
/// Commands that a server may send before it asks for a snapshot.
const MAX_COMMANDS: usize = 20;
/// The settings with which a server logs in to its master.
const LOGIN: [&str; 2] = ["masteruser", "masterauth"];
/// How the answer of a server begins that loads a snapshot.
const LOADING: &str = "LOADING";
/// The user as which the server logs in. Any name will do.
const USER: &str = "br-restore";

/// A server that is a replica of br for a while.
#[derive(Debug)]
pub(super) struct Takeover {
    pub(super) control: Connection,
    options: RedisOptions,
    /// The settings as they were.
    settings: Vec<(&'static str, String)>,
    is_over: bool,
}

impl Takeover {
    /// Tells the server to replicate br, and waits until it has connected and asked for a snapshot. The server proves with `secret` who it is.
    pub(super) fn start(
        mut control: Connection,
        options: &RedisOptions,
        own: IpAddr,
        [secret, id]: [&str; 2],
        cancel: &CancellationToken,
    ) -> Result<(Self, Connection), ServerError> {
        let no_way = no_way_back(own);
        let listener = TcpListener::bind((own, 0)).map_err(&no_way)?;
        listener.set_nonblocking(true).map_err(&no_way)?;
        let mut settings = Vec::new();
        for name in LOGIN {
            settings.push((name, setting(&mut control, name)?));
        }
        if settings.iter().any(|(_, value)| value == USER) {
            let message = format!(
                "another restore of br runs there, or was killed: end it, or set masteruser and masterauth as they were before, for example with `CONFIG SET masteruser ''`; masteruser is {USER}"
            );
            return Err(ServerError::Refused { message });
        }
        if settings
            .iter()
            .any(|(_, value)| value.contains(char::REPLACEMENT_CHARACTER))
        {
            let message = "masterauth has bytes that are no UTF-8, which br could not set again";
            return Err(ServerError::Refused {
                message: message.to_owned(),
            });
        }
        let mut takeover = Self {
            control,
            options: options.clone(),
            settings,
            is_over: false,
        };
        let connected = takeover.connect(&listener, own, [secret, id], cancel);
        match connected {
            Ok(replica) => Ok((takeover, replica)),
            Err(error) => {
                // Where the server is left says more than why it did not connect.
                takeover.end()?;
                Err(error)
            }
        }
    }

    fn connect(
        &mut self,
        listener: &TcpListener,
        own: IpAddr,
        [secret, id]: [&str; 2],
        cancel: &CancellationToken,
    ) -> Result<Connection, ServerError> {
        let no_way = no_way_back(own);
        let port = listener.local_addr().map_err(&no_way)?.port().to_string();
        let control = &mut self.control;
        control.ask(&["CONFIG", "SET", "masteruser", USER])?;
        control.ask(&["CONFIG", "SET", "masterauth", secret])?;
        control.ask(&["REPLICAOF", &own.to_string(), &port])?;
        let mut replica = accept(listener, cancel).map_err(&no_way)?;
        greet(&mut replica, secret, id)?;
        Ok(replica)
    }

    /// Makes the server a master again, also after a cancellation.
    ///
    /// # Errors
    /// [`ServerError::StillReplica`] when the server does not answer or refuses.
    pub(super) fn end(&mut self) -> Result<(), ServerError> {
        // One attempt is enough: it takes as long as a server that loads can need.
        self.is_over = true;
        self.undo().map_err(|error| ServerError::StillReplica {
            commands: self.commands(),
            source: Box::new(error),
        })
    }

    fn undo(&mut self) -> Result<(), ServerError> {
        // The other connection may be cancelled, or still get the answer to an earlier command.
        let mut control = Connection::open_loading(&self.options)?;
        let freed = loop {
            match control.ask(&["REPLICAOF", "NO", "ONE"]) {
                Err(ServerError::Refused { message }) if message.starts_with(LOADING) => {
                    thread::sleep(LOOK_EVERY);
                }
                answer => break answer,
            }
        };
        let mut set = Ok(());
        for (name, value) in &self.settings {
            let answer = control.ask(&["CONFIG", "SET", name, value]);
            set = set.and(answer.map(drop));
        }
        // A user who may not run the command could not make the server a replica either.
        if freed.is_err() && !control.info("replication")?.is("role", "master") {
            freed?;
        }
        set?;
        self.control = control;
        Ok(())
    }

    /// What a person types to make the server a master again. Passwords are not shown.
    fn commands(&self) -> Vec<String> {
        let setting = |(name, value): &(&str, String)| match value.as_str() {
            "" => format!("CONFIG SET {name} ''"),
            _ => format!("CONFIG SET {name} with the value of its configuration file"),
        };
        let first = std::iter::once("REPLICAOF NO ONE".to_owned());
        first.chain(self.settings.iter().map(setting)).collect()
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        if !self.is_over {
            // The restore has failed already, with an error of its own.
            let _ = self.end();
        }
    }
}

fn no_way_back(address: IpAddr) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::NoWayBack { address, source }
}

/// A setting of the server.
pub(super) fn setting(control: &mut Connection, name: &str) -> Result<String, ServerError> {
    let reply = control.ask(&["CONFIG", "GET", name])?;
    Ok(reply.list().get(1).map(Reply::text).unwrap_or_default())
}

fn accept(listener: &TcpListener, cancel: &CancellationToken) -> io::Result<Connection> {
    for _ in 0..MAX_LOOKS {
        if cancel.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Connection::accepted(stream, cancel);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK_EVERY),
            Err(error) => return Err(error),
        }
    }
    let message = "the server has not connected within half a minute";
    Err(io::Error::new(io::ErrorKind::TimedOut, message))
}

/// Answers a replica until it asks for a snapshot.
fn greet(replica: &mut Connection, secret: &str, id: &str) -> Result<(), ServerError> {
    let mut is_known = false;
    for _ in 0..MAX_COMMANDS {
        let command = replica.command()?;
        let words: Vec<String> = command.list().iter().map(Reply::text).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let name = words.first().copied().unwrap_or_default();
        let answer = match (name.to_ascii_uppercase().as_str(), words.as_slice()) {
            ("PING", _) => "+PONG\r\n".to_owned(),
            ("AUTH", [.., given]) => {
                is_known = *given == secret;
                "+OK\r\n".to_owned()
            }
            ("PSYNC", _) if is_known => {
                replica.send_raw(format!("+FULLRESYNC {id} 0\r\n").as_bytes())?;
                return Ok(());
            }
            ("REPLCONF", _) if is_known => "+OK\r\n".to_owned(),
            _ => {
                let message = "a stranger connected to br instead of the server; try again";
                return Err(ServerError::Refused {
                    message: message.to_owned(),
                });
            }
        };
        replica.send_raw(answer.as_bytes())?;
    }
    let answer = "commands, but not the one that asks for a snapshot".to_owned();
    Err(ServerError::Answer { answer })
}

/// True if a replica has closed its connection.
pub(super) fn is_closed(replica: &mut Connection) -> bool {
    let mut buffer = [0; 4096];
    match replica.poll(&mut buffer) {
        Ok(len) => len == 0,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
        ),
    }
}
