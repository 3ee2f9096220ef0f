//! SHA-256 of files.
//!
//! [`FileDigest`] is fed the bytes outside of holes. Invariant: the digest is the one that `sha256sum` prints for the whole file.

use sha2::{Digest as _, Sha256};

use crate::model::{Extent, FileContent};

/// A file with more bytes of holes than this has no digest: hashing so many zeros takes too long.
const MAX_HASHED_HOLES: u64 = 256 << 20;

/// SHA-256 of a file whose data is at hand, if it has one.
pub(in crate::engine) fn sha256_of(file: &FileContent, data: &[u8]) -> Option<[u8; 32]> {
    let mut digest = FileDigest::if_short(file)?;
    digest.update(data);
    Some(digest.finish())
}

/// SHA-256 of a file, with holes read as zeros.
pub(in crate::engine) struct FileDigest {
    sha: Sha256,
    /// Data extents that are not hashed yet, the last one first.
    extents: Vec<Extent>,
    position: u64,
    size: u64,
}

impl FileDigest {
    /// A digest, unless the file has too many bytes of holes.
    pub(super) fn if_short(file: &FileContent) -> Option<Self> {
        let is_short = |holes| holes <= MAX_HASHED_HOLES;
        let holes = file.hole_bytes();
        holes.is_ok_and(is_short).then(|| Self::new(file))
    }

    pub(in crate::engine) fn new(file: &FileContent) -> Self {
        let mut extents: Vec<_> = if file.holes.is_empty() {
            Vec::new()
        } else {
            file.data_extents().collect()
        };
        extents.reverse();
        let size = if file.holes.is_empty() { 0 } else { file.size };
        Self {
            sha: Sha256::new(),
            extents,
            position: 0,
            size,
        }
    }

    fn zeros_until(&mut self, offset: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.position < offset {
            let len = (offset - self.position).min(ZEROS.len() as u64);
            self.sha.update(&ZEROS[..len as usize]);
            self.position += len;
        }
    }

    pub(in crate::engine) fn update(&mut self, mut data: &[u8]) {
        while let Some(extent) = self.extents.last_mut().filter(|_| !data.is_empty()) {
            let Extent { offset, len } = *extent;
            let here = (data.len() as u64).min(len);
            *extent = Extent {
                offset: offset + here,
                len: len - here,
            };
            if extent.len == 0 {
                self.extents.pop();
            }
            self.zeros_until(offset);
            let (now, later) = data.split_at(here as usize);
            self.sha.update(now);
            self.position += here;
            data = later;
        }
        self.sha.update(data);
    }

    pub(in crate::engine) fn finish(mut self) -> [u8; 32] {
        self.zeros_until(self.size);
        self.sha.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_count_as_zeros_wherever_they_are() {
        let extent = |offset, len| Extent { offset, len };
        let file = FileContent {
            size: 20_000,
            holes: vec![
                extent(0, 5_000),
                extent(5_003, 10_000),
                extent(15_004, 4_996),
            ],
            ..FileContent::default()
        };
        let mut whole = vec![0; 20_000];
        whole[5_000..5_003].copy_from_slice(b"abc");
        whole[15_003] = b'd';
        let expected: [u8; 32] = Sha256::digest(&whole).into();
        for pieces in [
            vec![&b"abcd"[..]],
            vec![b"a", b"b", b"cd"],
            vec![b"", b"abc", b"d"],
        ] {
            let mut digest = FileDigest::new(&file);
            pieces.iter().for_each(|piece| digest.update(piece));
            assert_eq!(digest.finish(), expected, "{pieces:?}");
        }
    }
}
