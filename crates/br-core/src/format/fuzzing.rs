//! The decoders, for fuzzing: each takes any bytes and gives a value or an error. Not part of the library's interface.
//!
//! [`DECODERS`] has one function for each decoder of `format`; `fuzz/fuzz_targets` has a target for each of them. Where bytes carry a
//! checksum, the function also computes it, so that a fuzzer reaches the code behind it. A value that was decoded must be the same after
//! encoding and decoding.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::config::with_checksum;
use super::envelope::FRAME_HEAD_LEN;
use super::{
    Child, Cipher, Codec, Config, Group, JournalRecord, KdfCost, KeySlot, Keyring, LeafBuilder,
    LogEntry, LogRecord, MasterKey, ObjectKind, PackContent, PackEntry, PackTable, ReadingKey,
    SealedObject, Segment, SegmentBuilder, SenderKey, SlotLock, StoreConfig, limits,
};
use crate::model::{
    Backup, BackupId, BackupKind, Changes, ChunkId, ChunkRef, Configuration, ConfigurationFile,
    ConfiguredRepository, Content, Entry, EntryKind, EntryPath, FileContent, FileTime, KeyId,
    ObjectId, Origin, Owner, PackId, Proof, ProofMethod, References, RepositoryId, SegmentId,
    StreamRecord, Totals, TreeRoot, Xattr,
};

