//! Compression of groups and frames.

use std::io::Read as _;

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, DParameter};

use super::{FormatError, limits};

/// How the bytes of a group or frame are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Uncompressed.
    Raw,
    /// One zstd frame.
    Zstd,
    /// One zstd frame that uses other chunks as its prefix.
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

/// The zstd level of metadata; groups have a separate level.
const FRAME_LEVEL: i32 = 3;
/// Maximum window of a delta: its prefix and its own bytes.
const WINDOW_LOG_MAX: u32 = 27;
/// Minimum useful window.
const WINDOW_LOG_MIN: u32 = 17;

/// Compresses a frame's payload if that makes it shorter.
pub(super) fn compress_frame(payload: &[u8]) -> (Codec, Vec<u8>) {
    Compressor::new(FRAME_LEVEL).compress(payload)
}

/// A compressor with reusable working memory.
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
        // The pack table has the lengths, and the tag is a checksum, so a frame needs neither.
        context
            .set_parameter(CParameter::ContentSizeFlag(false))
            .expect("a boolean");
        context
            .set_parameter(CParameter::ChecksumFlag(false))
            .expect("a boolean");
        Self { context }
    }

    /// Compresses, but keeps the raw bytes if compression saves less than 2 %.
    pub(crate) fn compress(&mut self, raw: &[u8]) -> (Codec, Vec<u8>) {
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(raw.len()));
        let worth = raw.len() - raw.len() / 50;
        match self.context.compress2(&mut out, raw) {
            Ok(_) if out.len() < worth => {
                // A compressed group waits for its pack: free the unused part of its buffer.
                out.shrink_to_fit();
                (Codec::Zstd, out)
            }
            _ => (Codec::Raw, raw.to_vec()),
        }
    }
}

/// Compresses with `prefix`, which decompression needs as well; `None` when zstd reports an error, such as lack of memory.
pub(crate) fn compress_delta(level: i32, prefix: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    // The window must reach from the end of the frame back to the start of the prefix.
    let reach = (prefix.len() + raw.len()).next_power_of_two();
    let window = reach.trailing_zeros().clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX);
    let mut context = CCtx::create();
    let set = [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(window),
        // zstd indexes at most eight bytes of a prefix per entry of its hash table.
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

/// Decompresses a zstd frame that must contain exactly `raw_len` bytes.
pub(crate) fn decompress(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, FormatError> {
    if raw_len as u64 <= limits::GROUP_RAW {
        return decompress_delta(stored, &[], raw_len);
    }
    // Allocate memory for the bytes that are decompressed, not for the length that a damaged header claims.
    let mut out = Vec::new();
    let limit = raw_len as u64 + 1;
    zstd::stream::Decoder::new(stored)
        .and_then(|decoder| decoder.take(limit).read_to_end(&mut out))
        .map_err(|_| FormatError::Malformed("its compressed data is damaged"))?;
    if out.len() == raw_len {
        Ok(out)
    } else {
        Err(FormatError::Malformed("its uncompressed length is wrong"))
    }
}

/// Decompresses a zstd frame made with `prefix`, which must contain exactly `raw_len` bytes.
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
        Ok(_) => Err(FormatError::Malformed("its uncompressed length is wrong")),
        Err(_) => Err(FormatError::Malformed("its compressed data is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_compressed_only_if_it_shrinks() {
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
