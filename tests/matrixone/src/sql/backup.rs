//! The `BACKUP` statement.
//!
//! [`BackupStatement`] is the parsed statement, [`BackupTarget`] its target. Invariant: errors that the server detects only when the backup
//! starts, such as a malformed time stamp, are not detected by the parser.

use super::parse::Parser;
use super::s3::S3Target;
use super::{SqlError, parse_u16};
use crate::ts::Ts;
use crate::version::MoVersion;

/// A `BACKUP` statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupStatement {
    /// The text after `BACKUP`; the server ignores it.
    pub label: String,
    /// The target of the archive.
    pub place: BackupTarget,
    /// The text of `TYPE`; empty without it.
    pub kind: String,
    timestamp: String,
    parallelism: Option<String>,
    options: Vec<(String, String)>,
}

/// The target of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupTarget {
    /// A folder of the server.
    Folder(String),
    /// S3; the options are read when the backup starts.
    S3,
}

impl BackupStatement {
    /// Reads the statement after `BACKUP`.
    pub(super) fn parse(parser: &mut Parser<'_>, version: MoVersion) -> Result<Self, SqlError> {
        let label = parser.text()?;
        let mut statement = Self {
            label,
            place: BackupTarget::S3,
            kind: String::new(),
            timestamp: String::new(),
            parallelism: None,
            options: Vec::new(),
        };
        if parser.take_word("FILESYSTEM") {
            statement.place = BackupTarget::Folder(parser.text()?);
            if version.has_parallelism() {
                parser.word("PARALLELISM")?;
                statement.parallelism = Some(parser.text()?);
            }
        } else {
            parser.word("S3OPTION")?;
            statement.options = options(parser)?;
        }
        if version.has_incremental() {
            if parser.take_word("TYPE") {
                statement.kind = parser.text()?;
            }
            if parser.take_word("TIMESTAMP") {
                statement.timestamp = parser.text()?;
            }
        }
        Ok(statement)
    }

    /// The S3 options, checked as the server does at the start of a backup.
    ///
    /// # Errors
    /// For a key that the server does not know, or a value it cannot use.
    pub fn s3(&self, version: MoVersion) -> Result<S3Target, SqlError> {
        S3Target::of(&self.options, version)
    }

    /// Checks folder and parallelism as the server does at the start of a backup.
    ///
    /// # Errors
    /// For a folder that is not a path of its file service, and for a parallelism that is not a number of 16 bits.
    pub fn check(&self) -> Result<(), SqlError> {
        if let BackupTarget::Folder(folder) = &self.place
            && (folder.is_empty() || !folder.chars().all(is_of_path))
        {
            return Err(SqlError::new(20411, format!("invalid file path: {folder}")));
        }
        let parallelism = self.parallelism.as_deref();
        parallelism.map_or(Ok(()), |text| parse_u16(text).map(|_| ()))
    }

    /// The time stamp of the base, if one is given.
    ///
    /// # Errors
    /// The server panics on a malformed one, which the client sees as an error.
    pub fn base(&self) -> Result<Option<Ts>, SqlError> {
        if self.timestamp.is_empty() {
            return Ok(None);
        }
        let panic = |why: &str| SqlError::plain(format!("internal error: panic {why}"));
        self.timestamp.parse().map(Some).map_err(panic)
    }
}

/// True for characters that the server's file service allows in a path.
fn is_of_path(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!-_.*'()@/=%".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
}

/// Keys and values in braces; at least one pair.
fn options(parser: &mut Parser<'_>) -> Result<Vec<(String, String)>, SqlError> {
    parser.symbol('{')?;
    let mut pairs = Vec::new();
    loop {
        let key = parser.text()?;
        parser.symbol('=')?;
        pairs.push((key, parser.text()?));
        if !parser.take_symbol(',') {
            break;
        }
    }
    parser.symbol('}')?;
    Ok(pairs)
}
