//! Builds the entry tree from entries in path order (section 6 of the format).

use crate::error::{Error, Result};
use crate::format::{
    Child, LeafBuilder, MAX_CHUNKS_IN_ENTRY, NodeCutter, encode_list, encode_node, limits,
    split_lists,
};
use crate::model::{ChunkRef, Content, Entry, EntryKind, EntryPath, FileContent, Totals, TreeRoot};

/// Stores a node and returns its chunk.
pub(crate) type StoreNode<'a> = dyn FnMut(&[u8]) -> Result<ChunkRef> + 'a;

/// Builds a tree bottom-up. Equal runs of entries give equal nodes, wherever they are in the tree.
#[derive(Debug, Default)]
pub(crate) struct TreeWriter {
    leaf: LeafBuilder,
    leaf_first: Option<EntryPath>,
    leaf_totals: Totals,
    last: Option<EntryPath>,
    /// Children without a parent so far, by level: `levels[0]` has the leaves.
    levels: Vec<Level>,
    totals: Totals,
}

#[derive(Debug, Default)]
struct Level {
    children: Vec<Child>,
    /// Bytes of the children's first paths.
    path_len: usize,
    /// True once a parent of this level's children was stored.
    has_parents: bool,
}

impl TreeWriter {
    /// Totals of all entries pushed so far.
    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Adds an entry. Its path must be greater than the previous one.
    pub(crate) fn push(&mut self, entry: &Entry, store: &mut StoreNode<'_>) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| *last >= entry.path) {
            return Err(Error::invalid(format!(
                "the source returned `{}` out of order: paths must ascend, and each path must be unique",
                entry.path
            )));
        }
        let one = Totals {
            entries: 1,
            files: u64::from(matches!(entry.kind, EntryKind::File(_))),
            directories: u64::from(matches!(entry.kind, EntryKind::Directory)),
            bytes: entry.size(),
        };
        self.totals.add(&one);
        self.leaf_totals.add(&one);
        self.leaf_first.get_or_insert_with(|| entry.path.clone());
        let lists = store_lists(entry, store)?;
        self.leaf.push(entry, &lists);
        self.last = Some(entry.path.clone());
        let (entries, len) = (self.leaf.entries(), self.leaf.len());
        if NodeCutter::LEAF.ends_after(&entry.path, entries, len) || self.leaf.is_full() {
            self.close_leaf(store)?;
        }
        Ok(())
    }

    fn close_leaf(&mut self, store: &mut StoreNode<'_>) -> Result<()> {
        let Some(first) = self.leaf_first.take() else {
            return Ok(());
        };
        let node = store(&self.leaf.finish())?;
        let totals = std::mem::take(&mut self.leaf_totals);
        self.push_child(
            0,
            Child {
                first,
                node,
                totals,
            },
            store,
        )
    }

    fn push_child(&mut self, level: usize, child: Child, store: &mut StoreNode<'_>) -> Result<()> {
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        let Level {
            children, path_len, ..
        } = &mut self.levels[level];
        let first = child.first.clone();
        *path_len += first.as_bytes().len();
        children.push(child);
        if NodeCutter::INNER.ends_after(&first, children.len() as u64, *path_len) {
            self.close_level(level, store)?;
        }
        Ok(())
    }

    fn close_level(&mut self, level: usize, store: &mut StoreNode<'_>) -> Result<()> {
        let children = std::mem::take(&mut self.levels[level].children);
        self.levels[level].path_len = 0;
        let Some(first) = children.first().map(|child| child.first.clone()) else {
            return Ok(());
        };
        let number = u8::try_from(level + 1)
            .ok()
            .filter(|level| *level <= limits::TREE_HEIGHT);
        let number = number.ok_or_else(|| Error::internal("the entry tree is too high"))?;
        let node = store(&encode_node(number, &children))?;
        let mut totals = Totals::default();
        children.iter().for_each(|child| totals.add(&child.totals));
        self.levels[level].has_parents = true;
        self.push_child(
            level + 1,
            Child {
                first,
                node,
                totals,
            },
            store,
        )
    }

    /// Stores the remaining nodes and returns the root; `None` when there was no entry.
    pub(crate) fn finish(mut self, store: &mut StoreNode<'_>) -> Result<Option<TreeRoot>> {
        self.close_leaf(store)?;
        let mut level = 0;
        while level < self.levels.len() {
            let Level {
                children,
                has_parents,
                ..
            } = &self.levels[level];
            if let ([only], false) = (children.as_slice(), has_parents) {
                return Ok(Some(TreeRoot {
                    node: only.node,
                    height: level as u8,
                }));
            }
            self.close_level(level, store)?;
            level += 1;
        }
        Ok(None)
    }
}

/// Stores the chunk lists of a file that has too many chunks for a leaf.
fn store_lists(entry: &Entry, store: &mut StoreNode<'_>) -> Result<Vec<ChunkRef>> {
    match &entry.kind {
        EntryKind::File(FileContent {
            content: Content::Chunks(chunks),
            ..
        }) if chunks.len() > MAX_CHUNKS_IN_ENTRY => split_lists(chunks)
            .map(|list| store(&encode_list(list)))
            .collect(),
        _ => Ok(Vec::new()),
    }
}