/// A decoder and the name of its target.
pub type Decoder = (&'static str, fn(&[u8]));

/// All decoders, in the order of the format document.
pub const DECODERS: [Decoder; 14] = [
    ("config", config),
    ("keyslot", keyslot),
    ("envelope", envelope),
    ("group", group),
    ("delta", delta),
    ("pack", pack),
    ("segment", segment),
    ("leaf", leaf),
    ("list", list),
    ("node", node),
    ("manifest", manifest),
    ("references", references),
    ("log_entry", log_entry),
    ("journal", journal),
];

/// The configuration, `br.json`.
pub fn config(bytes: &[u8]) {
    let _ = Config::from_bytes(bytes);
    if let Some(bytes) = sound(bytes)
        && let Ok(config) = Config::from_bytes(&bytes)
    {
        assert_eq!(Config::from_bytes(&config.to_bytes()), Ok(config));
    }
}

/// A key slot. Does not derive the key, which takes as much time and memory as the slot says.
pub fn keyslot(bytes: &[u8]) {
    let _ = KeySlot::from_bytes(bytes);
    if let Some(bytes) = sound(bytes)
        && let Ok(slot) = KeySlot::from_bytes(&bytes)
    {
        KeySlot::from_bytes(&slot.to_bytes()).expect("an encoded key slot is sound");
    }
}

/// A document with the right checksum.
fn sound(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    value.as_object_mut()?.remove("checksum");
    Some(with_checksum(value))
}

/// Header and frames of an object, with any checksums and with right ones.
pub fn envelope(bytes: &[u8]) {
    for cipher in [Cipher::None, Cipher::Aes256Gcm] {
        for kind in [
            ObjectKind::Pack,
            ObjectKind::Segment,
            ObjectKind::Manifest,
            ObjectKind::Log,
            ObjectKind::Journal,
        ] {
            let _ =
                super::read_object::<2>(&Keyring::public(), cipher, kind, bytes, limits::SEGMENT);
        }
        let Some((head, stored)) = bytes.split_first_chunk::<FRAME_HEAD_LEN>() else {
            continue;
        };
        let mut head = *head;
        head[8..].copy_from_slice(&(stored.len() as u32).to_le_bytes());
        let object = object(ObjectKind::Log, cipher);
        let mut frame = Vec::new();
        object.seal_frame(0, &head, stored.to_vec(), &mut frame);
        let _ = object.read_frame(0, &frame, limits::LOG_ENTRY);
    }
}

/// A group that is not a delta. The first four bytes are the length that it claims.
pub fn group(bytes: &[u8]) {
    if let Some((len, stored)) = bytes.split_first_chunk() {
        let _ = super::decompress(stored, claimed(*len));
    }
}

/// A delta. The first four bytes are the length that it claims, the next two the length of its bases.
pub fn delta(bytes: &[u8]) {
    if let Some((len, rest)) = bytes.split_first_chunk()
        && let Some((prefix_len, rest)) = rest.split_first_chunk()
        && let Some((prefix, stored)) =
            rest.split_at_checked(u16::from_le_bytes(*prefix_len).into())
    {
        let _ = super::decompress_delta(stored, prefix, claimed(*len));
    }
}

/// The length of a group that a pack table may claim.
const fn claimed(len: [u8; 4]) -> usize {
    u32::from_le_bytes(len) as usize % (limits::GROUP_RAW as usize + 1)
}

/// The end of a pack, and the table in its footer.
pub fn pack(bytes: &[u8]) {
    let object = object(ObjectKind::Pack, Cipher::None);
    if PackTable::read_trailer(bytes).is_ok() {
        let _ = PackTable::read_footer(&object, bytes, bytes.len() as u64);
    }
    if let Ok((table, ids)) = PackTable::decode_footer(bytes) {
        let mut end = Vec::new();
        table.write_footer(&ids, &object, &mut end);
        let len = table.groups_end() + end.len() as u64;
        assert_eq!(table.offsets().count(), table.groups.len());
        assert_eq!(PackTable::read_footer(&object, &end, len), Ok((table, ids)));
    }
}

/// An index segment without its envelope.
pub fn segment(bytes: &[u8]) {
    if let Ok(segment) = Segment::decode(bytes) {
        assert_eq!(Segment::decode(&segment.encode()), Ok(segment.clone()));
        let tables = (segment.packs.clone(), segment.moves.clone());
        assert_eq!(Segment::decode_tables(bytes), Ok(tables));
        let _ = segment.into_parts();
    }
}

/// A leaf of the entry tree.
pub fn leaf(bytes: &[u8]) {
    if let Ok(leaf) = super::decode_leaf(bytes)
        && leaf.lists.is_empty()
    {
        let mut builder = LeafBuilder::default();
        leaf.entries
            .iter()
            .for_each(|entry| builder.push(entry, &[]));
        assert_eq!(super::decode_leaf(&builder.finish()), Ok(leaf));
    }
}

/// A list of chunks.
pub fn list(bytes: &[u8]) {
    if let Ok(chunks) = super::decode_list(bytes) {
        let again = super::decode_list(&super::encode_list(&chunks));
        assert_eq!(again, Ok(chunks));
    }
}

/// An inner node of the entry tree, at the level that its first byte claims.
pub fn node(bytes: &[u8]) {
    let level = bytes.first().copied().unwrap_or(1);
    if let Ok(children) = super::decode_node(level, bytes) {
        let again = super::decode_node(level, &super::encode_node(level, &children));
        assert_eq!(again, Ok(children));
    }
}

/// The description of a backup.
pub fn manifest(bytes: &[u8]) {
    if let Ok(backup) = super::backup_from_json(bytes) {
        super::backup_from_json(&super::backup_to_json(&backup))
            .expect("an encoded description is sound");
    }
}

/// The reference set of a backup.
pub fn references(bytes: &[u8]) {
    if let Ok(references) = super::decode_references(bytes) {
        let again = super::decode_references(&super::encode_references(&references));
        assert_eq!(again, Ok(references));
    }
}

/// A log entry of any type, without its envelope.
pub fn log_entry(bytes: &[u8]) {
    if let Ok(record) = LogRecord::from_json(bytes) {
        LogRecord::from_json(&record.to_json()).expect("an encoded log entry is sound");
    }
}

/// A record of the journal, without its frame.
pub fn journal(bytes: &[u8]) {
    let _ = JournalRecord::decode(bytes);
}

fn object(kind: ObjectKind, cipher: Cipher) -> SealedObject {
    SealedObject::new(&Keyring::public(), cipher, kind, ObjectId([0; 16]))
}

/// Sound inputs to start from, each with the name of its target.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = vec![
        ("list", super::encode_list(&[chunk(1, 70), chunk(2, 10)])),
        ("leaf", sample_leaf()),
        ("journal", JournalRecord::encode_leaf(&sample_leaf())),
        ("journal", JournalRecord::encode_packs(&[PackId([1; 16])])),
        ("journal", JournalRecord::encode_started(1_767_323_045_678)),
        ("manifest", super::backup_to_json(&sample_backup())),
        ("node", sample_node()),
    ];
    seeds.extend(sample_documents());
    seeds.extend(sample_packs());
    seeds.extend(sample_groups());
    seeds.extend(sample_log());
    let mut references = References::default();
    for slot in (0..100).chain([70_000, 80_000]) {
        references.insert(PackId([1; 16]), slot);
    }
    references.insert(PackId([2; 16]), 7);
    seeds.push(("references", super::encode_references(&references)));
    seeds
}

