//! A reader that hashes and copies the bytes that it reads.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::progress::{BundleProgress, Event};
use crate::reader::Member;
use crate::writer::BUFFER_BYTES;

/// Reads a member's content, hashes it, and writes it to a file if there is one.
pub(super) struct Tap<'a, 'b> {
    member: &'a mut Member<'b>,
    copy: Option<&'a mut dyn Write>,
    sha: Sha256,
    progress: &'a mut dyn BundleProgress,
}

impl<'a, 'b> Tap<'a, 'b> {
    pub(super) fn new(
        member: &'a mut Member<'b>,
        copy: Option<&'a mut dyn Write>,
        progress: &'a mut dyn BundleProgress,
    ) -> Self {
        Self {
            member,
            copy,
            sha: Sha256::new(),
            progress,
        }
    }

    /// Reads the rest and returns the SHA-256 of the whole content.
    pub(super) fn finish(mut self, buffer: &mut Vec<u8>) -> Result<[u8; 32]> {
        buffer.resize(BUFFER_BYTES, 0);
        while self.read(buffer).map_err(Error::read)? > 0 {}
        Ok(self.sha.finalize().into())
    }
}

impl Read for Tap<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_cancelled() {
            return Err(Error::cancelled().into());
        }
        let n = self.member.read(buffer)?;
        let bytes = buffer.get(..n).unwrap_or_default();
        if n > 0 {
            self.sha.update(bytes);
            if let Some(file) = &mut self.copy {
                let written = file.write_all(bytes);
                written.map_err(|error| Error::io("cannot write a member", error))?;
            }
            self.progress.event(Event::Advance { bytes: n as u64 });
        }
        Ok(n)
    }
}
