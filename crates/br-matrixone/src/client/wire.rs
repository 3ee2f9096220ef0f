//! As much of MySQL's protocol as it takes to log in and to run one statement at a time.
//!
//! Written out because the greeting has to be read, and the server known for MatrixOne, before it is told a password, and because
//! after a broken connection the caller must know whether the statement was out.

use std::io;

use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::error::ServerError;
use crate::server_version::shown_to;

/// The one login method that is known, and the only one that MatrixOne has.
const NATIVE_PASSWORD: &str = "mysql_native_password";
/// Longest packet that is taken or sent, in bytes. The protocol would split longer ones, which nothing here needs.
const MAX_PACKET: usize = (1 << 24) - 2;
/// Most packets in an answer.
const MAX_PACKETS: usize = 10_000;
/// Longest error text that is kept, in characters.
const MAX_MESSAGE: usize = 2_000;
const UTF8MB4_GENERAL_CI: u8 = 45;

const LONG_PASSWORD: u32 = 1;
const PROTOCOL_41: u32 = 1 << 9;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;

const OK: u8 = 0;
const LOCAL_FILE: u8 = 0xfb;
const EOF: u8 = 0xfe;
const ERR: u8 = 0xff;

/// What can happen to a statement.
#[derive(Debug)]
pub(super) enum WireError {
    /// It was not sent, or not wholly, so it does not run.
    Send(io::Error),
    /// It was sent, and no answer that makes sense came back.
    Receive(io::Error),
    /// The server said no.
    Server(ServerError),
    /// The server wants another login method.
    AuthMethod(String),
}

/// What a server says first.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) connection_id: u32,
    salt: Vec<u8>,
    capabilities: u32,
    plugin: String,
}

/// A connection, packet by packet.
#[derive(Debug)]
pub(super) struct Channel {
    stream: TcpStream,
    /// The number of the next packet.
    sequence: u8,
}

impl Channel {
    /// Takes over a connection that nothing was read from, and reads the greeting.
    pub(super) async fn open(stream: TcpStream) -> Result<(Self, Greeting), WireError> {
        let mut channel = Self {
            stream,
            sequence: 0,
        };
        let packet = channel.receive().await?;
        if packet.first() == Some(&ERR) {
            return Err(WireError::Server(server_error(&packet)));
        }
        let greeting = Greeting::read(&packet).ok_or_else(|| malformed("greeting"))?;
        Ok((channel, greeting))
    }

    /// Logs in.
    pub(super) async fn log_in(
        &mut self,
        greeting: &Greeting,
        user: &str,
        password: &str,
    ) -> Result<(), WireError> {
        let packet = greeting.response(user, password);
        self.send(&packet).await?;
        let mut answer = self.receive().await?;
        if answer.first() == Some(&EOF) {
            let mut fields = Fields(&answer[1..]);
            let plugin = fields.text().unwrap_or_default();
            if plugin != NATIVE_PASSWORD {
                return Err(WireError::AuthMethod(shown_to(&plugin, MAX_MESSAGE)));
            }
            let salt = fields.0.strip_suffix(&[0]).unwrap_or(fields.0);
            let scramble = scramble(password, salt);
            self.send(&scramble).await?;
            answer = self.receive().await?;
        }
        match answer.first() {
            Some(&OK) => Ok(()),
            Some(&ERR) => Err(WireError::Server(server_error(&answer))),
            _ => Err(malformed("answer to the login")),
        }
    }

