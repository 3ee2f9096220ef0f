//! What a backup was made from.

use serde::{Serialize, Serializer};

/// The source of a backup: its kind, and for a system its version and position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Origin {
    /// The kind of source.
    pub kind: OriginKind,
    /// Version of the system, such as that of a database server.
    pub version: Option<String>,
    /// Position of the system when the backup was made, such as a transaction time stamp: the data is complete up to it.
    pub position: Option<String>,
}

/// A kind of source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginKind {
    /// Files and folders of a machine.
    Files,
    /// One stream of bytes, such as standard input.
    Stream,
    /// The members of an export bundle.
    Bundle,
    /// A physical backup of MatrixOne.
    MatrixOne,
    /// A kind that this version of the library has no name for.
    Other(String),
}

impl Origin {
    /// A source of this kind, without version and position.
    #[must_use]
    pub const fn new(kind: OriginKind) -> Self {
        Self {
            kind,
            version: None,
            position: None,
        }
    }

    /// Sets the version of the system.
    #[must_use]
    pub fn with_version(mut self, version: Option<String>) -> Self {
        self.version = version;
        self
    }

    /// Sets the position of the system.
    #[must_use]
    pub fn with_position(mut self, position: Option<String>) -> Self {
        self.position = position;
        self
    }
}

impl OriginKind {
    /// One word for people, for JSON and for the repository.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Files => "files",
            Self::Stream => "stream",
            Self::Bundle => "bundle",
            Self::MatrixOne => "matrixone",
            Self::Other(name) => name,
        }
    }
}

/// As [`OriginKind::name`].
impl Serialize for OriginKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl From<String> for OriginKind {
    fn from(name: String) -> Self {
        match name.as_str() {
            "files" => Self::Files,
            "stream" => Self::Stream,
            "bundle" => Self::Bundle,
            "matrixone" => Self::MatrixOne,
            _ => Self::Other(name),
        }
    }
}
