//! Gzip on several threads: one member, block by block.
//!
//! [`GzipWriter`] cuts its input into blocks, worker threads compress them, and the caller's thread writes the results in order. Each block
//! uses the end of the previous block as its dictionary, as in pigz, so that cutting hardly affects the ratio. Invariant: the bytes depend
//! on the input and the level only, not on the number of threads.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes of a block before compression.
const BLOCK_LEN: usize = 128 << 10;
/// Bytes of the previous block that a block may refer to.
const DICTIONARY_LEN: usize = 32 << 10;
/// Blocks in the queue per thread. More than one keeps every thread busy.
const BLOCKS_PER_THREAD: usize = 2;

/// An empty block of deflate, which decompresses to nothing.
const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];
/// Largest ratio of a block. Readers refuse a higher ratio as a bomb, so the writer pads a block that compresses better.
const MAX_RATIO: usize = 200;
/// The operating system field of the header: Unix, as erl_tar and most other tools write it.
const UNIX: u8 = 3;

/// A block for a worker, and the channel for its result.
struct Job {
    block: Bytes,
    dictionary: Option<Bytes>,
    is_last: bool,
    result: Sender<io::Result<Compressed>>,
}

/// A compressed block, and the checksum of its content.
struct Compressed {
    bytes: Vec<u8>,
    crc: Crc,
}

/// Writes gzip. If it is dropped before [`finish`](Self::finish), it writes nothing more.
pub(super) struct GzipWriter<W> {
    to: W,
    jobs: Sender<Job>,
    /// Results of blocks that are being compressed, in order.
    waiting: VecDeque<Receiver<io::Result<Compressed>>>,
    max_waiting: usize,
    /// Input that does not fill a block yet.
    buffer: BytesMut,
    dictionary: Option<Bytes>,
    crc: Crc,
}

impl<W: Write> GzipWriter<W> {
    /// Writes the header and starts the threads. `level` is a gzip level, 0 to 9.
    pub(super) fn new(mut to: W, level: u32, threads: usize) -> io::Result<Self> {
        let level = Compression::new(level);
        to.write_all(&header(level))?;
        let (jobs, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads.max(1) {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new().spawn(move || work(&receiver, level))?;
        }
        Ok(Self {
            to,
            jobs,
            waiting: VecDeque::new(),
            max_waiting: threads.max(1) * BLOCKS_PER_THREAD,
            buffer: BytesMut::with_capacity(2 * BLOCK_LEN),
            dictionary: None,
            crc: Crc::new(),
        })
    }

    /// Compresses the rest, writes the checksum and returns the writer.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let rest = self.buffer.split().freeze();
        self.compress(rest, true)?;
        while !self.waiting.is_empty() {
            self.write_next()?;
        }
        self.to.write_all(&self.crc.sum().to_le_bytes())?;
        self.to.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.to)
    }

    /// Queues a block for the workers, and writes finished blocks when the queue is full.
    fn compress(&mut self, block: Bytes, is_last: bool) -> io::Result<()> {
        while self.waiting.len() >= self.max_waiting {
            self.write_next()?;
        }
        let (result, receiver) = mpsc::channel();
        let start = block.len().saturating_sub(DICTIONARY_LEN);
        let next_dictionary = block.slice(start..);
        let job = Job {
            block,
            dictionary: self.dictionary.replace(next_dictionary),
            is_last,
            result,
        };
        self.jobs.send(job).map_err(|_| worker_ended())?;
        self.waiting.push_back(receiver);
        Ok(())
    }

    /// Waits for the oldest block and writes it.
    fn write_next(&mut self) -> io::Result<()> {
        let Some(receiver) = self.waiting.pop_front() else {
            return Ok(());
        };
        let Compressed { bytes, crc } = receiver.recv().map_err(|_| worker_ended())??;
        self.crc.combine(&crc);
        self.to.write_all(&bytes)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Keeps a full block until more input arrives: the last block is marked, and only the end of the input shows which block is last.
        let taken = bytes.len().min(BLOCK_LEN + 1 - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() > BLOCK_LEN {
            let block = self.buffer.split_to(BLOCK_LEN).freeze();
            self.buffer.reserve(BLOCK_LEN);
            self.compress(block, false)?;
        }
        Ok(taken)
    }

    /// Does nothing, because shorter blocks would compress worse.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses blocks until the writer closes the channel.
fn work(jobs: &Mutex<Receiver<Job>>, level: Compression) {
    loop {
        // The worker holds the lock while it waits: only one worker can receive the next block.
        let job = match jobs.lock() {
            Ok(jobs) => jobs.recv(),
            Err(_) => return,
        };
        let Ok(job) = job else { return };
        let bytes = compress(&job.block, level, job.dictionary.as_deref(), job.is_last);
        let compressed = bytes.map(|bytes| {
            let mut crc = Crc::new();
            crc.update(&job.block);
            Compressed { bytes, crc }
        });
        // If the writer was dropped, this fails and so does the next `recv`.
        let _ = job.result.send(compressed);
    }
}

/// Compresses one block. The result ends at a byte boundary.
fn compress(
    block: &[u8],
    level: Compression,
    dictionary: Option<&[u8]>,
    is_last: bool,
) -> io::Result<Vec<u8>> {
    // A new compressor for each block: one that is reset keeps bytes of the previous block and can find other matches, so the result would
    // depend on which thread compressed which block.
    let mut compressor = Compress::new(level, false);
    if let Some(dictionary) = dictionary {
        compressor.set_dictionary(dictionary)?;
    }
    // Data that cannot be compressed grows by 5 bytes for every 16 KiB.
    let mut out = Vec::with_capacity(block.len() + block.len() / 1024 + 1024);
    let flush = if is_last {
        FlushCompress::Finish
    } else {
        FlushCompress::Sync
    };
    let status = compressor.compress_vec(block, &mut out, flush)?;
    let is_whole = compressor.total_in() == block.len() as u64;
    match (is_whole, is_last, status) {
        (true, false, _) => {
            // Every block except the last ends at a byte boundary.
            while out.len() < block.len() / MAX_RATIO {
                out.extend(EMPTY_BLOCK);
            }
            Ok(out)
        }
        (true, true, Status::StreamEnd) => Ok(out),
        _ => Err(io::Error::other(
            "the compressor did not take a whole block",
        )),
    }
}

/// The header of a member without name, comment and time.
fn header(level: Compression) -> [u8; 10] {
    let effort = match level.level() {
        level if level >= Compression::best().level() => 2,
        level if level <= Compression::fast().level() => 4,
        _ => 0,
    };
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, effort, UNIX]
}

