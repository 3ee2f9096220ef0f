//! The snapshot of a server: how it is transferred, and whether it is complete.

use std::collections::VecDeque;
use std::io::{self, Read};

use crc_fast::{CrcParams, Digest};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::probe::RedisOptions;
use crate::server::ServerError;

/// Length of the random mark at the end of a snapshot whose length the server does not know.
const MARK_LEN: usize = 40;
/// Empty lines that a server may send before its answer, one in ten seconds.
const MAX_EMPTY_LINES: usize = 10_000;
/// Empty lines that some servers send after the mark.
const MAX_AFTER_MARK: usize = 64;
/// Length of the checksum at the end.
const CHECKSUM_LEN: usize = 8;
/// Length of the header: `REDIS` and four digits.
const HEADER_LEN: usize = 9;
/// The code before the checksum.
const END: u8 = 0xff;

/// Checks that bytes are a whole snapshot: its header, its last code, and its checksum.
#[derive(Debug)]
pub struct RdbCheck {
    digest: Digest,
    header: Vec<u8>,
    /// The last bytes, which are not in the digest: the last code and the checksum.
    tail: VecDeque<u8>,
    last: u8,
}

impl Default for RdbCheck {
    fn default() -> Self {
        // CRC-64/REDIS: the polynomial of Jones, reflected, without inversion.
        let params = CrcParams::new(
            "CRC-64/REDIS",
            64,
            0xad93_d235_94c9_35a9,
            0,
            true,
            0,
            0xe9c6_d914_c4b8_d9ca,
        );
        Self {
            digest: Digest::new_with_params(params),
            header: Vec::new(),
            tail: VecDeque::new(),
            last: 0,
        }
    }
}

impl RdbCheck {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let missing = HEADER_LEN.saturating_sub(self.header.len());
        self.header
            .extend_from_slice(bytes.get(..missing.min(bytes.len())).unwrap_or_default());
        // All but the last eight bytes go into the digest.
        let held = self.tail.len();
        let surplus = (held + bytes.len()).saturating_sub(CHECKSUM_LEN);
        let of_tail = surplus.min(held);
        let old: Vec<u8> = self.tail.drain(..of_tail).collect();
        self.digest.update(&old);
        let (digested, rest) = bytes.split_at(surplus - of_tail);
        self.digest.update(digested);
        if let Some(last) = digested.last().or(old.last()) {
            self.last = *last;
        }
        self.tail.extend(rest);
    }

    /// The version of the format, such as 10; `None` if the bytes are no snapshot.
    #[must_use]
    pub fn version(&self) -> Option<u32> {
        let digits = self.header.strip_prefix(b"REDIS")?;
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.len() == HEADER_LEN - 5)?;
        digits.parse().ok()
    }

    /// Ends the check.
    ///
    /// # Errors
    /// Why the bytes are no whole snapshot, as one line.
    pub fn finish(self) -> Result<(), &'static str> {
        match self.version() {
            None => return Err("it is no snapshot of Redis"),
            Some(version) if version < 5 => {
                return Err("it is a snapshot of Redis 2.4 or older, without a checksum");
            }
            Some(_) => {}
        }
        let (first, second) = self.tail.as_slices();
        let checksum: Result<[u8; CHECKSUM_LEN], _> = [first, second].concat().try_into();
        let Ok(checksum) = checksum else {
            return Err("the snapshot is cut off");
        };
        if self.last != END {
            return Err("the snapshot is cut off, or bytes in it are damaged");
        }
        let checksum = u64::from_le_bytes(checksum);
        // Zero says that the server does not compute it (`rdbchecksum no`).
        if checksum != 0 && checksum != self.digest.finalize() {
            return Err("the checksum of the snapshot is wrong");
        }
        Ok(())
    }
}

/// Reads the snapshot of a server. Connects when it is first read.
#[derive(Debug)]
pub(super) struct RdbReader {
    options: RedisOptions,
    cancel: CancellationToken,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    Reading(Box<Transfer>),
    Ended,
}

/// A snapshot that the server sends.
#[derive(Debug)]
struct Transfer {
    connection: Connection,
    check: RdbCheck,
    end: End,
}

/// How the end of the snapshot is known.
#[derive(Debug)]
enum End {
    /// After this many more bytes.
    Length(u64),
    /// By a mark. The bytes that may be a part of it, or of the lines after it, are held back.
    Mark { mark: Vec<u8>, held: Vec<u8> },
}

