//! Finds the ids of chunks from the trees of a backup that both repositories have.
//!
//! The trees have the same entries in the same order, with the ids of either repository. [`learn`] walks both. Invariant: it notes ids only
//! for files with the same path, length, SHA-256 and lengths of chunks. It learns nothing from other files, so their data is read.

use std::sync::Arc;

use super::ids::Ids;
use super::sides::{Source, Target};
use super::trees::{Node, Trees, fingerprint};
use crate::engine::backup::Dedup;
use crate::error::Result;
use crate::format::{Child, Leaf, decode_leaf, decode_list, decode_node};
use crate::model::{
    Backup, ChunkId, ChunkRef, Content, Entry, EntryKind, EntryPath, FileContent, References,
};
use crate::repository::ChunkReader;

/// How many pairs of nodes are fetched together.
const NODES_AHEAD: usize = 96;

/// Learns the ids of all chunks in the backup `source`, whose copy is `target`.
pub(super) fn learn(
    from: &Source,
    (to, dedup): (&Target, &Dedup),
    (source, target): (&Backup, &Backup),
    ids: &Ids,
    trees: &mut Trees,
) -> Result<()> {
    let (Some(one), Some(other)) = (source.tree, target.tree) else {
        return Ok(());
    };
    if one.height != other.height {
        return Ok(());
    }
    let root = |node| Child {
        first: EntryPath::root(),
        node,
        totals: source.totals,
    };
    let mut walk = Walk {
        from,
        to,
        dedup,
        reader: ChunkReader::new(&to.io, Arc::clone(&to.index)),
        ids,
        trees,
    };
    let pair = (root(one.node), root(other.node));
    walk.pairs(one.height, &[pair]).map(drop)
}

struct Walk<'a> {
    from: &'a Source,
    to: &'a Target,
    /// Knows the chunks of the target.
    dedup: &'a Dedup,
    reader: ChunkReader,
    ids: &'a Ids,
    trees: &'a mut Trees,
}

