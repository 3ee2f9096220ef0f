//! Limits on the size of a bundle.
//!
//! The reader enforces [`Limits`] before it keeps anything. The writer enforces them too, so that its bundles can be read with the same
//! limits. Invariant: a bundle over a limit gives an error that names the member, and memory is bounded whatever the headers claim.

/// The limits of reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most members, including directories.
    pub members: u64,
    /// Most bytes of one member.
    pub member_bytes: u64,
    /// Most bytes of all members together.
    pub total_bytes: u64,
    /// Most bytes that one compressed byte may decompress to, checked after the first [`Limits::RATIO_FROM`] bytes.
    pub ratio: u64,
}

impl Limits {
    /// Longest path of a member, in bytes.
    pub const PATH_BYTES: usize = 4096;
    /// Longest part of a path between two slashes, in bytes.
    pub const NAME_BYTES: usize = 255;
    /// Longest extended header of a member, in bytes.
    pub const EXTENSION_BYTES: u64 = 64 << 10;
    /// Most parts of a path.
    pub const PATH_PARTS: usize = 128;
    /// Most memory for names per allowed member, in bytes, including folders that are only part of names.
    pub const NAMES_BYTES: u64 = 512;
    /// Most extended headers in front of one member.
    pub const EXTENSIONS: u32 = 64;
    /// The reader checks the ratio after this number of bytes.
    pub const RATIO_FROM: u64 = 64 << 20;

    /// Only the limits of the format.
    pub const NONE: Self = Self {
        members: u64::MAX,
        member_bytes: u64::MAX,
        total_bytes: u64::MAX,
        ratio: u64::MAX,
    };

    /// Sets the number of members.
    #[must_use]
    pub const fn with_members(mut self, members: u64) -> Self {
        self.members = members;
        self
    }

    /// Sets the size of one member.
    #[must_use]
    pub const fn with_member_bytes(mut self, bytes: u64) -> Self {
        self.member_bytes = bytes;
        self
    }

    /// Sets the size of all members.
    #[must_use]
    pub const fn with_total_bytes(mut self, bytes: u64) -> Self {
        self.total_bytes = bytes;
        self
    }

    /// Sets the ratio.
    #[must_use]
    pub const fn with_ratio(mut self, ratio: u64) -> Self {
        self.ratio = ratio;
        self
    }
}

impl Default for Limits {
    /// 250,000 members, 1 TiB in all, and a ratio of 250. Text compresses about tenfold; the maximum of deflate is 1,032.
    fn default() -> Self {
        Self {
            members: 250_000,
            member_bytes: 1 << 40,
            total_bytes: 1 << 40,
            ratio: 250,
        }
    }
}
