//! Streams the entries of a backup, in path order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ChunkReader;
use crate::error::{Error, Result};
use crate::format::{self, Child};
use crate::model::{ChunkRef, Entry, EntryPath, Totals, TreeRoot};

/// How many leaves are fetched together.
const LEAVES_AHEAD: usize = 96;

/// A stretch of the tree that cannot be read.
#[derive(Debug)]
pub(crate) struct Gap {
    /// Path of the first entry of it, as far as known.
    pub(crate) first: EntryPath,
    /// How many entries are missing, as far as known.
    pub(crate) entries: u64,
    pub(crate) error: Error,
}

/// Reads entries in order; memory is that of a few leaves. Goes on behind a damaged node.
#[derive(Debug)]
pub(crate) struct TreeReader {
    reader: Arc<ChunkReader>,
    /// Subtrees to read; empty: everything.
    selection: Vec<EntryPath>,
    /// Nodes still to be read, last one first, with their level and the first path behind them.
    pending: Vec<Node>,
    ready: VecDeque<Result<Entry, Gap>>,
    /// Every node that was read or tried.
    visited: Option<Vec<ChunkRef>>,
}

#[derive(Debug)]
struct Node {
    level: u8,
    child: Child,
    /// First path of what follows; `None` at the end.
    until: Option<EntryPath>,
}

impl TreeReader {
    pub(crate) fn new(reader: &Arc<ChunkReader>, root: Option<TreeRoot>) -> Self {
        let root = root.map(|root| Node {
            level: root.height,
            child: Child {
                first: EntryPath::root(),
                node: root.node,
                totals: Totals::default(),
            },
            until: None,
        });
        Self {
            reader: Arc::clone(reader),
            selection: Vec::new(),
            pending: root.into_iter().collect(),
            ready: VecDeque::new(),
            visited: None,
        }
    }

    /// Reads only these subtrees, and the folders that lead to them.
    pub(crate) fn select(mut self, paths: Vec<EntryPath>) -> Self {
        self.selection = paths;
        self
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

    /// Reads on until entries are ready or the tree ends.
    fn fill(&mut self) {
        while self.ready.is_empty() {
            let Some(level) = self.pending.last().map(|node| node.level) else {
                return;
            };
            let most = if level == 0 { LEAVES_AHEAD } else { 1 };
            let mut nodes = Vec::new();
            while nodes.len() < most && self.pending.last().is_some_and(|n| n.level == level) {
                nodes.extend(self.pending.pop());
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
                Ok(entries) => {
                    let wanted = entries
                        .into_iter()
                        .filter(|e| is_selected(&self.selection, &e.path));
                    self.ready.extend(wanted.map(Ok));
                }
                Err(error) => self.ready.push_back(Err(gap(node, error))),
            }
            return;
        }
        let children = bytes.and_then(|bytes| {
            format::decode_node(node.level, &bytes).map_err(|error| Error::format(&name(), error))
        });
        match children {
            Ok(children) => self.push_children(node, children),
            Err(error) => self.ready.push_back(Err(gap(node, error))),
        }
    }

    fn push_children(&mut self, node: &Node, children: Vec<Child>) {
        let mut until = node.until.clone();
        for child in children.into_iter().rev() {
            let next = child.first.clone();
            if overlaps(&self.selection, &child.first, until.as_ref()) {
                self.pending.push(Node {
                    level: node.level - 1,
                    child,
                    until,
                });
            }
            until = Some(next);
        }
    }
}

impl Iterator for TreeReader {
    type Item = Result<Entry, Gap>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            self.fill();
        }
        self.ready.pop_front()
    }
}

fn gap(node: &Node, error: Error) -> Gap {
    Gap {
        first: node.child.first.clone(),
        entries: node.child.totals.entries,
        error,
    }
}

/// True when the entry lies in a selected subtree, or leads to one.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.as_bytes()).unwrap()
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
