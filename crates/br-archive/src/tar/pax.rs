//! Extended headers of PAX: records `<length> <key>=<value>\n`.

use crate::error::{Error, Result};

/// Keys that the reader uses; it ignores all others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    /// The content has holes that the archive does not contain.
    pub(super) is_sparse: bool,
}

impl Pax {
    /// Reads all records.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (record, after) = split(rest).ok_or_else(malformed)?;
            rest = after;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = record.split_at(equals.ok_or_else(malformed)?);
            out.take(key, value.get(1..).unwrap_or_default())?;
        }
        Ok(out)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = || parse_number(value).ok_or_else(malformed);
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            // Ignores fractions and times before 1970.
            b"mtime" => {
                let whole = value.split(|byte| *byte == b'.').next();
                self.mtime = Some(whole.and_then(parse_number).unwrap_or(0));
            }
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"uname" => self.user = Some(String::from_utf8_lossy(value).into_owned()),
            b"gname" => self.group = Some(String::from_utf8_lossy(value).into_owned()),
            key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
            _ => {}
        }
        Ok(())
    }
}

/// Splits off the first record, without its length and its newline, and returns it with the rest.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let (digits, _) = bytes.split_at(space);
    let length = usize::try_from(parse_number(digits)?).ok()?;
    if length <= space + 1 || length > bytes.len() {
        return None;
    }
    let (record, after) = bytes.split_at(length);
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    Some((record, after))
}

fn parse_number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok()?;
    is_number.then(|| text.parse().ok())?
}

fn malformed() -> Error {
    Error::damaged("an extended header is malformed")
}

/// Writes one record. The length includes its own digits.
pub(super) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + digits(length) {
        length = rest + digits(length);
    }
    let mut out = format!("{length} {key}=").into_bytes();
    out.extend_from_slice(value);
    out.push(b'\n');
    out
}

const fn digits(number: usize) -> usize {
    number.ilog10() as usize + 1
}
