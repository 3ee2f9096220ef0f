//! Inner nodes of the entry tree: children with their first path and totals (section 6).

use super::bytes::{Decoder, Memory, put_varint};
use super::leaf::{put_path, read_path};
use super::{FormatError, limits};
use crate::model::{ChunkId, ChunkRef, EntryPath, Totals};

/// A child of an inner node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Child {
    /// Path of the child's first entry.
    pub(crate) first: EntryPath,
    pub(crate) node: ChunkRef,
    pub(crate) totals: Totals,
}

/// Encodes a node; `level` is 1 for a parent of leaves.
pub(crate) fn encode_node(level: u8, children: &[Child]) -> Vec<u8> {
    let mut out = vec![level];
    put_varint(&mut out, children.len() as u64);
    let mut last: &[u8] = &[];
    for child in children {
        put_path(&mut out, last, child.first.as_bytes());
        put_varint(&mut out, child.node.len.into());
        let Totals {
            entries,
            files,
            directories,
            bytes,
        } = child.totals;
        for n in [entries, files, directories, bytes] {
            put_varint(&mut out, n);
        }
        last = child.first.as_bytes();
    }
    children
        .iter()
        .for_each(|child| out.extend_from_slice(child.node.id.as_bytes()));
    out
}

/// Decodes a node, which must have this `level`.
pub(crate) fn decode_node(level: u8, bytes: &[u8]) -> Result<Vec<Child>, FormatError> {
    let mut read = Decoder::new(bytes);
    if read.u8()? != level {
        return Err(FormatError::Malformed("a tree node is at the wrong level"));
    }
    let mut children: Vec<Child> = Vec::new();
    let mut memory = Memory::default();
    for _ in 0..read.count(limits::NODE_CHILDREN, "children")? {
        let last = children
            .last()
            .map_or(&[][..], |child| child.first.as_bytes());
        let first = read_path(&mut read, last)?;
        memory.take(first.as_bytes().len() + size_of::<Child>())?;
        if children.last().is_some_and(|before| before.first >= first) {
            return Err(FormatError::Malformed("children are out of order"));
        }
        let len = read.bounded(limits::TREE_NODE, "bytes in a tree node")? as u32;
        let totals = Totals {
            entries: read.varint()?,
            files: read.varint()?,
            directories: read.varint()?,
            bytes: read.varint()?,
        };
        children.push(Child {
            first,
            node: ChunkRef {
                id: ChunkId([0; 32]),
                len,
            },
            totals,
        });
    }
    for child in &mut children {
        child.node.id = ChunkId(read.array()?);
    }
    read.finish()?;
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_come_back_and_damage_is_an_error() {
        let child = |path: &str, n| Child {
            first: EntryPath::new(path.as_bytes()).unwrap(),
            node: ChunkRef {
                id: ChunkId([n; 32]),
                len: 9,
            },
            totals: Totals {
                entries: 3,
                files: 2,
                directories: 1,
                bytes: u64::MAX,
            },
        };
        let children = [child("", 1), child("a/b", 2), child("a/c", 3)];
        let bytes = encode_node(1, &children);
        assert_eq!(decode_node(1, &bytes).unwrap(), children);
        assert!(decode_node(2, &bytes).is_err());
        for len in 0..bytes.len() {
            assert!(decode_node(1, &bytes[..len]).is_err(), "cut at {len}");
        }
        assert!(decode_node(1, &encode_node(1, &[child("b", 1), child("a", 2)])).is_err());
    }
}
