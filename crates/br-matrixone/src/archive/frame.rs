//! Frames: the format of MatrixOne's files on local disks.
//!
//! A framed file is a sequence of blocks of 2,048 bytes, the last one shorter: four bytes with the CRC32C of the rest, little-endian, then
//! the rest. [`FrameReader`] reads the content and [`FrameWriter`] writes frames; [`Framing`] says whether a file has them. Invariant: the
//! reader returns no byte of a block before it has verified the checksum.

use std::fmt;
use std::io::{self, Read, Write};

use super::error::Error;

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 2048;
/// Bytes of content in a block.
pub const PAYLOAD_BYTES: usize = BLOCK_BYTES - CRC_BYTES;
const CRC_BYTES: usize = 4;
/// Number of blocks that are read or written at once.
const BATCH: usize = 128;

/// Whether a file is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Without frames: on object storage, and on disks of the kind `DISK-V2`.
    Raw,
    /// Blocks with checksums: on disks of the kind `DISK`.
    Framed,
}

impl Framing {
    /// The stored size of `logical` bytes of content.
    #[must_use]
    pub const fn physical(self, logical: u64) -> u64 {
        match self {
            Self::Raw => logical,
            Self::Framed => {
                let blocks = logical.div_ceil(PAYLOAD_BYTES as u64);
                logical.saturating_add(blocks.saturating_mul(CRC_BYTES as u64))
            }
        }
    }

    /// The size of the content of a file of `physical` bytes; `None` if no framed file has that size.
    #[must_use]
    pub const fn logical(self, physical: u64) -> Option<u64> {
        match self {
            Self::Raw => Some(physical),
            Self::Framed => {
                let last = physical % BLOCK_BYTES as u64;
                if last != 0 && last <= CRC_BYTES as u64 {
                    return None;
                }
                let blocks = physical.div_ceil(BLOCK_BYTES as u64);
                Some(physical - blocks * CRC_BYTES as u64)
            }
        }
    }

    /// The framing that makes a file with `logical` bytes of content `physical` bytes long, if one does.
    #[must_use]
    pub const fn of_sizes(logical: u64, physical: u64) -> Option<Self> {
        if physical == logical {
            Some(Self::Raw)
        } else if physical == Self::Framed.physical(logical) {
            Some(Self::Framed)
        } else {
            None
        }
    }

    /// Detects the framing of a file from its start. `head` is its first block, or the whole file if that is shorter.
    #[must_use]
    pub fn sniff(head: &[u8]) -> Self {
        let block = head.get(..BLOCK_BYTES).unwrap_or(head);
        match block.split_first_chunk::<CRC_BYTES>() {
            Some((crc, payload))
                if !payload.is_empty() && u32::from_le_bytes(*crc) == crc32c::crc32c(payload) =>
            {
                Self::Framed
            }
            _ => Self::Raw,
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Framed => "framed",
        })
    }
}

/// A checksum in a file is wrong, or its last block is truncated. Passed inside [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadFrame {
    /// The number of the block, from zero.
    pub block: u64,
    /// The stored checksum and the computed one; `None` if the block is truncated.
    pub crcs: Option<(u32, u32)>,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block, crcs } = self;
        let offset = block.saturating_mul(BLOCK_BYTES as u64);
        match crcs {
            Some((says, has)) => write!(
                f,
                "block {block} at byte {offset} has the CRC32C {has:08x}, not {says:08x}"
            ),
            None => write!(f, "block {block} at byte {offset} is cut short"),
        }
    }
}

impl std::error::Error for BadFrame {}

impl BadFrame {
    /// The bad frame inside an error, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Reads the content of a framed file.
pub struct FrameReader<R> {
    from: R,
    buffer: Box<[u8]>,
    filled: usize,
    /// The start of the next block.
    at: usize,
    /// The rest of the last block for [`Read`].
    rest: std::ops::Range<usize>,
    block: u64,
}

impl<R> fmt::Debug for FrameReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("FrameReader");
        out.field("block", &self.block).finish_non_exhaustive()
    }
}

impl<R: Read> FrameReader<R> {
    /// Reads from the beginning of a file.
    pub fn new(from: R) -> Self {
        Self {
            from,
            buffer: vec![0; BATCH * BLOCK_BYTES].into(),
            filled: 0,
            at: 0,
            rest: 0..0,
            block: 0,
        }
    }

    /// Returns the content of the next block, at most [`PAYLOAD_BYTES`]; `None` after the last.
    ///
    /// # Errors
    /// A [`BadFrame`] if a checksum is wrong, and errors of the reader.
    pub fn next_block(&mut self) -> io::Result<Option<&[u8]>> {
        let payload = self.advance()?;
        Ok(payload.map(|range| &self.buffer[range]))
    }

    fn advance(&mut self) -> io::Result<Option<std::ops::Range<usize>>> {
        if self.at == self.filled {
            self.fill()?;
            if self.filled == 0 {
                return Ok(None);
            }
        }
        let end = self.filled.min(self.at + BLOCK_BYTES);
        let block = self.block;
        let bad = |crcs| io::Error::other(BadFrame { block, crcs });
        let bytes = &self.buffer[self.at..end];
        let (crc, payload) = bytes.split_first_chunk().ok_or_else(|| bad(None))?;
        if payload.is_empty() {
            return Err(bad(None));
        }
        let (says, has) = (u32::from_le_bytes(*crc), crc32c::crc32c(payload));
        if says != has {
            return Err(bad(Some((says, has))));
        }
        let payload = self.at + CRC_BYTES..end;
        self.at = end;
        self.block += 1;
        Ok(Some(payload))
    }

