//! Comparison of a new file with an old one during the write.

use std::fs::File;
use std::io::{self, Read as _, Write};

use super::ChangeKind;
use crate::error::{Error, Result};

/// Writes a new file and compares it with an old one at the same time.
pub(super) struct Fork {
    pub(super) new: Option<File>,
    old: Option<File>,
    same: bool,
    buffer: Vec<u8>,
}

impl Fork {
    pub(super) const fn new(new: Option<File>, old: Option<File>) -> Self {
        Self {
            same: old.is_some(),
            new,
            old,
            buffer: Vec::new(),
        }
    }

    /// How the file changes. Call it after the whole file was written.
    pub(super) fn kind(&mut self) -> Result<ChangeKind> {
        let Some(old) = &mut self.old else {
            return Ok(ChangeKind::Insert);
        };
        let more = old
            .read(&mut [0])
            .map_err(|error| Error::io("cannot read the target", error))?;
        if self.same && more == 0 {
            Ok(ChangeKind::Unchanged)
        } else {
            Ok(ChangeKind::Update)
        }
    }
}

impl Write for Fork {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(old) = self.old.as_mut().filter(|_| self.same) {
            self.buffer.clear();
            let read = old.take(bytes.len() as u64).read_to_end(&mut self.buffer)?;
            self.same = read == bytes.len() && self.buffer == bytes;
        }
        if let Some(new) = &mut self.new {
            new.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
