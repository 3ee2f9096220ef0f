//! Leaves of the entry tree: runs of entries (section 6).

use std::collections::HashMap;
use std::sync::Arc;

use super::bytes::{Decoder, Memory, put_bytes, put_varint, put_zigzag};
use super::list::read_lengths;
use super::{FormatError, limits};
use crate::model::{
    ChunkId, ChunkRef, Content, Device, Entry, EntryKind, EntryPath, Extent, FileContent, FileTime,
    Owner, Xattr,
};

const XATTRS: u8 = 1;
const INLINE: u8 = 2;
const HOLES: u8 = 4;
const LINKS: u8 = 8;
const SHA256: u8 = 16;
const TORN: u8 = 32;
const LISTS: u8 = 64;
const ALL_FLAGS: u8 = 127;

/// Maximum length of a leaf that br writes, far below the readers' limit.
const MAX_LEN: usize = 4 << 20;

/// Collects entries into a leaf.
#[derive(Debug, Default)]
pub(crate) struct LeafBuilder {
    rows: Vec<u8>,
    digests: Vec<u8>,
    owners: Vec<Arc<Owner>>,
    owner_slots: HashMap<Arc<Owner>, u64>,
    /// Bytes of all owners, including their names.
    owner_len: usize,
    entries: u64,
    last: Last,
}

/// The values of the previous entry; the next entry is stored as a difference to them.
#[derive(Debug, Default)]
struct Last {
    path: Vec<u8>,
    mtime: i64,
    inode: u64,
}

impl Last {
    fn update(&mut self, path: &[u8], mtime: i64, inode: u64) {
        self.path.clear();
        self.path.extend_from_slice(path);
        self.mtime = mtime;
        self.inode = inode;
    }
}

impl LeafBuilder {
    /// Number of entries so far.
    pub(crate) const fn entries(&self) -> u64 {
        self.entries
    }

    /// Approximate length of the leaf without its owners, in bytes. Decides where the leaf ends.
    pub(crate) const fn len(&self) -> usize {
        self.rows.len() + self.digests.len()
    }

    /// True when the leaf must end, wherever the content would end it: very long owner names also count here.
    pub(crate) const fn is_full(&self) -> bool {
        self.len() + self.owner_len >= MAX_LEN
    }

    /// Adds an entry. For a file with many chunks, `lists` are the lists that contain them.
    pub(crate) fn push(&mut self, entry: &Entry, lists: &[ChunkRef]) {
        let out = &mut self.rows;
        put_path(out, &self.last.path, entry.path.as_bytes());
        out.push(kind_byte(&entry.kind));
        out.push(flags(entry) | if lists.is_empty() { 0 } else { LISTS });
        put_varint(out, entry.mode.into());
        let (owners, owner_len) = (&mut self.owners, &mut self.owner_len);
        let slot = *self
            .owner_slots
            .entry(Arc::clone(&entry.owner))
            .or_insert_with(|| {
                *owner_len += 24 + entry.owner.user.len() + entry.owner.group.len();
                owners.push(Arc::clone(&entry.owner));
                owners.len() as u64 - 1
            });
        put_varint(out, slot);
        put_zigzag(out, entry.mtime.secs.wrapping_sub(self.last.mtime));
        put_varint(out, entry.mtime.nanos.into());
        put_zigzag(out, entry.ctime.secs.wrapping_sub(entry.mtime.secs));
        put_varint(out, entry.ctime.nanos.into());
        put_zigzag(out, entry.inode.wrapping_sub(self.last.inode) as i64);
        if !entry.xattrs.is_empty() {
            put_varint(out, entry.xattrs.len() as u64);
            for xattr in &entry.xattrs {
                put_bytes(out, &xattr.name);
                put_bytes(out, &xattr.value);
            }
        }
        if let Some(group) = entry.link_group {
            out.extend_from_slice(&group.to_le_bytes());
        }
        match &entry.kind {
            EntryKind::File(file) => put_file(out, &mut self.digests, file, lists),
            EntryKind::Symlink(target) => put_bytes(out, target),
            EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
                put_varint(out, device.major.into());
                put_varint(out, device.minor.into());
            }
            EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
        }
        self.last
            .update(entry.path.as_bytes(), entry.mtime.secs, entry.inode);
        self.entries += 1;
    }

    /// Returns the encoded leaf and starts the next one.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len() + 64);
        out.push(0);
        put_varint(&mut out, self.entries);
        put_varint(&mut out, self.owners.len() as u64);
        for owner in &self.owners {
            put_varint(&mut out, owner.uid.into());
            put_varint(&mut out, owner.gid.into());
            put_bytes(&mut out, owner.user.as_bytes());
            put_bytes(&mut out, owner.group.as_bytes());
        }
        out.extend_from_slice(&self.rows);
        out.extend_from_slice(&self.digests);
        *self = Self::default();
        out
    }
}

