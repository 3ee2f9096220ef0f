//! The newest entry of the commit log, to be kept outside of the repository.
//!
//! A [`LogHead`] names an entry and its digest. Every entry contains the digest of the one before, so a log that has this entry has the same
//! history up to it. Invariant: [`Repository::expect_head`] follows these digests from the newest entry back to the expected one.

use std::fmt;
use std::str::FromStr;

use super::log::fetch;
use super::{Io, Layout, LogPosition, Repository};
use crate::error::{Error, ErrorKind, ObjectKind, Result};
use crate::model::{hex, unhex};
use crate::progress::Context;

/// Entries that are read at a time.
const BATCH: u64 = 64;

/// An entry of the commit log: its number and its digest. As text, `NUMBER/DIGEST` with the digest in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    seq: u64,
    digest: [u8; 32],
}

/// Why a text is not a [`LogHead`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an entry of the log: write NUMBER/DIGEST, as `br export-head` prints it")]
pub struct LogHeadError(String);

impl LogHead {
    /// The number of the entry.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// BLAKE3-256 of the object that holds the entry.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Display for LogHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.seq, hex(&self.digest))
    }
}

impl FromStr for LogHead {
    type Err = LogHeadError;

    fn from_str(text: &str) -> Result<Self, LogHeadError> {
        let parse = || {
            let (seq, digest) = text.split_once('/')?;
            let (seq, digest) = (seq.parse().ok()?, unhex(digest)?);
            Some(Self { seq, digest })
        };
        parse().ok_or_else(|| LogHeadError(text.to_owned()))
    }
}

impl Repository {
    /// The newest entry of the commit log; `None` when nothing was ever stored.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn head(&self, context: &Context) -> Result<Option<LogHead>> {
        self.run(context, |io| LogPosition::read(io)?.head()).await
    }

    /// Makes sure that the repository still has the history that ended with `expected`: that the log has this entry, and that all later
    /// entries continue it.
    ///
    /// Requests: one for each entry after the expected one, in addition to those for reading the log.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when the log ends before, has another entry, or was rebuilt since; and when the log cannot be read.
    pub async fn expect_head(&self, expected: &LogHead, context: &Context) -> Result<()> {
        let expected = *expected;
        let work = move |io: &Io| expect(&io.with_fresh_cache(), expected);
        self.run(context, work).await
    }
}

impl LogPosition {
    fn head(&self) -> Result<Option<LogHead>> {
        let Some(seq) = self.last() else {
            return Ok(None);
        };
        let digest = unhex(self.last_digest())
            .ok_or_else(|| Error::internal("the digest of a log entry has 32 bytes"))?;
        Ok(Some(LogHead { seq, digest }))
    }
}

fn expect(io: &Io, expected: LogHead) -> Result<()> {
    let newest = LogPosition::read(io)?.head()?;
    let Some(newest) = newest.filter(|newest| newest.seq >= expected.seq) else {
        let now = match newest {
            Some(newest) => format!("the log ends with {}", Layout::log(newest.seq)),
            None => "the log is empty".to_owned(),
        };
        let missing = Layout::log(expected.seq);
        return Err(other_history(format!(
            "the repository was rolled back: {missing} is expected, and {now}"
        )));
    };
    let mut before = hex(&expected.digest);
    let mut next = expected.seq;
    while next <= newest.seq {
        let end = newest.seq.min(next + BATCH - 1);
        let numbers: Vec<u64> = (next..=end).collect();
        for (seq, (record, bytes)) in numbers.iter().zip(fetch(io, &numbers)?) {
            let digest = blake3::hash(&bytes).to_hex().to_string();
            if *seq == expected.seq {
                if digest != before {
                    let key = Layout::log(*seq);
                    return Err(other_history(format!(
                        "the repository has a different history: {key} is not the expected entry"
                    )));
                }
            } else if record?.previous != before {
                let key = Layout::log(*seq);
                return Err(other_history(format!(
                    "{key} does not continue the entry before it: the log was rebuilt, or its history was replaced"
                )));
            }
            before = digest;
        }
        next = end + 1;
    }
    Ok(())
}

fn other_history(message: String) -> Error {
    Error::new(ErrorKind::Damaged, message).about(ObjectKind::Log)
}
