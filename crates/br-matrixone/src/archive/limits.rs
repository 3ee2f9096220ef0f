//! Limits on the size of an archive.
//!
//! The readers enforce [`Limits`] before they keep anything. Invariant: an archive over a limit gives an error that names the file and the
//! limit, and memory is bounded whatever the archive claims.

/// The limits of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most rows of one `tae_list`. Each uses about 170 bytes of memory during a check or restore.
    pub rows: u64,
    /// Most bytes of one `tae_list`.
    pub list_bytes: u64,
    /// Most backups below one root.
    pub backups: usize,
}

impl Limits {
    /// Longest line of any list, in bytes.
    pub const LINE_BYTES: usize = 8 << 10;
    /// Longest path, in bytes.
    pub const PATH_BYTES: usize = 1024;
    /// Longest part of a path between two slashes, in bytes: the limit of file systems, minus the prefix of temporary names.
    pub const NAME_BYTES: usize = 240;
    /// Most parts of a path, and deepest nesting of folders that are searched.
    pub const PATH_PARTS: usize = 16;
    /// Most bytes of a small file: `mo_meta`, `hk_data`, a configuration, a digest.
    pub const SMALL_BYTES: u64 = 16 << 20;

    /// Sets the number of rows.
    #[must_use]
    pub const fn with_rows(mut self, rows: u64) -> Self {
        self.rows = rows;
        self
    }

    /// Sets the size of a list.
    #[must_use]
    pub const fn with_list_bytes(mut self, bytes: u64) -> Self {
        self.list_bytes = bytes;
        self
    }

    /// Sets the number of backups.
    #[must_use]
    pub const fn with_backups(mut self, backups: usize) -> Self {
        self.backups = backups;
        self
    }
}

impl Default for Limits {
    /// 4,000,000 rows in 1 GiB: with objects of 64 MiB that is a cluster of 240 TiB. 10,000 backups.
    fn default() -> Self {
        Self {
            rows: 4_000_000,
            list_bytes: 1 << 30,
            backups: 10_000,
        }
    }
}
