//! Compression: what it is is seen from the first bytes, how it is written is asked for.
//!
//! [`decompress`] turns compressed bytes into bytes on a thread of its own, [`Compressor`] the other way round on all cores.
//! Invariant: memory is bounded whatever comes in, and no input makes more bytes than its limit allows.

mod gzip;
mod read;
mod write;

pub(crate) use read::{ReadAhead, decompress};
pub(crate) use write::Compressor;
