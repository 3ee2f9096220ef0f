//! The differences between two configurations.
//!
//! [`diff`] compares down to single values. Invariant: quotes and the order of keys make no difference, the order of lists does.

use std::collections::HashMap;

use super::path::{Trail, identity_of, label};
use super::{ConfigPath, Identity, MAX_FINDINGS};
use crate::hocon::{Object, Value};

/// How a place differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// Only the second configuration has it.
    Added,
    /// Only the first configuration has it.
    Removed,
    /// Both have it, with different values. For a list: or with the same elements in another order.
    Changed,
}

/// A place at which two configurations differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigDifference {
    /// The place.
    pub path: ConfigPath,
    /// How it differs.
    pub kind: DifferenceKind,
}

/// The differences between two configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigDiff {
    /// The places, at most [`MAX_FINDINGS`].
    pub differences: Vec<ConfigDifference>,
    /// True if there are more.
    pub is_truncated: bool,
}

/// Compares two configurations.
#[must_use]
pub fn diff(a: &Object, b: &Object) -> ConfigDiff {
    let mut found = ConfigDiff::default();
    found.objects(&mut Trail::default(), a, b);
    found
}

impl ConfigDiff {
    fn push(&mut self, trail: &Trail<'_>, kind: DifferenceKind) {
        if self.differences.len() == MAX_FINDINGS {
            self.is_truncated = true;
        } else {
            let path = trail.path();
            self.differences.push(ConfigDifference { path, kind });
        }
    }

    fn objects<'a>(&mut self, trail: &mut Trail<'a>, a: &'a Object, b: &'a Object) {
        for (key, value) in a.iter() {
            trail.with_key(key, |trail| match b.get(key) {
                Some(other) => self.values(trail, value, other),
                None => self.leaves(trail, value, DifferenceKind::Removed),
            });
        }
        for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(key)) {
            trail.with_key(key, |trail| {
                self.leaves(trail, value, DifferenceKind::Added);
            });
        }
    }

    fn values<'a>(&mut self, trail: &mut Trail<'a>, a: &'a Value, b: &'a Value) {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => self.objects(trail, a, b),
            (Value::Array(a), Value::Array(b)) => match identity_of(trail, &[a, b]) {
                Some(identity) => self.lists(trail, identity, a, b),
                None if a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.means_same(b)) => {}
                None => self.push(trail, DifferenceKind::Changed),
            },
            _ if a.means_same(b) => {}
            _ => self.push(trail, DifferenceKind::Changed),
        }
    }

    fn lists<'a>(
        &mut self,
        trail: &mut Trail<'a>,
        identity: Identity,
        a: &'a [Value],
        b: &'a [Value],
    ) {
        let labels = |items: &'a [Value]| {
            let items = items.iter().enumerate();
            items.map(move |(at, item)| (label(Some(identity), at, item), item))
        };
        let (in_a, in_b): (HashMap<_, _>, HashMap<_, _>) =
            (labels(a).collect(), labels(b).collect());
        let common_a = labels(a).filter(|(label, _)| in_b.contains_key(label));
        let common_b = labels(b).filter(|(label, _)| in_a.contains_key(label));
        if !common_a
            .map(|(label, _)| label)
            .eq(common_b.map(|(label, _)| label))
        {
            self.push(trail, DifferenceKind::Changed);
        }
        for (label, item) in labels(a) {
            let other = in_b.get(&label);
            trail.with_item(label, |trail| match other {
                Some(other) => self.values(trail, item, other),
                None => self.leaves(trail, item, DifferenceKind::Removed),
            });
        }
        for (label, item) in labels(b).filter(|(label, _)| !in_a.contains_key(label)) {
            trail.with_item(label, |trail| {
                self.leaves(trail, item, DifferenceKind::Added);
            });
        }
    }

    /// Lists everything below a value that only one side has.
    fn leaves<'a>(&mut self, trail: &mut Trail<'a>, value: &'a Value, kind: DifferenceKind) {
        match value {
            Value::Object(object) if !object.is_empty() => {
                for (key, value) in object.iter() {
                    trail.with_key(key, |trail| self.leaves(trail, value, kind));
                }
            }
            Value::Array(items) => match identity_of(trail, &[items]) {
                Some(identity) => {
                    for (at, item) in items.iter().enumerate() {
                        trail.with_item(label(Some(identity), at, item), |trail| {
                            self.leaves(trail, item, kind);
                        });
                    }
                }
                None => self.push(trail, kind),
            },
            _ => self.push(trail, kind),
        }
    }
}
