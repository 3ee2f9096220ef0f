//! The tar format: headers in and out, one member after the other.
//!
//! [`TarReader`] takes every dialect (V7, ustar, GNU, PAX), [`TarWriter`] writes ustar with PAX headers where a name or a size needs
//! one. Invariant: the reader holds one header in memory, whatever the archive claims, and yields nothing but files and directories.

mod pax;
mod read;
mod write;

pub(crate) use read::TarReader;
pub(crate) use write::TarWriter;

/// Bytes of a header; contents are padded to a multiple of it.
const BLOCK: u64 = 512;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// What a tar header says of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarHeader {
    /// The path as it stands in the archive, without a slash at the end.
    pub name: String,
    /// What it is.
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

/// Bytes after `size` bytes of content up to the next header.
const fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

#[cfg(test)]
mod tests;
