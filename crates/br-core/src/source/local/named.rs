//! Typed paths below other typed paths.
//!
//! [`NamedPaths`] holds them. Invariant: the walk excludes neither a typed path nor a folder that leads to one.

use crate::model::EntryPath;

/// Typed paths that the walk reaches from another typed path, in path order.
#[derive(Debug, Default)]
pub(super) struct NamedPaths(Vec<EntryPath>);

/// What an entry has to do with the typed paths below another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// The entry is such a path.
    Named,
    /// A folder that leads to one.
    Leads,
    /// Neither.
    None,
}

impl NamedPaths {
    /// Adds a path that comes after the others in path order.
    pub(super) fn push(&mut self, path: EntryPath) {
        self.0.push(path);
    }

    pub(super) fn of(&self, path: &[u8]) -> Naming {
        if self.0.is_empty() {
            return Naming::None;
        }
        let Ok(path) = EntryPath::new(path) else {
            return Naming::None;
        };
        // In path order, what is below a path comes directly after it.
        let at = self.0.partition_point(|named| *named < path);
        match self.0.get(at) {
            Some(named) if *named == path => Naming::Named,
            Some(named) if named.is_within(&path) => Naming::Leads,
            _ => Naming::None,
        }
    }
}
