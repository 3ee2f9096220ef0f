//! Where the bytes of a file are: in holes, in the entry, or in chunks.
//!
//! [`FileMap`] maps an offset of the file to the content. Invariant: offsets and lengths of a damaged entry may contradict each other. This
//! leads to an error or a hole, never to a panic.

use std::ops::Range;

use crate::model::{ChunkRef, Content, FileContent};

/// A file's content by offset.
#[derive(Debug)]
pub(super) struct FileMap {
    /// Ranges outside of holes, ascending: offset in the file, offset in the content, length.
    stretches: Vec<(u64, u64, u64)>,
    /// Where each chunk starts in the content.
    starts: Vec<u64>,
}

/// A part of the content, and its position in the result of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Its offset in the result.
    pub(super) to: usize,
    /// Its offset in the content.
    pub(super) from: u64,
    /// Its length.
    pub(super) len: usize,
}

impl FileMap {
    pub(super) fn new(file: &FileContent) -> Self {
        let mut data = 0;
        let place = |extent: crate::model::Extent| {
            let stretch = (extent.offset, data, extent.len);
            data += extent.len;
            stretch
        };
        let stretches = file.data_extents().map(place).collect();
        let mut next = 0;
        let start = |chunk: &ChunkRef| {
            let start = next;
            next += u64::from(chunk.len);
            start
        };
        let starts = match &file.content {
            Content::Inline(_) => Vec::new(),
            Content::Chunks(chunks) => chunks.iter().map(start).collect(),
        };
        Self { stretches, starts }
    }

    /// The parts of the content in a range of the file. The rest of the range is holes.
    pub(super) fn parts(&self, range: Range<u64>) -> Vec<Part> {
        let first = self
            .stretches
            .partition_point(|(at, _, len)| at + len <= range.start);
        let mut parts = Vec::new();
        for (at, data, len) in &self.stretches[first..] {
            let start = range.start.max(*at);
            let end = range.end.min(at + len);
            if start >= end {
                break;
            }
            parts.push(Part {
                to: (start - range.start) as usize,
                from: data + (start - at),
                len: (end - start) as usize,
            });
        }
        parts
    }

    /// The number of the chunk that has a byte of the content, and where that chunk starts.
    pub(super) fn chunk(&self, from: u64) -> Option<(usize, u64)> {
        let at = self.starts.partition_point(|start| *start <= from);
        let at = at.checked_sub(1)?;
        Some((at, self.starts[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChunkId, Extent};

    #[test]
    fn ranges_are_cut_at_holes() {
        let chunk = |len| ChunkRef {
            id: ChunkId([0; 32]),
            len,
        };
        let file = FileContent {
            size: 100,
            content: Content::Chunks(vec![chunk(10), chunk(30)]),
            holes: vec![
                Extent { offset: 0, len: 20 },
                Extent {
                    offset: 35,
                    len: 40,
                },
            ],
            ..FileContent::default()
        };
        let map = FileMap::new(&file);
        let part = |to, from, len| Part { to, from, len };
        assert_eq!(map.parts(0..100), [part(20, 0, 15), part(75, 15, 25)]);
        assert_eq!(map.parts(30..80), [part(0, 10, 5), part(45, 15, 5)]);
        assert_eq!(map.parts(40..60), []);
        assert_eq!(map.parts(99..100), [part(0, 39, 1)]);
        assert_eq!(map.parts(50..50), []);
        assert_eq!(map.chunk(9), Some((0, 0)));
        assert_eq!(map.chunk(10), Some((1, 10)));
    }
}
