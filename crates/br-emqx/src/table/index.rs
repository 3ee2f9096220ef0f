//! The effect of an incoming table on the records of a base table.
//!
//! [`Index`] holds two hashes for each record instead of the record. The caller first adds the incoming table and then passes the records
//! of the base. Invariant: of several records with the same key the last one counts, in both tables, as on a node that writes them in
//! order.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::compare::TableChanges;
use super::item::TableKind;
use super::reader::Record;
use crate::term::{brief, encode_into, encode_ordered_key_into};

/// Most characters of a key that are shown.
const MAX_KEY_CHARS: usize = 200;

/// The hash of a key or a record: 16 bytes of SHA-256, for which even an attacker cannot find a collision.
type Fingerprint = [u8; 16];

/// What happens to a record of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays unchanged.
    Stays,
    /// The incoming table replaces it.
    Goes,
}

#[derive(Debug)]
struct IndexEntry {
    /// The last incoming record with this key.
    record: Fingerprint,
    /// The number of that record in the incoming table.
    number: u64,
    base: BaseSide,
    /// True if the base has exactly this record, so that it need not be added.
    is_there: bool,
}

/// The state of the last record of the base with the key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BaseSide {
    Absent,
    Same,
    Different,
}

/// The records of the incoming table, and whether the base has them.
#[derive(Debug)]
pub(super) struct Index {
    kind: TableKind,
    incoming: HashMap<Fingerprint, IndexEntry>,
    only_in_base: HashSet<Fingerprint>,
    records_seen: u64,
    key_limit: usize,
    incoming_keys: HashMap<Fingerprint, String>,
    kept_keys: Vec<String>,
    scratch: Vec<u8>,
}

impl Index {
    /// An index for a base table of this kind. Keeps at most `key_limit` keys of each kind of change as text.
    pub(super) fn new(kind: TableKind, key_limit: usize) -> Self {
        Self {
            kind,
            incoming: HashMap::new(),
            only_in_base: HashSet::new(),
            records_seen: 0,
            key_limit,
            incoming_keys: HashMap::new(),
            kept_keys: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds the next record of the incoming table.
    pub(super) fn add_incoming(&mut self, record: &Record<'_>) {
        let (key, fingerprint) = self.fingerprints(record);
        let entry = IndexEntry {
            record: fingerprint,
            number: self.records_seen,
            base: BaseSide::Absent,
            is_there: false,
        };
        self.incoming.insert(key, entry);
        self.records_seen += 1;
        if self.key_limit > 0 {
            self.incoming_keys
                .insert(key, brief(&record.key, MAX_KEY_CHARS));
        }
    }

    /// Decides whether the next record of the base stays.
    pub(super) fn meet_base(&mut self, record: &Record<'_>) -> Fate {
        let (key, fingerprint) = self.fingerprints(record);
        let Some(entry) = self.incoming.get_mut(&key) else {
            let is_new = self.only_in_base.insert(key);
            if is_new && self.kept_keys.len() < self.key_limit {
                self.kept_keys.push(brief(&record.key, MAX_KEY_CHARS));
            }
            return Fate::Stays;
        };
        if entry.record != fingerprint {
            entry.base = BaseSide::Different;
            return Fate::Goes;
        }
        entry.base = BaseSide::Same;
        if entry.is_there {
            Fate::Goes
        } else {
            entry.is_there = true;
            Fate::Stays
        }
    }

    /// True if the incoming record with this number must be added to the base. The number is needed because a later record may have the
    /// same key.
    pub(super) fn is_to_add(&mut self, number: u64, record: &Record<'_>) -> bool {
        let (key, _) = self.fingerprints(record);
        self.incoming
            .get(&key)
            .is_some_and(|entry| entry.number == number && !entry.is_there)
    }

    /// The counts, once both tables have been read.
    pub(super) fn changes(mut self) -> TableChanges {
        let mut changes = TableChanges {
            only_in_base: self.only_in_base.len() as u64,
            ..TableChanges::default()
        };
        let mut inserted = Vec::new();
        let mut updated = Vec::new();
        for (key, entry) in self.incoming {
            let (count, keys) = match entry.base {
                BaseSide::Same => {
                    changes.unchanged += 1;
                    continue;
                }
                BaseSide::Absent => (&mut changes.inserted, &mut inserted),
                BaseSide::Different => (&mut changes.updated, &mut updated),
            };
            *count += 1;
            if let Some(text) = self.incoming_keys.remove(&key) {
                keys.push((entry.number, text));
            }
        }
        changes.inserted_keys = first(inserted, self.key_limit);
        changes.updated_keys = first(updated, self.key_limit);
        changes.only_in_base_keys = self.kept_keys;
        changes
    }

    /// The hashes of the key and of the whole record.
    fn fingerprints(&mut self, record: &Record<'_>) -> (Fingerprint, Fingerprint) {
        let out = &mut self.scratch;
        out.clear();
        encode_into(&record.key, out);
        let exact_key = out.len();
        for value in &record.values {
            encode_into(value, out);
        }
        let whole = fingerprint(out);
        let key = match self.kind {
            TableKind::Bag => whole,
            TableKind::Set => fingerprint(out.get(..exact_key).unwrap_or_default()),
            TableKind::OrderedSet => {
                out.clear();
                encode_ordered_key_into(&record.key, out);
                fingerprint(out)
            }
        };
        (key, whole)
    }
}

fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let [fingerprint, _] = digest.as_chunks::<16>().0 else {
        return [0; 16];
    };
    *fingerprint
}

/// The texts with the lowest numbers.
fn first(mut keys: Vec<(u64, String)>, limit: usize) -> Vec<String> {
    keys.sort_unstable_by_key(|(number, _)| *number);
    keys.truncate(limit);
    keys.into_iter().map(|(_, text)| text).collect()
}
