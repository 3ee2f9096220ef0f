//! Streams the entries of a backup, in path order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::ChunkReader;
use crate::error::{Error, Result};
use crate::format::{self, Child, Leaf};
use crate::model::{
    Backup, ChunkId, ChunkRef, Content, Entry, EntryKind, EntryPath, Totals, TreeRoot,
};

/// Maximum number of leaves that are fetched together.
const LEAVES_AHEAD: usize = 96;
/// Maximum bytes of leaves that are fetched together.
const BYTES_AHEAD: u64 = 16 << 20;
/// Maximum number of chunk lists that are fetched together; each has up to 300 KB.
const LISTS_AHEAD: usize = 16;

/// A range of entries that cannot be read.
#[derive(Debug)]
pub(crate) struct Gap {
    /// Path of the first entry in the range, if known.
    pub(crate) first: EntryPath,
    /// Number of missing entries, if known.
    pub(crate) entries: u64,
    pub(crate) error: Error,
}

/// Reads entries in order, and keeps only a few leaves in memory. Continues after a damaged node.
#[derive(Debug)]
pub(crate) struct TreeReader {
    reader: Arc<ChunkReader>,
    /// Subtrees to read; empty: everything.
    selection: Vec<EntryPath>,
    /// Nodes still to be read, the last one first, with their level and the first path after them.
    pending: Vec<Node>,
    /// Entries and gaps to return, each with the node it comes from.
    ready: VecDeque<(ChunkId, Result<Entry, Gap>)>,
    /// Leaves that are not read.
    known: HashSet<ChunkId>,
    /// Those of them that the tree has, as far as it was read.
    passed: Vec<ChunkId>,
    /// How many leaves are fetched together.
    leaves_ahead: usize,
    /// Entries with more parts in their path are left out.
    max_parts: usize,
    /// Every node that was read or tried.
    visited: Option<Vec<ChunkRef>>,
}

#[derive(Debug)]
struct Node {
    level: u8,
    child: Child,
    /// The first path after the node; `None` at the end.
    until: Option<EntryPath>,
    /// The start of the root is unknown.
    is_root: bool,
}

impl Node {
    /// True when the node starts and ends where its parent says. So no node occurs twice, and every walk ends.
    fn spans(&self, first: Option<&EntryPath>, last: Option<&EntryPath>) -> bool {
        let starts = first.is_some_and(|first| self.is_root || *first == self.child.first);
        let ends = last.is_some_and(|last| self.until.as_ref().is_none_or(|until| last < until));
        starts && ends
    }
}

impl TreeReader {
    /// Reads the tree of a backup.
    pub(crate) fn new(reader: &Arc<ChunkReader>, backup: &Backup) -> Self {
        Self::from_root(reader, backup.tree, backup.totals)
    }

    fn from_root(reader: &Arc<ChunkReader>, root: Option<TreeRoot>, totals: Totals) -> Self {
        let root = root.map(|root| Node {
            level: root.height,
            child: Child {
                first: EntryPath::root(),
                node: root.node,
                totals,
            },
            until: None,
            is_root: true,
        });
        Self {
            reader: Arc::clone(reader),
            selection: Vec::new(),
            pending: root.into_iter().collect(),
            ready: VecDeque::new(),
            known: HashSet::new(),
            passed: Vec::new(),
            leaves_ahead: LEAVES_AHEAD,
            max_parts: usize::MAX,
            visited: None,
        }
    }

    /// Reads only these subtrees, and the folders that lead to them.
    pub(crate) fn select(mut self, paths: Vec<EntryPath>) -> Self {
        self.selection = paths;
        self
    }

    /// Reads one leaf after the other: for callers that need only the first entries.
    pub(crate) fn near(mut self) -> Self {
        self.leaves_ahead = 1;
        self
    }

    /// Reads only entries whose path has at most this number of parts, and skips nodes without such entries.
    pub(crate) fn down_to(mut self, max_parts: usize) -> Self {
        self.max_parts = max_parts;
        self
    }

    fn is_wanted(&self, path: &EntryPath) -> bool {
        is_selected(&self.selection, path)
            && (self.max_parts == usize::MAX || path.parts().count() <= self.max_parts)
    }

    /// Does not read these leaves.
    pub(crate) fn pass_over(mut self, known: HashSet<ChunkId>) -> Self {
        self.known = known;
        self
    }

    /// After the last entry: the leaves that were not to be read, and those of them that the tree has.
    pub(crate) fn into_passed(self) -> (HashSet<ChunkId>, Vec<ChunkId>) {
        (self.known, self.passed)
    }

    /// As [`TreeReader::next`], with the node that the entry comes from.
    pub(crate) fn next_with_node(&mut self) -> Option<(ChunkId, Result<Entry, Gap>)> {
        if self.ready.is_empty() {
            self.fill();
        }
        self.ready.pop_front()
    }

