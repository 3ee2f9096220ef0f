//! Reading packs in full: every tag, every chunk id.

use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{CheckReport, DamagedChunks, Finding, ReadData};
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result, in_one_line};
use crate::format::{
    Codec, Group, HEADER_LEN, ObjectKind, PackEntry, PackTable, SealedObject, TAG_LEN, TRAILER_LEN,
};
use crate::model::{ChunkId, PackId, References};
use crate::progress::Event;
use crate::repository::{Index, IndexSegment, Io, Layout};

/// Threads that read packs from a server: they wait more than they work.
const REMOTE_READERS: usize = 4;

/// Chooses the packs to read: all that are in scope, or some at random.
pub(super) fn choose<'a>(
    io: &Io,
    index: &'a Index,
    scope: Option<&References>,
    data: ReadData,
) -> Vec<&'a PackEntry> {
    let in_scope = |pack: &&PackEntry| scope.is_none_or(|scope| scope.get(&pack.id).is_some());
    let mut packs: Vec<_> = index.packs().filter(in_scope).collect();
    packs.sort_by_key(|pack| pack.id);
    packs.dedup_by_key(|pack| pack.id);
    let most = match data {
        ReadData::None => return Vec::new(),
        ReadData::All => return packs,
        ReadData::Fraction(fraction) => {
            let total: u64 = packs.iter().map(|pack| pack.len).sum();
            (total as f64 * fraction.clamp(0.0, 1.0)) as u64
        }
        ReadData::Bytes(bytes) => bytes,
    };
    packs.sort_by_cached_key(|_| io.context.runtime.bytes::<8>());
    let mut sum = 0;
    packs.retain(|pack| {
        let wanted = sum < most;
        sum += pack.len;
        wanted
    });
    packs
}

/// What reading found so far.
#[derive(Default)]
pub(super) struct Found {
    bad: Vec<(PackId, Vec<BadGroup>)>,
    packs_read: u64,
    bytes_read: u64,
    failed: Option<Error>,
}

