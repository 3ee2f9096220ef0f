//! Decoders for fuzzing: any bytes give a value or an error. Not part of the library's interface.

use crate::format::{
    self, Cipher, Config, KeySlot, LogRecord, MasterKey, ObjectKind, PackTable, SealedObject,
    Segment, limits,
};
use crate::model::ObjectId;

/// A log entry without its envelope.
pub fn log_entry(bytes: &[u8]) {
    let _ = LogRecord::from_json(bytes);
}

/// An index segment without its envelope.
pub fn segment(bytes: &[u8]) {
    if let Ok(segment) = Segment::decode(bytes) {
        let _ = segment.into_parts();
    }
}

/// A manifest's description, and its reference set.
pub fn manifest(bytes: &[u8]) {
    let _ = format::backup_from_json(bytes);
    let _ = format::decode_references(bytes);
}

/// Nodes of the entry tree and lists of chunks.
pub fn node(bytes: &[u8]) {
    let _ = format::decode_leaf(bytes);
    let _ = format::decode_list(bytes);
    for level in 1..3 {
        let _ = format::decode_node(level, bytes);
    }
}

/// Configuration and key slot.
pub fn document(bytes: &[u8]) {
    let _ = Config::from_bytes(bytes);
    let _ = KeySlot::from_bytes(bytes);
}

/// The end of a pack.
pub fn footer(bytes: &[u8]) {
    let object = SealedObject::new(
        &MasterKey::public(),
        Cipher::None,
        ObjectKind::Pack,
        ObjectId([0; 16]),
    );
    if PackTable::read_trailer(bytes).is_ok() {
        let _ = PackTable::read_footer(&object, bytes, bytes.len() as u64);
    }
}

/// An object of frames, of any kind.
pub fn object(bytes: &[u8]) {
    let (master, cipher) = (MasterKey::public(), Cipher::None);
    for kind in [ObjectKind::Log, ObjectKind::Segment, ObjectKind::Manifest] {
        let _ = format::read_object::<1>(&master, cipher, kind, bytes, limits::SEGMENT);
    }
}

/// Groups that unpack to this many bytes.
pub fn group(bytes: &[u8]) {
    let Some((len, stored)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let len = u32::from_le_bytes(*len) as usize % (limits::GROUP_RAW as usize);
    let _ = format::decompress(stored, len);
}
