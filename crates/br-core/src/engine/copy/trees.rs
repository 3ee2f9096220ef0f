//! Copies entry trees: the same nodes with the ids of the target.
//!
//! [`Trees`] remembers the nodes that are done, so a node that several backups share is read once. [`Converter`] walks the tree of one
//! backup. Invariant: a node is done only if everything below it is in the target.

use std::collections::HashMap;

use super::ids::Ids;
use super::inline::InlineStore;
use super::report::{DamagedBackup, DamagedEntry};
use super::sides::Source;
use crate::engine::backup::{Dedup, NodeStore};
use crate::error::{Error, Result, in_one_line};
use crate::format::{
    self, Child, Leaf, LeafBuilder, decode_leaf, decode_list, decode_node, encode_list,
    encode_node, split_lists,
};
use crate::model::{
    Backup, ChunkId, ChunkRef, Content, Entry, EntryKind, EntryPath, References, TreeRoot,
};

/// Maximum number of nodes that are fetched together, and the maximum of their bytes.
const NODES_AHEAD: usize = 96;
const BYTES_AHEAD: u64 = 16 << 20;
/// How many damaged entries a report names.
const MAX_NAMED: usize = 20;

/// The nodes that are done.
#[derive(Debug, Default)]
pub(super) struct Trees {
    /// By the id in the source.
    numbers: HashMap<ChunkId, u32>,
    nodes: Vec<Node>,
}

/// A node whose content is in the target.
#[derive(Debug)]
pub(super) struct Node {
    /// The node in the target.
    pub(super) target: ChunkRef,
    /// Fingerprint of the path of its first entry.
    pub(super) first: u64,
    pub(super) children: Vec<u32>,
    /// Chunks in the target that were stored with the trees: the chunk lists of its files, and what the source holds inline.
    pub(super) stored_beside: Vec<ChunkId>,
    /// Where the content of its files is in the target.
    pub(super) content: References,
}

impl Trees {
    pub(super) fn get(&self, source: &ChunkId) -> Option<u32> {
        self.numbers.get(source).copied()
    }

    pub(super) fn node(&self, number: u32) -> &Node {
        &self.nodes[number as usize]
    }

    pub(super) fn push(&mut self, source: ChunkId, node: Node) -> u32 {
        let number = self.nodes.len() as u32;
        self.nodes.push(node);
        self.numbers.insert(source, number);
        number
    }

    /// Forgets all nodes: a prune may have removed what they refer to.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The reference set of a tree. `dedup` must know where the nodes are.
    pub(super) fn references(&self, root: u32, dedup: &Dedup) -> Result<References> {
        let mut references = References::default();
        let mut pending = vec![root];
        while let Some(number) = pending.pop() {
            let node = self.node(number);
            references.union(&node.content);
            for id in std::iter::once(&node.target.id).chain(&node.stored_beside) {
                if !dedup.note_stored(id, &mut references) {
                    return Err(Error::internal(format!("tree node {id} was not stored")));
                }
            }
            pending.extend(&node.children);
        }
        Ok(references)
    }
}

pub(super) fn fingerprint(path: &EntryPath) -> u64 {
    let hash = blake3::hash(path.as_bytes());
    hash.as_bytes()
        .first_chunk()
        .map_or(0, |first| u64::from_le_bytes(*first))
}

/// What keeps a backup from being copied.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) entries: u64,
    pub(super) first: Vec<DamagedEntry>,
    /// Chunks that the target lacks.
    pub(super) chunks: Vec<ChunkId>,
}

