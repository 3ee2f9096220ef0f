//! Places in a configuration.
//!
//! [`ConfigPath`] is the text of a place, [`Trail`] the steps to it, [`walk`] visits all values that are text. Invariant: a path is short
//! for all keys, because findings must not use more memory than the text that contains them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use super::Identity;
use crate::hocon::{Object, Value};

/// Keys in paths are cut to this number of characters.
const KEY_CHARS: usize = 64;
/// Paths end at the first key after this number of bytes.
const PATH_BYTES: usize = 256;

/// A place in a configuration, such as `listeners.ssl.default.ssl_options.keyfile` or `authentication[password_based:mysql].password`. Keys
/// with unusual characters are in quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigPath(String);

impl ConfigPath {
    /// Returns the path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone)]
enum Step<'a> {
    Key(&'a str),
    Item(Cow<'a, str>),
}

/// The steps from the root to a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail<'a>(Vec<Step<'a>>);

impl<'a> Trail<'a> {
    /// The trail of a root.
    pub(super) fn root(key: &'a str) -> Self {
        Self(vec![Step::Key(key)])
    }

    pub(super) fn with_key<T>(&mut self, key: &'a str, then: impl FnOnce(&mut Self) -> T) -> T {
        self.0.push(Step::Key(key));
        let result = then(self);
        self.0.pop();
        result
    }

    pub(super) fn with_item<T>(
        &mut self,
        label: Cow<'a, str>,
        then: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.0.push(Step::Item(label));
        let result = then(self);
        self.0.pop();
        result
    }

    /// The first key.
    pub(super) fn first(&self) -> &'a str {
        self.keys().next().unwrap_or("")
    }

    /// The keys from the root on, without the places in lists.
    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(*key),
            Step::Item(_) => None,
        })
    }

    pub(super) fn path(&self) -> ConfigPath {
        let mut out = String::new();
        for step in &self.0 {
            if out.len() > PATH_BYTES {
                out.push('…');
                break;
            }
            match step {
                Step::Key(key) => {
                    out.push_str(if out.is_empty() { "" } else { "." });
                    push_key(&mut out, key);
                }
                Step::Item(label) => {
                    out.push('[');
                    out.push_str(&short(label));
                    out.push(']');
                }
            }
        }
        ConfigPath(out)
    }
}

fn push_key(out: &mut String, key: &str) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '…');
    let key = short(key);
    if !key.is_empty() && key.chars().all(is_plain) {
        out.push_str(&key);
    } else {
        out.push('"');
        out.extend(key.escape_debug());
        out.push('"');
    }
}

fn short(key: &str) -> Cow<'_, str> {
    match key.char_indices().nth(KEY_CHARS) {
        Some((end, _)) => format!("{}…", key.get(..end).unwrap_or("")).into(),
        None => key.into(),
    }
}

/// How to match elements of lists if the table of roots does not say it: by the first usual key whose values are all different.
pub(super) fn identity_of(trail: &Trail<'_>, lists: &[&[Value]]) -> Option<Identity> {
    const USUAL: [Identity; 4] = [
        Identity::Key("name"),
        Identity::Key("id"),
        Identity::Key("topic"),
        Identity::Key("type"),
    ];
    if lists.iter().all(|items| items.is_empty()) {
        return None;
    }
    let tells_apart = |identity: &Identity| {
        lists.iter().all(|items| {
            let mut seen = HashSet::new();
            items
                .iter()
                .all(|item| identity.of(item).is_some_and(|label| seen.insert(label)))
        })
    };
    let of_authenticators = trail.keys().next_back() == Some("authentication");
    let first = of_authenticators.then_some(Identity::Authenticator);
    first.into_iter().chain(USUAL).find(tells_apart)
}

/// The label of an element in paths: its identity, or its number.
pub(super) fn label<'a>(identity: Option<Identity>, at: usize, item: &'a Value) -> Cow<'a, str> {
    let known = identity.and_then(|identity| identity.of(item));
    known.unwrap_or_else(|| at.to_string().into())
}

/// Calls `visit` for every text value of a configuration.
pub(super) fn walk<'a>(config: &'a Object, visit: &mut dyn FnMut(&Trail<'a>, &'a Value)) {
    walk_object(config, &mut Trail::default(), visit);
}

fn walk_object<'a>(
    object: &'a Object,
    trail: &mut Trail<'a>,
    visit: &mut dyn FnMut(&Trail<'a>, &'a Value),
) {
    for (key, value) in object.iter() {
        trail.with_key(key, |trail| walk_value(value, trail, visit));
    }
}

fn walk_value<'a>(
    value: &'a Value,
    trail: &mut Trail<'a>,
    visit: &mut dyn FnMut(&Trail<'a>, &'a Value),
) {
    match value {
        Value::Object(object) => walk_object(object, trail, visit),
        Value::Array(items) => {
            let identity = identity_of(trail, &[items]);
            for (at, item) in items.iter().enumerate() {
                trail.with_item(label(identity, at, item), |trail| {
                    walk_value(item, trail, visit);
                });
            }
        }
        Value::String(_) | Value::Raw(_) => visit(trail, value),
    }
}
