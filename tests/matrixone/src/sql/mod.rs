//! The part of SQL that the server supports.
//!
//! [`parse`] turns text into a [`Statement`], [`masked`] hides its secrets. Invariant: a `BACKUP` is accepted exactly if the grammar of the
//! release accepts it.

mod backup;
mod mask;
mod parse;
mod s3;
mod token;

pub use backup::{BackupStatement, BackupTarget};
pub use mask::masked;
pub use parse::{Expression, Item, Statement, parse};
pub use s3::S3Target;

/// An error that the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// The number of the error.
    pub code: u16,
    /// Its text.
    pub text: String,
}

impl SqlError {
    pub(crate) fn new(code: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }

    /// An error of Go, which has no separate number.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(1105, text)
    }

    /// An internal error.
    pub(crate) fn internal(text: &str) -> Self {
        Self::new(20101, format!("internal error: {text}"))
    }
}

/// A number as Go reads it: decimal, of 16 bits.
pub(crate) fn parse_u16(text: &str) -> Result<u16, SqlError> {
    let wrong = |why: &str| SqlError::plain(format!("strconv.ParseUint: parsing {text:?}: {why}"));
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("invalid syntax"));
    }
    text.parse().map_err(|_| wrong("value out of range"))
}
