//! Lists of objects.
//!
//! [`Query`] has the parameters of a request, [`Page`] is the content of one response. Invariant: consecutive pages name every
//! key once, in the order of their bytes.

use std::ops::Bound;
use std::sync::Arc;

use s3s::dto::{CommonPrefix, ETag, Object as Row};

use super::state::{Object, Objects};

/// At most this many keys and prefixes are in one answer.
const MOST: i32 = 1000;

/// The parameters of a list request.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) prefix: String,
    /// Keys with this delimiter after the prefix are grouped; empty for no groups.
    pub(super) delimiter: String,
    /// Only keys after this one.
    pub(super) after: Option<String>,
    /// Where the previous page ended: a key, or a group, which is then left out completely.
    pub(super) resume: Option<String>,
    pub(super) max: Option<i32>,
}

/// The content of one response.
#[derive(Debug, Default)]
pub(super) struct Page {
    objects: Vec<(String, Arc<Object>)>,
    prefixes: Vec<String>,
    /// Where the next page starts, if there is one.
    pub(super) next: Option<String>,
}

/// A key that sorts after all keys with a prefix.
fn behind(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

impl Query {
    pub(super) fn max(&self) -> i32 {
        self.max.unwrap_or(MOST).clamp(0, MOST)
    }

    /// All keys in the answer are greater than this.
    fn start(&self) -> Option<String> {
        let resume = self.resume.as_ref().map(|last| {
            let is_group = !self.delimiter.is_empty()
                && last.len() > self.prefix.len()
                && last.ends_with(&self.delimiter);
            if is_group { behind(last) } else { last.clone() }
        });
        resume.max(self.after.clone())
    }

    /// The group of a key, if it is in one.
    fn group<'a>(&self, key: &'a str) -> Option<&'a str> {
        let rest = &key[self.prefix.len()..];
        let at = rest
            .find(&self.delimiter)
            .filter(|_| !self.delimiter.is_empty())?;
        Some(&key[..self.prefix.len() + at + self.delimiter.len()])
    }

    /// Answers from objects.
    pub(super) fn page(&self, objects: &Objects) -> Page {
        let mut page = Page::default();
        let start = self.start().filter(|start| *start >= self.prefix);
        let start = match &start {
            Some(start) => Bound::Excluded(start.as_str()),
            None => Bound::Included(self.prefix.as_str()),
        };
        let max = usize::try_from(self.max()).unwrap();
        let mut last = String::new();
        let mut rows = objects.range::<str, _>((start, Bound::Unbounded));
        while let Some((key, object)) = rows.next() {
            if !key.starts_with(&self.prefix) || max == 0 {
                break;
            }
            if page.len() == max {
                page.next = Some(last);
                break;
            }
            match self.group(key) {
                None => {
                    last.clone_from(key);
                    page.objects.push((key.clone(), Arc::clone(object)));
                }
                Some(group) => {
                    last = group.to_owned();
                    page.prefixes.push(group.to_owned());
                    let behind = behind(group);
                    rows = objects
                        .range::<str, _>((Bound::Excluded(behind.as_str()), Bound::Unbounded));
                }
            }
        }
        page
    }
}

impl Page {
    pub(super) fn len(&self) -> usize {
        self.objects.len() + self.prefixes.len()
    }

    /// The answer's objects and common prefixes.
    pub(super) fn into_rows(self) -> (Vec<Row>, Vec<CommonPrefix>) {
        let row = |(key, object): (String, Arc<Object>)| Row {
            key: Some(key),
            size: i64::try_from(object.data.len()).ok(),
            e_tag: Some(ETag::Strong(object.tag.clone())),
            last_modified: Some(object.modified.into()),
            ..Row::default()
        };
        let prefix = |prefix| CommonPrefix {
            prefix: Some(prefix),
        };
        let objects = self.objects.into_iter().map(row).collect();
        (objects, self.prefixes.into_iter().map(prefix).collect())
    }
}
