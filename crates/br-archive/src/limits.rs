//! How much a bundle may ask for.
//!
//! [`Limits`] are held while reading, before anything is kept, and by the writer, so that what it writes can be read with the same
//! limits. Invariant: a bundle over a limit ends in an error that names the member, with memory bounded whatever it claims.

/// The limits of reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most members, directories among them.
    pub members: u64,
    /// Most bytes of one member.
    pub member_bytes: u64,
    /// Most bytes of all members together.
    pub total_bytes: u64,
    /// Most bytes that one compressed byte may become, once more than [`Limits::RATIO_FROM`] came out.
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
    /// How many bytes the names may take in memory for each member that is allowed, folders that are only part of names among them.
    pub const NAMES_BYTES: u64 = 512;
    /// Most extended headers in front of one member.
    pub const EXTENSIONS: u32 = 64;
    /// The ratio is not looked at before this many bytes.
    pub const RATIO_FROM: u64 = 64 << 20;

    /// No limits but those of the format.
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
    /// 250,000 members, 1 TiB in all, and a ratio of 250: text compresses ten times, deflate cannot go beyond 1,032.
    fn default() -> Self {
        Self {
            members: 250_000,
            member_bytes: 1 << 40,
            total_bytes: 1 << 40,
            ratio: 250,
        }
    }
}
