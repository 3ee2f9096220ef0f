//! The packer: puts groups into packs and stores packs as objects, on a separate thread with several uploads in parallel.

use std::collections::VecDeque;
use std::thread;

use br_storage::{Creation, Payload};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::task::JoinHandle;

use super::{Io, Layout};
use crate::error::{Error, Result};
use crate::format::{
    Codec, Group, ObjectKind, PackContent, PackEntry, PackTable, SealedObject, TAG_LEN, limits,
};
use crate::model::{ChunkId, ChunkRef, PackId};

/// A group is closed when its chunks have this many bytes before compression.
pub(crate) const GROUP_LEN: usize = 1 << 20;
/// Groups that wait for the packer; each has about 1 MiB before compression.
const QUEUE: usize = 8;
/// Maximum bytes of packs that are being stored at the same time.
const IN_FLIGHT_BYTES: u64 = 48 << 20;
/// The same on a server, where each upload takes longer.
const REMOTE_IN_FLIGHT_BYTES: u64 = 80 << 20;

/// A pack is closed when its footer reaches about this many bytes, far below the limit: deltas make the footer longer by naming their
/// bases.
const MAX_FOOTER: u64 = 16 << 20;
/// Minimum length of a closed pack on a server, where every pack needs a request to write and a request to read.
const REMOTE_PACK_LEN: u64 = 24 << 20;

/// A group that is not in a pack yet.
#[derive(Debug)]
pub(crate) struct RawGroup {
    pub(crate) content: PackContent,
    pub(crate) codec: Codec,
    /// Output of the codec, not sealed yet.
    pub(crate) stored: Vec<u8>,
    pub(crate) chunks: Vec<ChunkRef>,
    pub(crate) bases: Vec<ChunkId>,
}

/// A stored pack.
#[derive(Debug, Clone)]
pub(crate) struct StoredPack {
    pub(crate) entry: PackEntry,
    pub(crate) ids: Vec<ChunkId>,
}

/// Called for each pack when it is durable.
pub(crate) type OnStored = Box<dyn FnMut(PackId) + Send>;

/// Collects groups and stores them in packs.
#[derive(Debug)]
pub(crate) struct Packer {
    sender: Sender<RawGroup>,
    thread: thread::JoinHandle<Result<Vec<StoredPack>>>,
}

impl Packer {
    /// Starts the packer. A pack is closed when it has `target_len` bytes.
    pub(crate) fn start(io: &Io, target_len: u64, on_stored: OnStored) -> Result<Self> {
        let (sender, receiver) = bounded(QUEUE);
        let target_len = if io.storage().is_remote() {
            target_len.max(REMOTE_PACK_LEN)
        } else {
            target_len
        };
        let work = Work {
            io: io.clone(),
            target_len,
            on_stored,
            open: [None, None],
            in_flight: VecDeque::new(),
            done: Vec::new(),
        };
        let thread = thread::Builder::new()
            .name("br-packer".to_owned())
            .spawn(move || work.run(&receiver))
            .map_err(|error| Error::io("cannot start a thread", error))?;
        Ok(Self { sender, thread })
    }

    /// The channel for groups. Sending fails when the packer has failed; [`Packer::finish`] returns the reason.
    pub(crate) fn sender(&self) -> Sender<RawGroup> {
        self.sender.clone()
    }

    /// Stores the remaining groups and returns all packs. All other senders must have been dropped.
    pub(crate) fn finish(self) -> Result<Vec<StoredPack>> {
        drop(self.sender);
        self.thread
            .join()
            .map_err(|_| Error::internal("the packer panicked"))?
    }
}

/// The target length of packs in a repository of this many bytes: fewer objects in a large one, less waste in a small one.
pub(crate) fn target_pack_len(repository_len: u64) -> u64 {
    match repository_len >> 30 {
        0..16 => 16 << 20,
        16..128 => 32 << 20,
        _ => 64 << 20,
    }
}

struct Work {
    io: Io,
    target_len: u64,
    on_stored: OnStored,
    /// The open pack of data and the open pack of tree nodes.
    open: [Option<OpenPack>; 2],
    in_flight: VecDeque<Upload>,
    done: Vec<StoredPack>,
}

/// A pack that is being stored.
struct Upload {
    task: JoinHandle<Result<Creation, br_storage::Error>>,
    pack: StoredPack,
    /// Parts to copy to the local cache after the upload.
    copy: Vec<Bytes>,
}

struct OpenPack {
    object: SealedObject,
    /// The object with the key for the groups, if it is another one.
    for_readers: Option<SealedObject>,
    parts: Vec<Bytes>,
    len: u64,
    /// Approximate length of the footer, in bytes.
    footer_len: u64,
    table: PackTable,
    ids: Vec<ChunkId>,
}

impl Work {
    fn run(mut self, groups: &Receiver<RawGroup>) -> Result<Vec<StoredPack>> {
        for group in groups {
            self.add(group)?;
        }
        for slot in 0..self.open.len() {
            if let Some(pack) = self.open[slot].take() {
                self.store(pack)?;
            }
        }
        while !self.in_flight.is_empty() {
            self.wait_for_oldest()?;
        }
        Ok(std::mem::take(&mut self.done))
    }