/// Appends a path as the length of the prefix that it shares with the last one, and the rest.
pub(super) fn put_path(out: &mut Vec<u8>, last: &[u8], path: &[u8]) {
    let shared = last.iter().zip(path).take_while(|(a, b)| a == b).count();
    put_varint(out, shared as u64);
    put_bytes(out, &path[shared..]);
}

/// Reads a path written by [`put_path`].
pub(super) fn read_path(read: &mut Decoder<'_>, last: &[u8]) -> Result<EntryPath, FormatError> {
    let shared = read.bounded(EntryPath::MAX_LEN as u64, "bytes of path")? as usize;
    let suffix = read.bytes(EntryPath::MAX_LEN as u64, "bytes of path")?;
    let shared = last
        .get(..shared)
        .ok_or(FormatError::Malformed("a path is wrong"))?;
    EntryPath::new([shared, suffix].concat())
        .map_err(|_| FormatError::Malformed("a path could leave the folder it is restored to"))
}

const fn kind_byte(kind: &EntryKind) -> u8 {
    match kind {
        EntryKind::File(_) => 0,
        EntryKind::Directory => 1,
        EntryKind::Symlink(_) => 2,
        EntryKind::Fifo => 3,
        EntryKind::Socket => 4,
        EntryKind::CharDevice(_) => 5,
        EntryKind::BlockDevice(_) => 6,
    }
}

fn flags(entry: &Entry) -> u8 {
    let mut flags = 0;
    let mut set = |flag, on| flags |= if on { flag } else { 0 };
    set(XATTRS, !entry.xattrs.is_empty());
    set(LINKS, entry.link_group.is_some());
    if let EntryKind::File(file) = &entry.kind {
        set(INLINE, matches!(file.content, Content::Inline(_)));
        set(HOLES, !file.holes.is_empty());
        set(SHA256, file.sha256.is_some());
        set(TORN, file.torn);
    }
    flags
}

fn put_file(out: &mut Vec<u8>, digests: &mut Vec<u8>, file: &FileContent, lists: &[ChunkRef]) {
    put_varint(out, file.size);
    if !file.holes.is_empty() {
        put_varint(out, file.holes.len() as u64);
        for hole in &file.holes {
            put_varint(out, hole.offset);
            put_varint(out, hole.len);
        }
    }
    match &file.content {
        Content::Inline(bytes) => put_bytes(out, bytes),
        Content::Chunks(chunks) => {
            let chunks = if lists.is_empty() { chunks } else { lists };
            put_varint(out, chunks.len() as u64);
            for chunk in chunks {
                put_varint(out, chunk.len.into());
                digests.extend_from_slice(chunk.id.as_bytes());
            }
        }
    }
    if let Some(digest) = &file.sha256 {
        digests.extend_from_slice(digest);
    }
}

/// A decoded leaf.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) entries: Vec<Entry>,
    /// For each entry whose chunks are in lists: its position and its lists. The entry itself has no chunks yet.
    pub(crate) lists: Vec<(usize, Vec<ChunkRef>)>,
}

