//! Erlang's `disk_log` files in the internal format, which is how Mnesia writes its backups.
//!
//! [`LogReader`] yields the items of such a file in order, [`LogWriter`] writes them. A log is a header of eight bytes and the items, each
//! with its size and a magic number; the content of items has no checksum. Invariant: the reader keeps one item at a time, and its memory
//! grows with the bytes that it has read, whatever sizes the file claims.
//!
//! Erlang is less strict: a node that imports a backup skips damaged items, and everything after a truncation, without an error.

use std::io::{self, BufReader, BufWriter, Read, Write};

use md5::{Digest as _, Md5};

/// The largest item, in bytes. Records of EMQX's tables are far smaller.
pub const MAX_ITEM_BYTES: u32 = 64 << 20;

/// Smallest item, in bytes, that has a checksum of its size.
const MIN_CHECKED_BYTES: u32 = 65_528;

/// Bytes of memory that are allocated ahead of the content of an item.
const STEP: usize = 64 << 10;

const LOG_MAGIC: [u8; 4] = [1, 2, 3, 4];
const OPENED: [u8; 4] = [6, 7, 8, 9];
const CLOSED: [u8; 4] = [99, 88, 77, 11];
const ITEM_MAGIC: [u8; 4] = *b"bWLA";
/// The magic number of items in old logs, which have no checksums of sizes.
const OLD_ITEM_MAGIC: [u8; 4] = [12, 33, 44, 55];

/// What is wrong with a log. Offsets count bytes from the start of the file to the start of an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogDamage {
    /// The file does not start like a log.
    #[error("it is not a log file")]
    NotALog,
    /// There is something else where an item should start.
    #[error("there is no item at offset {offset}")]
    ItemMagic {
        /// Where the item should be.
        offset: u64,
    },
    /// The size of a large item does not match its checksum.
    #[error("the size of the item at offset {offset} is damaged")]
    SizeChecksum {
        /// Where the item is.
        offset: u64,
    },
    /// An item larger than [`MAX_ITEM_BYTES`].
    #[error("the item at offset {offset} has {size} bytes, more than {MAX_ITEM_BYTES}")]
    TooLarge {
        /// Where the item is.
        offset: u64,
        /// Its size in bytes.
        size: u32,
    },
    /// The file ends within an item.
    #[error("the file ends within the item at offset {offset}")]
    Truncated {
        /// Where the item is.
        offset: u64,
    },
    /// The file ends within an item, and was never closed: the writer was interrupted.
    #[error("the file ends within the item at offset {offset}, and was never closed")]
    TornTail {
        /// Where the item is.
        offset: u64,
    },
}

/// Why an item could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The input failed.
    #[error("cannot read")]
    Io(#[from] io::Error),
    /// The input is not an intact log.
    #[error(transparent)]
    Damage(#[from] LogDamage),
}

/// An item of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Where the item starts in the file, in bytes.
    pub offset: u64,
    /// The content: one encoded term.
    pub bytes: &'a [u8],
}

/// Reads a log from front to back.
#[derive(Debug)]
pub struct LogReader<R> {
    input: BufReader<R>,
    is_closed: bool,
    offset: u64,
    item: Vec<u8>,
    is_done: bool,
}

impl<R: Read> LogReader<R> {
    /// Reads the header of a log. The input needs no buffer.
    ///
    /// # Errors
    /// [`LogDamage::NotALog`], or when the input fails.
    pub fn new(input: R) -> Result<Self, LogError> {
        let mut input = BufReader::with_capacity(STEP, input);
        let mut head = [0; 8];
        let len = fill(&mut input, &mut head)?;
        let is_closed = match head.split_at(4) {
            (magic, status) if len == 8 && magic == LOG_MAGIC && status == CLOSED => true,
            (magic, status) if len == 8 && magic == LOG_MAGIC && status == OPENED => false,
            _ => return Err(LogDamage::NotALog.into()),
        };
        Ok(Self {
            input,
            is_closed,
            offset: 8,
            item: Vec::new(),
            is_done: false,
        })
    }