    /// Fills the buffer completely, unless the file ends: only the last block may be short.
    fn fill(&mut self) -> io::Result<()> {
        (self.at, self.filled) = (0, 0);
        self.filled = read_full(&mut self.from, &mut self.buffer)?;
        Ok(())
    }
}

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            match self.advance()? {
                Some(payload) => self.rest = payload,
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.rest.len());
        let end = self.rest.start + count;
        out[..count].copy_from_slice(&self.buffer[self.rest.start..end]);
        self.rest.start = end;
        Ok(count)
    }
}

/// Reads until the buffer is full or the input ends.
pub(crate) fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes a framed file. The file is complete only after [`FrameWriter::finish`].
pub struct FrameWriter<W> {
    to: W,
    /// Complete blocks, then the current one.
    buffer: Vec<u8>,
    /// The start of the current block.
    block: usize,
}

impl<W> fmt::Debug for FrameWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter").finish_non_exhaustive()
    }
}

impl<W: Write> FrameWriter<W> {
    /// Writes from the beginning of a file.
    pub fn new(to: W) -> Self {
        let mut buffer = Vec::with_capacity(BATCH * BLOCK_BYTES);
        buffer.extend([0; CRC_BYTES]);
        Self {
            to,
            buffer,
            block: 0,
        }
    }

    /// Writes the rest and returns the output.
    ///
    /// # Errors
    /// If the output fails.
    pub fn finish(mut self) -> io::Result<W> {
        if self.buffer.len() > self.block + CRC_BYTES {
            self.seal();
        } else {
            self.buffer.truncate(self.block);
        }
        self.to.write_all(&self.buffer)?;
        Ok(self.to)
    }

    /// Writes the checksum in front of the current block.
    fn seal(&mut self) {
        let (crc, payload) = self.buffer[self.block..].split_at_mut(CRC_BYTES);
        crc.copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let all = bytes.len();
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - (self.buffer.len() - self.block);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() - self.block == BLOCK_BYTES {
                self.seal();
                if self.buffer.len() >= BATCH * BLOCK_BYTES {
                    self.to.write_all(&self.buffer)?;
                    self.buffer.clear();
                }
                self.block = self.buffer.len();
                self.buffer.extend([0; CRC_BYTES]);
            }
        }
        Ok(all)
    }

    /// Does nothing: a block can be written only when it is complete.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Removes the frames of a small file.
pub(crate) fn unframe(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(bytes.len());
    let read = FrameReader::new(bytes).read_to_end(&mut out);
    read.map_err(|error| Error::damaged(error.to_string()).because(error))?;
    Ok(out)
}

/// Frames a small file.
#[cfg(test)]
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut writer = FrameWriter::new(Vec::new());
    writer
        .write_all(bytes)
        .expect("writing to a vector cannot fail");
    writer.finish().expect("writing to a vector cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn frames_round_trip_at_every_edge() {
        let batch = BATCH * PAYLOAD_BYTES;
        for len in [
            0,
            1,
            4,
            2043,
            2044,
            2045,
            4088,
            4089,
            10_000,
            batch - 1,
            batch,
            batch + 1,
            3 * batch + 7,
        ] {
            let content = content(len);
            let framed = frame(&content);
            assert_eq!(
                framed.len() as u64,
                Framing::Framed.physical(len as u64),
                "{len}"
            );
            assert_eq!(
                Framing::Framed.logical(framed.len() as u64),
                Some(len as u64)
            );
            assert_eq!(unframe(&framed).unwrap(), content, "{len}");
            let expected = if len == 0 {
                Framing::Raw
            } else {
                Framing::Framed
            };
            assert_eq!(Framing::sniff(&framed), expected, "{len}");
            assert_eq!(Framing::sniff(&content), Framing::Raw, "{len}");
        }
    }

    #[test]
    fn known_bytes() {
        // The CRC32C of "123456789" is the check value of the algorithm.
        assert_eq!(
            frame(b"123456789"),
            [&[0x83, 0x92, 0x06, 0xe3], &b"123456789"[..]].concat()
        );
        assert_eq!(frame(b""), b"");
    }

    #[test]
    fn small_writes_make_the_same_frames() {
        let content = content(9_999);
        let mut writer = FrameWriter::new(Vec::new());
        for part in content.chunks(7) {
            writer.write_all(part).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), frame(&content));
    }

    #[test]
    fn every_flipped_bit_is_found_in_its_block() {
        let framed = frame(&content(5_000));
        for at in (0..framed.len()).step_by(37) {
            let mut bad = framed.clone();
            bad[at] ^= 1 << (at % 8);
            let error = FrameReader::new(&bad[..])
                .read_to_end(&mut Vec::new())
                .unwrap_err();
            assert_eq!(
                BadFrame::of(&error).unwrap().block,
                (at / BLOCK_BYTES) as u64
            );
        }
    }

    #[test]
    fn every_cut_inside_a_block_is_found() {
        let framed = frame(&content(5_000));
        for len in 0..framed.len() {
            let whole = len % BLOCK_BYTES == 0;
            assert_eq!(unframe(&framed[..len]).is_ok(), whole, "{len}");
        }
    }

    #[test]
    fn sizes_do_not_overflow() {
        assert_eq!(Framing::Framed.physical(u64::MAX), u64::MAX);
        assert_eq!(Framing::Framed.logical(2050), None);
        assert!(Framing::Framed.logical(u64::MAX).is_some());
        assert_eq!(Framing::of_sizes(100, 104), Some(Framing::Framed));
        assert_eq!(Framing::of_sizes(100, 103), None);
    }
}
