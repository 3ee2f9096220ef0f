//! The tar format: reader and writer of members.
//!
//! [`TarReader`] reads every dialect (V7, ustar, GNU, PAX), [`TarWriter`] writes ustar with PAX headers where a name or a size needs one.
//! Invariant: the reader keeps one header in memory, whatever the archive claims, and yields only files and directories.

mod pax;
mod read;
mod write;

pub(crate) use read::TarReader;
pub(crate) use write::TarWriter;

/// Bytes of a header. Contents are padded to a multiple of it.
const BLOCK: u64 = 512;

/// The kind of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// The metadata of a member in its tar header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TarHeader {
    /// The path in the archive, without a trailing slash.
    pub name: String,
    /// Its kind.
    pub kind: MemberKind,
    /// Bytes of content; 0 for directories.
    pub size: u64,
    /// The twelve permission bits.
    pub mode: u32,
    /// Last change, in seconds since 1970.
    pub mtime: u64,
    /// Number of the owner.
    pub uid: u64,
    /// Number of the group.
    pub gid: u64,
    /// Name of the owner; empty when unknown.
    pub user: String,
    /// Name of the group; empty when unknown.
    pub group: String,
}

/// Bytes of padding between `size` bytes of content and the next header.
const fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

#[cfg(test)]
mod tests;