    /// Remembers the nodes it reads.
    pub(crate) fn remember_nodes(mut self) -> Self {
        self.visited = Some(Vec::new());
        self
    }

    /// The nodes read since the last call.
    pub(crate) fn take_nodes(&mut self) -> Vec<ChunkRef> {
        self.visited
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Continues to read until entries are ready or the tree ends.
    fn fill(&mut self) {
        while self.ready.is_empty() {
            let Some(level) = self.pending.last().map(|node| node.level) else {
                return;
            };
            let most = if level == 0 { self.leaves_ahead } else { 1 };
            let mut nodes: Vec<Node> = Vec::new();
            let mut bytes = 0;
            while nodes.len() < most
                && bytes < BYTES_AHEAD
                && self.pending.last().is_some_and(|node| node.level == level)
            {
                let Some(node) = self.pending.pop() else {
                    break;
                };
                if level == 0 && self.known.contains(&node.child.node.id) {
                    self.passed.push(node.child.node.id);
                    continue;
                }
                bytes += u64::from(node.child.node.len);
                nodes.push(node);
            }
            let chunks: Vec<_> = nodes.iter().map(|node| node.child.node).collect();
            let read = self.reader.read_many(&chunks);
            if let Some(visited) = &mut self.visited {
                visited.extend(&chunks);
            }
            for (node, bytes) in nodes.into_iter().zip(read) {
                self.expand(&node, bytes);
            }
        }
    }

    fn expand(&mut self, node: &Node, bytes: Result<Vec<u8>>) {
        let name = || format!("tree node {}", node.child.node.id);
        if node.level == 0 {
            let entries = bytes.and_then(|bytes| {
                format::decode_leaf(&bytes).map_err(|error| Error::format(&name(), error))
            });
            match entries {
                Ok(leaf) => self.take_leaf(node, leaf),
                Err(error) => self.put(node, Err(gap(node, error))),
            }
            return;
        }
        let children = bytes.and_then(|bytes| {
            format::decode_node(node.level, &bytes).map_err(|error| Error::format(&name(), error))
        });
        match children {
            Ok(children) => self.push_children(node, children),
            Err(error) => self.put(node, Err(gap(node, error))),
        }
    }

    fn put(&mut self, node: &Node, item: Result<Entry, Gap>) {
        self.ready.push_back((node.child.node.id, item));
    }

    fn take_leaf(&mut self, node: &Node, leaf: Leaf) {
        let Leaf { mut entries, lists } = leaf;
        let ends = [entries.first(), entries.last()].map(|entry| entry.map(|entry| &entry.path));
        if !node.spans(ends[0], ends[1]) {
            self.put(node, Err(misplaced(node)));
            return;
        }
        let mut lost = HashMap::new();
        for (at, lists) in lists {
            if self.is_wanted(&entries[at].path)
                && let Err(error) = self.read_lists(&mut entries[at], &lists)
            {
                lost.insert(at, error);
            }
        }
        for (at, entry) in entries.into_iter().enumerate() {
            match lost.remove(&at) {
                Some(error) => {
                    let gap = Gap {
                        first: entry.path,
                        entries: 1,
                        error,
                    };
                    self.put(node, Err(gap));
                }
                None if self.is_wanted(&entry.path) => self.put(node, Ok(entry)),
                None => {}
            }
        }
    }

    /// Reads the chunks of a file that has them in lists.
    fn read_lists(&mut self, entry: &mut Entry, lists: &[ChunkRef]) -> Result<()> {
        if let Some(visited) = &mut self.visited {
            visited.extend(lists);
        }
        let EntryKind::File(file) = &mut entry.kind else {
            return Ok(());
        };
        let mut chunks = Vec::new();
        for some in lists.chunks(LISTS_AHEAD) {
            for (list, bytes) in some.iter().zip(self.reader.read_many(some)) {
                let more = format::decode_list(&bytes?)
                    .map_err(|error| Error::format(&format!("chunk list {}", list.id), error))?;
                chunks.extend(more);
            }
        }
        file.content = Content::Chunks(chunks);
        let holes: u64 = file.holes.iter().map(|hole| hole.len).sum();
        if file.data_len().checked_add(holes) == Some(file.size) {
            Ok(())
        } else {
            Err(Error::damaged(format!(
                "the chunk lists of {} do not add up to its size",
                entry.path
            )))
        }
    }

    fn push_children(&mut self, node: &Node, children: Vec<Child>) {
        let ends = [children.first(), children.last()].map(|child| child.map(|child| &child.first));
        if !node.spans(ends[0], ends[1]) {
            self.put(node, Err(misplaced(node)));
            return;
        }
        let mut until = node.until.clone();
        for child in children.into_iter().rev() {
            let next = child.first.clone();
            if overlaps(&self.selection, &child.first, until.as_ref())
                && !is_too_deep(&child.first, until.as_ref(), self.max_parts)
            {
                self.pending.push(Node {
                    level: node.level - 1,
                    child,
                    until,
                    is_root: false,
                });
            }
            until = Some(next);
        }
    }
}

impl Iterator for TreeReader {
    type Item = Result<Entry, Gap>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with_node().map(|(_, item)| item)
    }
}

