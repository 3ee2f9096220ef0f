//! A connection that asks and answers in the protocol of Redis.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::address::RedisAddress;
use super::probe::RedisOptions;
use crate::server::ServerError;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may take no bytes of a snapshot.
const STALL: Duration = Duration::from_secs(60);
/// How often a waiting connection looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long nothing may come. A server that makes a snapshot sends a line every ten seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// How long nothing may come from a server that loads a snapshot: it does not answer while it deletes its old keys, or loads a large one.
pub(super) const SILENCE_OF_LOADING: Duration = Duration::from_secs(15 * 60);
/// How an answer begins that refuses a command to a user.
pub(super) const NOT_PERMITTED: &str = "NOPERM";
/// Maximum length of a text in an answer, in bytes.
const MAX_TEXT: usize = 64 << 20;
/// Maximum number of values of a list in an answer.
const MAX_LIST: usize = 1 << 20;
/// Maximum length of a line, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// How deep lists may be nested.
const MAX_DEPTH: usize = 4;

/// An answer of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Text(Vec<u8>),
    Number(i64),
    Nothing,
    List(Vec<Self>),
}

impl Reply {
    /// The text, with bytes that are no UTF-8 replaced; empty for other answers.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Number(number) => number.to_string(),
            Self::Nothing | Self::List(_) => String::new(),
        }
    }

    /// The values of a list.
    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }
}

/// The fields of a section of `INFO`.
#[derive(Debug)]
pub(super) struct Info(Vec<(String, String)>);

