//! Where tree nodes end. The content decides, so that equal runs of items give equal nodes (section 6).

use crate::model::EntryPath;

/// Decides where a tree node ends.
#[derive(Debug)]
pub(crate) struct NodeCutter {
    /// A node ends after a path whose hash is divisible by this number.
    divisor: u16,
    /// Before this many items or this many bytes, a node does not end.
    min_items: u64,
    min_bytes: usize,
    /// At this many items or bytes, a node always ends.
    max_items: u64,
    max_bytes: usize,
}

impl NodeCutter {
    pub(crate) const LEAF: Self = Self {
        divisor: 64,
        min_items: 16,
        min_bytes: 8 << 10,
        max_items: u64::MAX,
        max_bytes: 256 << 10,
    };
    pub(crate) const INNER: Self = Self {
        divisor: 64,
        min_items: 16,
        min_bytes: usize::MAX,
        max_items: 1024,
        // Reached only by nodes with very long paths.
        max_bytes: 4 << 20,
    };

    /// Whether a node with this many items and bytes ends after an item with this path.
    pub(crate) fn ends_after(&self, path: &EntryPath, items: u64, bytes: usize) -> bool {
        if items >= self.max_items || bytes >= self.max_bytes {
            return true;
        }
        if items < self.min_items && bytes < self.min_bytes {
            return false;
        }
        let hash = blake3::hash(path.as_bytes());
        let [a, b, ..] = *hash.as_bytes();
        u16::from_le_bytes([a, b]).is_multiple_of(self.divisor)
    }
}
