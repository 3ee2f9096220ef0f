//! The names in one folder.
//!
//! [`Names`] stores them in one buffer. Invariant: after [`Names::sort`] they are in ascending byte order, which is path order within a
//! folder.

/// The names in a folder, and the number of names that were returned.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    items: Vec<(usize, usize)>,
    taken: usize,
}

impl Names {
    pub(super) fn push(&mut self, name: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.items.push((start, self.bytes.len()));
    }

    pub(super) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.items
            .sort_unstable_by(|a, b| bytes[a.0..a.1].cmp(&bytes[b.0..b.1]));
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.items
            .binary_search_by(|item| self.bytes[item.0..item.1].cmp(name))
            .is_ok()
    }

    /// Removes the names that are not to be kept.
    pub(super) fn retain(&mut self, keeps: impl Fn(&[u8]) -> bool) {
        let bytes = &self.bytes;
        self.items.retain(|item| keeps(&bytes[item.0..item.1]));
    }

    /// Returns the next name.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let (start, end) = *self.items.get(self.taken)?;
        self.taken += 1;
        Some(&self.bytes[start..end])
    }
}

/// The last part of a path: its name in its parent folder; `.` when it is empty.
pub(super) fn last_part(path: &[u8]) -> &[u8] {
    match path.rsplit(|byte| *byte == b'/').next() {
        None | Some([]) => b".",
        Some(name) => name,
    }
}