    fn add(&mut self, group: RawGroup) -> Result<()> {
        let raw_len: u64 = group.chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        if raw_len > limits::GROUP_RAW {
            // Readers would refuse the whole pack: better fail the backup than store an unreadable one.
            return Err(Error::internal(format!("a group of {raw_len} bytes")));
        }
        let slot = usize::from(group.content == PackContent::Tree);
        let mut pack = match self.open[slot].take() {
            Some(pack) => pack,
            None => OpenPack::new(&self.io, group.content)?,
        };
        pack.add(group);
        let full = pack.len >= self.target_len
            || pack.table.groups.len() as u64 >= limits::PACK_GROUPS
            || pack.footer_len >= MAX_FOOTER
            || pack.ids.len() as u64 >= limits::PACK_CHUNKS / 2;
        if full {
            self.store(pack)
        } else {
            self.open[slot] = Some(pack);
            Ok(())
        }
    }

    fn store(&mut self, pack: OpenPack) -> Result<()> {
        let (parts, stored) = pack.close();
        let most = if self.io.storage().is_remote() {
            REMOTE_IN_FLIGHT_BYTES
        } else {
            IN_FLIGHT_BYTES
        };
        while self.in_flight_bytes() + stored.entry.len > most && !self.in_flight.is_empty() {
            self.wait_for_oldest()?;
        }
        let storage = self.io.storage().clone();
        let key = Layout::pack(stored.entry.id);
        let is_tree = stored.entry.table.content == PackContent::Tree;
        let copy = match self.io.cache() {
            Some(_) if is_tree => parts.clone(),
            _ => Vec::new(),
        };
        // Tree nodes are read often, by listing and comparing; data is read only by restores.
        let payload = Payload::from(parts)
            .with_rare_reads(!is_tree)
            .with_unique_key(true);
        let task = self
            .io
            .handle()
            .spawn(async move { storage.create_new(&key, payload).await });
        self.in_flight.push_back(Upload {
            task,
            pack: stored,
            copy,
        });
        Ok(())
    }

    fn in_flight_bytes(&self) -> u64 {
        self.in_flight
            .iter()
            .map(|upload| upload.pack.entry.len)
            .sum()
    }

    fn wait_for_oldest(&mut self) -> Result<()> {
        let Some(Upload { task, pack, copy }) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let creation = self.io.block(async {
            let joined = task.await;
            joined
                .map_err(|error| Error::internal("an upload panicked").with_source(error))?
                .map_err(Error::from)
        })?;
        let key = Layout::pack(pack.entry.id);
        if creation == Creation::AlreadyExists {
            return Err(Error::internal(format!("{key} exists already")));
        }
        if let Some(cache) = self.io.cache().filter(|_| !copy.is_empty()) {
            cache.put(&key, &copy);
        }
        (self.on_stored)(pack.entry.id);
        self.done.push(pack);
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        for upload in &self.in_flight {
            upload.task.abort();
        }
    }
}

impl OpenPack {
    fn new(io: &Io, content: PackContent) -> Result<Self> {
        let runtime = &io.context.runtime;
        let object = io.new_object(ObjectKind::Pack, runtime.object_id());
        let header = Bytes::copy_from_slice(object.header());
        let for_readers = match content {
            PackContent::Data => object.for_readers(io.keyring(), || runtime.bytes()),
            PackContent::Tree => Ok(None),
        };
        let for_readers = for_readers.map_err(|error| Error::format("a new pack", error))?;
        let (for_readers, sender) = for_readers.unzip();
        Ok(Self {
            object,
            for_readers,
            len: header.len() as u64,
            parts: vec![header],
            footer_len: 0,
            table: PackTable {
                content,
                sender,
                groups: Vec::new(),
            },
            ids: Vec::new(),
        })
    }

    fn add(&mut self, group: RawGroup) {
        let RawGroup {
            codec,
            mut stored,
            chunks,
            bases,
            ..
        } = group;
        let number = self.table.groups.len() as u32;
        let stored_len = stored.len() as u32;
        stored.reserve_exact(TAG_LEN);
        let object = self.for_readers.as_ref().unwrap_or(&self.object);
        object.seal(number, &mut stored);
        self.len += stored.len() as u64;
        self.parts.push(stored.into());
        self.footer_len += 16 + 36 * (chunks.len() + bases.len()) as u64;
        let lengths: Vec<_> = chunks.iter().map(|chunk| chunk.len).collect();
        let raw_len = lengths.iter().sum();
        self.table.groups.push(Group {
            codec,
            stored_len,
            raw_len,
            bases,
            lengths,
        });
        self.ids.extend(chunks.iter().map(|chunk| chunk.id));
    }

    fn close(mut self) -> (Vec<Bytes>, StoredPack) {
        let mut footer = Vec::new();
        self.table
            .write_footer(&self.ids, &self.object, &mut footer);
        let len = self.len + footer.len() as u64;
        self.parts.push(footer.into());
        let id = PackId::from(self.object.id());
        let entry = PackEntry {
            id,
            len,
            table: self.table,
        };
        (
            self.parts,
            StoredPack {
                entry,
                ids: self.ids,
            },
        )
    }
}