fn worker_ended() -> io::Error {
    io::Error::other("a thread that compresses ended early")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::MultiGzDecoder;

    use super::*;

    fn written(content: &[u8], level: u32, threads: usize) -> Vec<u8> {
        let mut writer = GzipWriter::new(Vec::new(), level, threads).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len)
            .map(|at| (at * 7 % 251) as u8 ^ (at / 70_000) as u8)
            .collect()
    }

    #[test]
    fn every_length_round_trips() {
        for len in [
            0,
            1,
            5,
            BLOCK_LEN - 1,
            BLOCK_LEN,
            BLOCK_LEN + 1,
            2 * BLOCK_LEN,
            3_000_000,
        ] {
            for level in [0, 1, 6, 9] {
                let content = content(len);
                let compressed = written(&content, level, 3);
                let mut back = Vec::new();
                MultiGzDecoder::new(&*compressed)
                    .read_to_end(&mut back)
                    .unwrap();
                assert!(back == content, "{len} bytes at level {level}");
            }
        }
    }

    #[test]
    fn output_does_not_depend_on_threads() {
        let content = content(2_500_000);
        let expected = written(&content, 6, 1);
        for threads in [2, 3, 8] {
            assert!(written(&content, 6, threads) == expected, "{threads}");
        }
    }

    #[test]
    fn write_error_is_returned_and_drop_writes_nothing() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                match self.0.checked_sub(bytes.len()) {
                    Some(left) => self.0 = left,
                    None => return Err(io::ErrorKind::StorageFull.into()),
                }
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(GzipWriter::new(Full(3), 6, 2).is_err());
        let mut writer = GzipWriter::new(Full(10), 6, 2).unwrap();
        let error = writer.write_all(&content(4_000_000)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);

        let mut to = Vec::new();
        let mut writer = GzipWriter::new(&mut to, 6, 2).unwrap();
        writer.write_all(&content(100_000)).unwrap();
        drop(writer);
        assert_eq!(to.len(), 10);
    }
}
