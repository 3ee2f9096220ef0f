//! Compression and decompression. The reader detects the format from the first bytes; the caller of the writer chooses it.
//!
//! [`decompress`] decompresses on a separate thread, [`Compressor`] compresses on all cores. Invariant: memory is bounded for every input,
//! and no input decompresses to more bytes than its limit allows.

mod gzip;
mod read;
mod write;

pub(crate) use read::{ReadAhead, decompress};
pub(crate) use write::Compressor;