    /// True if the writer closed the log. If not, the writer may have been interrupted between two items.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The next item, or `None` at the end and after an error.
    ///
    /// # Errors
    /// If the log is damaged here, or the input fails.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, LogError> {
        if self.is_done {
            return Ok(None);
        }
        let offset = self.offset;
        // After an early return below, the log is done.
        self.is_done = true;
        let Some((head, size)) = self.read_head()? else {
            return Ok(None);
        };
        self.read_content(size)?;
        self.is_done = false;
        self.offset += head + u64::from(size);
        Ok(Some(Item {
            offset,
            bytes: &self.item,
        }))
    }

    /// Reads the header of an item, and returns its length and that of the content.
    fn read_head(&mut self) -> Result<Option<(u64, u32)>, LogError> {
        let offset = self.offset;
        let mut size = [0; 4];
        let mut magic = [0; 4];
        match fill(&mut self.input, &mut size)? {
            0 => return Ok(None),
            4 => self.read_exact(&mut magic)?,
            _ => return Err(self.cut()),
        }
        let content = u32::from_be_bytes(size);
        let mut head = 8;
        if magic == ITEM_MAGIC && content >= MIN_CHECKED_BYTES {
            let mut checksum = [0; 16];
            self.read_exact(&mut checksum)?;
            if checksum != size_checksum(size) {
                return Err(LogDamage::SizeChecksum { offset }.into());
            }
            head += 16;
        } else if magic != ITEM_MAGIC && magic != OLD_ITEM_MAGIC {
            return Err(LogDamage::ItemMagic { offset }.into());
        }
        if content > MAX_ITEM_BYTES {
            let size = content;
            return Err(LogDamage::TooLarge { offset, size }.into());
        }
        Ok(Some((head, content)))
    }

    fn read_content(&mut self, size: u32) -> Result<(), LogError> {
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        let mut item = std::mem::take(&mut self.item);
        item.clear();
        while left > 0 {
            let start = item.len();
            let step = left.min(STEP);
            item.resize(start + step, 0);
            self.read_exact(item.get_mut(start..).unwrap_or_default())?;
            left -= step;
        }
        self.item = item;
        Ok(())
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), LogError> {
        if fill(&mut self.input, bytes)? == bytes.len() {
            Ok(())
        } else {
            Err(self.cut())
        }
    }

    /// The error for a file that ends within the current item.
    fn cut(&self) -> LogError {
        let offset = self.offset;
        if self.is_closed {
            LogDamage::Truncated { offset }.into()
        } else {
            LogDamage::TornTail { offset }.into()
        }
    }
}

/// Writes a log.
#[derive(Debug)]
pub struct LogWriter<W: Write> {
    output: BufWriter<W>,
}

impl<W: Write> LogWriter<W> {
    /// Starts a log. The header already says that the log was closed, so other readers must see it only after [`finish`](Self::finish). The
    /// output needs no buffer.
    ///
    /// # Errors
    /// If the output fails.
    pub fn new(output: W) -> io::Result<Self> {
        let mut output = BufWriter::with_capacity(STEP, output);
        output.write_all(&LOG_MAGIC)?;
        output.write_all(&CLOSED)?;
        Ok(Self { output })
    }

    /// Appends an item: one encoded term.
    ///
    /// # Errors
    /// If the output fails, or the item is larger than [`MAX_ITEM_BYTES`].
    pub fn write_item(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = u32::try_from(bytes.len())
            .ok()
            .filter(|size| *size <= MAX_ITEM_BYTES)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the item is too large"))?;
        self.output.write_all(&size.to_be_bytes())?;
        self.output.write_all(&ITEM_MAGIC)?;
        if size >= MIN_CHECKED_BYTES {
            self.output.write_all(&size_checksum(size.to_be_bytes()))?;
        }
        self.output.write_all(bytes)
    }

    /// Flushes the buffer, and returns the output.
    ///
    /// # Errors
    /// If the output fails.
    pub fn finish(self) -> io::Result<W> {
        self.output
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
    }
}

fn size_checksum(size: [u8; 4]) -> [u8; 16] {
    Md5::digest(size).into()
}

/// Reads until the slice is full or the input ends, and returns the number of bytes.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
