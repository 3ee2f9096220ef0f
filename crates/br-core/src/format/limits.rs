//! The most a reader accepts, and a writer makes. Bytes unless the name says otherwise.

use crate::model::Xattr;

/// One chunk.
pub(crate) const CHUNK: u64 = 16 << 20;
/// One group, before compression.
pub(crate) const GROUP_RAW: u64 = 16 << 20;
/// One group as stored.
pub(crate) const GROUP_STORED: u64 = 32 << 20;
/// Bases of one delta group, number of chunks.
pub(crate) const GROUP_BASES: u64 = 64;
/// One pack.
pub(crate) const PACK: u64 = 1 << 30;
/// Groups of one pack, number.
pub(crate) const PACK_GROUPS: u64 = 65_535;
/// Chunks of one pack, number.
pub(crate) const PACK_CHUNKS: u64 = 1 << 20;
/// A pack's footer.
pub(crate) const FOOTER: u64 = 64 << 20;
/// An index segment.
pub(crate) const SEGMENT: u64 = 1 << 30;
/// A manifest.
pub(crate) const MANIFEST: u64 = 256 << 20;
/// A log entry.
pub(crate) const LOG_ENTRY: u64 = 256 << 20;
/// A node of the entry tree.
pub(crate) const TREE_NODE: u64 = 16 << 20;
/// Levels above the leaves, number.
pub(crate) const TREE_HEIGHT: u8 = 16;
/// Target of a symbolic link.
pub(crate) const LINK_TARGET: u64 = 65_535;
/// Name of an extended attribute.
pub(crate) const XATTR_NAME: u64 = Xattr::MAX_NAME as u64;
/// Value of an extended attribute.
pub(crate) const XATTR_VALUE: u64 = Xattr::MAX_VALUE as u64;
/// Extended attributes of one entry.
pub(crate) const XATTRS: u64 = Xattr::MAX_SUM as u64;
/// Holes of one file, number.
pub(crate) const HOLES: u64 = 1 << 17;
/// The configuration or a key slot.
pub(crate) const DOCUMENT: u64 = 1 << 20;
/// Key slots that are tried, number.
pub(crate) const KEY_SLOTS: usize = 32;
/// Entries of a leaf, number: one is closed at 256 KiB.
pub(crate) const LEAF_ENTRIES: u64 = 1 << 16;
/// Children of an inner node, number: one is closed at 1,024.
pub(crate) const NODE_CHILDREN: u64 = 1 << 12;
/// What a node takes in memory: paths are written as differences and come out whole.
pub(crate) const NODE_MEMORY: usize = 128 << 20;
