//! Several sources in one backup.

use std::collections::VecDeque;
use std::fmt;

use super::{Source, SourceItem, SourcePaths};
use crate::model::FileTime;

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
        let is_entry = |item: &SourceItem| {
            matches!(item, SourceItem::Entry { .. } | SourceItem::Folder { .. })
        };
        while !self.has_ended && !self.next.back().is_some_and(is_entry) {
            match self.source.next() {
                Some(item) => self.next.push_back(item),
                None => self.has_ended = true,
            }
        }
    }
}

impl Source for CombinedSource {
    fn next(&mut self) -> Option<SourceItem> {
        let mut first = None;
        for (at, part) in self.parts.iter_mut().enumerate() {
            part.fill();
            let path = match part.next.front() {
                Some(
                    SourceItem::Entry { entry, .. } | SourceItem::Folder { folder: entry, .. },
                ) => &entry.path,
                // What is no entry has no place in the order.
                Some(_) => return part.next.pop_front(),
                None => continue,
            };
            if first.as_ref().is_none_or(|(_, best)| path < best) {
                first = Some((at, path.clone()));
            }
        }
        let (at, _) = first?;
        let part = self.parts.get_mut(at)?;
        let mut item = part.next.pop_front()?;
        if let (SourceItem::Entry { entry, .. }, false) = (&mut item, part.can_skip_unchanged) {
            // Its source wants the file to be read, whatever its times are.
            entry.ctime = FileTime::UNKNOWN;
        }
        Some(item)
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
    use crate::model::{Entry, EntryPath, Owner};
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
