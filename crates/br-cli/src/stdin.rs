//! Standard input as the source of a backup.
//!
//! Invariant: a read that waits for bytes can still be cancelled.

use std::io::{self, Read};
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio_util::sync::CancellationToken;

/// Standard input that can be cancelled while it waits for data.
pub(crate) struct PatientStdin {
    cancel: CancellationToken,
}

impl PatientStdin {
    /// Standard input; a read fails when the token is cancelled.
    pub(crate) const fn new(cancel: CancellationToken) -> Self {
        Self { cancel }
    }
}

impl Read for PatientStdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const WAIT: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 200_000_000,
        };
        let stdin = io::stdin();
        loop {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other("interrupted"));
            }
            let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut ready, Some(&WAIT)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // Bypass the standard library's buffer: it could hold bytes that `poll` does not see.
                Ok(_) => return Ok(rustix::io::read(stdin.as_fd(), buffer)?),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
