//! One pass over a file.
//!
//! [`scan`] reads a file once, removes its frames, and computes its length and digest, and reads its header. Invariant: `sink` receives
//! only bytes whose frames were right, and at most `most` of them.

use std::io::{self, Read};

use super::frame::{BadFrame, FrameReader, Framing};
use super::object::{BadHeader, HEADER_BYTES, ObjectHeader};
use super::problem::ProblemKind;
use super::progress::{ArchiveProgress, Event};
use super::sha256::Digest;

const BUFFER_BYTES: usize = 256 << 10;
/// Number of bytes after which the scan reports progress and checks for cancellation.
const STEP_BYTES: u64 = 1 << 20;

/// The result of a scan.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) logical: u64,
    pub(crate) digest: Digest,
    head: Vec<u8>,
}

impl Scanned {
    /// Checks the header of the object.
    pub(crate) fn header(&self) -> Result<ObjectHeader, BadHeader> {
        ObjectHeader::check(&self.head, self.logical)
    }
}

impl Scanned {
    /// The problem of a file that should have `size` bytes and this digest. Its header is checked if no digest proves it, and always if
    /// `is_strict`.
    pub(crate) fn fault(
        &self,
        size: u64,
        digest: Option<Digest>,
        is_strict: bool,
    ) -> Option<(ProblemKind, String)> {
        if self.logical != size {
            let text = format!("it has {} bytes where the list says {size}", self.logical);
            return Some((ProblemKind::Size, text));
        }
        if let Some(expected) = digest.filter(|expected| *expected != self.digest) {
            let text = format!("its SHA-256 is {}, not {expected}", self.digest);
            return Some((ProblemKind::Digest, text));
        }
        match self.header() {
            Err(bad) if is_strict || digest.is_none() => {
                Some((ProblemKind::Header, bad.to_string()))
            }
            _ => None,
        }
    }
}

/// Why a scan ended early.
#[derive(Debug)]
pub(crate) enum ScanError {
    /// The file has a problem.
    Bad(ProblemKind, String),
    /// Writing failed.
    Sink(io::Error),
    Cancelled,
}

/// The state of a scan.
struct Pass<'a> {
    hasher: sha2::Sha256,
    head: Vec<u8>,
    logical: u64,
    told: u64,
    most: u64,
    progress: &'a dyn ArchiveProgress,
    sink: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
}

/// Reads a file to the end. Fails after more than `most` logical bytes.
pub(crate) fn scan(
    mut from: impl Read,
    framing: Framing,
    most: u64,
    progress: &dyn ArchiveProgress,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<Scanned, ScanError> {
    let mut pass = Pass {
        hasher: sha2::Digest::new(),
        head: Vec::with_capacity(HEADER_BYTES),
        logical: 0,
        told: 0,
        most,
        progress,
        sink,
    };
    match framing {
        Framing::Framed => {
            let mut frames = FrameReader::new(from);
            while let Some(bytes) = frames.next_block().map_err(|error| failed(&error))? {
                pass.take(bytes)?;
            }
        }
        Framing::Raw => {
            let size = usize::try_from(most.saturating_add(1)).unwrap_or(usize::MAX);
            let mut buffer = vec![0; BUFFER_BYTES.min(size)];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => pass.take(&buffer[..count])?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(failed(&error)),
                }
            }
        }
    }
    Ok(pass.end())
}

impl Pass<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        self.logical += bytes.len() as u64;
        if self.logical > self.most {
            let text = format!("it has more than the {} bytes listed", self.most);
            return Err(ScanError::Bad(ProblemKind::Size, text));
        }
        sha2::Digest::update(&mut self.hasher, bytes);
        let missing = HEADER_BYTES - self.head.len();
        self.head
            .extend_from_slice(&bytes[..missing.min(bytes.len())]);
        (self.sink)(bytes).map_err(ScanError::Sink)?;
        if self.logical - self.told >= STEP_BYTES {
            self.tell();
            if self.progress.is_cancelled() {
                return Err(ScanError::Cancelled);
            }
        }
        Ok(())
    }

    fn tell(&mut self) {
        let bytes = self.logical - self.told;
        self.told = self.logical;
        self.progress.event(Event::Advance { bytes });
    }

    fn end(mut self) -> Scanned {
        if self.logical > self.told {
            self.tell();
        }
        Scanned {
            logical: self.logical,
            digest: Digest(sha2::Digest::finalize(self.hasher).into()),
            head: self.head,
        }
    }
}

fn failed(error: &io::Error) -> ScanError {
    match BadFrame::of(error) {
        Some(bad) => ScanError::Bad(ProblemKind::Frame, bad.to_string()),
        None => {
            let cause = error.get_ref().and_then(std::error::Error::source);
            let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
            ScanError::Bad(ProblemKind::Unreadable, format!("cannot read it: {cause}"))
        }
    }
}
