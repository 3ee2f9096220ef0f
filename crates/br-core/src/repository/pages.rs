//! Parts of tree packs in memory, in pages of fixed length.
//!
//! A node of a tree is short, and its neighbours in the pack are also its neighbours in the tree. [`Pages`] fetches whole pages, so
//! that browsing a backup takes few requests. Invariant: it holds at most [`MAX_PAGES`] pages.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;

use br_storage::Storage;
use bytes::Bytes;

use super::Layout;
use crate::error::Result;
use crate::format::PackEntry;
use crate::model::PackId;

/// Bytes of a page.
const PAGE_LEN: u64 = 512 << 10;
/// Maximum number of pages in memory: 16 MiB.
const MAX_PAGES: usize = 32;

/// Keeps pages, newest first.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<VecDeque<(PackId, u64, Bytes)>>);

impl Pages {
    /// Reads a part of a pack.
    pub(super) async fn range(
        &self,
        storage: &Storage,
        pack: &PackEntry,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let key = Layout::pack(pack.id);
        if range.is_empty() || range.end > pack.len {
            return Ok(storage.get_range(&key, range).await?);
        }
        let numbers = range.start / PAGE_LEN..range.end.div_ceil(PAGE_LEN);
        let mut pages: Vec<Option<Bytes>> = numbers.clone().map(|n| self.get(pack.id, n)).collect();
        let missing = || {
            pages
                .iter()
                .zip(numbers.clone())
                .filter(|(p, _)| p.is_none())
        };
        let (first, last) = (missing().next(), missing().last());
        if let Some(((_, first), (_, last))) = first.zip(last) {
            let wanted = first * PAGE_LEN..((last + 1) * PAGE_LEN).min(pack.len);
            let Ok(bytes) = storage.get_range(&key, wanted.clone()).await else {
                // Damage in the rest of the page does not matter here.
                return Ok(storage.get_range(&key, range).await?);
            };
            for number in first..=last {
                let from = (number * PAGE_LEN - wanted.start) as usize;
                let to = bytes.len().min(from + PAGE_LEN as usize);
                // Copy the bytes: a slice would keep the whole pages in memory.
                let page = Bytes::copy_from_slice(bytes.get(from..to).unwrap_or_default());
                self.put(pack.id, number, page.clone());
                pages[(number - numbers.start) as usize] = Some(page);
            }
        }
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        for (number, page) in numbers.zip(pages) {
            let page = page.unwrap_or_default();
            let at =
                |offset: u64| (offset.saturating_sub(number * PAGE_LEN) as usize).min(page.len());
            out.extend_from_slice(&page[at(range.start)..at(range.end)]);
        }
        Ok(out.into())
    }

    /// Drops the pages of a pack; true if there were any.
    pub(super) fn drop_pack(&self, pack: PackId) -> bool {
        let Ok(mut pages) = self.0.lock() else {
            return false;
        };
        let before = pages.len();
        pages.retain(|(id, ..)| *id != pack);
        pages.len() < before
    }

    fn get(&self, pack: PackId, number: u64) -> Option<Bytes> {
        let mut pages = self.0.lock().ok()?;
        let is_it = |(id, n, _): &(PackId, u64, Bytes)| (*id, *n) == (pack, number);
        let at = pages.iter().position(is_it)?;
        let hit = pages.remove(at)?;
        let bytes = hit.2.clone();
        pages.push_front(hit);
        Some(bytes)
    }

    fn put(&self, pack: PackId, number: u64, page: Bytes) {
        if let Ok(mut pages) = self.0.lock() {
            pages.retain(|(id, n, _)| (*id, *n) != (pack, number));
            pages.truncate(MAX_PAGES - 1);
            pages.push_front((pack, number, page));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{PackContent, PackTable};

    #[tokio::test]
    async fn any_range_is_that_of_the_pack() {
        let storage = Storage::memory();
        let bytes: Vec<u8> = (0..3 * PAGE_LEN as u32 + 7)
            .map(|n| (n / 251) as u8)
            .collect();
        let id = PackId([7; 16]);
        let pack = PackEntry {
            id,
            len: bytes.len() as u64,
            table: PackTable {
                content: PackContent::Tree,
                sender: None,
                groups: Vec::new(),
            },
        };
        let key = Layout::pack(id);
        let made = storage.create_new(&key, bytes.clone().into()).await;
        assert_eq!(made.unwrap(), br_storage::Creation::Created);
        let pages = Pages::default();
        let end = pack.len;
        for range in [
            0..1,
            PAGE_LEN - 1..PAGE_LEN,
            PAGE_LEN - 1..PAGE_LEN + 1,
            PAGE_LEN..2 * PAGE_LEN,
            5..end,
            end - 1..end,
        ] {
            let read = pages.range(&storage, &pack, range.clone()).await.unwrap();
            assert_eq!(&read[..], &bytes[range.start as usize..range.end as usize]);
        }
        assert!(pages.range(&storage, &pack, end..end + 1).await.is_err());
    }
}
