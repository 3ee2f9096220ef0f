//! Limits that readers enforce and writers respect. In bytes unless the comment says otherwise.

use crate::model::Xattr;

/// One chunk.
pub(crate) const CHUNK: u64 = 16 << 20;
/// One group, before compression.
pub(crate) const GROUP_RAW: u64 = 16 << 20;
/// One group as stored.
pub(crate) const GROUP_STORED: u64 = 32 << 20;
/// Bases of one delta group, as a number of chunks.
pub(crate) const GROUP_BASES: u64 = 64;
/// One pack.
pub(crate) const PACK: u64 = 1 << 30;
/// Number of groups in one pack.
pub(crate) const PACK_GROUPS: u64 = 65_535;
/// Number of chunks in one pack.
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
/// Number of tree levels above the leaves.
pub(crate) const TREE_HEIGHT: u8 = 16;
/// Target of a symbolic link.
pub(crate) const LINK_TARGET: u64 = 65_535;
/// Name of an extended attribute.
pub(crate) const XATTR_NAME: u64 = Xattr::MAX_NAME as u64;
/// Value of an extended attribute.
pub(crate) const XATTR_VALUE: u64 = Xattr::MAX_VALUE as u64;
/// Number of extended attributes of one entry.
pub(crate) const XATTRS: u64 = Xattr::MAX_SUM as u64;
/// Number of holes in one file.
pub(crate) const HOLES: u64 = 1 << 17;
/// The configuration or a key slot.
pub(crate) const DOCUMENT: u64 = 1 << 20;
/// Number of key slots in a repository. The changes of a key exceed it for a moment.
pub(crate) const KEY_SLOTS: usize = 32;
/// Number of key slots on which a password is tried. More than there should be: a person who may only create objects can add useless ones.
pub(crate) const TRIED_KEY_SLOTS: usize = 2 * KEY_SLOTS;
/// Number of key slots that are read.
pub(crate) const LISTED_KEY_SLOTS: usize = 1_000;
/// Number of entries in a leaf; writers close a leaf at 256 KiB.
pub(crate) const LEAF_ENTRIES: u64 = 1 << 16;
/// Number of children of an inner node; writers close a node at 1,024.
pub(crate) const NODE_CHILDREN: u64 = 1 << 12;
/// Memory for one decoded node: paths are stored as differences, but decoded in full.
pub(crate) const NODE_MEMORY: usize = 128 << 20;
