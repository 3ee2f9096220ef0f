//! Reading chunks back: fetch, open, unpack, verify.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::group_cache::{GroupCache, GroupData};
use super::{ChunkLocation, Index, Io, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, ChunkIdKey, Codec, Group, PackSeal, SealedObject, TAG_LEN};
use crate::model::{ChunkId, ChunkRef, PackId};

/// Maximum bytes of unpacked groups in the cache: this many of data, and this many of tree nodes.
const CACHED: usize = 24 << 20;
/// A gap of at most this many unneeded bytes between two groups is read too, instead of starting another request.
pub(crate) const MAX_GAP: u64 = 256 << 10;
/// No request is longer, unless a single group is.
pub(crate) const MAX_REQUEST: u64 = 8 << 20;
/// Maximum concurrent requests.
const PARALLEL: usize = 8;

/// The result of a request: the locations it covers, the offset of its bytes in the pack, and the bytes.
type FetchedRun = (Range<usize>, Result<(u64, Bytes)>);

/// Reads chunks of a repository. The returned bytes have the requested id.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    io: Io,
    index: Arc<Index>,
    id_key: ChunkIdKey,
    cache: Arc<GroupCache>,
    /// Groups that were read with others are cached as well.
    keeps_all: bool,
}

impl ChunkReader {
    pub(crate) fn new(io: &Io, index: Arc<Index>) -> Self {
        let id_key = io.keyring().first().chunk_id_key();
        Self {
            io: io.clone(),
            index,
            id_key,
            cache: Arc::new(GroupCache::new(CACHED)),
            keeps_all: false,
        }
    }

    /// A reader that stays and serves many calls: it caches every group that it reads.
    pub(crate) fn lasting(&self) -> Self {
        Self {
            io: self.io.clone(),
            index: Arc::clone(&self.index),
            id_key: self.id_key.clone(),
            cache: Arc::new(GroupCache::new(CACHED)),
            keeps_all: true,
        }
    }

    /// The same reader with the same cache for another call.
    pub(crate) fn with_io(&self, io: &Io) -> Self {
        Self {
            io: io.clone(),
            index: Arc::clone(&self.index),
            id_key: self.id_key.clone(),
            cache: Arc::clone(&self.cache),
            keeps_all: self.keeps_all,
        }
    }

