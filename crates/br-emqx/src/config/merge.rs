//! The configuration after an import.
//!
//! [`merge`] follows the table in [`ROOTS`](super::ROOTS). Invariant: values that EMQX ignores stay unchanged, and every root of the bundle
//! gives at least one change, which may be "ignored" or "unchanged".

use std::borrow::Cow;
use std::collections::HashMap;

use super::path::{Trail, label};
use super::{ConfigPath, Identity, Import, Merge, Part, Rest, import_of};
use crate::hocon::{Object, Value};

/// What an import does at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// The base did not have it.
    Inserted,
    /// The base had another value. Keys of replaced objects that the bundle lacks are also updated: they get EMQX's defaults.
    Updated,
    /// The base had a value of the same meaning.
    Unchanged,
    /// EMQX does not import it.
    Ignored,
}

/// One change of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigChange {
    /// The place.
    pub path: ConfigPath,
    /// What the import does there.
    pub kind: ChangeKind,
}

/// Returns the configuration `base` after the import of `incoming`, and the changes.
#[must_use]
pub fn merge(base: &Object, incoming: &Object) -> (Object, Vec<ConfigChange>) {
    let mut merged = base.clone();
    let mut changes = Changes(Vec::new());
    for (root, new) in incoming.iter() {
        let mut trail = Trail::root(root);
        let old = base.get(root);
        let before = changes.0.len();
        let value = match import_of(root, None) {
            Import::Replaced | Import::ReplacedByOwner => changes.replace(&trail, old, new),
            Import::Merged { parts, rest } => {
                merge_root(&mut trail, old, new, parts, rest, &mut changes)
            }
            Import::Ignored => {
                changes.push(&trail, ChangeKind::Ignored);
                continue;
            }
        };
        let is_change = |change: &ConfigChange| {
            matches!(change.kind, ChangeKind::Inserted | ChangeKind::Updated)
        };
        if changes.0.iter().skip(before).any(is_change) {
            merged.insert(root, value);
        }
    }
    (merged, changes.0)
}

struct Changes(Vec<ConfigChange>);

impl Changes {
    fn push(&mut self, trail: &Trail<'_>, kind: ChangeKind) {
        let path = trail.path();
        self.0.push(ConfigChange { path, kind });
    }

    fn replace(&mut self, trail: &Trail<'_>, old: Option<&Value>, new: &Value) -> Value {
        let kind = match old {
            None => ChangeKind::Inserted,
            Some(old) if old.means_same(new) => ChangeKind::Unchanged,
            Some(_) => ChangeKind::Updated,
        };
        self.push(trail, kind);
        new.clone()
    }
}

fn merge_root<'a>(
    trail: &mut Trail<'a>,
    old: Option<&'a Value>,
    new: &'a Value,
    parts: &[Part],
    rest: Rest,
    changes: &mut Changes,
) -> Value {
    if let [
        Part {
            key: None, merge, ..
        },
    ] = parts
    {
        return merge_part(trail, *merge, old, new, changes);
    }
    let Some(new) = new.as_object() else {
        return changes.replace(trail, old, new);
    };
    let is_missing =
        |part: &Part| part.needed && part.key.is_some_and(|key| !new.contains_key(key));
    if parts.iter().any(is_missing) {
        changes.push(trail, ChangeKind::Ignored);
        return old.cloned().unwrap_or(Value::Object(Object::new()));
    }
    let old = old.and_then(Value::as_object);
    let before = changes.0.len();
    let mut merged = merge_rest(trail, old, new, parts, rest, changes);
    for Part { key, merge, .. } in parts {
        let Some(key) = key else { continue };
        let value = match new.get(key) {
            Some(new) => trail.with_key(key, |trail| {
                merge_part(
                    trail,
                    *merge,
                    old.and_then(|old| old.get(key)),
                    new,
                    changes,
                )
            }),
            None => continue,
        };
        merged.insert(*key, value);
    }
    if changes.0.len() == before {
        changes.push(trail, ChangeKind::Unchanged);
    }
    merged.into()
}

