//! Several sources in one backup.

use std::collections::VecDeque;
use std::fmt;

use super::{Source, SourceItem, SourcePaths};
use crate::model::{Entry, FileTime};

/// Merges sources into one, in path order: for example folders, and what programs write.
///
/// No two sources may yield the same path, or one below a file of the other: then the backup ends with
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid). The backup needs everything only if each of the sources does; otherwise
/// what a source cannot read is left out of the backup and named, and the backup is incomplete. So a program or a stream that fails beside
/// files does not fail the backup: look at [`Backup::is_complete`](crate::model::Backup::is_complete).
pub struct CombinedSource {
    parts: Vec<Part>,
}

struct Part {
    source: Box<dyn Source>,
    can_skip_unchanged: bool,
    /// Items that were read ahead. At most one is an entry, the last.
    next: VecDeque<SourceItem>,
    has_ended: bool,
}

impl CombinedSource {
    /// Merges these sources.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        let part = |source: Box<dyn Source>| Part {
            can_skip_unchanged: source.can_skip_unchanged(),
            source,
            next: VecDeque::new(),
            has_ended: false,
        };
        Self {
            parts: sources.into_iter().map(part).collect(),
        }
    }
}

impl Part {
    /// Reads ahead to the next entry.
    fn fill(&mut self) {
        let is_entry = |item: &SourceItem| item.entry().is_some();
        while !self.has_ended && !self.next.back().is_some_and(is_entry) {
            match self.source.next() {
                Some(item) => self.next.push_back(item),
                None => self.has_ended = true,
            }
        }
    }
}

impl Part {
    /// Makes sure that a file is read, whatever its times are, if its source wants that.
    fn mark(&self, mut item: SourceItem) -> SourceItem {
        if let (SourceItem::Entry { entry, .. }, false) = (&mut item, self.can_skip_unchanged) {
            entry.ctime = FileTime::UNKNOWN;
        }
        item
    }
}

impl Source for CombinedSource {
    fn next(&mut self) -> Option<SourceItem> {
        let mut first = None;
        for (at, part) in self.parts.iter_mut().enumerate() {
            part.fill();
            let Some(item) = part.next.front() else {
                continue;
            };
            let Some(Entry { path, .. }) = item.entry() else {
                // What is no entry has no place in the order.
                return part.next.pop_front();
            };
            if first.as_ref().is_none_or(|(_, best)| path < best) {
                first = Some((at, path.clone()));
            }
        }
        let (at, _) = first?;
        let part = self.parts.get_mut(at)?;
        let item = part.next.pop_front()?;
        Some(part.mark(item))
    }

    fn take_first(&mut self) -> Vec<SourceItem> {
        let mut first = Vec::new();
        for part in &mut self.parts {
            let items = part.source.take_first();
            first.extend(items.into_iter().map(|item| part.mark(item)));
        }
        first
    }

    fn paths(&self) -> SourcePaths {
        let mut out = SourcePaths::default();
        for part in &self.parts {
            let SourcePaths { paths, folder } = part.source.paths();
            out.paths.extend(paths);
            if out.folder.is_empty() {
                out.folder = folder;
            }
        }
        out
    }

    fn can_skip_unchanged(&self) -> bool {
        self.parts.iter().any(|part| part.can_skip_unchanged)
    }

    fn needs_everything(&self) -> bool {
        self.parts.iter().all(|part| part.source.needs_everything())
    }
}

impl fmt::Debug for CombinedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CombinedSource")
            .field("parts", &self.parts.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntryPath, Owner};
    use crate::source::{MemorySource, StreamSource};
    use crate::warning::Warning;

    /// Yields these items.
    struct Items(VecDeque<SourceItem>);

    impl Source for Items {
        fn next(&mut self) -> Option<SourceItem> {
            self.0.pop_front()
        }

        fn can_skip_unchanged(&self) -> bool {
            true
        }
    }

    fn items(texts: &[&str]) -> Box<dyn Source> {
        let item = |text: &&str| match text.strip_prefix('!') {
            Some(warning) => SourceItem::Warning(Warning::from(warning)),
            None => {
                let path = text.parse::<EntryPath>().unwrap();
                let time = FileTime { secs: 5, nanos: 0 };
                SourceItem::without_content(Entry::directory(path).with_change_time(time))
            }
        };
        Box::new(Items(texts.iter().map(item).collect()))
    }

    #[test]
    fn entries_ascend_and_other_items_are_kept() {
        let stream = "b/dump".parse::<EntryPath>().unwrap();
        let stream = StreamSource::new(stream, &b""[..], FileTime::default(), Owner::default());
        let sources = vec![
            items(&["a", "!one", "c", "c-d", "!two"]),
            Box::new(stream),
            items(&[]),
            items(&["b", "c/x", "d"]),
        ];
        let mut source = CombinedSource::new(sources);
        assert!(source.can_skip_unchanged() && !source.needs_everything());
        let mut seen = Vec::new();
        while let Some(item) = source.next() {
            seen.push(match item {
                SourceItem::Entry { entry, .. } => {
                    let is_unknown = entry.ctime == FileTime::UNKNOWN;
                    format!("{}{}", entry.path, if is_unknown { "?" } else { "" })
                }
                SourceItem::Warning(warning) => format!("!{warning}"),
                other => format!("{other:?}"),
            });
        }
        let entries: Vec<_> = seen.iter().filter(|text| !text.starts_with('!')).collect();
        assert_eq!(entries, ["a", "b", "b/dump?", "c", "c/x", "c-d", "d"]);
        assert!(seen.contains(&"!one".to_owned()) && seen.contains(&"!two".to_owned()));
    }

    #[test]
    fn everything_is_needed_if_every_source_needs_it() {
        let stream = || -> Box<dyn Source> {
            let path = "s".parse::<EntryPath>().unwrap();
            Box::new(StreamSource::new(
                path,
                &b""[..],
                FileTime::default(),
                Owner::default(),
            ))
        };
        assert!(CombinedSource::new(vec![stream(), stream()]).needs_everything());
        let memory = Box::new(MemorySource::new([("m", "")]).unwrap());
        assert!(!CombinedSource::new(vec![stream(), memory]).needs_everything());
    }
}