/// Decodes a leaf. Checks that all entries are valid and in order.
pub(crate) fn decode_leaf(bytes: &[u8]) -> Result<Leaf, FormatError> {
    let mut read = Decoder::new(bytes);
    if read.u8()? != 0 {
        return Err(FormatError::Malformed("a leaf was expected"));
    }
    let count = read.count(limits::LEAF_ENTRIES, "entries")?;
    let owners = read_owners(&mut read)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut listed = Vec::new();
    let mut last = Last::default();
    let mut memory = Memory::default();
    for at in 0..count {
        let (entry, has_lists) = read_entry(&mut read, &last, &owners, &mut memory)?;
        if entries
            .last()
            .is_some_and(|before: &Entry| before.path >= entry.path)
        {
            return Err(FormatError::Malformed("entries are out of order"));
        }
        last.update(entry.path.as_bytes(), entry.mtime.secs, entry.inode);
        entries.push(entry);
        if has_lists {
            listed.push(at);
        }
    }
    for entry in &mut entries {
        let EntryKind::File(file) = &mut entry.kind else {
            continue;
        };
        if let Content::Chunks(chunks) = &mut file.content {
            for chunk in chunks {
                chunk.id = ChunkId(read.array()?);
            }
        }
        if let Some(digest) = &mut file.sha256 {
            *digest = read.array()?;
        }
    }
    read.finish()?;
    let mut take = |at: usize| match &mut entries[at].kind {
        EntryKind::File(FileContent {
            content: Content::Chunks(lists),
            ..
        }) => (at, std::mem::take(lists)),
        _ => (at, Vec::new()),
    };
    let lists = listed.into_iter().map(&mut take).collect();
    Ok(Leaf { entries, lists })
}

fn read_owners(read: &mut Decoder<'_>) -> Result<Vec<Arc<Owner>>, FormatError> {
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|_| FormatError::Malformed("a name is not UTF-8"))
    };
    let mut owners = Vec::new();
    for _ in 0..read.count(limits::LEAF_ENTRIES, "owners")? {
        owners.push(Arc::new(Owner {
            uid: read_u32(read)?,
            gid: read_u32(read)?,
            user: text(read.bytes(Owner::MAX_NAME as u64, "bytes of a name")?)?,
            group: text(read.bytes(Owner::MAX_NAME as u64, "bytes of a name")?)?,
        }));
    }
    Ok(owners)
}

fn read_u32(read: &mut Decoder<'_>) -> Result<u32, FormatError> {
    u32::try_from(read.varint()?).map_err(|_| FormatError::Malformed("a number is too large"))
}

fn read_time(read: &mut Decoder<'_>, since: i64) -> Result<FileTime, FormatError> {
    let secs = since.wrapping_add(read.zigzag()?);
    let nanos = read_u32(read)?;
    Ok(FileTime { secs, nanos })
}

fn read_entry(
    read: &mut Decoder<'_>,
    last: &Last,
    owners: &[Arc<Owner>],
    memory: &mut Memory,
) -> Result<(Entry, bool), FormatError> {
    let path = read_path(read, &last.path)?;
    memory.take(path.as_bytes().len() + size_of::<Entry>())?;
    let (kind, flags) = (read.u8()?, read.u8()?);
    if flags & !ALL_FLAGS != 0 {
        return Err(FormatError::Unknown("flags of an entry"));
    }
    let mode = read_u32(read)?;
    let owner = usize::try_from(read.varint()?)
        .ok()
        .and_then(|slot| owners.get(slot));
    let owner = owner.ok_or(FormatError::Malformed("an owner is missing"))?;
    let mtime = read_time(read, last.mtime)?;
    let ctime = read_time(read, mtime.secs)?;
    let inode = last.inode.wrapping_add(read.zigzag()? as u64);
    let xattrs = if flags & XATTRS == 0 {
        Vec::new()
    } else {
        read_xattrs(read, memory)?
    };
    let link_group = if flags & LINKS == 0 {
        None
    } else {
        Some(read.u64()?)
    };
    let kind = match kind {
        0 => EntryKind::File(read_file(read, flags, memory)?),
        1 => EntryKind::Directory,
        2 => EntryKind::Symlink(
            read.bytes(limits::LINK_TARGET, "bytes of link target")?
                .into(),
        ),
        3 => EntryKind::Fifo,
        4 => EntryKind::Socket,
        5 => EntryKind::CharDevice(read_device(read)?),
        6 => EntryKind::BlockDevice(read_device(read)?),
        _ => return Err(FormatError::Unknown("kind of entry")),
    };
    let owner = Arc::clone(owner);
    let entry = Entry {
        path,
        kind,
        mode,
        owner,
        mtime,
        ctime,
        inode,
        xattrs,
        link_group,
    };
    let has_lists = flags & LISTS != 0;
    // The length of a file with lists is checked when the lists are read.
    let checked = if has_lists {
        entry.check_metadata().and_then(|()| entry.check_kind())
    } else {
        entry.check()
    };
    checked.map_err(|error| FormatError::Malformed(error.text()))?;
    Ok((entry, has_lists))
}

