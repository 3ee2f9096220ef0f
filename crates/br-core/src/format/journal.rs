//! Records of the journal (section 11).

use super::FormatError;
use super::bytes::{Decoder, put_zigzag};
use super::leaf::decode_leaf;
use crate::model::{Entry, PackId};

/// A record of the journal.
#[derive(Debug)]
pub(crate) enum JournalRecord {
    /// Packs that were stored.
    Packs(Vec<PackId>),
    /// Finished entries, in order.
    Entries(Vec<Entry>),
    /// Start of the backup, in milliseconds since 1970.
    Started(i64),
}

impl JournalRecord {
    pub(crate) fn encode_packs(packs: &[PackId]) -> Vec<u8> {
        let mut out = vec![0];
        packs
            .iter()
            .for_each(|pack| out.extend_from_slice(pack.as_bytes()));
        out
    }

    pub(crate) fn encode_started(millis: i64) -> Vec<u8> {
        let mut out = vec![2];
        put_zigzag(&mut out, millis);
        out
    }

    pub(crate) fn encode_leaf(leaf: &[u8]) -> Vec<u8> {
        [&[1], leaf].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut read = Decoder::new(bytes);
        match read.u8()? {
            0 => {
                let mut packs = Vec::new();
                while !read.rest().is_empty() {
                    packs.push(PackId(read.array()?));
                }
                Ok(Self::Packs(packs))
            }
            1 => decode_leaf(read.rest()).map(|leaf| Self::Entries(leaf.entries)),
            2 => read.zigzag().map(Self::Started),
            _ => Err(FormatError::Unknown("record of the journal")),
        }
    }
}