fn misplaced(node: &Node) -> Gap {
    let message = format!(
        "tree node {} is empty or does not belong there",
        node.child.node.id
    );
    gap(node, Error::damaged(message))
}

fn gap(node: &Node, error: Error) -> Gap {
    Gap {
        first: node.child.first.clone(),
        entries: node.child.totals.entries,
        error,
    }
}

/// True when the entry is in a selected subtree, or leads to one.
fn is_selected(selection: &[EntryPath], path: &EntryPath) -> bool {
    selection.is_empty()
        || selection
            .iter()
            .any(|s| path.is_within(s) || s.is_within(path))
}

/// True when entries from `first` up to `until` may be selected.
fn overlaps(selection: &[EntryPath], first: &EntryPath, until: Option<&EntryPath>) -> bool {
    let before_end = |path: &EntryPath| until.is_none_or(|until| path < until);
    let leads = |selected: &EntryPath| {
        let mut path = selected.clone();
        loop {
            if *first <= path && before_end(&path) {
                return true;
            }
            match path.parent().map(EntryPath::new) {
                Some(Ok(parent)) => path = parent,
                _ => return false,
            }
        }
    };
    selection.is_empty() || selection.iter().any(|s| first.is_within(s) || leads(s))
}

/// True when all entries from `first` up to `until` are below one entry with `max_parts` parts, so that all of them have more parts.
fn is_too_deep(first: &EntryPath, until: Option<&EntryPath>, max_parts: usize) -> bool {
    let Some(until) = until.filter(|_| max_parts != usize::MAX) else {
        return false;
    };
    let top: Vec<&[u8]> = first.parts().take(max_parts).collect();
    let is_below = |path: &EntryPath| {
        path.parts().count() > max_parts && path.parts().take(max_parts).eq(top.iter().copied())
    };
    is_below(first) && is_below(until)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{group, stored};
    use super::*;
    use crate::format::{ChunkIdKey, Codec, LeafBuilder, MasterKey, encode_node};
    use crate::model::{FileTime, Owner};
    use crate::progress::Context;

    fn leaf(name: &str) -> Vec<u8> {
        let mut leaf = LeafBuilder::default();
        let entry = Entry {
            path: path(name),
            kind: EntryKind::Fifo,
            mode: 0,
            owner: Arc::new(Owner::default()),
            mtime: FileTime::default(),
            ctime: FileTime::default(),
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        };
        leaf.push(&entry, &[]);
        leaf.finish()
    }

    /// Reads a tree of hand-made nodes: each child has a position and the first path that its parent claims for it.
    async fn read(nodes: Vec<Vec<u8>>, height: u8) -> Vec<Result<String, String>> {
        let root = nodes.last().unwrap().clone();
        let key = |key: &ChunkIdKey, nodes: &[Vec<u8>]| -> Vec<ChunkId> {
            nodes.iter().map(|node| key.id(node)).collect()
        };
        let reader = stored(false, move |id_key| {
            let ids = key(id_key, &nodes);
            let pairs = ids.iter().zip(&nodes);
            pairs
                .map(|(id, node)| group(Codec::Raw, node.clone(), &[(*id, node)]))
                .collect()
        })
        .await;
        let repository = reader.io().repository.clone();
        let index = Arc::clone(reader.index());
        let work = move |io: &super::super::Io| {
            let reader = Arc::new(ChunkReader::new(io, index));
            let id = io.keyring().first().chunk_id_key().id(&root);
            let node = ChunkRef {
                id,
                len: root.len() as u32,
            };
            let entries =
                TreeReader::from_root(&reader, Some(TreeRoot { node, height }), Totals::default());
            let text = |entry: Result<Entry, Gap>| match entry {
                Ok(entry) => Ok(entry.path.to_string()),
                Err(gap) => Err(gap.error.to_string()),
            };
            Ok(entries.map(text).collect())
        };
        repository.run(&Context::system(), work).await.unwrap()
    }

    fn parent(level: u8, children: &[(&str, &[u8])]) -> Vec<u8> {
        let key = MasterKey::public().chunk_id_key();
        let child = |(first, node): &(&str, &[u8])| Child {
            first: path(first),
            node: ChunkRef {
                id: key.id(node),
                len: node.len() as u32,
            },
            totals: Totals::default(),
        };
        encode_node(level, &children.iter().map(child).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn tree_with_repeated_node_is_refused() {
        let (a, b) = (leaf("a"), leaf("b"));
        let good = parent(1, &[("a", &a), ("b", &b)]);
        let entries = read(vec![a.clone(), b.clone(), good], 1).await;
        assert_eq!(entries, [Ok("a".to_owned()), Ok("b".to_owned())]);

        let twice = parent(1, &[("a", &a), ("b", &a)]);
        let entries = read(vec![a.clone(), twice], 1).await;
        assert_eq!(entries.len(), 2);
        assert!(
            entries[1]
                .as_ref()
                .unwrap_err()
                .contains("does not belong there")
        );
    }

    #[tokio::test]
    async fn tree_of_repeated_nodes_is_read_in_bounded_time() {
        let names: Vec<String> = (0..200).map(|n| format!("{n:03}")).collect();
        let mut nodes = vec![leaf("000")];
        for level in 1..=8 {
            let below = nodes.last().unwrap().clone();
            let children: Vec<(&str, &[u8])> = names
                .iter()
                .map(|name| (name.as_str(), below.as_slice()))
                .collect();
            nodes.push(parent(level, &children));
        }
        let entries = read(nodes, 8).await;
        assert!(entries.len() < 2000, "{} entries of 200^8", entries.len());
        assert!(entries.iter().any(Result::is_err));
    }

    #[tokio::test]
    async fn a_file_with_very_many_chunks_comes_back() {
        use crate::repository::TreeWriter;
        let chunk = |n: u64| ChunkRef {
            id: ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes()),
            len: 70_000,
        };
        // Its leaf alone would be longer than a reader accepts.
        let chunks: Vec<_> = (0..600_000).map(chunk).collect();
        let file = crate::model::FileContent {
            size: 600_000 * 70_000,
            content: Content::Chunks(chunks),
            ..crate::model::FileContent::default()
        };
        let entry = Entry {
            kind: EntryKind::File(file),
            ..format::decode_leaf(&leaf("huge"))
                .unwrap()
                .entries
                .remove(0)
        };
        let mut nodes: Vec<Vec<u8>> = Vec::new();
        let key = MasterKey::public().chunk_id_key();
        let mut store = |node: &[u8]| {
            nodes.push(node.to_vec());
            Ok(ChunkRef {
                id: key.id(node),
                len: node.len() as u32,
            })
        };
        let mut tree = TreeWriter::default();
        tree.push(&entry, &mut store).unwrap();
        let root = tree.finish(&mut store).unwrap().unwrap();
        assert!(
            nodes.iter().all(|node| node.len() < 1 << 20),
            "every node is short"
        );
        let entries = read(nodes, root.height).await;
        assert_eq!(entries, [Ok("huge".to_owned())]);
    }

    #[tokio::test]
    async fn a_node_at_the_wrong_level_is_an_error() {
        let a = leaf("a");
        let one = parent(1, &[("a", &a)]);
        let two = parent(1, &[("a", &one)]);
        let entries = read(vec![a, one, two], 1).await;
        assert!(matches!(entries.as_slice(), [Err(_)]), "{entries:?}");
    }

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_node_is_too_deep_if_it_is_within_one_folder() {
        for (first, until, parts, expected) in [
            ("a/b/1", "a/b/9", 2, true),
            ("a/b/1", "a/b/9", 1, true),
            ("a/b/1", "a/c", 2, false),
            ("a/b/1", "a/c/1", 2, false),
            ("a/b/1", "a/c/1", 1, true),
            ("a/b", "a/b/9", 2, false),
            ("a/b/1", "b", 1, false),
            ("", "a", 0, false),
            ("a", "b", 0, true),
        ] {
            let (first, end) = (path(first), path(until));
            assert_eq!(is_too_deep(&first, Some(&end), parts), expected, "{first}");
        }
        assert!(!is_too_deep(&path("a/b/1"), None, 1));
        assert!(!is_too_deep(
            &path("a/b/1"),
            Some(&path("a/b/2")),
            usize::MAX
        ));
    }

    #[test]
    fn only_nodes_that_can_hold_selected_entries_are_read() {
        let selection = [path("b/c")];
        for (first, until, expected) in [
            ("", Some("a"), true), // leads there: the root
            ("a", Some("b"), false),
            ("a", Some("b/a"), true), // leads there: b
            ("b/a", Some("b/c"), false),
            ("b/b", Some("b/d"), true),
            ("b/c/x", Some("b/c/y"), true), // inside
            ("b/d", None, false),
        ] {
            let until = until.map(path);
            assert_eq!(
                overlaps(&selection, &path(first), until.as_ref()),
                expected,
                "{first}"
            );
        }
        assert!(overlaps(&[], &path("x"), None));
    }
}
