//! The statements for a backup, built and checked before any of them is sent.
//!
//! A [`BackupRequest`] becomes a [`BackupStatement`] in the grammar of the server that will run it.
//! Invariant: a request that the server would refuse or misread is refused here with the reason, and a
//! statement is never displayed with its keys.

use std::fmt;

use br_storage::Secret;
use thiserror::Error;
use zeroize::Zeroizing;

use super::BackupTs;
use super::server_version::{Grammar, ServerVersion, shown};

/// The punctuation that MatrixOne accepts in a path, in addition to letters, digits and printable characters
/// beyond ASCII.
const PATH_PUNCTUATION: &str = "!-_.*'()@/=%";
const MASK: &str = "******";
/// The initial capacity for a statement, in bytes. It is larger than statements in practice, because growing
/// the buffer would leave keys in the freed memory.
const ROOM: usize = 16 << 10;

/// Where the server writes. The folder must be empty and used for one backup only: the server overwrites
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupTarget {
    /// A folder on the host of the server that runs the statement, which may be another host than this one.
    FileSystem {
        /// The folder.
        path: String,
    },
    /// A bucket.
    S3(S3Target),
}

/// A folder in a bucket, as the server accesses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Target {
    /// URL of the service.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The folder in the bucket.
    pub filepath: String,
    /// The region; empty where there is none, as with MinIO.
    pub region: String,
    /// The role that the server assumes.
    pub role_arn: Option<String>,
    /// Whether it is MinIO.
    pub is_minio: bool,
    /// The keys; `None` for the server's own.
    pub keys: Option<S3Keys>,
}

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// Its id.
    pub access_key_id: Secret,
    /// Its secret.
    pub secret_access_key: Secret,
}

/// Full or incremental.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Full,
    /// The changes since an earlier backup, which must be kept.
    Since(BackupTs),
}

/// A request for a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// A name for the server's log; the server does not use it otherwise.
    pub label: String,
    /// Where the server writes the backup.
    pub target: BackupTarget,
    /// How many files the server copies at once. With `None`, 0, or 512 and more, the server chooses by its
    /// number of processors.
    pub parallelism: Option<u16>,
    /// Full or incremental.
    pub extent: Extent,
}

/// Why a request cannot be a statement. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The folder has a character that MatrixOne does not accept or misreads. Choose another folder.
    #[error(
        "the folder '{path}' has the character {character:?}, which MatrixOne does not take in a path: choose one of letters, digits and {PATH_PUNCTUATION}"
    )]
    PathCharacter {
        /// The folder.
        path: String,
        /// The first such character.
        character: char,
    },
    /// A value is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value has a line break or another control character.
    #[error("{0} has a control character; was it copied with a line break?")]
    ControlCharacter(&'static str),
    /// An address contains a user name or password, which logs would show.
    #[error("the endpoint has a user or password in it: give keys as keys")]
    SecretInEndpoint,
    /// The server cannot make incremental backups.
    #[error(
        "{0} makes full backups only: incremental ones need v1.2.0 or newer; make a full backup"
    )]
    IncrementalUnsupported(String),
}

/// The statement `BACKUP` for one server. `Display` and `Debug` mask its keys.
#[derive(Clone, PartialEq, Eq)]
pub struct BackupStatement {
    text: Zeroizing<String>,
    masked: String,
    secrets: Vec<Secret>,
}

impl BackupRequest {
    /// Writes the statement in the grammar of a server. For a server older than v1.1.3 the parallelism is
    /// left out.
    ///
    /// # Errors
    /// If the server would not accept the request, see [`StatementError`].
    pub fn statement(&self, server: &ServerVersion) -> Result<BackupStatement, StatementError> {
        let grammar = server.grammar();
        refuse_control("the label", &self.label)?;
        let mut statement = Writer::default();
        statement.push("BACKUP ").quote(&self.label);
        match &self.target {
            BackupTarget::FileSystem { path } => {
                check_path(path)?;
                statement.push(" FILESYSTEM ").quote(path);
                if grammar != Grammar::Bare {
                    // The clause is mandatory; zero lets the server choose.
                    let parallelism = self.parallelism.unwrap_or(0).to_string();
                    statement.push(" PARALLELISM ").quote(&parallelism);
                }
            }
            BackupTarget::S3(target) => {
                check_s3(target)?;
                let parallelism = self.parallelism.filter(|_| grammar != Grammar::Bare);
                write_s3(&mut statement, target, parallelism);
            }
        }
        match (self.extent, grammar) {
            (Extent::Full, Grammar::Full) => {
                statement.push(" TYPE 'full'");
            }
            (Extent::Full, _) => {}
            (Extent::Since(base), Grammar::Full) => {
                statement.push(" TYPE 'incremental' TIMESTAMP ");
                statement.quote(&base.to_string());
            }
            (Extent::Since(_), _) => {
                return Err(StatementError::IncrementalUnsupported(server.to_string()));
            }
        }
        Ok(statement.0)
    }
}

impl BackupStatement {
    /// Returns the statement with its keys. Use it only to send the statement.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Removes the keys from a server's message about this statement. A syntax error repeats a part of the
    /// statement, which may end inside a key: that part is removed.
    pub(super) fn redact(&self, message: &str) -> String {
        let mut message = message.to_owned();
        if self.secrets.is_empty() {
            return message;
        }
        if let Some(at) = message.find(" near ") {
            message.truncate(at);
        }
        for secret in &self.secrets {
            let mut quoted = Zeroizing::new(String::with_capacity(2 * secret.reveal().len() + 2));
            quote(secret.reveal(), &mut quoted);
            let inner = &quoted[1..quoted.len() - 1];
            message = message.replace(secret.reveal(), MASK).replace(inner, MASK);
        }
        message
    }
}