/// Builds the root, with the old parts and the merged other keys.
fn merge_rest<'a>(
    trail: &mut Trail<'a>,
    old: Option<&'a Object>,
    new: &'a Object,
    parts: &[Part],
    rest: Rest,
    changes: &mut Changes,
) -> Object {
    let is_part = |key: &str| parts.iter().any(|part| part.key == Some(key));
    let mut merged = Object::new();
    for (key, value) in old.into_iter().flat_map(Object::iter) {
        if is_part(key) || rest == Rest::Ignored {
            merged.insert(key, value.clone());
        } else if !new.contains_key(key) {
            trail.with_key(key, |trail| changes.push(trail, ChangeKind::Updated));
        }
    }
    for (key, value) in new.iter().filter(|(key, _)| !is_part(key)) {
        trail.with_key(key, |trail| match rest {
            Rest::Replaced => {
                let value = changes.replace(trail, old.and_then(|old| old.get(key)), value);
                merged.insert(key, value);
            }
            Rest::Ignored => changes.push(trail, ChangeKind::Ignored),
        });
    }
    merged
}

fn merge_part<'a>(
    trail: &mut Trail<'a>,
    how: Merge,
    old: Option<&'a Value>,
    new: &'a Value,
    changes: &mut Changes,
) -> Value {
    match how {
        Merge::Names { depth } => merge_names(trail, depth, old, new, changes),
        Merge::Deep => merge_names(trail, usize::MAX, old, new, changes),
        Merge::List(identity) => merge_list(trail, identity, old, new, changes),
        Merge::Replaced => changes.replace(trail, old, new),
    }
}

fn merge_names<'a>(
    trail: &mut Trail<'a>,
    depth: usize,
    old: Option<&'a Value>,
    new: &'a Value,
    changes: &mut Changes,
) -> Value {
    let new = match new {
        Value::Object(names) if depth > 0 && !names.is_empty() => names,
        // Nothing new to merge.
        Value::Object(_) if depth > 0 && old.is_some_and(|old| old.as_object().is_some()) => {
            changes.push(trail, ChangeKind::Unchanged);
            return old.cloned().unwrap_or(Value::Object(Object::new()));
        }
        new => return changes.replace(trail, old, new),
    };
    let old = old.and_then(Value::as_object);
    let mut merged = old.cloned().unwrap_or_default();
    for (key, value) in new.iter() {
        let value = trail.with_key(key, |trail| {
            merge_names(
                trail,
                depth - 1,
                old.and_then(|old| old.get(key)),
                value,
                changes,
            )
        });
        merged.insert(key, value);
    }
    merged.into()
}

fn merge_list<'a>(
    trail: &mut Trail<'a>,
    identity: Identity,
    old: Option<&'a Value>,
    new: &'a Value,
    changes: &mut Changes,
) -> Value {
    // EMQX also accepts a single authenticator that is not in a list.
    let as_list = |value: &'a Value| match value {
        Value::Array(items) => Some(items.as_slice()),
        Value::Object(_) => Some(std::slice::from_ref(value)),
        _ => None,
    };
    let Some(new_items) = as_list(new) else {
        return changes.replace(trail, old, new);
    };
    let old_items = old.and_then(as_list).unwrap_or(&[]);
    if new_items.is_empty() {
        let kind = if old.is_some() {
            ChangeKind::Unchanged
        } else {
            ChangeKind::Inserted
        };
        changes.push(trail, kind);
    }
    let known = old_items.iter().enumerate();
    let mut places: HashMap<Cow<'_, str>, usize> = known
        .filter_map(|(at, item)| Some((identity.of(item)?, at)))
        .collect();
    let mut merged = old_items.to_vec();
    for (at, item) in new_items.iter().enumerate() {
        let place = identity.of(item).and_then(|id| match places.get(&id) {
            Some(&place) => Some(place),
            None => {
                places.insert(id, merged.len());
                None
            }
        });
        trail.with_item(label(Some(identity), at, item), |trail| {
            let old = place.and_then(|place| merged.get(place));
            let value = changes.replace(trail, old, item);
            match place.and_then(|place| merged.get_mut(place)) {
                Some(slot) => *slot = value,
                None => merged.push(value),
            }
        });
    }
    Value::Array(merged)
}
