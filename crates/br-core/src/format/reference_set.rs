//! The reference set of a backup: which chunks of which packs it uses (section 7).

use roaring::RoaringBitmap;

use super::bytes::{Decoder, put_bytes, put_varint};
use super::{FormatError, limits};
use crate::model::{PackId, References};

pub(crate) fn encode_references(references: &References) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, references.iter().len() as u64);
    for (pack, slots) in references.iter() {
        let mut bitmap = Vec::with_capacity(slots.serialized_size());
        slots
            .serialize_into(&mut bitmap)
            .expect("writing to memory does not fail");
        out.extend_from_slice(pack.as_bytes());
        put_bytes(&mut out, &bitmap);
    }
    out
}

pub(crate) fn decode_references(bytes: &[u8]) -> Result<References, FormatError> {
    let mut read = Decoder::new(bytes);
    let mut references = References::default();
    for _ in 0..read.count(u64::MAX, "packs")? {
        let pack = PackId(read.array()?);
        let bitmap = read.bytes(limits::MANIFEST, "bytes of bitmap")?;
        let slots = decode_slots(bitmap)?;
        references.insert_slots(pack, &slots);
    }
    read.finish()?;
    Ok(references)
}

/// Reads a bitmap. Refuses one with more containers than the slots of a pack can fill, because a container of a few bytes may decode to
/// kilobytes.
fn decode_slots(bitmap: &[u8]) -> Result<RoaringBitmap, FormatError> {
    /// The first 16 bits of a bitmap with runs; the next 16 bits are the number of containers minus one.
    const WITH_RUNS: u16 = 12_347;
    /// Slots per container.
    const PART: u64 = 1 << 16;
    let mut head = Decoder::new(bitmap);
    let cookie = head.u32()?;
    let parts = match (cookie & 0xffff) as u16 {
        WITH_RUNS => (cookie >> 16) + 1,
        _ => head.u32()?,
    };
    let limit = limits::PACK_CHUNKS / PART;
    if u64::from(parts) > limit {
        let what = "parts of a bitmap";
        return Err(FormatError::Limit { what, limit });
    }
    let damaged = FormatError::Malformed("a bitmap is damaged");
    let mut rest = bitmap;
    let slots = RoaringBitmap::deserialize_from(&mut rest).map_err(|_| damaged.clone())?;
    let most = slots.max().unwrap_or_default();
    if rest.is_empty() && u64::from(most) < limits::PACK_CHUNKS {
        Ok(slots)
    } else {
        Err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_come_back() {
        let mut references = References::default();
        references.insert_all(PackId([2; 16]), 70_000);
        references.insert(PackId([1; 16]), 5);
        let bytes = encode_references(&references);
        assert!(bytes.len() < 200, "{} bytes", bytes.len());
        assert_eq!(decode_references(&bytes).unwrap(), references);
    }

    /// A run of 65,536 slots is stored in eight bytes, and 65,536 such runs would decode to half a gigabyte.
    #[test]
    fn a_bitmap_of_more_slots_than_a_pack_has_is_refused() {
        let mut slots = RoaringBitmap::new();
        slots.insert_range(0..=u32::MAX);
        let mut references = References::default();
        references.insert_slots(PackId([1; 16]), &slots);
        let bytes = encode_references(&references);
        let error = decode_references(&bytes).unwrap_err();
        assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
        let mut references = References::default();
        references.insert_all(PackId([1; 16]), limits::PACK_CHUNKS as u32);
        assert_eq!(
            decode_references(&encode_references(&references)).unwrap(),
            references
        );
        references.insert(PackId([1; 16]), limits::PACK_CHUNKS as u32 - 1);
        assert!(decode_references(&encode_references(&references)).is_ok());
        references.insert(PackId([1; 16]), limits::PACK_CHUNKS as u32);
        assert!(decode_references(&encode_references(&references)).is_err());
    }

    proptest! {
        #[test]
        fn damaged_references_give_an_answer(at: prop::sample::Index, value: u8) {
            let mut references = References::default();
            (0..300).step_by(7).for_each(|slot| references.insert(PackId([1; 16]), slot));
            let mut bytes = encode_references(&references);
            let at = at.index(bytes.len());
            bytes[at] = value;
            let _ = decode_references(&bytes);
        }
    }
}
