//! Compression of groups and frames.

use std::io::Read as _;

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, DParameter};

use super::{FormatError, limits};

/// How bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// As they are.
    Raw,
    /// One zstd frame.
    Zstd,
    /// One zstd frame with other chunks as prefix.
    ZstdDelta,
}

impl Codec {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
            Self::ZstdDelta => 2,
        }
    }

    pub(super) const fn from_byte(byte: u8) -> Result<Self, FormatError> {
        match byte {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::ZstdDelta),
            _ => Err(FormatError::Unknown("codec")),
        }
    }
}

/// The zstd level of metadata; groups have one of their own.
const FRAME_LEVEL: i32 = 3;
/// The largest window a delta may need: its prefix and itself.
const WINDOW_LOG_MAX: u32 = 27;
/// The smallest that is of use.
const WINDOW_LOG_MIN: u32 = 17;

/// Compresses a frame's payload when that helps.
pub(super) fn compress_frame(payload: &[u8]) -> (Codec, Vec<u8>) {
    Compressor::new(FRAME_LEVEL).compress(payload)
}

/// A compressor with its working memory, to be used many times.
pub(crate) struct Compressor {
    context: CCtx<'static>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    pub(crate) fn new(level: i32) -> Self {
        let mut context = CCtx::create();
        context
            .set_parameter(CParameter::CompressionLevel(level))
            .expect("zstd clamps levels to those it has");
        // The lengths are in the pack table, checksums in the tag: a frame needs neither.
        context
            .set_parameter(CParameter::ContentSizeFlag(false))
            .expect("a boolean");
        context
            .set_parameter(CParameter::ChecksumFlag(false))
            .expect("a boolean");
        Self { context }
    }

    /// Compresses, and keeps the bytes as they are when that would not make them at least 2 % shorter.
    pub(crate) fn compress(&mut self, raw: &[u8]) -> (Codec, Vec<u8>) {
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(raw.len()));
        let worth = raw.len() - raw.len() / 50;
        match self.context.compress2(&mut out, raw) {
            Ok(_) if out.len() < worth => {
                // A compressed group waits for its pack: do not hold the unused half of its buffer meanwhile.
                out.shrink_to_fit();
                (Codec::Zstd, out)
            }
            _ => (Codec::Raw, raw.to_vec()),
        }
    }
}

/// Compresses with other bytes as prefix, which unpacking needs as well; `None` when there is no memory for it.
pub(crate) fn compress_delta(level: i32, prefix: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    // A frame that begins in the prefix reaches back to its start.
    let reach = (prefix.len() + raw.len()).next_power_of_two();
    let window = reach.trailing_zeros().clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX);
    let mut context = CCtx::create();
    let set = [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(window),
        // Of a prefix zstd looks at no more than eight bytes for each place in its table.
        CParameter::HashLog(window.saturating_sub(2).clamp(15, 20)),
        CParameter::ContentSizeFlag(false),
        CParameter::ChecksumFlag(false),
    ];
    for parameter in set {
        context.set_parameter(parameter).ok()?;
    }
    context.ref_prefix(prefix).ok()?;
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(raw.len()));
    context.compress2(&mut out, raw).ok()?;
    out.shrink_to_fit();
    Some(out)
}

/// Unpacks a zstd frame that must hold exactly `raw_len` bytes.
pub(crate) fn decompress(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, FormatError> {
    if raw_len as u64 <= limits::GROUP_RAW {
        return decompress_delta(stored, &[], raw_len);
    }
    // Memory grows with what really comes out, not with what a damaged head claims.
    let mut out = Vec::new();
    let limit = raw_len as u64 + 1;
    zstd::stream::Decoder::new(stored)
        .and_then(|decoder| decoder.take(limit).read_to_end(&mut out))
        .map_err(|_| FormatError::Malformed("its compressed data is damaged"))?;
    if out.len() == raw_len {
        Ok(out)
    } else {
        Err(FormatError::Malformed("it unpacks to another length"))
    }
}

/// Unpacks a zstd frame made with `prefix`, exactly `raw_len` bytes.
pub(crate) fn decompress_delta(
    stored: &[u8],
    prefix: &[u8],
    raw_len: usize,
) -> Result<Vec<u8>, FormatError> {
    thread_local! {
        static CONTEXT: std::cell::RefCell<DCtx<'static>> = std::cell::RefCell::new(DCtx::create());
    }
    let mut out = Vec::with_capacity(raw_len);
    let result = if prefix.is_empty() {
        CONTEXT.with_borrow_mut(|context| context.decompress(&mut out, stored))
    } else {
        let mut context = DCtx::create();
        let ready = context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .and_then(|_| context.ref_prefix(prefix));
        ready.and_then(|_| context.decompress(&mut out, stored))
    };
    match result {
        Ok(len) if len == raw_len => Ok(out),
        Ok(_) => Err(FormatError::Malformed("it unpacks to another length")),
        Err(_) => Err(FormatError::Malformed("its compressed data is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_shrink_is_kept_as_it_is() {
        let noise: Vec<u8> = (0..10_000u64)
            .flat_map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes())
            .collect();
        let mut compressor = Compressor::new(3);
        assert_eq!(compressor.compress(&noise), (Codec::Raw, noise));
        let (codec, stored) = compressor.compress(&[b'a'; 100_000]);
        assert_eq!(codec, Codec::Zstd);
        assert_eq!(decompress(&stored, 100_000).unwrap(), [b'a'; 100_000]);
        assert!(decompress(&stored, 99_999).is_err() && decompress(&stored, 100_001).is_err());
    }

    #[test]
    fn a_delta_needs_its_prefix() {
        let base: Vec<u8> = (0..4000u64)
            .flat_map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes())
            .collect();
        let mut new = base.clone();
        new[50_000] ^= 1;
        let stored = compress_delta(3, &base, &new).unwrap();
        assert!(stored.len() < 1000, "{}", stored.len());
        assert_eq!(decompress_delta(&stored, &base, new.len()).unwrap(), new);
        assert_ne!(decompress_delta(&stored, &base[1..], new.len()), Ok(new));
    }
}
