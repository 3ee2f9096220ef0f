//! The patterns of a backup during a walk.

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::roots::Stop;
use super::{LocalSourceOptions, SourceError};
use crate::source::exclude::{Anchor, Matcher};

/// The patterns for the whole backup, prepared for the walk.
#[derive(Debug)]
pub(super) struct ActiveExcludes {
    /// A matcher for each starting folder of the paths.
    matchers: HashMap<Anchor, Matcher>,
    /// The starting folder of the current path.
    pub(super) anchor: Anchor,
    /// Which patterns matched.
    pub(super) used: Vec<Cell<bool>>,
}

impl ActiveExcludes {
    pub(super) fn new(stops: &[Stop], options: &LocalSourceOptions) -> Result<Self, SourceError> {
        let mut matchers = HashMap::new();
        if !options.excludes.is_empty() {
            let here = options.folder.as_ref().map(|folder| folder.as_os_str());
            for anchor in stops.iter().map(|stop| stop.base.anchor()) {
                let here = here.map(std::ffi::OsStr::as_encoded_bytes);
                if let Entry::Vacant(place) = matchers.entry(anchor) {
                    place.insert(options.excludes.matcher(anchor, here)?);
                }
            }
        }
        Ok(Self {
            matchers,
            anchor: Anchor::Root,
            used: options.excludes.unused(),
        })
    }

    pub(super) fn verdict(&self, path: &[u8], is_folder: bool) -> Option<bool> {
        let matcher = self.matchers.get(&self.anchor)?;
        matcher.verdict(path, is_folder, &self.used)
    }

    pub(super) fn decided_by(&self, path: &[u8], is_folder: bool) -> Option<usize> {
        self.matchers.get(&self.anchor)?.decided_by(path, is_folder)
    }
}