impl fmt::Display for BackupStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl fmt::Debug for BackupStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupStatement({})", self.masked)
    }
}

/// Makes the statement that kills the running statement of a connection, but not the connection.
#[must_use]
pub fn kill_query(connection_id: u32) -> String {
    format!("KILL QUERY {connection_id}")
}

/// Makes the statement that delays the garbage collection of the data at a time stamp. The delay expires
/// after 20 minutes unless the statement is sent again. A cluster has only one such delay, which a running
/// backup uses as well.
#[must_use]
pub fn protect_gc(since: BackupTs) -> String {
    format!("select mo_ctl('dn','DiskCleaner','add_checker.backup.{since}')")
}

/// Makes the statement that ends the delay.
#[must_use]
pub fn unprotect_gc() -> String {
    "select mo_ctl('dn','DiskCleaner','remove_checker.backup.')".to_owned()
}

/// Returns whether a URL has a user name or a password before its host.
pub(super) fn has_user_info(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    authority[..end].contains('@')
}

/// Writes a statement and its masked form at the same time.
struct Writer(BackupStatement);

impl Default for Writer {
    fn default() -> Self {
        Self(BackupStatement {
            text: Zeroizing::new(String::with_capacity(ROOM)),
            masked: String::new(),
            secrets: Vec::new(),
        })
    }
}

impl Writer {
    fn push(&mut self, text: &str) -> &mut Self {
        self.0.text.push_str(text);
        self.0.masked.push_str(text);
        self
    }

    fn quote(&mut self, value: &str) -> &mut Self {
        let from = self.0.text.len();
        quote(value, &mut self.0.text);
        self.0.masked.push_str(&self.0.text[from..]);
        self
    }

    fn quote_secret(&mut self, value: &Secret) {
        quote(value.reveal(), &mut self.0.text);
        quote(MASK, &mut self.0.masked);
        self.0.secrets.push(value.clone());
    }
}

/// MatrixOne reads a doubled quote as one quote, and a backslash as MySQL does.
fn quote(value: &str, into: &mut String) {
    into.push('\'');
    for c in value.chars() {
        if matches!(c, '\'' | '\\') {
            into.push(c);
        }
        into.push(c);
    }
    into.push('\'');
}

fn write_s3(statement: &mut Writer, target: &S3Target, parallelism: Option<u16>) {
    statement
        .push(" S3OPTION {'endpoint'=")
        .quote(&target.endpoint);
    if let Some(keys) = &target.keys {
        statement.push(",'access_key_id'=");
        statement.quote_secret(&keys.access_key_id);
        statement.push(",'secret_access_key'=");
        statement.quote_secret(&keys.secret_access_key);
    }
    statement.push(",'bucket'=").quote(&target.bucket);
    statement.push(",'filepath'=").quote(&target.filepath);
    statement.push(",'region'=").quote(&target.region);
    if let Some(role) = &target.role_arn {
        statement.push(",'role_arn'=").quote(role);
    }
    let is_minio = if target.is_minio { "true" } else { "false" };
    statement.push(",'is_minio'=").quote(is_minio);
    if let Some(parallelism) = parallelism {
        statement
            .push(",'parallelism'=")
            .quote(&parallelism.to_string());
    }
    statement.push("}");
}

fn check_path(path: &str) -> Result<(), StatementError> {
    if path.is_empty() {
        return Err(StatementError::Missing("the folder to write to"));
    }
    let taken = |c: char| {
        if c.is_ascii() {
            c.is_ascii_alphanumeric() || PATH_PUNCTUATION.contains(c)
        } else {
            !c.is_control() && !c.is_whitespace()
        }
    };
    match path.chars().find(|&c| !taken(c)) {
        Some(character) => Err(StatementError::PathCharacter {
            path: shown(path),
            character,
        }),
        None => Ok(()),
    }
}

fn check_s3(target: &S3Target) -> Result<(), StatementError> {
    if target.bucket.is_empty() {
        return Err(StatementError::Missing("the bucket"));
    }
    if has_user_info(&target.endpoint) {
        return Err(StatementError::SecretInEndpoint);
    }
    for (what, value) in [
        ("the endpoint", target.endpoint.as_str()),
        ("the bucket", &target.bucket),
        ("the path in the bucket", &target.filepath),
        ("the region", &target.region),
        ("the role", target.role_arn.as_deref().unwrap_or_default()),
    ] {
        refuse_control(what, value)?;
    }
    let Some(keys) = &target.keys else {
        return Ok(());
    };
    for (what, key) in [
        ("the access key's id", &keys.access_key_id),
        ("the secret access key", &keys.secret_access_key),
    ] {
        if key.reveal().is_empty() {
            return Err(StatementError::Missing(what));
        }
        refuse_control(what, key.reveal())?;
    }
    Ok(())
}

fn refuse_control(what: &'static str, value: &str) -> Result<(), StatementError> {
    if value.chars().any(char::is_control) {
        return Err(StatementError::ControlCharacter(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
