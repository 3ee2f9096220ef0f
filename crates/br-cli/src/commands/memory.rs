//! A small file of a backup in memory.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes.
const MOST: usize = 1 << 30;

/// Bytes in memory that the caller keeps while another thread writes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// All bytes so far.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() + bytes.len() > MOST {
            return Err(io::Error::other("the file is larger than 1 GiB"));
        }
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