impl Lost {
    fn add(&mut self, path: &EntryPath, entries: u64, reason: impl FnOnce() -> String) {
        self.entries += entries.max(1);
        if self.first.len() < MAX_NAMED {
            self.first.push(DamagedEntry {
                path: path.clone(),
                reason: reason(),
            });
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The report about the backup that lost this.
    pub(super) fn of(self, backup: Backup) -> DamagedBackup {
        DamagedBackup {
            backup,
            entries: self.entries,
            first: self.first,
        }
    }
}

/// Copies the tree of one backup.
pub(super) struct Converter<'a, 's> {
    pub(super) source: &'a Source,
    pub(super) ids: &'a Ids,
    /// Knows the chunks of the target, those of this batch included.
    pub(super) dedup: &'a Dedup,
    pub(super) trees: &'a mut Trees,
    pub(super) store: NodeStore<'a>,
    pub(super) inline: &'a mut InlineStore<'s>,
    /// Why chunks could not be read.
    pub(super) unreadable: &'a HashMap<ChunkId, String>,
    pub(super) lost: Lost,
}

impl Converter<'_, '_> {
    /// Copies the tree with this root; returns its root in the target, or `None` if something is lost.
    pub(super) fn tree(&mut self, root: TreeRoot, entries: u64) -> Result<Option<u32>> {
        let totals = crate::model::Totals {
            entries,
            ..Default::default()
        };
        let root_node = Child {
            first: EntryPath::root(),
            node: root.node,
            totals,
        };
        let done = self.nodes(root.height, &[root_node], None, true)?;
        Ok(done.into_iter().next().flatten())
    }

    /// Copies nodes of one level, which are siblings. `until` is the first path after them.
    fn nodes(
        &mut self,
        level: u8,
        nodes: &[Child],
        until: Option<&EntryPath>,
        is_root: bool,
    ) -> Result<Vec<Option<u32>>> {
        let mut done: Vec<Option<u32>> = nodes
            .iter()
            .map(|child| {
                let number = self.trees.get(&child.node.id)?;
                let starts = self.trees.node(number).first == fingerprint(&child.first);
                (is_root || starts).then_some(number)
            })
            .collect();
        let mut todo = Vec::new();
        let mut bytes = 0;
        for at in 0..nodes.len() {
            if done[at].is_none() {
                todo.push(at);
                bytes += u64::from(nodes[at].node.len);
            }
            let is_full = todo.len() >= NODES_AHEAD || bytes >= BYTES_AHEAD;
            if !is_full && at + 1 < nodes.len() {
                continue;
            }
            self.source.io.check_cancelled()?;
            let chunks: Vec<ChunkRef> = todo.iter().map(|at| nodes[*at].node).collect();
            let read = self.source.reader.read_many(&chunks);
            bytes = 0;
            for (at, node) in todo.drain(..).zip(read) {
                let next = nodes.get(at + 1).map(|next| &next.first);
                let child = &nodes[at];
                let converted =
                    node.and_then(|bytes| self.node(level, child, &bytes, next.or(until), is_root));
                done[at] = match converted {
                    Ok(number) => number,
                    Err(error) if error.is_damage() => {
                        let reason = || in_one_line(&error);
                        self.lost.add(&child.first, child.totals.entries, reason);
                        None
                    }
                    Err(error) => return Err(error),
                };
            }
        }
        Ok(done)
    }

    fn node(
        &mut self,
        level: u8,
        child: &Child,
        bytes: &[u8],
        until: Option<&EntryPath>,
        is_root: bool,
    ) -> Result<Option<u32>> {
        let named = |error| Error::format(&format!("tree node {}", child.node.id), error);
        let span = |first: Option<&EntryPath>, last: Option<&EntryPath>| {
            let starts = first.filter(|first| is_root || **first == child.first);
            let ends = last.is_some_and(|last| until.is_none_or(|until| last < until));
            starts.filter(|_| ends).map(fingerprint).ok_or_else(|| {
                let id = child.node.id;
                Error::damaged(format!("tree node {id} is empty or does not belong there"))
            })
        };
        if level == 0 {
            let leaf = decode_leaf(bytes).map_err(named)?;
            let ends = [leaf.entries.first(), leaf.entries.last()];
            let [first, last] = ends.map(|entry| entry.map(|entry| &entry.path));
            let first = span(first, last)?;
            return self.leaf(child.node.id, first, leaf, bytes);
        }
        let mut children = decode_node(level, bytes).map_err(named)?;
        let ends = [children.first(), children.last()];
        let [first, last] = ends.map(|child| child.map(|child| &child.first));
        let first = span(first, last)?;
        let done = self.nodes(level - 1, &children, until, false)?;
        let Some(done) = done.into_iter().collect::<Option<Vec<u32>>>() else {
            return Ok(None);
        };
        let target = if self.ids.are_equal() {
            self.store_node(bytes)?
        } else {
            for (child, number) in children.iter_mut().zip(&done) {
                child.node = self.trees.node(*number).target;
            }
            self.store_node(&encode_node(level, &children))?
        };
        let node = Node {
            target,
            first,
            children: done,
            stored_beside: Vec::new(),
            content: References::default(),
        };
        Ok(Some(self.trees.push(child.node.id, node)))
    }

    fn leaf(
        &mut self,
        source: ChunkId,
        first: u64,
        leaf: Leaf,
        bytes: &[u8],
    ) -> Result<Option<u32>> {
        let Leaf { mut entries, lists } = leaf;
        let mut lists: HashMap<usize, Vec<ChunkRef>> = lists.into_iter().collect();
        let mut builder = LeafBuilder::default();
        let mut stored_beside = Vec::new();
        let mut content = References::default();
        let mut is_whole = true;
        for (at, entry) in entries.iter_mut().enumerate() {
            let listed = lists.remove(&at);
            let copied = match self.move_content(entry, &mut stored_beside) {
                Ok(true) => Ok(Some(Vec::new())),
                Ok(false) => self.entry(entry, listed.as_deref(), &mut content),
                Err(error) => Err(error),
            };
            match copied {
                Ok(Some(new_lists)) => {
                    builder.push(entry, &new_lists);
                    stored_beside.extend(new_lists.iter().map(|list| list.id));
                }
                Ok(None) => is_whole = false,
                Err(error) if error.is_damage() => {
                    self.lost.add(&entry.path, 1, || in_one_line(&error));
                    is_whole = false;
                }
                Err(error) => return Err(error),
            }
        }
        if !is_whole {
            return Ok(None);
        }
        let target = if self.ids.are_equal() {
            self.store_node(bytes)?
        } else {
            self.store_node(&builder.finish())?
        };
        let node = Node {
            target,
            first,
            children: Vec::new(),
            stored_beside,
            content,
        };
        Ok(Some(self.trees.push(source, node)))
    }

    /// Moves the content of a short file. True if nothing else is left to do for the entry.
    fn move_content(&mut self, entry: &mut Entry, stored: &mut Vec<ChunkId>) -> Result<bool> {
        let EntryKind::File(file) = &mut entry.kind else {
            return Ok(false);
        };
        let (moved, chunk) = self.inline.convert(self.source, file)?;
        stored.extend(chunk.map(|chunk| chunk.id));
        Ok(moved)
    }

    /// Gives an entry the ids of the target. Returns the chunk lists that it has there, or `None` if a chunk is not in the target.
    fn entry(
        &mut self,
        entry: &mut Entry,
        lists: Option<&[ChunkRef]>,
        content: &mut References,
    ) -> Result<Option<Vec<ChunkRef>>> {
        let mut new_lists = Vec::new();
        if let Some(lists) = lists {
            new_lists = self.read_lists(entry, lists)?;
        }
        let EntryKind::File(file) = &mut entry.kind else {
            return Ok(Some(new_lists));
        };
        let Content::Chunks(chunks) = &mut file.content else {
            return Ok(Some(new_lists));
        };
        let mut missing = None;
        for chunk in chunks.iter_mut() {
            match self.locate(&chunk.id, content) {
                Some(id) => chunk.id = id,
                None => {
                    self.lost.chunks.push(chunk.id);
                    missing.get_or_insert(chunk.id);
                }
            }
        }
        if let Some(id) = missing {
            let reason = self.unreadable.get(&id).cloned();
            let reason = || reason.unwrap_or_else(|| format!("chunk {id} is in no pack"));
            self.lost.add(&entry.path, 1, reason);
            return Ok(None);
        }
        if lists.is_some() && !self.ids.are_equal() {
            new_lists = split_lists(chunks)
                .map(|list| {
                    self.store
                        .store(&encode_list(list), &mut References::default())
                })
                .collect::<Result<_>>()?;
        }
        Ok(Some(new_lists))
    }

    /// The id in the target of a chunk of the source, if it is there.
    fn locate(&self, id: &ChunkId, content: &mut References) -> Option<ChunkId> {
        let id = self.ids.find(&self.source.index, id)?;
        self.dedup.note_stored(&id, content).then_some(id)
    }

    /// Reads the chunks of a file that has them in lists. Returns the lists, stored in the target, if they stay as they are.
    fn read_lists(&mut self, entry: &mut Entry, lists: &[ChunkRef]) -> Result<Vec<ChunkRef>> {
        let EntryKind::File(file) = &mut entry.kind else {
            return Ok(Vec::new());
        };
        let mut chunks = Vec::new();
        let mut stored = Vec::new();
        for some in lists.chunks(NODES_AHEAD / 4) {
            for (list, bytes) in some.iter().zip(self.source.reader.read_many(some)) {
                let bytes = bytes?;
                let named = |error| Error::format(&format!("chunk list {}", list.id), error);
                chunks.extend(decode_list(&bytes).map_err(named)?);
                if self.ids.are_equal() {
                    stored.push(self.store_node(&bytes)?);
                }
            }
        }
        file.content = Content::Chunks(chunks);
        let holes: u64 = file.holes.iter().map(|hole| hole.len).sum();
        if file.data_len().checked_add(holes) == Some(file.size) {
            return Ok(stored);
        }
        let path = &entry.path;
        let message = format!("the chunk lists of {path} do not add up to its size");
        Err(Error::damaged(message))
    }

    fn store_node(&mut self, bytes: &[u8]) -> Result<ChunkRef> {
        debug_assert!(bytes.len() as u64 <= format::limits::TREE_NODE);
        // The location of the node is known only when its pack is complete.
        self.store.store(bytes, &mut References::default())
    }
}
