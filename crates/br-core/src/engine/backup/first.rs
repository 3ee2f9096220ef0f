//! What a backup reads before everything else, such as dumps of databases.
//!
//! Invariant: the walk begins when all of this was read, and its entries are in the backup where their paths belong.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};

use super::compare::action_of;
use super::job::{Item, Job, Outcome, Place};
use super::walk_limit::WalkLimit;
use crate::model::{Entry, EntryKind, EntryPath};
use crate::progress::Action;
use crate::source::SourceItem;

/// How often to look whether the workers have ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The outcomes of items that were read first, in path order.
#[derive(Default)]
pub(super) struct First(VecDeque<(EntryPath, Vec<Outcome>)>);

impl First {
    /// Lets the workers read these items, and waits for them. `base` has what the base has at and below their paths. `None` when the
    /// workers have ended.
    pub(super) fn read(
        items: Vec<SourceItem>,
        mut base: BTreeMap<EntryPath, Entry>,
        jobs: &Sender<Job>,
        walk_limit: &WalkLimit,
    ) -> Option<Self> {
        let (sender, finished) = unbounded();
        let mut count = 0;
        for item in items {
            let (path, item) = prepare(item, &mut base);
            let job = Job {
                place: Place::First(path, sender.clone()),
                items: vec![item],
            };
            jobs.send(job).ok()?;
            count += 1;
        }
        let mut outcomes = Vec::with_capacity(count);
        while outcomes.len() < count {
            match finished.recv_timeout(LOOK_EVERY) {
                Ok(outcome) => outcomes.push(outcome),
                // After the workers have ended, jobs may be left in the channel. Each has a sender, so `finished` stays connected.
                Err(_) if !walk_limit.is_open() => return None,
                Err(_) => {}
            }
        }
        outcomes.sort_by(|(one, _), (other, _)| one.cmp(other));
        Some(Self(outcomes.into()))
    }

    /// The outcomes that belong before this path, or all that are left.
    pub(super) fn take_before(&mut self, path: Option<&EntryPath>) -> Option<Vec<Outcome>> {
        let (next, _) = self.0.front()?;
        // If both are the same, the collector refuses the second.
        if path.is_some_and(|path| next > path) {
            return None;
        }
        self.0.pop_front().map(|(_, outcomes)| outcomes)
    }
}

/// The paths at which the base may have earlier versions of these items.
pub(super) fn paths_of(items: &[SourceItem]) -> Vec<EntryPath> {
    let entries = items.iter().filter_map(SourceItem::entry);
    entries.map(|entry| entry.path.clone()).collect()
}

fn prepare(item: SourceItem, base: &mut BTreeMap<EntryPath, Entry>) -> (EntryPath, Item) {
    match item {
        SourceItem::Entry { entry, details } => {
            let before = base.remove(&entry.path);
            let action = before.as_ref().map(|before| action_of(&entry, before));
            let known = before.and_then(|before| match before.kind {
                EntryKind::File(content) => Some(Box::new(content)),
                _ => None,
            });
            let path = entry.path.clone();
            let item = Item::Fetch {
                entry,
                details,
                known,
                action: action.unwrap_or(Action::New),
            };
            (path, item)
        }
        SourceItem::Folder { folder, reader } => {
            let known = base.extract_if(.., |path, _| path.is_within(&folder.path));
            let known = known.collect();
            let path = folder.path.clone();
            let item = Item::Folder {
                folder,
                reader,
                known,
            };
            (path, item)
        }
        // It has no place in the order.
        other => {
            let outcomes = Outcome::of(other).into_iter().collect();
            (EntryPath::root(), Item::Ready(outcomes))
        }
    }
}
