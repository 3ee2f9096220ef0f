//! The handshake of a connection.
//!
//! [`greeting`] is the server's first packet, [`Login`] the client's answer, [`scramble`] computes the proof of a password. Invariant: a
//! password itself is never sent.

use std::collections::BTreeMap;
use std::io;

use sha1::{Digest as _, Sha1};

use super::Reader;
use crate::random::Random;

/// The only way to prove a password.
pub(crate) const PLUGIN: &str = "mysql_native_password";

const CONNECT_WITH_DB: u32 = 1 << 3;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
/// The end of rows is an OK.
pub(crate) const DEPRECATE_EOF: u32 = 1 << 24;

/// The capabilities of the server: the above, and long passwords and flags, the protocol of 4.1, transactions, several statements.
const CAPABILITIES: u32 = 0x0001 // long password
    | 0x0004 // long flag
    | CONNECT_WITH_DB
    | 0x0200 // protocol of 4.1
    | 0x2000 // transactions
    | SECURE_CONNECTION
    | PLUGIN_AUTH
    | CONNECT_ATTRS
    | PLUGIN_AUTH_LENENC;

/// The salt of a connection; no byte of it is zero.
pub(crate) fn salt(connection: u32) -> [u8; 20] {
    let bytes = Random::new(u64::from(connection)).bytes(20);
    std::array::from_fn(|index| 33 + bytes[index] % 90)
}

/// The first packet.
pub(crate) fn greeting(version: &str, connection: u32, capabilities: u32) -> Vec<u8> {
    let salt = salt(connection);
    let capabilities = (CAPABILITIES | capabilities).to_le_bytes();
    let mut packet = vec![10];
    packet.extend_from_slice(version.as_bytes());
    packet.push(0);
    packet.extend_from_slice(&connection.to_le_bytes());
    packet.extend_from_slice(&salt[..8]);
    packet.push(0);
    packet.extend_from_slice(&capabilities[..2]);
    packet.push(45);
    packet.extend_from_slice(&[2, 0]);
    packet.extend_from_slice(&capabilities[2..]);
    packet.push(21);
    packet.extend_from_slice(&[0; 10]);
    packet.extend_from_slice(&salt[8..]);
    packet.push(0);
    packet.extend_from_slice(PLUGIN.as_bytes());
    packet.push(0);
    packet
}

/// The packet that requests a proof with the only plugin.
pub(crate) fn switch(connection: u32) -> Vec<u8> {
    let mut packet = vec![0xfe];
    packet.extend_from_slice(PLUGIN.as_bytes());
    packet.push(0);
    packet.extend_from_slice(&salt(connection));
    packet.push(0);
    packet
}

/// The proof of a password: `SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))`.
pub(crate) fn scramble(password: &str, salt: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password.as_bytes());
    let twice = Sha1::digest(once);
    let salted = Sha1::new()
        .chain_update(salt)
        .chain_update(twice)
        .finalize();
    once.iter().zip(salted).map(|(a, b)| a ^ b).collect()
}

/// The answer of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: User,
    pub(crate) proof: Vec<u8>,
    /// Whether the proof is for [`PLUGIN`].
    pub(crate) is_native: bool,
    pub(crate) deprecate_eof: bool,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Login {
    pub(crate) fn parse(packet: &[u8]) -> io::Result<Self> {
        let mut reader = Reader(packet);
        let flags = u32::try_from(reader.number(4)?).expect("it is 4 bytes");
        let has = |flag: u32| flags & flag != 0;
        if has(SSL) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        reader.take(4 + 1 + 23)?;
        let user = User::parse(&text(reader.until_zero()));
        let proof = if has(PLUGIN_AUTH_LENENC) {
            reader.counted()?
        } else if has(SECURE_CONNECTION) {
            let length = reader.take(1)?[0];
            reader.take(usize::from(length))?
        } else {
            reader.until_zero()
        };
        if has(CONNECT_WITH_DB) {
            reader.until_zero();
        }
        let plugin = if has(PLUGIN_AUTH) {
            text(reader.until_zero())
        } else {
            PLUGIN.to_owned()
        };
        let mut attributes = BTreeMap::new();
        if has(CONNECT_ATTRS) && !reader.0.is_empty() {
            let mut pairs = Reader(reader.counted()?);
            while !pairs.0.is_empty() {
                let key = text(pairs.counted()?);
                attributes.insert(key, text(pairs.counted()?));
            }
        }
        Ok(Self {
            user,
            proof: proof.to_vec(),
            is_native: plugin == PLUGIN || plugin.is_empty(),
            deprecate_eof: has(DEPRECATE_EOF),
            attributes,
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A user of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) account: String,
    pub(crate) name: String,
}

impl User {
    /// Parses `user`, `account:user[:role]` or `account#user[#role]`, with optional labels after a question mark.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.split('?').next().unwrap_or_default();
        let mut parts = text.split([':', '#']);
        let first = parts.next().unwrap_or_default();
        let (account, name) = match parts.next() {
            Some(name) => (first, name),
            None => ("sys", first),
        };
        Self {
            account: account.to_owned(),
            name: name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_in_all_forms() {
        let of = |text| {
            let user = User::parse(text);
            format!("{}/{}", user.account, user.name)
        };
        assert_eq!(of("dump"), "sys/dump");
        assert_eq!(of("sys:dump:moadmin"), "sys/dump");
        assert_eq!(of("acc#admin#r?role=x"), "acc/admin");
        assert_eq!(of("dump?role=__MO_OB__"), "sys/dump");
    }

    #[test]
    fn proofs_equal_those_of_other_programs() {
        // python3 -c "from hashlib import sha1;p=sha1(b'111').digest();print(bytes(a^b for a,b in
        //   zip(p,sha1(b'abcdefghijklmnopqrst'+sha1(p).digest()).digest())).hex())"
        let proof = scramble("111", b"abcdefghijklmnopqrst");
        assert_eq!(
            crate::format::hex(&proof),
            "e2055448ae7579f057e861bf25b2fdd8c2cbb3e8"
        );
    }
}