fn read_device(read: &mut Decoder<'_>) -> Result<Device, FormatError> {
    Ok(Device {
        major: read_u32(read)?,
        minor: read_u32(read)?,
    })
}

fn read_xattrs(read: &mut Decoder<'_>, memory: &mut Memory) -> Result<Vec<Xattr>, FormatError> {
    let mut xattrs = Vec::new();
    for _ in 0..read.count(limits::XATTRS, "extended attributes")? {
        let name = read.bytes(limits::XATTR_NAME, "bytes of attribute name")?;
        let value = read.bytes(limits::XATTR_VALUE, "bytes of attribute")?;
        // Name and value are two allocations; add 16 bytes of overhead for each.
        memory.take(size_of::<Xattr>() + name.len() + value.len() + 32)?;
        xattrs.push(Xattr {
            name: name.to_vec(),
            value: value.to_vec(),
        });
    }
    Ok(xattrs)
}

/// Reads a file. Its chunk ids and digest follow at the end of the leaf.
fn read_file(
    read: &mut Decoder<'_>,
    flags: u8,
    memory: &mut Memory,
) -> Result<FileContent, FormatError> {
    let size = read.varint()?;
    let mut holes = Vec::new();
    if flags & HOLES != 0 {
        for _ in 0..read.count(limits::HOLES, "holes")? {
            holes.push(Extent {
                offset: read.varint()?,
                len: read.varint()?,
            });
        }
    }
    memory.take(holes.len() * size_of::<Extent>())?;
    let content = if flags & INLINE == 0 {
        let chunks = read_lengths(read)?;
        memory.take(chunks.len() * size_of::<ChunkRef>())?;
        Content::Chunks(chunks)
    } else {
        Content::Inline(read.bytes(limits::TREE_NODE, "inline bytes")?.into())
    };
    let sha256 = (flags & SHA256 != 0).then_some([0; 32]);
    if flags & LISTS != 0 && flags & INLINE != 0 {
        let text = "a file has inline bytes and lists";
        return Err(FormatError::Malformed(text));
    }
    Ok(FileContent {
        size,
        content,
        holes,
        sha256,
        torn: flags & TORN != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        let owner = Owner {
            uid: 1000,
            gid: 100,
            user: "ann".to_owned(),
            group: String::new(),
        };
        Entry {
            path: EntryPath::new(path.as_bytes()).unwrap(),
            kind,
            mode: 0o4755,
            owner: Arc::new(owner),
            mtime: FileTime {
                secs: -5,
                nanos: 999_999_999,
            },
            ctime: FileTime {
                secs: i64::MAX,
                nanos: 1,
            },
            inode: u64::MAX,
            xattrs: vec![Xattr {
                name: b"user.a".to_vec(),
                value: b"\0\xff".to_vec(),
            }],
            link_group: Some(u64::MAX - 1),
        }
    }

    fn all_kinds() -> Vec<Entry> {
        let chunk = |n, len| ChunkRef {
            id: ChunkId([n; 32]),
            len,
        };
        let chunks = FileContent {
            size: 130,
            content: Content::Chunks(vec![chunk(1, 70), chunk(2, 10)]),
            holes: vec![Extent {
                offset: 10,
                len: 50,
            }],
            sha256: Some([9; 32]),
            torn: true,
        };
        let inline = FileContent {
            size: 2,
            content: Content::Inline(b"hi"[..].into()),
            ..FileContent::default()
        };
        vec![
            entry("", EntryKind::Directory),
            entry("a", EntryKind::Directory),
            entry("a/b", EntryKind::File(chunks)),
            entry("a/c", EntryKind::File(inline)),
            entry("a/d", EntryKind::File(FileContent::default())),
            entry("a.x", EntryKind::Symlink(b"../../etc/passwd"[..].into())),
            entry("b", EntryKind::Fifo),
            entry("c", EntryKind::Socket),
            entry(
                "d",
                EntryKind::CharDevice(Device {
                    major: 1,
                    minor: u32::MAX,
                }),
            ),
            entry("e", EntryKind::BlockDevice(Device { major: 8, minor: 0 })),
        ]
    }

    fn encode(entries: &[Entry]) -> Vec<u8> {
        let mut leaf = LeafBuilder::default();
        entries.iter().for_each(|entry| leaf.push(entry, &[]));
        leaf.finish()
    }

    #[test]
    fn every_kind_of_entry_comes_back() {
        let bytes = encode(&all_kinds());
        assert_eq!(decode_leaf(&bytes).unwrap().entries, all_kinds());
        for len in 0..bytes.len() {
            assert!(decode_leaf(&bytes[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_leaf_with_a_path_that_leaves_the_target_is_refused() {
        for bad in ["../x", "/etc/passwd", "a/../../x", "a/./b", "a\0b"] {
            let mut good = encode(&[entry(&"x".repeat(bad.len()), EntryKind::Fifo)]);
            let at = good
                .windows(bad.len())
                .position(|w| w == "x".repeat(bad.len()).as_bytes());
            let at = at.unwrap();
            good[at..at + bad.len()].copy_from_slice(bad.as_bytes());
            assert!(decode_leaf(&good).is_err(), "{bad:?}");
        }
    }

    /// Paths are stored as differences, so a few bytes may decode to a path of 60,000 bytes.
    #[test]
    fn a_leaf_whose_paths_would_fill_the_memory_is_refused() {
        let mut leaf = LeafBuilder::default();
        let folder = "d".repeat(60_000);
        for number in 10_000..20_000 {
            leaf.push(&entry(&format!("{folder}/{number}"), EntryKind::Fifo), &[]);
        }
        let bytes = leaf.finish();
        assert!(bytes.len() < 600_000, "{}", bytes.len());
        let error = decode_leaf(&bytes).unwrap_err();
        assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
        // The deepest paths that systems allow, in the largest leaf that br writes.
        let folder = ["d".repeat(255).as_str(); 15].join("/");
        for number in 10_000..17_000 {
            leaf.push(&entry(&format!("{folder}/{number}"), EntryKind::Fifo), &[]);
        }
        assert_eq!(decode_leaf(&leaf.finish()).unwrap().entries.len(), 7_000);
    }

    #[test]
    fn out_of_order_entries_and_lying_holes_are_refused() {
        let mut entries = all_kinds();
        entries.swap(1, 3);
        assert!(decode_leaf(&encode(&entries)).is_err());
        let extent = |offset, len| Extent { offset, len };
        for holes in [
            vec![extent(0, 11)],
            vec![extent(u64::MAX, 2)],
            vec![extent(5, 2), extent(4, 2)],
            vec![extent(0, 2), extent(2, 2)],
            vec![extent(3, 0)],
        ] {
            let file = FileContent {
                size: 10,
                holes,
                ..FileContent::default()
            };
            let bytes = encode(&[entry("f", EntryKind::File(file))]);
            assert!(decode_leaf(&bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes: Vec<u8>) {
            let _ = decode_leaf(&bytes);
        }

        #[test]
        fn damaged_leaves_give_an_answer(at: prop::sample::Index, value: u8) {
            let mut bytes = encode(&all_kinds());
            let at = at.index(bytes.len());
            bytes[at] = value;
            let _ = decode_leaf(&bytes);
        }
    }
}
