//! The names in one folder.
//!
//! [`Names`] keeps them in one piece of memory. Invariant: after [`Names::sort`] they come out byte-wise ascending, which
//! within one folder is path order.

/// The names in a folder, and how many of them were taken.
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

    /// Drops all names but one.
    pub(super) fn keep_only(&mut self, name: &[u8]) {
        let bytes = &self.bytes;
        self.items.retain(|item| &bytes[item.0..item.1] == name);
    }

    /// Takes the next name.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let (start, end) = *self.items.get(self.taken)?;
        self.taken += 1;
        Some(&self.bytes[start..end])
    }
}

/// The name under which the folder that holds a path knows it.
pub(super) fn last_part(path: &[u8]) -> &[u8] {
    match path.rsplit(|byte| *byte == b'/').next() {
        None | Some([]) => b".",
        Some(name) => name,
    }
}