    /// Runs a statement and waits for its end, however long that takes. Returns the first field of the first row, if there is one.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Option<String>, WireError> {
        let mut packet = Zeroizing::new(Vec::with_capacity(sql.len() + 1));
        packet.push(COM_QUERY);
        packet.extend_from_slice(sql.as_bytes());
        self.sequence = 0;
        self.send(&packet).await?;
        let answer = self.receive().await?;
        match answer.first() {
            Some(&OK) => Ok(None),
            Some(&ERR) => Err(WireError::Server(server_error(&answer))),
            None | Some(&LOCAL_FILE) => Err(malformed("answer")),
            Some(_) => self.rows().await,
        }
    }

    /// Says goodbye. Nobody is sad if it gets lost.
    pub(super) async fn quit(mut self) {
        self.sequence = 0;
        let _ = self.send(&[COM_QUIT]).await;
    }

    /// Reads what follows the number of columns: their descriptions, an end, the rows, an end.
    async fn rows(&mut self) -> Result<Option<String>, WireError> {
        let mut ends = 0;
        let mut first = None;
        for _ in 0..MAX_PACKETS {
            let packet = self.receive().await?;
            match packet.first() {
                Some(&ERR) => return Err(WireError::Server(server_error(&packet))),
                Some(&EOF) if packet.len() < 9 => ends += 1,
                _ if ends == 1 && first.is_none() => first = Some(Fields(&packet).value()),
                _ => {}
            }
            if ends == 2 {
                return Ok(first.flatten());
            }
        }
        Err(malformed("answer, which is far too long"))
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        if payload.len() > MAX_PACKET {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the statement is too long");
            return Err(WireError::Send(error));
        }
        let len = u32::try_from(payload.len()).unwrap_or_default();
        let mut packet = Zeroizing::new(Vec::with_capacity(payload.len() + 4));
        packet.extend_from_slice(&len.to_le_bytes()[..3]);
        packet.push(self.sequence);
        packet.extend_from_slice(payload);
        self.stream
            .write_all(&packet)
            .await
            .map_err(WireError::Send)
    }

    async fn receive(&mut self) -> Result<Vec<u8>, WireError> {
        let mut head = [0; 4];
        let stream = &mut self.stream;
        let read = stream.read_exact(&mut head).await;
        read.map_err(WireError::Receive)?;
        let len = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        if len > MAX_PACKET {
            return Err(malformed("answer, which is far too long"));
        }
        self.sequence = head[3].wrapping_add(1);
        let mut packet = vec![0; len];
        let read = stream.read_exact(&mut packet).await;
        read.map_err(WireError::Receive)?;
        Ok(packet)
    }
}

impl Greeting {
    fn read(packet: &[u8]) -> Option<Self> {
        let mut fields = Fields(packet);
        if fields.take(1)? != [10] {
            return None;
        }
        let version = fields.text()?;
        let connection_id = fields.number(4)?;
        let mut salt = fields.take(8)?.to_vec();
        fields.take(1)?;
        let low = fields.number(2)?;
        fields.take(3)?;
        let capabilities = low | fields.number(2)? << 16;
        let salt_len = usize::from(*fields.take(1)?.first()?);
        fields.take(10)?;
        if capabilities & SECURE_CONNECTION != 0 {
            let rest = fields.take(salt_len.saturating_sub(8).max(13).min(fields.0.len()))?;
            salt.extend_from_slice(rest.strip_suffix(&[0]).unwrap_or(rest));
        }
        Some(Self {
            version,
            connection_id,
            salt,
            capabilities,
            plugin: fields.text().unwrap_or_default(),
        })
    }

    fn response(&self, user: &str, password: &str) -> Zeroizing<Vec<u8>> {
        let ours = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
        let capabilities = ours & (self.capabilities | PROTOCOL_41 | SECURE_CONNECTION);
        // A server with another default method will ask to switch; it gets no proof made for that one.
        let native = self.plugin.is_empty() || self.plugin == NATIVE_PASSWORD;
        let proof = if native {
            scramble(password, &self.salt)
        } else {
            Zeroizing::default()
        };
        let mut packet = Zeroizing::new(Vec::with_capacity(128 + user.len()));
        packet.extend_from_slice(&capabilities.to_le_bytes());
        packet.extend_from_slice(&(1_u32 << 24).to_le_bytes());
        packet.push(UTF8MB4_GENERAL_CI);
        packet.extend_from_slice(&[0; 23]);
        packet.extend_from_slice(user.as_bytes());
        packet.push(0);
        packet.push(u8::try_from(proof.len()).unwrap_or_default());
        packet.extend_from_slice(&proof);
        if capabilities & PLUGIN_AUTH != 0 {
            packet.extend_from_slice(NATIVE_PASSWORD.as_bytes());
            packet.push(0);
        }
        packet
    }
}

/// Proves knowledge of a password: `SHA1(p) xor SHA1(salt, SHA1(SHA1(p)))`; nothing for no password.
fn scramble(password: &str, salt: &[u8]) -> Zeroizing<Vec<u8>> {
    if password.is_empty() {
        return Zeroizing::default();
    }
    let once = Zeroizing::new(<[u8; 20]>::from(Sha1::digest(password)));
    let twice = Sha1::digest(once.as_slice());
    let salted = Sha1::new().chain_update(salt).chain_update(twice);
    let mask = salted.finalize();
    Zeroizing::new(once.iter().zip(mask).map(|(a, b)| a ^ b).collect())
}