/// Reads packs on all cores.
pub(super) fn read(io: &Io, view: &View, packs: &[&PackEntry]) -> Result<Found> {
    let found = Mutex::new(Found::default());
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let readers = cores.max(REMOTE_READERS.min(io.storage().connections()));
    thread::scope(|scope| {
        for _ in 0..readers.min(packs.len()) {
            scope.spawn(|| {
                while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = read_pack(io, view, pack);
                    let Ok(mut found) = found.lock() else { return };
                    if !found.take(pack, result) {
                        return;
                    }
                }
            });
        }
    });
    let found = found
        .into_inner()
        .map_err(|_| Error::internal("a check thread panicked"))?;
    match found.failed {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// Reports what was found; returns the chunks that cannot be read from anywhere. Damage is what a backup needs: `used` tells
/// that, and `None` that it is not known.
pub(super) fn judge(
    view: &View,
    found: Found,
    used: Option<&References>,
    report: &mut CheckReport,
) -> DamagedChunks {
    let mut damaged = DamagedChunks::new();
    for (pack, bad) in found.bad {
        let slots = used.map(|used| used.get(&pack));
        let is_used = |bad: &BadGroup| match slots {
            None => true,
            Some(slots) => {
                let mut own = bad.slots.clone();
                own.is_empty() || slots.is_some_and(|slots| own.any(|slot| slots.contains(slot)))
            }
        };
        let (live, mut dead): (Vec<_>, Vec<_>) = bad.into_iter().partition(is_used);
        // A prune may have removed what it rests on: nobody needs that.
        dead.retain(|bad| !bad.is_delta);
        let key = Layout::pack(pack);
        match (live.first(), dead.first()) {
            (Some(first), _) => {
                let message = format!("{}{}", first.reason, more(live.len() - 1));
                report.findings.push(Finding::damage(key, message));
            }
            (None, Some(first)) => {
                let message = format!(
                    "{}{}, and no backup uses what it holds",
                    first.reason,
                    more(dead.len() - 1)
                );
                report.findings.push(Finding::note(key, message));
            }
            (None, None) => {}
        }
        let chunks = live.into_iter().chain(dead).flat_map(|bad| bad.chunks);
        damaged.extend(chunks.map(|id| (id, pack)));
    }
    // What another writer stored a second time is not lost.
    damaged.retain(|id, _| view.reader.read(id).is_err());
    report.packs_read = found.packs_read;
    report.bytes_read = found.bytes_read;
    damaged
}

fn more(groups: usize) -> String {
    match groups {
        0 => String::new(),
        more => format!(" (and {more} more groups)"),
    }
}

impl Found {
    /// False when the check must end.
    fn take(&mut self, pack: &PackEntry, result: Result<Vec<BadGroup>>) -> bool {
        match result {
            Ok(bad) => {
                self.packs_read += 1;
                self.bytes_read += pack.len;
                if !bad.is_empty() {
                    self.bad.push((pack.id, bad));
                }
                true
            }
            // A missing pack is found by the look at the structure, with the files that need it.
            Err(error) if error.kind() == ErrorKind::Damaged => true,
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }
}

struct BadGroup {
    reason: String,
    chunks: Vec<ChunkId>,
    /// The slots of these chunks; none when it is about the whole pack.
    slots: Range<u32>,
    is_delta: bool,
}

impl BadGroup {
    fn new(error: &Error, first: usize, chunks: &[ChunkId]) -> Self {
        let first = first as u32;
        Self {
            reason: in_one_line(error),
            chunks: chunks.to_vec(),
            slots: first..first + chunks.len() as u32,
            is_delta: false,
        }
    }

    const fn of_delta(mut self, is_delta: bool) -> Self {
        self.is_delta = is_delta;
        self
    }
}

fn read_pack(io: &Io, view: &View, pack: &PackEntry) -> Result<Vec<BadGroup>> {
    let ids = chunk_ids(view.reader.index(), pack.id)?;
    let key = Layout::pack(pack.id);
    let mut bad = Vec::new();
    if ids.len() != pack.table.chunk_count() || pack.table.groups_end() > pack.len {
        let message = format!("index segments contradict each other about {key}");
        bad.push(BadGroup::new(&Error::damaged(message), 0, &[]));
        return Ok(bad);
    }
    let mut rest = ids.as_slice();
    for piece in cut(pack, piece_len(io)) {
        io.check_cancelled()?;
        let groups = &pack.table.groups[piece.groups.clone()];
        let chunks = groups.iter().map(|group| group.lengths.len()).sum();
        let first = ids.len() - rest.len();
        let (here, later) = rest.split_at(chunks);
        rest = later;
        match io.block(io.storage().get_range(&key, piece.bytes.clone())) {
            Ok(bytes) => {
                let frame = check_frame(io, pack, &ids, &piece, &bytes);
                bad.extend(frame.err().map(|error| BadGroup::new(&error, 0, &[])));
                check_groups(view, pack, &piece, &bytes, (first, here), &mut bad)?;
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                bad.push(BadGroup::new(&error, first, here));
            }
            Err(error) => return Err(error),
        }
        let bytes = piece.bytes.end - piece.bytes.start;
        io.context
            .progress
            .event(Event::Advance { bytes, entries: 0 });
    }
    Ok(bad)
}

/// A part of a pack that is read at once.
struct Piece {
    groups: Range<usize>,
    bytes: Range<u64>,
}

/// On a server every request takes its time, on a disk it does not and short pieces stay in the processor's cache.
fn piece_len(io: &Io) -> u64 {
    if io.storage().is_remote() {
        32 << 20
    } else {
        4 << 20
    }
}

/// Cuts a pack between groups; the header goes with the first piece and the footer with the last one.
fn cut(pack: &PackEntry, len: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut start, mut first) = (0, 0);
    for (number, offset) in pack.table.offsets().enumerate() {
        let end = offset + u64::from(pack.table.groups[number].stored_len) + TAG_LEN as u64;
        if end - start > len && number > first {
            pieces.push(Piece {
                groups: first..number,
                bytes: start..offset,
            });
            (start, first) = (offset, number);
        }
    }
    pieces.push(Piece {
        groups: first..pack.table.groups.len(),
        bytes: start..pack.len,
    });
    pieces
}

/// Checks the groups of a piece, which hold the chunks `ids` from the slot `slot` on.
fn check_groups(
    view: &View,
    pack: &PackEntry,
    piece: &Piece,
    bytes: &[u8],
    (mut slot, mut ids): (usize, &[ChunkId]),
    bad: &mut Vec<BadGroup>,
) -> Result<()> {
    let offsets = pack.table.offsets().enumerate();
    for (number, offset) in offsets.skip(piece.groups.start).take(piece.groups.len()) {
        let group = &pack.table.groups[number];
        let (here, rest) = ids.split_at(group.lengths.len());
        ids = rest;
        let start = (offset - piece.bytes.start) as usize;
        let sealed = &bytes[start..start + group.stored_len as usize + TAG_LEN];
        let raw = view
            .reader
            .open_group(pack.id, number as u32, group, sealed);
        match raw {
            Ok(raw) => {
                for (nth, id) in wrong_chunks(view, &raw, group, here) {
                    let message = format!("group {number} does not hold chunk {id}");
                    bad.push(BadGroup::new(&Error::damaged(message), slot + nth, &[id]));
                }
            }
            Err(error) if error.is_damage() => {
                let is_delta = group.codec == Codec::ZstdDelta;
                bad.push(BadGroup::new(&error, slot, here).of_delta(is_delta));
            }
            // What a delta rests on could not be fetched.
            Err(error) => return Err(error),
        }
        slot += here.len();
    }
    Ok(())
}

/// Chunks that an unpacked group should hold and does not, with their places among those of the group.
fn wrong_chunks(view: &View, raw: &[u8], group: &Group, ids: &[ChunkId]) -> Vec<(usize, ChunkId)> {
    let mut start = 0;
    let mut wrong = Vec::new();
    for (nth, (id, len)) in ids.iter().zip(&group.lengths).enumerate() {
        let end = start + *len as usize;
        let bytes = raw.get(start..end);
        if !bytes.is_some_and(|bytes| view.reader.verify(id, bytes)) {
            wrong.push((nth, *id));
        }
        start = end;
    }
    wrong
}

/// The chunks of a pack in slot order.
fn chunk_ids(index: &Index, pack: PackId) -> Result<Vec<ChunkId>> {
    let describes = |segment: &&std::sync::Arc<IndexSegment>| {
        segment.packs().iter().any(|entry| entry.id == pack)
    };
    let segment = index.segments().iter().find(describes);
    let ids = segment.and_then(|segment| segment.chunk_ids(pack));
    ids.ok_or_else(|| Error::internal(format!("pack {pack} vanished from the index")))
}

/// Checks a pack's header in the first piece, and in the last one that the footer says what the index says.
fn check_frame(
    io: &Io,
    pack: &PackEntry,
    ids: &[ChunkId],
    piece: &Piece,
    bytes: &[u8],
) -> Result<()> {
    let key = Layout::pack(pack.id);
    let named = |error| Error::format(&key, error);
    if piece.bytes.start == 0 {
        let header = &bytes[..HEADER_LEN.min(bytes.len())];
        let object = SealedObject::read(io.master(), io.cipher(), ObjectKind::Pack, header);
        let object = object.map_err(named)?;
        if PackId::from(object.id()) != pack.id {
            let message = format!("{key} is another pack, {}", object.id());
            return Err(Error::damaged(message));
        }
    }
    if piece.bytes.end < pack.len {
        return Ok(());
    }
    let end = &bytes[(pack.table.groups_end() - piece.bytes.start) as usize..];
    let footer_len = PackTable::read_trailer(end).map_err(named)?;
    if footer_len + TRAILER_LEN as u64 != end.len() as u64 {
        return Err(named(crate::format::FormatError::Length));
    }
    let (table, footer_ids) =
        PackTable::read_footer(&io.pack_object(pack.id), end, pack.len).map_err(named)?;
    if table == pack.table && footer_ids == ids {
        Ok(())
    } else {
        Err(Error::damaged(format!(
            "{key} holds something else than the index says"
        )))
    }
}