const fn chunk(byte: u8, len: u32) -> ChunkRef {
    ChunkRef {
        id: ChunkId([byte; 32]),
        len,
    }
}

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).expect("the paths of the samples are sound")
}

const TOTALS: Totals = Totals {
    entries: 4,
    files: 2,
    directories: 1,
    bytes: 80,
};

fn sample_documents() -> Vec<(&'static str, Vec<u8>)> {
    let id = RepositoryId(uuid::Uuid::from_u128(7));
    let store = StoreConfig::default();
    let config = Config::new(id, Timestamp::UNIX_EPOCH, Cipher::Aes256Gcm, store).to_bytes();
    let cost = KdfCost {
        memory_kib: 8,
        passes: 1,
    };
    let secrets = ([1; 16], [2; 12]);
    let made = ("first", Timestamp::UNIX_EPOCH, false);
    let reading = vec![ReadingKey::of_secret([3; 32])];
    let reading = Keyring::new(vec![MasterKey::public()], reading).expect("one of each is sound");
    let lock = SlotLock::Password(b"p", cost);
    let slots = [Keyring::public(), reading.write_only(), reading].map(|keys| {
        let slot = KeySlot::wrap(&keys, &config, lock, made, secrets);
        slot.expect("the samples are sound").to_bytes()
    });
    let slots = slots.into_iter().map(|slot| ("keyslot", slot));
    std::iter::once(("config", config.clone()))
        .chain(slots)
        .collect()
}

fn sample_leaf() -> Vec<u8> {
    let chunks = FileContent {
        size: 80,
        content: Content::Chunks(vec![chunk(1, 70), chunk(2, 10)]),
        sha256: Some([9; 32]),
        ..FileContent::default()
    };
    let inline = FileContent {
        size: 2,
        content: Content::Inline(b"hi"[..].into()),
        ..FileContent::default()
    };
    let mut leaf = LeafBuilder::default();
    for (name, kind) in [
        ("a", EntryKind::Directory),
        ("a/b", EntryKind::File(chunks)),
        ("a/c", EntryKind::File(inline)),
        ("b", EntryKind::Symlink(b"../a"[..].into())),
    ] {
        let entry = Entry {
            path: path(name),
            kind,
            mode: 0o755,
            owner: Arc::new(Owner {
                uid: 1000,
                gid: 100,
                user: "ann".to_owned(),
                group: String::new(),
            }),
            mtime: FileTime { secs: -5, nanos: 1 },
            ctime: FileTime { secs: 9, nanos: 0 },
            inode: 7,
            xattrs: vec![Xattr {
                name: b"user.a".to_vec(),
                value: b"\0\xff".to_vec(),
            }],
            link_group: Some(1),
        };
        leaf.push(&entry, &[]);
    }
    leaf.finish()
}