fn server_error(packet: &[u8]) -> ServerError {
    let mut fields = Fields(packet.get(1..).unwrap_or_default());
    let code = fields.number(2).unwrap_or_default();
    let mut state = String::new();
    if fields.0.first() == Some(&b'#') {
        let raw = fields.take(6).unwrap_or_default();
        state = String::from_utf8_lossy(raw.get(1..).unwrap_or_default()).into_owned();
    }
    ServerError {
        code: u16::try_from(code).unwrap_or_default(),
        state: shown_to(&state, MAX_MESSAGE),
        message: shown_to(&String::from_utf8_lossy(fields.0), MAX_MESSAGE),
    }
}

fn malformed(what: &str) -> WireError {
    let text = format!("the server sent a malformed {what}");
    WireError::Receive(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// What is left of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of up to four bytes, little endian.
    fn number(&mut self, len: usize) -> Option<u32> {
        let bytes = self.take(len)?.iter().rev();
        Some(bytes.fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    /// A text that ends with a zero byte or with the packet; `None` when nothing is left.
    fn text(&mut self) -> Option<String> {
        let len = self.0.iter().position(|&byte| byte == 0);
        let len = len.unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(self.0.get(..len)?).into_owned();
        self.0 = self.0.get(len + 1..).unwrap_or_default();
        Some(text)
    }

    /// A text after its length; `None` for NULL.
    fn value(&mut self) -> Option<String> {
        let len = match *self.take(1)?.first()? {
            0xfc => self.number(2)?,
            0xfd => self.number(3)?,
            short @ 0..=0xfa => u32::from(short),
            _ => return None,
        };
        let text = self.take(usize::try_from(len).ok()?)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_what_the_protocol_wants() {
        // The server knows SHA1(SHA1(p)) and gets back SHA1(p) by the same mask.
        let salt = b"01234567890123456789";
        let proof = scramble("111", salt);
        let stored = Sha1::digest(Sha1::digest("111"));
        let mask = Sha1::new()
            .chain_update(salt)
            .chain_update(stored)
            .finalize();
        let once: Vec<u8> = proof.iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha1::digest(once), stored);
        assert!(scramble("", salt).is_empty());
    }

    #[test]
    fn hostile_packets_are_no_panic() {
        let mut packet = vec![10];
        packet.extend_from_slice(b"8.0.30-MatrixOne-v3.0.11\0");
        packet.extend_from_slice(&[7, 0, 0, 0]);
        packet.extend_from_slice(&[b's'; 9]);
        packet.extend_from_slice(&[0xff; 7]);
        packet.push(21);
        packet.extend_from_slice(&[0; 10]);
        packet.extend_from_slice(b"123456789012\0mysql_native_password\0");
        for len in 0..=packet.len() {
            let greeting = Greeting::read(&packet[..len]);
            let _ = server_error(&packet[..len]);
            let _ = Fields(&packet[..len]).value();
            assert_eq!(greeting.is_some(), len >= 57, "{len}");
        }
        let greeting = Greeting::read(&packet).unwrap();
        assert_eq!((greeting.connection_id, greeting.salt.len()), (7, 20));
        assert_eq!(greeting.plugin, NATIVE_PASSWORD);
    }

    /// Says that a test cannot run here. In CI nothing may be passed over.
    fn skip(reason: &str) {
        assert!(
            std::env::var_os("CI_NO_SKIP").is_none(),
            "not to be skipped: {reason}"
        );
        eprintln!("skipped: {reason}");
    }

    /// A server that others wrote, against which the protocol can be tried although it is not MatrixOne.
    #[tokio::test]
    async fn mariadb_understands_what_is_written_here() {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", 3306)).await else {
            return skip("there is no MariaDB here");
        };
        let (mut channel, greeting) = Channel::open(stream).await.unwrap();
        if channel.log_in(&greeting, "root", "").await.is_err() {
            return skip("MariaDB wants a password");
        }
        let id = channel.query("select connection_id(), 1").await.unwrap();
        assert_eq!(id, Some(greeting.connection_id.to_string()));
        let refused = channel.query("BACKUP 'x' FILESYSTEM '/x'").await;
        assert!(matches!(refused, Err(WireError::Server(error)) if error.code == 1064));
        let null = channel.query("select null union select 2").await.unwrap();
        assert_eq!(null, None);
        let long = channel.query("select repeat('x', 70000)").await.unwrap();
        assert_eq!(long.map(|text| text.len()), Some(70_000));
        assert_eq!(channel.query("do 1").await.unwrap(), None);
        channel.quit().await;
    }
}