impl Info {
    fn parse(text: &str) -> Self {
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        Self(text.lines().filter_map(field).collect())
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let found = fields.find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What the server is, `Redis` or `Valkey`, and its version.
    pub(super) fn product(&self) -> Option<(&'static str, &str)> {
        let version = |field| self.get(field).filter(|version| !version.is_empty());
        let valkey = version("valkey_version").map(|version| ("Valkey", version));
        valkey.or_else(|| Some(("Redis", version("redis_version")?)))
    }

    /// True if a field has this value.
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    /// The number of keys in all databases: `db0:keys=3,expires=0,avg_ttl=0`.
    pub(super) fn keys(&self) -> u64 {
        let databases = self.0.iter().filter(|(name, _)| name.starts_with("db"));
        let keys = databases.filter_map(|(_, value)| {
            let first = value.split(',').next()?;
            first.strip_prefix("keys=")?.parse::<u64>().ok()
        });
        keys.sum()
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

/// A connection to a server.
pub(super) struct Connection {
    address: RedisAddress,
    stream: BufReader<Patient>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Connection {
    /// Connects, and logs in if there is a password.
    pub(super) fn open(
        options: &RedisOptions,
        cancel: &CancellationToken,
    ) -> Result<Self, ServerError> {
        Self::open_with(options, cancel, SILENCE)
    }

    /// Connects to a server that may load a snapshot. No cancellation ends a read.
    pub(super) fn open_loading(options: &RedisOptions) -> Result<Self, ServerError> {
        Self::open_with(options, &CancellationToken::new(), SILENCE_OF_LOADING)
    }

    fn open_with(
        options: &RedisOptions,
        cancel: &CancellationToken,
        silence: Duration,
    ) -> Result<Self, ServerError> {
        let address = options.address.clone();
        let socket = connect(&address).map_err(|source| ServerError::Unreachable {
            address: address.to_string(),
            source,
        })?;
        let patient = Patient {
            socket,
            cancel: cancel.clone(),
            silence,
        };
        let mut connection = Self {
            address,
            stream: BufReader::with_capacity(256 << 10, patient),
        };
        match (&options.user, &options.password) {
            (Some(user), Some(password)) => connection.ask(&["AUTH", user, password.reveal()])?,
            (None, Some(password)) => connection.ask(&["AUTH", password.reveal()])?,
            _ => return Ok(connection),
        };
        Ok(connection)
    }

    /// A connection that a server has made to this machine.
    pub(super) fn accepted(stream: TcpStream, cancel: &CancellationToken) -> io::Result<Self> {
        let peer = stream.peer_addr()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        stream.set_write_timeout(Some(STALL))?;
        let patient = Patient {
            socket: Socket::Tcp(stream),
            cancel: cancel.clone(),
            silence: SILENCE,
        };
        Ok(Self {
            address: RedisAddress::Tcp {
                host: peer.ip().to_string(),
                port: peer.port(),
            },
            stream: BufReader::new(patient),
        })
    }

    /// The address from which this machine reaches the server. `None` for a socket in the file system.
    pub(super) fn local_address(&self) -> Option<IpAddr> {
        match &self.stream.get_ref().socket {
            Socket::Tcp(stream) => stream.local_addr().ok().map(|address| address.ip()),
            Socket::Unix(_) => None,
        }
    }

    /// Sends a command, and returns the answer.
    pub(super) fn ask(&mut self, words: &[&str]) -> Result<Reply, ServerError> {
        self.send(words)?;
        self.reply(0)
    }

    /// Sends a command.
    pub(super) fn send(&mut self, words: &[&str]) -> Result<(), ServerError> {
        self.send_raw(&encoded(words))
    }

    /// Sends bytes as they are.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) -> Result<(), ServerError> {
        let socket = self.stream.get_mut();
        socket.write_all(bytes).map_err(|source| self.lost(source))
    }

    /// Receives a command, on a connection that a server has made.
    pub(super) fn command(&mut self) -> Result<Reply, ServerError> {
        self.reply(0)
    }

    /// What has come, waiting a moment for it.
    pub(super) fn poll(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.get_mut().socket.read(buffer)
    }

    /// A section of `INFO`.
    pub(super) fn info(&mut self, section: &str) -> Result<Info, ServerError> {
        let text = self.ask(&["INFO", section])?.text();
        Ok(Info::parse(&text))
    }

    /// The next line without its end, as bytes that follow an answer.
    pub(super) fn line(&mut self) -> Result<Vec<u8>, ServerError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_LINE);
        let read = limited.read_until(b'\n', &mut line);
        read.map_err(|source| self.lost(source))?;
        if line.pop() != Some(b'\n') {
            let source = io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            );
            return Err(self.lost(source));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    /// What follows the last line, as raw bytes.
    pub(super) fn raw(&mut self) -> &mut impl Read {
        &mut self.stream
    }

    fn lost(&self, source: io::Error) -> ServerError {
        ServerError::Unreachable {
            address: self.address.to_string(),
            source,
        }
    }

    fn reply(&mut self, depth: usize) -> Result<Reply, ServerError> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().unwrap_or((&0, &[]));
        let text = || String::from_utf8_lossy(rest).into_owned();
        let odd = || ServerError::Answer {
            answer: String::from_utf8_lossy(line.get(..line.len().min(200)).unwrap_or_default())
                .into_owned(),
        };
        let number = || text().parse::<i64>().map_err(|_| odd());
        match kind {
            b'+' => Ok(Reply::Text(rest.to_vec())),
            b'-' => Err(ServerError::Refused { message: text() }),
            b':' => Ok(Reply::Number(number()?)),
            b'$' => match usize::try_from(number()?) {
                Err(_) => Ok(Reply::Nothing),
                Ok(len) if len <= MAX_TEXT => Ok(Reply::Text(self.text(len)?)),
                Ok(_) => Err(odd()),
            },
            b'*' => match usize::try_from(number()?) {
                Err(_) => Ok(Reply::Nothing),
                Ok(len) if len <= MAX_LIST && depth < MAX_DEPTH => {
                    let values = (0..len).map(|_| self.reply(depth + 1));
                    Ok(Reply::List(values.collect::<Result<_, _>>()?))
                }
                Ok(_) => Err(odd()),
            },
            _ => Err(odd()),
        }
    }

    fn text(&mut self, len: usize) -> Result<Vec<u8>, ServerError> {
        let mut text = Vec::new();
        let whole = len + 2;
        let read = (&mut self.stream).take(whole as u64).read_to_end(&mut text);
        read.map_err(|source| self.lost(source))?;
        if text.len() != whole || !text.ends_with(b"\r\n") {
            let answer = "an answer that does not end".to_owned();
            return Err(ServerError::Answer { answer });
        }
        text.truncate(len);
        Ok(text)
    }
}

/// A command in the form in which a server reads it.
pub(super) fn encoded(words: &[&str]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend(format!("${}\r\n", word.len()).bytes());
        command.extend(word.bytes());
        command.extend(b"\r\n");
    }
    command
}

fn connect(address: &RedisAddress) -> io::Result<Socket> {
    let socket = match address {
        RedisAddress::Socket(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(LOOK_EVERY))?;
            stream.set_write_timeout(Some(CONNECT))?;
            Socket::Unix(stream)
        }
        RedisAddress::Tcp { host, port } => {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
            let mut connected = None;
            for address in (host.as_str(), *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, CONNECT) {
                    Ok(stream) => {
                        connected = Some(stream);
                        break;
                    }
                    Err(error) => last = error,
                }
            }
            let Some(stream) = connected else {
                return Err(last);
            };
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LOOK_EVERY))?;
            stream.set_write_timeout(Some(CONNECT))?;
            Socket::Tcp(stream)
        }
    };
    Ok(socket)
}

/// A socket whose reads end when the work is cancelled, or when nothing has come for some time.
struct Patient {
    socket: Socket,
    cancel: CancellationToken,
    silence: Duration,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let looks = self.silence.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other("interrupted"));
            }
            match self.socket.read(buffer) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::TimedOut
                            | io::ErrorKind::Interrupted
                    ) => {}
                other => return other,
            }
        }
        let message = format!(
            "the server has sent nothing for {} seconds",
            self.silence.as_secs()
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    }
}

impl Write for Patient {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write(buffer),
            Socket::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