fn sample_node() -> Vec<u8> {
    let child = |first: &str, byte| Child {
        first: path(first),
        node: chunk(byte, 9),
        totals: TOTALS,
    };
    super::encode_node(1, &[child("", 1), child("a/b", 2), child("a/c", 3)])
}

fn sample_backup() -> Backup {
    Backup {
        id: BackupId(uuid::Uuid::from_u128(1)),
        kind: BackupKind::Incremental,
        base: Some(BackupId(uuid::Uuid::from_u128(2))),
        origin: Some(Origin::new("files".to_owned().into())),
        host: "h".to_owned(),
        user: "ann".to_owned(),
        paths: vec![b"/a\xff".to_vec()],
        folder: b"/".to_vec(),
        tags: vec!["t".to_owned()],
        started: Timestamp::UNIX_EPOCH,
        finished: Timestamp::UNIX_EPOCH,
        tree: Some(TreeRoot {
            node: chunk(1, 9),
            height: 1,
        }),
        totals: TOTALS,
        changes: Changes::default(),
        unread: Vec::new(),
        unread_count: 0,
        program: "br".to_owned(),
        note: Some("n".to_owned()),
        pinned: true,
        proven: Some(Proof::new(Timestamp::UNIX_EPOCH, ProofMethod::Check)),
        damaged: Some(Timestamp::UNIX_EPOCH),
        copy_of: Some(BackupId(uuid::Uuid::from_u128(3))),
        rewrite_of: Some(BackupId(uuid::Uuid::from_u128(4))),
        configuration: Some(
            Configuration::new("home", "Linux")
                .with_files(vec![ConfigurationFile::new(
                    "/etc/br/br.toml".to_owned(),
                    "[defaults]".to_owned(),
                    vec!["proxy".to_owned()],
                )])
                .with_repositories(vec![ConfiguredRepository::new(
                    "main".to_owned(),
                    "/srv/backup".to_owned(),
                )]),
        ),
        streams: vec![
            StreamRecord::new("shop.sql")
                .with_program(Some("mysqldump".to_owned()))
                .with_server(Some("MariaDB".to_owned()))
                .with_end_mark(Some("-- Dump completed".to_owned()))
                .with_position(Some("CHANGE MASTER TO".to_owned()))
                .with_compression(Some("gzip".to_owned()))
                .with_messages("m".to_owned()),
        ],
    }
}

/// A group, a delta and a compressed frame.
fn sample_groups() -> Vec<(&'static str, Vec<u8>)> {
    let raw = b"content content content content content content content content";
    let len = (raw.len() as u32).to_le_bytes();
    let (codec, stored) = super::Compressor::new(3).compress(raw);
    let prefix = &raw[..40];
    let prefix_len = (prefix.len() as u16).to_le_bytes();
    let delta = super::compress_delta(3, prefix, raw).unwrap_or_default();
    let head = [[codec.byte(), 0, 0, 0], len, [0; 4]].concat();
    let log = object(ObjectKind::Log, Cipher::None);
    vec![
        ("group", [&len[..], &stored].concat()),
        ("delta", [&len[..], &prefix_len, prefix, &delta].concat()),
        ("envelope", [&head[..], &stored].concat()),
        ("envelope", super::write_object(&log, &[b"one", b"two"])),
    ]
}

