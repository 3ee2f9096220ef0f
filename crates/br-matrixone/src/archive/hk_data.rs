//! The state of the log service: `hakeeper/hk_data`.
//!
//! [`HkData`] is a protocol buffer `BackupData { 1: uint64 NextID; 2: map<string, uint64> NextIDByKey }`. Invariant: parsing terminates for
//! all bytes, and uses no more memory than the input.

use std::collections::BTreeMap;

use super::error::{Error, Result};

/// The key that marks a cluster as initialised; without it a restored cluster initialises itself again.
const BOOTSTRAP: &str = "_mo_bootstrap";

/// The counters of a cluster at the time of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HkData {
    /// The next id that the log service assigns.
    pub next_id: u64,
    /// The next id of each separate counter, by key.
    pub next_ids: BTreeMap<String, u64>,
}

impl HkData {
    /// Reads the content of the file, without frames. Unknown fields are skipped.
    ///
    /// # Errors
    /// If it is not such a protocol buffer.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut wire = Wire(bytes);
        while let Some((field, value)) = wire.field()? {
            match (field, value) {
                (1, Value::Number(id)) => out.next_id = id,
                (2, Value::Bytes(entry)) => {
                    let (key, id) = parse_entry(entry)?;
                    out.next_ids.insert(key, id);
                }
                (1 | 2, _) => return Err(wrong("a field has another type")),
                _ => {}
            }
        }
        Ok(out)
    }

    /// Why MatrixOne would not start from this, or would initialise itself again; `None` if it is sound.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if self.next_id == 0 && self.next_ids.is_empty() {
            return Some("it has no ids: a cluster cannot start from it".to_owned());
        }
        if self.next_id == u64::MAX {
            return Some("its next id is the largest possible number".to_owned());
        }
        if let Some((key, _)) = self.next_ids.iter().find(|(_, id)| **id == u64::MAX) {
            return Some(format!(
                "the next id of {key:?} is the largest possible number"
            ));
        }
        if self.next_ids.contains_key(BOOTSTRAP) {
            None
        } else {
            Some(format!(
                "it has no {BOOTSTRAP}: a cluster restored from it would initialise itself again"
            ))
        }
    }
}

fn parse_entry(bytes: &[u8]) -> Result<(String, u64)> {
    let (mut key, mut id) = (String::new(), 0);
    let mut wire = Wire(bytes);
    while let Some((field, value)) = wire.field()? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| wrong("a key is not UTF-8"))?;
                text.clone_into(&mut key);
            }
            (2, Value::Number(number)) => id = number,
            (1 | 2, _) => return Err(wrong("a field has another type")),
            _ => {}
        }
    }
    Ok((key, id))
}

fn wrong(why: &str) -> Error {
    Error::damaged(format!("it is not what the log service writes: {why}"))
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The rest of a protocol buffer.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn field(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let len = self.number()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(wrong("a field has no known type")),
        };
        match tag >> 3 {
            0 => Err(wrong("a field has no number")),
            field => Ok(Some((field, value))),
        }
    }

    fn number(&mut self) -> Result<u64> {
        let mut out = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(wrong("a number has more than 64 bits"));
            }
            out |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(out);
            }
        }
        Err(wrong("a number does not end"))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let len = usize::try_from(len).ok();
        let parts = len.and_then(|len| self.0.split_at_checked(len));
        let (out, rest) = parts.ok_or_else(|| wrong("it is cut short"))?;
        self.0 = rest;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = b"\x08\xac\x02\x12\x11\x0a\x0d_mo_bootstrap\x10\x05";

    #[test]
    fn known_bytes_are_decoded() {
        let data = HkData::parse(GOOD).unwrap();
        assert_eq!(data.next_id, 300);
        assert_eq!(data.next_ids["_mo_bootstrap"], 5);
        assert_eq!(data.fault(), None);
    }

    #[test]
    fn faults_that_the_server_refuses_are_named() {
        assert!(
            HkData::parse(b"")
                .unwrap()
                .fault()
                .unwrap()
                .contains("no ids")
        );
        assert!(
            HkData::parse(b"\x08\x01")
                .unwrap()
                .fault()
                .unwrap()
                .contains("_mo_bootstrap")
        );
        let max = [b"\x08", &[0xff; 9][..], b"\x01"].concat();
        assert_eq!(HkData::parse(&max).unwrap().next_id, u64::MAX);
        assert!(
            HkData::parse(&max)
                .unwrap()
                .fault()
                .unwrap()
                .contains("largest")
        );
    }

    #[test]
    fn any_bytes_give_a_value_or_an_error() {
        for len in 0..GOOD.len() {
            let _ = HkData::parse(&GOOD[..len]);
            for bit in 0..8 {
                let mut bad = GOOD.to_vec();
                bad[len] ^= 1 << bit;
                let _ = HkData::parse(&bad);
            }
        }
        assert!(
            HkData::parse(&[
                0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01
            ])
            .is_err()
        );
        assert!(
            HkData::parse(&[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02
            ])
            .is_err()
        );
        assert!(HkData::parse(&[0xff; 40]).is_err());
    }
}
