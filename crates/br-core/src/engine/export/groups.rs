//! Groups that an export has requested and not used yet.
//!
//! One request, a [`Fetch`], reads several neighbouring groups. The first thread that needs a chunk of a [`WantedGroup`] opens the group.
//! Invariant: a group is fetched and opened at most once while it is in use.

use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::format::{Group, PackSeal, TAG_LEN};
use crate::repository::{ChunkLocation, ChunkReader, Io, Layout, MAX_GAP};

/// A group that has chunks of the export.
pub(super) struct WantedGroup {
    pub(super) pack: PackSeal,
    pub(super) number: u32,
    pub(super) group: Group,
    offset: u64,
    /// The request for its bytes; `None` once the group is opened.
    fetch: Mutex<Option<Arc<Fetch>>>,
    /// The bytes of its chunks; `None` inside when the group cannot be read.
    raw: OnceLock<Option<Bytes>>,
}

impl WantedGroup {
    pub(super) fn new(location: &ChunkLocation<'_>) -> Self {
        Self {
            pack: location.pack.seal(),
            number: location.group_number,
            group: location.group.clone(),
            offset: location.group_offset,
            fetch: Mutex::default(),
            raw: OnceLock::new(),
        }
    }

    /// Its length in the pack.
    pub(super) fn stored_len(&self) -> u64 {
        u64::from(self.group.stored_len) + TAG_LEN as u64
    }

    fn end(&self) -> u64 {
        self.offset + self.stored_len()
    }

    /// Returns the bytes of its chunks, not verified yet; `None` when the group cannot be read.
    pub(super) fn raw(&self, reader: &ChunkReader) -> Option<Bytes> {
        let open = || {
            let fetch = self.fetch.lock().ok()?.take()?;
            let bytes = fetch.bytes(reader.io())?;
            let start = (self.offset - fetch.start) as usize;
            let sealed = bytes.get(start..start + self.stored_len() as usize)?;
            let raw = reader.open_group(self.pack, self.number, &self.group, sealed);
            raw.ok().map(Bytes::from)
        };
        self.raw.get_or_init(open).clone()
    }
}

/// A request for a range of a pack.
struct Fetch {
    start: u64,
    request: Mutex<Option<Request>>,
    bytes: OnceLock<Option<Bytes>>,
}

type Request = JoinHandle<Result<Bytes, br_storage::Error>>;

impl Fetch {
    /// Waits for the bytes. Drops the error of a failed request: the caller then reads the chunk alone, which returns the reason.
    fn bytes(&self, io: &Io) -> Option<Bytes> {
        let wait = || {
            let request = self.request.lock().ok()?.take()?;
            let bytes = io.block(async {
                request
                    .await
                    .map_err(|e| Error::internal("a request panicked").with_source(e))?
                    .map_err(Error::from)
            });
            bytes.ok()
        };
        self.bytes.get_or_init(wait).clone()
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        // The bytes are not needed any more.
        if let Ok(Some(request)) = self.request.get_mut().map(Option::take) {
            request.abort();
        }
    }
}

/// Starts requests for groups. It joins groups to few requests, each of at most `longest` bytes unless a single group is longer.
pub(super) fn fetch(io: &Io, mut groups: Vec<Arc<WantedGroup>>, longest: u64) {
    groups.sort_unstable_by_key(|group| (group.pack, group.offset));
    let mut run: Vec<Arc<WantedGroup>> = Vec::new();
    for group in groups {
        let joins = run.first().zip(run.last()).is_some_and(|(first, last)| {
            group.pack == first.pack
                && group.offset <= last.end() + MAX_GAP
                && group.end() - first.offset <= longest
        });
        if !joins {
            fetch_run(io, &std::mem::take(&mut run));
        }
        run.push(group);
    }
    fetch_run(io, &run);
}

/// Starts one request for groups of one pack.
fn fetch_run(io: &Io, run: &[Arc<WantedGroup>]) {
    let Some((first, last)) = run.first().zip(run.last()) else {
        return;
    };
    let (storage, key) = (io.storage().clone(), Layout::pack(first.pack.id));
    let (start, end) = (first.offset, last.end());
    let request = async move { storage.get_range(&key, start..end).await };
    let fetch = Arc::new(Fetch {
        start,
        request: Mutex::new(Some(io.handle().spawn(request))),
        bytes: OnceLock::new(),
    });
    for group in run {
        if let Ok(mut slot) = group.fetch.lock() {
            *slot = Some(Arc::clone(&fetch));
        }
    }
}