/// A pack's end, its table, and a segment that has it.
fn sample_packs() -> Vec<(&'static str, Vec<u8>)> {
    let ids = [1, 2, 3].map(|byte| ChunkId([byte; 32]));
    let group = |codec, bases, lengths: &[u32]| Group {
        codec,
        stored_len: 80,
        raw_len: lengths.iter().sum(),
        bases,
        lengths: lengths.to_vec(),
    };
    let table = PackTable {
        content: PackContent::Data,
        sender: Some(SenderKey([8; 32])),
        groups: vec![
            group(Codec::Raw, Vec::new(), &[70, 10]),
            group(Codec::ZstdDelta, vec![ids[0]], &[90]),
        ],
    };
    let mut end = Vec::new();
    table.write_footer(&ids, &object(ObjectKind::Pack, Cipher::None), &mut end);
    let mut payload = Vec::new();
    table.encode(&mut payload);
    payload.extend(ids.iter().flat_map(ChunkId::as_bytes));
    let mut segment = SegmentBuilder::default();
    let (id, len) = (PackId([1; 16]), table.groups_end() + end.len() as u64);
    segment.add(PackEntry { id, len, table }, &ids);
    segment.add_move(super::Move {
        from: PackId([2; 16]),
        to: id,
        first: 1,
        slots: vec![3, 5],
    });
    vec![
        ("pack", end),
        ("pack", payload),
        ("segment", segment.build().encode()),
    ]
}

/// A log entry of each type.
fn sample_log() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let (packs, segments) = (vec![PackId([1; 16])], vec![SegmentId([1; 16])]);
    let backup = Arc::new(sample_backup());
    let damaged = vec![super::DamagedPack {
        pack: packs[0],
        groups: vec![0, 3],
    }];
    let entries = [
        LogEntry::Commit {
            backup: Arc::clone(&backup),
            after: Some(super::Predecessor::Backup(BackupId(uuid::Uuid::from_u128(
                2,
            )))),
            segments_added: segments.clone(),
            segments_removed: Vec::new(),
        },
        LogEntry::Delete {
            backups: vec![BackupId(uuid::Uuid::from_u128(1))],
        },
        LogEntry::Condemn {
            packs: packs.clone(),
            segments_added: segments.clone(),
            segments_removed: segments.clone(),
        },
        LogEntry::Swept {
            packs: packs.clone(),
        },
        LogEntry::Reindex {
            segments_added: segments.clone(),
            segments_removed: segments.clone(),
            damaged: damaged.clone(),
            proven: Some(super::ProvenBackups {
                time: Timestamp::UNIX_EPOCH,
                by: "check".to_owned(),
                backups: vec![BackupId(uuid::Uuid::from_u128(1))],
            }),
            examined: Some(super::ExaminedBackups {
                time: Timestamp::UNIX_EPOCH,
                damaged: vec![BackupId(uuid::Uuid::from_u128(1))],
                sound: vec![BackupId(uuid::Uuid::from_u128(2))],
            }),
            keys_removed: vec![KeyId([4; 16])],
        },
        LogEntry::Checkpoint {
            backups: vec![backup],
            segments,
            condemned: packs,
            damaged,
            keys_removed: vec![KeyId([4; 16])],
        },
    ];
    (1..).zip(entries).map(|(seq, entry)| {
        let record = LogRecord {
            seq,
            previous: "0".repeat(64),
            time: Timestamp::UNIX_EPOCH,
            program: "br".to_owned(),
            entry,
        };
        ("log_entry", record.to_json())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(target: &str, bytes: &[u8]) {
        let (_, decode) = DECODERS.iter().find(|(name, _)| *name == target).unwrap();
        decode(bytes);
    }

    #[test]
    fn every_decoder_has_a_seed() {
        let seeds = seeds();
        for (name, _) in DECODERS {
            assert!(seeds.iter().any(|(target, _)| *target == name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn decoders_return_for_damaged_seeds(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut: Option<prop::sample::Index>,
        ) {
            for (target, mut bytes) in seeds() {
                for (at, value) in &damage {
                    let at = at.index(bytes.len());
                    bytes[at] = *value;
                }
                if let Some(cut) = cut {
                    bytes.truncate(cut.index(bytes.len()));
                }
                run(target, &bytes);
            }
        }

        #[test]
        fn decoders_return_for_any_bytes(bytes: Vec<u8>) {
            DECODERS.iter().for_each(|(_, decode)| decode(&bytes));
        }
    }
}