    pub(crate) fn io(&self) -> &Io {
        &self.io
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Checks that bytes are the expected chunk.
    pub(crate) fn verify(&self, id: &ChunkId, bytes: &[u8]) -> bool {
        self.id_key.id(bytes) == *id
    }

    /// Reads one chunk, from another location if the first one is damaged.
    pub(crate) fn read(&self, id: &ChunkId) -> Result<Vec<u8>> {
        let mut last = None;
        for location in self.index.find_all(id) {
            match self.read_at(id, &location) {
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.kind() == ErrorKind::Damaged => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::damaged_pack(format!("chunk {id} is in no pack"))))
    }

    /// Reads a chunk from a certain pack.
    pub(crate) fn read_from(&self, pack: PackId, id: &ChunkId) -> Result<Vec<u8>> {
        let mut locations = self.index.find_all(id);
        let location = locations.find(|location| location.pack.id == pack);
        let location = location
            .ok_or_else(|| Error::damaged_pack(format!("chunk {id} is not in pack {pack}")))?;
        self.read_at(id, &location)
    }

    /// Reads a chunk from one location.
    pub(crate) fn read_at(&self, id: &ChunkId, location: &ChunkLocation<'_>) -> Result<Vec<u8>> {
        match self.read_location(id, location) {
            // Perhaps only the copy on this machine is damaged.
            Err(error) if error.is_damage() && self.io.drop_copy(location.pack.id) => {
                let read = self.read_location(id, location);
                if read.is_ok() {
                    let (pack, group) = (location.pack.id, location.group_number);
                    self.io.damage.forget(pack, group);
                }
                read
            }
            read => read,
        }
    }

    fn read_location(&self, id: &ChunkId, location: &ChunkLocation<'_>) -> Result<Vec<u8>> {
        let raw = self.group(location)?;
        self.cut(id, location, &raw).ok_or_else(|| {
            self.io.damage.note(location.pack.id, location.group_number);
            wrong_chunk(location, id)
        })
    }

    /// Reads the group a chunk is in.
    fn group(&self, location: &ChunkLocation<'_>) -> Result<GroupData> {
        if let Some(raw) = self.cache.get(location) {
            return Ok(raw);
        }
        let start = location.group_offset;
        let end = start + u64::from(location.group.stored_len) + TAG_LEN as u64;
        let sealed = self.io.block(self.io.pack_range(location.pack, start..end));
        let sealed = sealed.inspect_err(|error| {
            if error.kind() == ErrorKind::Damaged {
                self.io.damage.note(location.pack.id, location.group_number);
            }
        })?;
        let raw = Arc::new(self.open_group(
            location.pack.seal(),
            location.group_number,
            location.group,
            &sealed,
        )?);
        self.cache.put(location, &raw);
        Ok(raw)
    }

    /// The bytes of a chunk in an unpacked group, if the group has them.
    fn cut(&self, id: &ChunkId, location: &ChunkLocation<'_>, raw: &[u8]) -> Option<Vec<u8>> {
        let range = location.start as usize..(location.start + location.len) as usize;
        let bytes = raw.get(range).filter(|bytes| self.verify(id, bytes))?;
        Some(bytes.to_vec())
    }

    /// Opens and unpacks a group from its sealed bytes.
    pub(crate) fn open_group(
        &self,
        pack: PackSeal,
        number: u32,
        group: &Group,
        sealed: &[u8],
    ) -> Result<Vec<u8>> {
        let named = |error| {
            let name = format!("group {number} of {}", Layout::pack(pack.id));
            let error = Error::format(&name, error);
            if error.kind() == ErrorKind::Damaged {
                self.io.damage.note(pack.id, number);
            }
            error
        };
        let open = |object: &SealedObject| object.open(number, sealed);
        let stored = self.io.open_in_pack(pack, open).map_err(named)?;
        let raw_len = group.raw_len as usize;
        match group.codec {
            Codec::Raw => Ok(stored.into_owned()),
            Codec::Zstd => format::decompress(&stored, raw_len).map_err(named),
            Codec::ZstdDelta => {
                let prefix = self.read_bases(&group.bases)?;
                format::decompress_delta(&stored, &prefix, raw_len).map_err(named)
            }
        }
    }

    /// Reads the bases of a delta. Bases are not deltas, so this does not recurse further.
    pub(crate) fn read_bases(&self, bases: &[ChunkId]) -> Result<Vec<u8>> {
        let mut prefix = Vec::new();
        for id in bases {
            let base = self.read_whole(id)?;
            if (prefix.len() + base.len()) as u64 > format::limits::GROUP_RAW {
                return Err(Error::damaged_pack("the bases of a delta are too long"));
            }
            prefix.extend_from_slice(&base);
        }
        Ok(prefix)
    }

    /// Reads a chunk from a location where it is stored whole, and from another such location if the first one is damaged.
    fn read_whole(&self, id: &ChunkId) -> Result<Vec<u8>> {
        let mut last = None;
        for location in self
            .index
            .find_all(id)
            .filter(|location| !location.is_delta())
        {
            match self.read_at(id, &location) {
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.is_damage() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        let missing = || Error::damaged_pack(format!("chunk {id}, base of a delta, is missing"));
        Err(last.unwrap_or_else(missing))
    }

    /// Reads many chunks with few requests. The results are in the order of `chunks`.
    pub(crate) fn read_many(&self, chunks: &[ChunkRef]) -> Vec<Result<Vec<u8>>> {
        let mut results: Vec<Option<Result<Vec<u8>>>> = chunks.iter().map(|_| None).collect();
        let mut wanted = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            let Some(location) = self.index.find(&chunk.id) else {
                continue;
            };
            let cached = self.cache.get(&location);
            let cached = cached.and_then(|raw| self.cut(&chunk.id, &location, &raw));
            match cached {
                Some(bytes) => results[at] = Some(Ok(bytes)),
                None => wanted.push((at, location)),
            }
        }
        wanted.sort_by_key(|(_, location)| (location.pack.id, location.group_offset));
        let locations: Vec<_> = wanted.iter().map(|(_, location)| *location).collect();
        for (runs, fetched) in self.fetch_runs(&locations) {
            let Ok(bytes) = fetched else { continue };
            // Neighbours are often in one group.
            let mut last = None;
            for (at, location) in &wanted[runs] {
                if last
                    .as_ref()
                    .is_none_or(|(group, _)| *group != location.group_offset)
                {
                    let offset = (location.group_offset - bytes.0) as usize;
                    let end = offset + location.group.stored_len as usize + TAG_LEN;
                    let sealed = bytes.1.get(offset..end).unwrap_or_default();
                    let raw = self.open_group(
                        location.pack.seal(),
                        location.group_number,
                        location.group,
                        sealed,
                    );
                    let raw = raw.ok().map(Arc::new);
                    if let Some(raw) = raw.as_ref().filter(|_| self.keeps_all) {
                        self.cache.put(location, raw);
                    }
                    last = Some((location.group_offset, raw));
                }
                let raw = last.as_ref().and_then(|(_, raw)| raw.as_ref());
                let id = &chunks[*at].id;
                let chunk = raw.and_then(|raw| self.cut(id, location, raw));
                results[*at] = chunk.map(Ok);
            }
        }
        // Read each failed chunk alone: from another location, or return an error that names the reason.
        let one =
            |(at, result): (usize, Option<_>)| result.unwrap_or_else(|| self.read(&chunks[at].id));
        results.into_iter().enumerate().map(one).collect()
    }

    /// Fetches the groups of locations, which are sorted by pack and offset. Returns the bytes of each run.
    fn fetch_runs(&self, locations: &[ChunkLocation<'_>]) -> Vec<FetchedRun> {
        let runs = plan_runs(locations);
        let io = &self.io;
        let fetch = futures::stream::iter(runs).map(|(items, range)| async move {
            let bytes = io
                .pack_range(locations[items.start].pack, range.clone())
                .await;
            (items, bytes.map(|bytes| (range.start, bytes)))
        });
        let all = fetch.buffered(PARALLEL).map(Ok::<_, Error>);
        self.io
            .block(all.try_collect::<Vec<_>>())
            .unwrap_or_default()
    }
}

/// Joins neighbouring locations into runs. Returns the locations of each run, and its range in the pack.
fn plan_runs(locations: &[ChunkLocation<'_>]) -> Vec<(Range<usize>, Range<u64>)> {
    let mut runs: Vec<(Range<usize>, Range<u64>)> = Vec::new();
    for (at, location) in locations.iter().enumerate() {
        let start = location.group_offset;
        let end = start + u64::from(location.group.stored_len) + TAG_LEN as u64;
        if let Some((items, bytes)) = runs.last_mut() {
            let same_pack = locations[items.start].pack.id == location.pack.id;
            let near =
                start <= bytes.end + MAX_GAP && end.max(bytes.end) - bytes.start <= MAX_REQUEST;
            if same_pack && near {
                items.end = at + 1;
                bytes.end = bytes.end.max(end);
                continue;
            }
        }
        runs.push((at..at + 1, start..end));
    }
    runs
}

/// The error for a group whose checksum is right and whose content is not what the index says.
fn wrong_chunk(location: &ChunkLocation<'_>, id: &ChunkId) -> Error {
    let pack = Layout::pack(location.pack.id);
    Error::damaged(format!(
        "group {} of {pack} does not hold chunk {id}",
        location.group_number
    ))
}

#[cfg(test)]
mod tests {
    use zstd::zstd_safe::CCtx;

    use super::super::testing::{group, noise, read, stored};
    use super::*;
    use crate::format::Compressor;

    #[tokio::test]
    async fn a_chunk_stored_as_a_delta_is_read_with_its_bases() {
        for password in [false, true] {
            let base = noise(1, 100_000);
            let mut new = base.clone();
            new[70_000] ^= 1;
            let expected = new.clone();
            let reader = stored(password, move |key| {
                let (first, second) = base.split_at(40_000);
                let ids = [key.id(first), key.id(second)];
                let (codec, raw) = Compressor::new(3).compress(&base);
                let bases = group(codec, raw, &[(ids[0], first), (ids[1], second)]);
                let mut context = CCtx::create();
                context.ref_prefix(&base).unwrap();
                let mut delta = Vec::with_capacity(200_000);
                context.compress2(&mut delta, &new).unwrap();
                assert!(
                    delta.len() < 1000,
                    "the test data should make a small delta"
                );
                let mut delta = group(Codec::ZstdDelta, delta, &[(key.id(&new), &new)]);
                delta.bases = ids.to_vec();
                vec![bases, delta]
            })
            .await;
            let id = reader.id_key.id(&expected);
            assert_eq!(read(reader, id).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn delta_with_missing_or_delta_base_is_damage() {
        for depth in [1, 2] {
            let reader = stored(false, move |key| {
                let base = noise(1, 1000);
                let mut delta = group(Codec::ZstdDelta, vec![0; 10], &[(key.id(b"x"), b"x")]);
                delta.bases = vec![key.id(&base)];
                let mut between = group(Codec::ZstdDelta, base.clone(), &[(key.id(&base), &base)]);
                between.bases = vec![key.id(b"x")];
                if depth == 1 {
                    vec![delta]
                } else {
                    vec![between, delta]
                }
            })
            .await;
            let id = reader.id_key.id(b"x");
            let error = read(reader, id).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged);
            assert!(error.to_string().contains("base of a delta"), "{error}");
        }
    }

    #[tokio::test]
    async fn chunk_with_a_damaged_copy_is_read_from_the_other_copy() {
        let data = noise(1, 5000);
        let expected = data.clone();
        let reader = stored(false, move |key| {
            let id = key.id(&data);
            let wrong = noise(2, 5000);
            vec![
                group(Codec::Raw, wrong.clone(), &[(id, &wrong)]),
                group(Codec::Raw, data.clone(), &[(id, &data)]),
            ]
        })
        .await;
        let id = reader.id_key.id(&expected);
        assert_eq!(read(reader, id).await.unwrap(), expected);
    }
}