impl Walk<'_> {
    /// Walks pairs of nodes of one level. Returns the numbers of the nodes whose ids were all learned.
    fn pairs(&mut self, level: u8, pairs: &[(Child, Child)]) -> Result<Vec<Option<u32>>> {
        let known = pairs.iter().map(|(one, _)| self.trees.get(&one.node.id));
        let mut done: Vec<Option<u32>> = known.collect();
        let todo: Vec<usize> = (0..pairs.len()).filter(|at| done[*at].is_none()).collect();
        for some in todo.chunks(NODES_AHEAD) {
            self.to.io.check_cancelled()?;
            let ones: Vec<ChunkRef> = some.iter().map(|at| pairs[*at].0.node).collect();
            let others: Vec<ChunkRef> = some.iter().map(|at| pairs[*at].1.node).collect();
            let ones = self.from.reader.read_many(&ones);
            let others = self.reader.read_many(&others);
            for ((at, one), other) in some.iter().zip(ones).zip(others) {
                // Unreadable nodes are reported when their data is needed.
                if let (Ok(one), Ok(other)) = (one, other) {
                    let (source, target) = &pairs[*at];
                    done[*at] = self.node(level, (source, target.node), &one, &other)?;
                }
            }
        }
        Ok(done)
    }

    fn node(
        &mut self,
        level: u8,
        (source, target): (&Child, ChunkRef),
        one: &[u8],
        other: &[u8],
    ) -> Result<Option<u32>> {
        if level == 0 {
            let (Ok(one), Ok(other)) = (decode_leaf(one), decode_leaf(other)) else {
                return Ok(None);
            };
            return Ok(self.leaf(source.node.id, target, &one, &other));
        }
        let children = (decode_node(level, one), decode_node(level, other));
        let (Ok(ones), Ok(others)) = children else {
            return Ok(None);
        };
        let Some(first) = ones.first().map(|child| fingerprint(&child.first)) else {
            return Ok(None);
        };
        let is_alike = ones.len() == others.len()
            && ones
                .iter()
                .zip(&others)
                .all(|(one, other)| one.first == other.first);
        if !is_alike {
            return Ok(None);
        }
        let pairs: Vec<(Child, Child)> = ones.into_iter().zip(others).collect();
        let done = self.pairs(level - 1, &pairs)?;
        let Some(children) = done.into_iter().collect::<Option<Vec<u32>>>() else {
            return Ok(None);
        };
        let node = Node {
            target,
            first,
            children,
            stored_beside: Vec::new(),
            content: References::default(),
        };
        Ok(Some(self.trees.push(source.node.id, node)))
    }

    fn leaf(&mut self, source: ChunkId, target: ChunkRef, one: &Leaf, other: &Leaf) -> Option<u32> {
        let first = fingerprint(&one.entries.first()?.path);
        if one.entries.len() != other.entries.len() {
            return None;
        }
        let mut content = References::default();
        let mut lists = Vec::new();
        let mut is_whole = true;
        for (at, (a, b)) in one.entries.iter().zip(&other.entries).enumerate() {
            let in_lists = |leaf: &Leaf| {
                let mut all = leaf.lists.iter();
                all.find(|(other, _)| *other == at)
                    .map(|(_, lists)| lists.clone())
            };
            let (list_a, list_b) = (in_lists(one), in_lists(other));
            lists.extend(list_b.iter().flatten().map(|list| list.id));
            if let Some(chunk) = moved(a, b) {
                let mut note = |id| self.dedup.note_stored(&id, &mut content);
                is_whole &= is_same(a, b) && chunk.is_none_or(|chunk| note(chunk.id));
                continue;
            }
            let chunks_a = chunks(a, list_a.as_deref(), &self.from.reader);
            let chunks_b = chunks(b, list_b.as_deref(), &self.reader);
            is_whole &= match (chunks_a, chunks_b) {
                (Some(ones), Some(others)) if is_same(a, b) => {
                    self.chunks(&ones, &others, &mut content)
                }
                _ => false,
            };
        }
        let node = Node {
            target,
            first,
            children: Vec::new(),
            stored_beside: lists,
            content,
        };
        is_whole.then(|| self.trees.push(source, node))
    }

    /// Notes the ids of the chunks of a file. False if the target lacks one.
    fn chunks(&self, ones: &[ChunkRef], others: &[ChunkRef], content: &mut References) -> bool {
        let lengths =
            |chunks: &[ChunkRef]| chunks.iter().map(|chunk| chunk.len).collect::<Vec<_>>();
        if lengths(ones) != lengths(others) {
            return false;
        }
        let mut is_whole = true;
        for (one, other) in ones.iter().zip(others) {
            if !self.dedup.note_stored(&other.id, content) {
                is_whole = false;
                continue;
            }
            for location in self.from.index.find_all(&one.id) {
                let count = location.pack.table.chunk_count();
                self.ids
                    .note(location.pack.id, count, [(location.slot, other.id)]);
            }
        }
        is_whole
    }
}

/// The chunks of an entry; none for an entry that is no file. `None` if they cannot be read.
fn chunks(
    entry: &Entry,
    lists: Option<&[ChunkRef]>,
    reader: &ChunkReader,
) -> Option<Vec<ChunkRef>> {
    if let Some(lists) = lists {
        let mut all = Vec::new();
        for bytes in reader.read_many(lists) {
            all.extend(decode_list(&bytes.ok()?).ok()?);
        }
        return Some(all);
    }
    match &entry.kind {
        EntryKind::File(FileContent {
            content: Content::Chunks(chunks),
            ..
        }) => Some(chunks.clone()),
        _ => Some(Vec::new()),
    }
}

/// The chunk in the target of a file whose content is in an entry on one side only; none inside if the target has it in the entry.
fn moved(one: &Entry, other: &Entry) -> Option<Option<ChunkRef>> {
    let (EntryKind::File(one), EntryKind::File(other)) = (&one.kind, &other.kind) else {
        return None;
    };
    match (&one.content, &other.content) {
        (Content::Inline(bytes), Content::Chunks(chunks)) => match chunks.as_slice() {
            [chunk] if chunk.len as usize == bytes.len() => Some(Some(*chunk)),
            _ => None,
        },
        (Content::Chunks(chunks), Content::Inline(bytes)) => match chunks.as_slice() {
            [chunk] if chunk.len as usize == bytes.len() => Some(None),
            _ => None,
        },
        _ => None,
    }
}

/// True when two entries are the same file of the same backup.
fn is_same(one: &Entry, other: &Entry) -> bool {
    let is_moved = moved(one, other).is_some();
    let digest = |entry: &Entry| match &entry.kind {
        // Content in an entry has no digest.
        EntryKind::File(file) => Some((file.size, file.sha256.filter(|_| !is_moved))),
        _ => None,
    };
    one.path == other.path && one.mtime == other.mtime && digest(one) == digest(other)
}
