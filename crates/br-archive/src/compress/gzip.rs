//! The gzip format as gzp's threads make it, block by block.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use gzp::check::Crc32;
use gzp::deflate::Gzip;
use gzp::{FormatSpec, GzpError};

/// An empty block of deflate. It means nothing, and may stand between any two others.
const NOTHING: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Most bytes that one compressed byte becomes. Readers take more for a bomb, so what compresses better is padded.
const MAX_RATIO: usize = 200;

/// Where a gzip header says which system made it, and the number for Unix.
const SYSTEM: (usize, u8) = (9, 3);

/// Gzip as erl_tar and most others write it: one member, `3` (Unix) as its system. Each block knows the end of the one before it,
/// as in pigz, so that cutting into blocks costs next to nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnixGzip(Gzip);

impl FormatSpec for UnixGzip {
    type C = Crc32;
    type Compressor = Compress;

    fn new() -> Self {
        Self(Gzip::new())
    }

    fn needs_dict(&self) -> bool {
        true
    }

    fn create_compressor(&self, level: Compression) -> Result<Compress, GzpError> {
        self.0.create_compressor(level)
    }

    fn encode(
        &self,
        input: &[u8],
        compressor: &mut Compress,
        level: Compression,
        dictionary: Option<&Bytes>,
        is_last: bool,
    ) -> Result<Vec<u8>, GzpError> {
        // A compressor that was reset still has the bytes of the block before in its memory, looks at one of them, and now and then
        // finds other matches. Which block that was depends on the threads; a new one knows nothing.
        *compressor = self.create_compressor(level)?;
        if let Some(dictionary) = dictionary {
            compressor.set_dictionary(dictionary)?;
        }
        // What cannot be compressed grows by 5 bytes for every 16 KiB.
        let mut out = Vec::with_capacity(input.len() + input.len() / 1024 + 1024);
        let flush = match is_last {
            true => FlushCompress::Finish,
            false => FlushCompress::Sync,
        };
        let status = compressor.compress_vec(input, &mut out, flush)?;
        let whole = compressor.total_in() == input.len() as u64;
        match (whole, is_last, status) {
            (true, false, _) => {
                // A block that is not the last ends on a whole byte.
                while out.len() < input.len() / MAX_RATIO {
                    out.extend(NOTHING);
                }
                Ok(out)
            }
            (true, true, Status::StreamEnd) => Ok(out),
            _ => Err(GzpError::Unknown),
        }
    }

    fn header(&self, level: Compression) -> Vec<u8> {
        let mut header = self.0.header(level);
        if let Some(system) = header.get_mut(SYSTEM.0) {
            *system = SYSTEM.1;
        }
        header
    }

    fn footer(&self, check: &Crc32) -> Vec<u8> {
        self.0.footer(check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which blocks a thread had before is chance; the bytes of a bundle are not.
    #[test]
    fn a_block_does_not_depend_on_the_one_before() {
        // With blocks of this size and this content some compressors that were only reset find other matches.
        let size = 65_280;
        let format = UnixGzip::new();
        let level = Compression::new(6);
        let content = |from: usize| -> Bytes {
            let bytes = (from..from + size).map(|at| u8::try_from(at * 7 % 251).unwrap());
            bytes.collect()
        };
        let encode = |compressor: &mut Compress, from: usize| {
            let dictionary = content(from).slice(size - gzp::DICT_SIZE..);
            let block = content(from + size);
            let bytes = format.encode(&block, compressor, level, Some(&dictionary), false);
            bytes.unwrap()
        };
        let new = || format.create_compressor(level).unwrap();
        for from in 0..251 {
            let expected = encode(&mut new(), from);
            let mut compressor = new();
            encode(&mut compressor, from + 31 * size);
            assert!(encode(&mut compressor, from) == expected, "{from}");
        }
    }
}