impl RdbReader {
    pub(super) fn new(options: RedisOptions, cancel: CancellationToken) -> Self {
        Self {
            options,
            cancel,
            state: State::New,
        }
    }
}

impl Read for RdbReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.state, State::New) {
            let transfer =
                Transfer::start(&self.options, &self.cancel).map_err(io::Error::other)?;
            self.state = State::Reading(Box::new(transfer));
        }
        let State::Reading(transfer) = &mut self.state else {
            return Ok(0);
        };
        if buffer.is_empty() {
            return Ok(0);
        }
        let len = transfer.read(buffer)?;
        transfer.check.update(buffer.get(..len).unwrap_or_default());
        if len == 0
            && let State::Reading(transfer) = std::mem::replace(&mut self.state, State::Ended)
        {
            transfer.check.finish().map_err(io::Error::other)?;
        }
        Ok(len)
    }
}

impl Transfer {
    /// Asks for a snapshot, as a replica does.
    fn start(options: &RedisOptions, cancel: &CancellationToken) -> Result<Self, ServerError> {
        let mut connection = Connection::open(options, cancel)?;
        // Old servers do not know these, and send the snapshot in the other form, or commands after it.
        let _ = connection.ask(&["REPLCONF", "rdb-only", "1"]);
        let _ = connection.ask(&["REPLCONF", "capa", "eof"]);
        connection.send(&["SYNC"])?;
        for _ in 0..MAX_EMPTY_LINES {
            let line = connection.line()?;
            let text = String::from_utf8_lossy(&line).into_owned();
            let end = if line.is_empty() {
                continue;
            } else if let Some(message) = text.strip_prefix('-') {
                let message = message.to_owned();
                return Err(ServerError::Refused { message });
            } else if let Some(mark) = line.strip_prefix(b"$EOF:")
                && mark.len() == MARK_LEN
            {
                End::Mark {
                    mark: mark.to_vec(),
                    held: Vec::new(),
                }
            } else if let Some(len) = text.strip_prefix('$').and_then(|len| len.parse().ok()) {
                End::Length(len)
            } else {
                return Err(ServerError::Answer { answer: text });
            };
            return Ok(Self {
                connection,
                check: RdbCheck::default(),
                end,
            });
        }
        let answer = "nothing but empty lines".to_owned();
        Err(ServerError::Answer { answer })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let cut = || {
            let message = "the server closed the connection before the end of the snapshot";
            io::Error::new(io::ErrorKind::UnexpectedEof, message)
        };
        match &mut self.end {
            End::Length(0) => Ok(0),
            End::Length(left) => {
                let most = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                let part = buffer.get_mut(..most).unwrap_or_default();
                let len = self.connection.raw().read(part)?;
                if len == 0 {
                    return Err(cut());
                }
                *left -= len as u64;
                Ok(len)
            }
            End::Mark { mark, held } => loop {
                let lines = held.iter().rev().take_while(|byte| **byte == b'\n').count();
                let before = held.len() - lines.min(MAX_AFTER_MARK);
                let without_lines = held.get(..before).unwrap_or_default();
                if let Some(content) = without_lines.strip_suffix(mark.as_slice()) {
                    let len = content.len().min(buffer.len());
                    buffer[..len].copy_from_slice(&content[..len]);
                    held.drain(..len);
                    return Ok(len);
                }
                let free = held.len().saturating_sub(MARK_LEN + MAX_AFTER_MARK);
                if free > 0 {
                    let len = free.min(buffer.len());
                    buffer[..len].copy_from_slice(&held[..len]);
                    held.drain(..len);
                    return Ok(len);
                }
                let old = held.len();
                held.resize(old + (64 << 10), 0);
                let read = self
                    .connection
                    .raw()
                    .read(held.get_mut(old..).unwrap_or_default());
                held.truncate(old + read.as_ref().copied().unwrap_or_default());
                if read? == 0 {
                    return Err(cut());
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// The snapshot of an empty server, as Redis 7.0 writes it.
    fn snapshot() -> Vec<u8> {
        let mut bytes = b"REDIS0010\xfa\x09redis-ver\x067.0.15\xff".to_vec();
        let mut check = RdbCheck::default();
        check.update(&bytes);
        check.update(&[0; 8]);
        let checksum = check.digest.finalize();
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn the_checksum_is_that_of_redis() {
        let mut check = RdbCheck::default();
        check.update(b"1234567");
        check.update(b"89");
        check.update(&[0; 8]);
        assert_eq!(check.digest.finalize(), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn whole_snapshots_pass_and_all_others_fail() {
        let good = snapshot();
        for piece in [1, 3, 8, 9, 1000] {
            let mut check = RdbCheck::default();
            good.chunks(piece).for_each(|part| check.update(part));
            assert_eq!(check.version(), Some(10));
            check.finish().unwrap();
        }
        let checked = |bytes: &[u8]| {
            let mut check = RdbCheck::default();
            check.update(bytes);
            check.finish()
        };
        for len in 0..good.len() {
            assert!(checked(&good[..len]).is_err(), "{len} bytes");
        }
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(checked(&bad).is_err(), "bit {at}");
        }
        let mut without_checksum = good.clone();
        let len = without_checksum.len();
        without_checksum[len - 8..].fill(0);
        checked(&without_checksum).unwrap();
    }

    /// Reads a snapshot from a server that answers `SYNC` with these parts, and then closes the connection.
    fn read_from(parts: Vec<Vec<u8>>) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            answer(&mut stream, "rdb-only", b"-ERR unknown option\r\n");
            answer(&mut stream, "capa", b"+OK\r\n");
            answer(&mut stream, "SYNC", b"");
            for part in parts {
                stream.write_all(&part).unwrap();
                thread::yield_now();
            }
        });
        let options = RedisOptions::new(address.parse().unwrap());
        let mut bytes = Vec::new();
        let read = RdbReader::new(options, CancellationToken::new()).read_to_end(&mut bytes);
        server.join().unwrap();
        read.map(|_| bytes)
    }

    /// Waits for a command with this word.
    fn answer(stream: &mut TcpStream, word: &str, with: &[u8]) {
        let mut received = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&received).contains(&format!("{word}\r\n")) {
            stream.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
        if word == "rdb-only" || word == "capa" {
            // The value follows.
            let rest = if word == "capa" {
                "$3\r\neof\r\n"
            } else {
                "$1\r\n1\r\n"
            };
            stream.read_exact(&mut vec![0; rest.len()]).unwrap();
        }
        stream.write_all(with).unwrap();
    }

    #[test]
    fn both_forms_of_transfer_yield_the_snapshot() {
        let good = snapshot();
        let header = format!("${}\r\n", good.len()).into_bytes();
        let lines = b"\n\n\n".to_vec();
        let read = read_from(vec![lines.clone(), header, good.clone()]);
        assert_eq!(read.unwrap(), good);

        let mark = "0123456789abcdef0123456789abcdef01234567";
        let header = format!("$EOF:{mark}\r\n").into_bytes();
        let whole = [good.as_slice(), mark.as_bytes()].concat();
        for piece in [1, 7, 40, whole.len()] {
            for after in [&b""[..], b"\n", b"\n\n\n"] {
                let mut parts = vec![lines.clone(), header.clone()];
                parts.extend(whole.chunks(piece).map(<[u8]>::to_vec));
                parts.push(after.to_vec());
                assert_eq!(read_from(parts).unwrap(), good, "{piece} {after:?}");
            }
        }
    }

    #[test]
    fn transfers_that_are_cut_off_or_damaged_fail() {
        let good = snapshot();
        let mark = "0123456789abcdef0123456789abcdef01234567";
        let length = format!("${}\r\n", good.len()).into_bytes();
        let eof = format!("$EOF:{mark}\r\n").into_bytes();
        let cut = good[..good.len() - 1].to_vec();
        let mut bad = good.clone();
        bad[20] ^= 1;
        for parts in [
            vec![length.clone(), cut.clone()],
            vec![length.clone()],
            vec![eof.clone(), good.clone()],
            vec![eof.clone(), good.clone(), mark.as_bytes()[..39].to_vec()],
            vec![eof.clone(), cut, mark.as_bytes().to_vec()],
            vec![length, bad.clone()],
            vec![eof, bad, mark.as_bytes().to_vec()],
            vec![b"-NOPERM this user has no permissions\r\n".to_vec()],
            vec![b"+OK\r\n".to_vec()],
            vec![b"$12".to_vec()],
            vec![],
        ] {
            assert!(read_from(parts.clone()).is_err(), "{parts:?}");
        }
    }
}
