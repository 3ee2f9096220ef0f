//! The tree: [`Value`] and [`Object`].
//!
//! Invariant: each key occurs once in an object, and a lookup takes constant time.

use std::collections::HashMap;
use std::fmt;

/// Objects up to this many keys are searched from front to back, longer ones have an index.
const INDEXED_FROM: usize = 16;

/// A value of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An object.
    Object(Object),
    /// A list.
    Array(Vec<Self>),
    /// Text in quotes, without them and with its escapes resolved.
    String(String),
    /// Text without quotes, as in the file: a number, a boolean, `null`, a word, a duration, a substitution, or several adjacent pieces of
    /// text. Text that needs quotes is printed in quotes.
    Raw(String),
}

impl Value {
    /// Returns the object that it is.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the elements of the list that it is.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns its text, quoted or not, if it is neither object nor list.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Raw(text) => Some(text),
            _ => None,
        }
    }

    /// True if both mean the same: like equality, but without regard to quotes, except that `null` is not `"null"`.
    ///
    /// EMQX 5.1 quotes every text, later versions only some, and EMQX's schema treats both as the same value.
    #[must_use]
    pub fn means_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .all(|(key, value)| b.get(key).is_some_and(|other| value.means_same(other)))
            }
            (Self::Array(a), Self::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.means_same(b))
            }
            (Self::String(a), Self::Raw(b)) | (Self::Raw(b), Self::String(a)) => {
                a == b && b != "null"
            }
            _ => self == other,
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// Keys and their values, in the order of insertion. Equality ignores the order.
#[derive(Clone, Default)]
pub struct Object {
    entries: Vec<(String, Value)>,
    /// Empty while the object is short.
    index: HashMap<String, usize>,
}

impl Object {
    /// An object without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the value of a key. Dots in `key` have no meaning.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.position(key)?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// Returns the value of a key, mutably.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let at = self.position(key)?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// Returns the value at a path of keys.
    #[must_use]
    pub fn get_path(&self, path: &[&str]) -> Option<&Value> {
        let (last, parents) = path.split_last()?;
        let parent = parents
            .iter()
            .try_fold(self, |object, key| object.get(key)?.as_object())?;
        parent.get(last)
    }

    /// Whether it has a key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Sets the value of a key, and returns the one it had.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some(old) = self.get_mut(&key) {
            return Some(std::mem::replace(old, value));
        }
        self.push(key, value);
        None
    }

    /// The keys and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// The keys, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    /// Puts `value` at a path as HOCON says: creates missing objects on the path, replaces other values on the path by objects, merges two
    /// objects, and replaces any other value.
    pub(super) fn merge_at(&mut self, path: &[String], value: Value) {
        if let Some((parent, key)) = self.parent_of(path) {
            parent.merge_key(key.clone(), value);
        }
    }

    /// Merges all keys of `other` into it, like [`merge_at`](Self::merge_at).
    pub(super) fn merge_all(&mut self, other: Self) {
        for (key, value) in other.entries {
            self.merge_key(key, value);
        }
    }

    /// Appends to the list at the end of a path, which may be missing. Returns false if there is another value.
    pub(super) fn append_at(&mut self, path: &[String], value: Value) -> bool {
        let Some((parent, key)) = self.parent_of(path) else {
            return false;
        };
        match parent.get_mut(key) {
            None => parent.push(key.clone(), Value::Array(vec![value])),
            Some(Value::Array(items)) => items.push(value),
            Some(_) => return false,
        }
        true
    }

    /// The object for the last key of a path, which is created if it is missing.
    fn parent_of<'p>(&mut self, path: &'p [String]) -> Option<(&mut Self, &'p String)> {
        let (last, parents) = path.split_last()?;
        let mut object = self;
        for key in parents {
            if object.get(key).and_then(Value::as_object).is_none() {
                object.insert(key.clone(), Self::new());
            }
            object = match object.get_mut(key)? {
                Value::Object(child) => child,
                _ => return None,
            };
        }
        Some((object, last))
    }

    fn merge_key(&mut self, key: String, value: Value) {
        match (self.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => old.merge_all(new),
            (Some(old), value) => *old = value,
            (None, value) => self.push(key, value),
        }
    }

    fn position(&self, key: &str) -> Option<usize> {
        if self.index.is_empty() {
            self.entries.iter().position(|(have, _)| have == key)
        } else {
            self.index.get(key).copied()
        }
    }

    fn push(&mut self, key: String, value: Value) {
        let len = self.entries.len();
        if !self.index.is_empty() {
            self.index.insert(key.clone(), len);
        } else if len == INDEXED_FROM {
            let keys = self.entries.iter().map(|(key, _)| key);
            let keys = keys.chain([&key]).cloned();
            self.index = keys.enumerate().map(|(at, key)| (key, at)).collect();
        }
        self.entries.push((key, value));
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .all(|(key, value)| other.get(key) == Some(value))
    }
}

impl Eq for Object {}

impl FromIterator<(String, Value)> for Object {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(entries: T) -> Self {
        let mut object = Self::new();
        for (key, value) in entries {
            object.insert(key, value);
        }
        object
    }
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
