//! Decompression of untrusted input.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::bufread::GzDecoder;

use crate::error::{Error, Result};
use crate::limits::Limits;

/// Size of the input buffer.
const INPUT_BYTES: usize = 128 << 10;
/// Size of a block that one thread sends to the other.
const BLOCK_BYTES: usize = 256 << 10;
/// Number of bytes from which the compression format is detected.
const MAGIC_BYTES: u64 = 4;
/// Most blocks in the channel.
const BLOCKS: usize = 4;
/// Largest window of a zstd frame: 2^25 bytes, 32 MiB. Levels up to 19 need no more.
const MAX_WINDOW_LOG: u32 = 25;

/// Decompresses `from` on a separate thread, a few blocks ahead of the reader. Accepts gzip with any number of members, zstd, and
/// uncompressed bytes, and detects them by their first bytes.
pub(crate) fn decompress(from: impl Read + Send + 'static, limits: &Limits) -> Result<ReadAhead> {
    let (sender, blocks) = sync_channel(BLOCKS);
    let ratio = limits.ratio;
    let work = move || pump(from, ratio, &sender);
    let started = thread::Builder::new().name("br-decompress".into());
    let started = started.spawn(work);
    started.map_err(|error| Error::io("cannot start a thread", error))?;
    Ok(ReadAhead {
        blocks,
        block: Vec::new(),
        position: 0,
        ended: false,
    })
}

/// Reads the bytes that another thread decompresses.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    position: usize,
    ended: bool,
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.block.len() {
            if self.ended {
                return Ok(0);
            }
            self.position = 0;
            self.block = match self.blocks.recv() {
                Ok(Ok(block)) => block,
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Err(_) => return Err(io::Error::other("the decompressing thread is gone")),
            };
            // An empty block marks the end.
            self.ended = self.block.is_empty();
        }
        let rest = self.block.get(self.position..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.position += n;
        Ok(n)
    }
}

/// Sends blocks until the end, an error, or until the receiver is dropped.
fn pump(from: impl Read, ratio: u64, to: &SyncSender<io::Result<Vec<u8>>>) {
    let mut from = Named(from);
    let mut start = Vec::new();
    let begun = from.by_ref().take(MAGIC_BYTES).read_to_end(&mut start);
    let whole = io::Cursor::new(start.clone()).chain(from);
    let mut input = Counting {
        inner: BufReader::with_capacity(INPUT_BYTES, whole),
        count: 0,
    };
    let decoder = begun.and_then(|_| Decoder::new(&start, &mut input));
    let mut decoder = match decoder {
        Ok(decoder) => decoder,
        Err(error) => return drop(to.send(Err(error))),
    };
    let mut out = 0_u64;
    loop {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let read = decoder.read_block(&mut block);
        out += block.len() as u64;
        let allowed = decoder.consumed().saturating_mul(ratio);
        let result = match read {
            Ok(()) if out > Limits::RATIO_FROM && out > allowed => {
                let text = format!("one compressed byte becomes more than {ratio} bytes");
                Err(Error::refused(text).into())
            }
            Ok(()) => Ok(block),
            Err(error) => Err(failure(error)),
        };
        let over = !matches!(&result, Ok(block) if !block.is_empty());
        if to.send(result).is_err() || over {
            return;
        }
    }
}

/// The decoders.
enum Decoder<'a, R: BufRead> {
    /// `None` once all members were read.
    Gzip(Option<Box<GzDecoder<&'a mut Counting<R>>>>, u64),
    Zstd(zstd::stream::read::Decoder<'static, &'a mut Counting<R>>),
    Plain(&'a mut Counting<R>),
}

impl<'a, R: BufRead> Decoder<'a, R> {
    fn new(start: &[u8], input: &'a mut Counting<R>) -> io::Result<Self> {
        let is = |magic: &[u8]| start.starts_with(magic);
        if is(&[0x1f, 0x8b]) {
            return Ok(Self::Gzip(Some(Box::new(GzDecoder::new(input))), 0));
        }
        if is(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            return Ok(Self::Zstd(decoder));
        }
        Ok(Self::Plain(input))
    }

    /// Compressed bytes read so far. Uncompressed input has no ratio.
    fn consumed(&self) -> u64 {
        match self {
            Self::Gzip(Some(decoder), _) => decoder.get_ref().count,
            Self::Gzip(None, count) => *count,
            Self::Zstd(decoder) => decoder.get_ref().count,
            Self::Plain(_) => u64::MAX,
        }
    }

    /// Fills a block; leaves it empty at the end of the data.
    fn read_block(&mut self, block: &mut Vec<u8>) -> io::Result<()> {
        let room = BLOCK_BYTES as u64;
        match self {
            Self::Zstd(decoder) => decoder.by_ref().take(room).read_to_end(block).map(drop),
            Self::Plain(input) => input.by_ref().take(room).read_to_end(block).map(drop),
            Self::Gzip(member, count) => {
                while let Some(decoder) = member {
                    let left = room - block.len() as u64;
                    decoder.take(left).read_to_end(block)?;
                    if block.len() as u64 == room {
                        return Ok(());
                    }
                    // This member was read and its checksum was right.
                    *member = next_member(member.take(), count)?;
                }
                Ok(())
            }
        }
    }
}

/// Starts the next gzip member, if there is one. Zeros after the last member are padding; any other bytes are an error.
fn next_member<'a, R: BufRead>(
    member: Option<Box<GzDecoder<&'a mut Counting<R>>>>,
    count: &mut u64,
) -> io::Result<Option<Box<GzDecoder<&'a mut Counting<R>>>>> {
    let Some(input) = member.map(|member| member.into_inner()) else {
        return Ok(None);
    };
    let mut padded = false;
    loop {
        let rest = input.fill_buf()?;
        let (len, first) = (rest.len(), rest.first().copied());
        match first {
            Some(0x1f) if !padded => return Ok(Some(Box::new(GzDecoder::new(input)))),
            Some(_) if rest.iter().all(|byte| *byte == 0) => {
                input.consume(len);
                padded = true;
            }
            Some(_) => {
                let text = "bytes follow the end of the compressed data";
                return Err(Error::damaged(text).into());
            }
            None => {
                *count = input.count;
                return Ok(None);
            }
        }
    }
}

/// Turns a decoder's error into one of this crate. Errors of the input already have this type; all others mean damaged data.
fn failure(error: io::Error) -> io::Error {
    let is_ours = error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>);
    match error.kind() {
        _ if is_ours => error,
        io::ErrorKind::UnexpectedEof => Error::damaged("unexpected end of file").into(),
        _ => Error::damaged("the compressed data is altered")
            .because(error)
            .into(),
    }
}

/// A reader that returns this crate's errors, so that they differ from a decoder's. It retries when a signal interrupts it.
struct Named<R>(R);

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            return match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map_err(|error| Error::input(error).into()),
            };
        }
    }
}

/// Counts the bytes that are read.
struct Counting<R> {
    inner: R,
    count: u64,
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.count += amount as u64;
        self.inner.consume(amount);
    }
}
