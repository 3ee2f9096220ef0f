//! A small model of the data of a MatrixOne cluster.
//!
//! [`Cluster`] has objects, checkpoints and configuration, and changes between backups; [`ClusterOptions`] configure it; [`Moment`] is the
//! state that one backup sees. Invariant: everything follows from the seed and the calls, and contents are generated on demand from the
//! object's own seed, so that many objects need little memory.

use crate::config::{Backend, ConfigFile, files};
use crate::format::{keeper_data, object_file};
use crate::random::Random;
use crate::ts::Ts;

/// When clusters start: 2025-01-03 08:42:48 UTC.
const BEGINNING: i64 = 1_735_893_768_313_706_438;
/// After this number of checkpoints, a global one replaces all earlier ones.
const GLOBAL_CHECKPOINT: u64 = 4;

/// Options of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The seed of all data.
    pub seed: u64,
    /// Number of objects.
    pub objects: usize,
    /// Number of objects that still grow; a backup rewrites them, as `_01000`.
    pub appendable: usize,
    /// Bytes that are added to the size of every object.
    pub larger: usize,
    /// The backend of the cluster's storage.
    pub backend: Backend,
    /// Whether it was started with a launch file: only then does a backup have configuration files.
    pub launched: bool,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            objects: 20,
            appendable: 2,
            larger: 0,
            backend: Backend::Disk,
            launched: true,
        }
    }
}

impl ClusterOptions {
    /// Makes the cluster.
    #[must_use]
    pub fn build(self) -> Cluster {
        Cluster::new(self)
    }
}

/// An object: an immutable file with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// `<uuid>_<5 digits>`.
    pub name: String,
    /// When it was made.
    pub created: Ts,
    /// When it was replaced, if it was; its file stays until garbage is collected.
    pub deleted: Option<Ts>,
    /// True if its file is lost although checkpoints name it.
    pub lost: bool,
    /// When a cloned table took it over: its file then has two times of creation.
    pub cloned: Option<Ts>,
    seed: u64,
    size: usize,
}

impl Object {
    /// The bytes of its file.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        object_file(self.seed, self.size)
    }

    /// The size of its file in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether a backup on this base must copy it.
    #[must_use]
    pub fn is_copied(&self, base: Option<Ts>) -> bool {
        base.is_none_or(|base| {
            self.created >= base || self.deleted.is_some_and(|deleted| deleted >= base)
        })
    }
}

/// A file of `ckp/` or `gc/`, or one that a backup rewrites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetaFile {
    pub(crate) name: String,
    seed: u64,
    size: usize,
}

impl MetaFile {
    fn new(name: String, random: &mut Random) -> Self {
        Self {
            name,
            seed: random.next(),
            size: 400 + random.index(3000),
        }
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        object_file(self.seed, self.size)
    }
}

/// The state of a cluster that a backup sees.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The time stamp of the backup.
    pub start: Ts,
    pub(crate) objects: Vec<Object>,
    pub(crate) checkpoints: Vec<(Ts, Ts, u64)>,
    pub(crate) collected: (Ts, Ts, u64),
    pub(crate) rewritten: Vec<MetaFile>,
    pub(crate) backup_checkpoint: MetaFile,
    pub(crate) configs: Vec<ConfigFile>,
    pub(crate) backend: Backend,
    pub(crate) keeper: Vec<u8>,
    pub(crate) seed: u64,
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    options: ClusterOptions,
    random: Random,
    now: i64,
    objects: Vec<Object>,
    /// The segments of the objects that still grow.
    growing: Vec<String>,
    /// Start, end and seed of every existing checkpoint.
    checkpoints: Vec<(Ts, Ts, u64)>,
    checkpoints_made: u64,
    next_id: u64,
}

impl Cluster {
    /// A cluster with this seed and number of objects, and default options.
    #[must_use]
    pub fn of(seed: u64, objects: usize) -> Self {
        Self::new(ClusterOptions {
            seed,
            objects,
            ..ClusterOptions::default()
        })
    }

    fn new(options: ClusterOptions) -> Self {
        let mut cluster = Self {
            random: Random::of(options.seed, "cluster"),
            now: BEGINNING,
            objects: Vec::with_capacity(options.objects),
            growing: Vec::new(),
            checkpoints: Vec::new(),
            checkpoints_made: 0,
            next_id: 272_500,
            options,
        };
        cluster.insert(cluster.options.objects);
        for _ in 0..cluster.options.appendable {
            let created = cluster.tick(0);
            let segment = cluster.random.uuid(created.milliseconds());
            cluster.growing.push(segment);
        }
        cluster.checkpoint();
        cluster
    }

    /// The backend of its storage.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.options.backend
    }

    /// Changes the backend.
    pub fn set_backend(&mut self, backend: Backend) {
        self.options.backend = backend;
    }

    /// All objects, including those that were replaced and not yet collected.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The objects that a backup on this base must copy, in the order of creation.
    #[must_use]
    pub fn to_copy(&self, base: Option<Ts>) -> Vec<&Object> {
        let objects = self.objects.iter();
        objects.filter(|object| object.is_copied(base)).collect()
    }

    /// Advances the clock by seconds.
    pub fn pass(&mut self, seconds: i64) {
        self.now += seconds * 1_000_000_000;
    }

    fn tick(&mut self, logical: u32) -> Ts {
        let step = 1000 + self.random.below(5_000_000);
        self.now += i64::try_from(step).expect("it is milliseconds");
        Ts::new(self.now, logical)
    }

    /// Creates this number of new objects.
    pub fn insert(&mut self, count: usize) {
        for _ in 0..count {
            let created = self.tick(0);
            let object = self.new_object(created);
            self.objects.push(object);
        }
    }

    fn new_object(&mut self, created: Ts) -> Object {
        self.next_id += 1;
        let uuid = self.random.uuid(created.milliseconds());
        // One segment in eight has more than one file.
        let number = self.random.below(8).saturating_sub(6);
        Object {
            name: format!("{uuid}_{number:05}"),
            created,
            deleted: None,
            lost: false,
            cloned: None,
            seed: self.random.next(),
            size: self.some_size(),
        }
    }

    /// A random size: mostly small, some with several frames, and some that end at the end of a frame.
    fn some_size(&mut self) -> usize {
        let size = match self.random.below(32) {
            0 => 8000 + self.random.index(12_000),
            1 => crate::format::PAYLOAD * (1 + self.random.index(3)),
            2..=5 => 1500 + self.random.index(3000),
            _ => 200 + self.random.index(700),
        };
        size + self.options.larger
    }

    /// Deletes at most this number of objects.
    pub fn delete(&mut self, count: usize) {
        for index in self.pick_alive(count) {
            let now = self.tick(0);
            self.objects[index].deleted = Some(now);
        }
    }

    /// Replaces at most this number of objects by new ones, as compaction does.
    pub fn rewrite(&mut self, count: usize) {
        for index in self.pick_alive(count) {
            let now = self.tick(0);
            self.objects[index].deleted = Some(now);
            let object = self.new_object(now);
            self.objects.push(object);
        }
    }

    fn pick_alive(&mut self, count: usize) -> Vec<usize> {
        let mut alive: Vec<usize> = (0..self.objects.len())
            .filter(|index| self.objects[*index].deleted.is_none())
            .collect();
        self.random.shuffle(&mut alive);
        alive.truncate(count);
        alive
    }

    /// Lets cloned tables take over at most this number of objects. A backup sees one of their two times of creation at random, as on the
    /// server.
    pub fn clone_tables(&mut self, count: usize) {
        for index in self.pick_alive(count) {
            let now = self.tick(0);
            self.objects[index].cloned = Some(now);
        }
    }

    /// The objects as one backup sees them.
    fn seen(&mut self) -> Vec<Object> {
        let mut seen = self.objects.clone();
        for object in &mut seen {
            if let Some(cloned) = object.cloned
                && self.random.below(2) == 0
            {
                object.created = cloned;
            }
        }
        seen
    }

    /// Removes the objects that were replaced before now.
    pub fn collect_garbage(&mut self) {
        self.objects.retain(|object| object.deleted.is_none());
    }

    /// Removes the file of an object that checkpoints still name. Returns whether the object exists.
    pub fn lose(&mut self, name: &str) -> bool {
        let object = self.objects.iter_mut().find(|object| object.name == name);
        object.is_some_and(|object| {
            object.lost = true;
            true
        })
    }

    /// Writes a checkpoint.
    pub fn checkpoint(&mut self) {
        let begin = self.checkpoints.last().map_or(Ts::default(), |last| last.1);
        let end = self.tick(0);
        let seed = self.random.next();
        self.checkpoints_made += 1;
        if self.checkpoints_made.is_multiple_of(GLOBAL_CHECKPOINT) {
            self.checkpoints.clear();
            self.checkpoints.push((Ts::default(), end, seed));
        } else {
            self.checkpoints.push((begin, end, seed));
        }
    }

    /// Returns the state that a backup sees now. First writes a checkpoint, as the server does.
    pub fn moment(&mut self) -> Moment {
        self.checkpoint();
        let start = self.tick(1);
        let end = self.tick(0);
        let name = format!("ckp/meta_{start}_{end}.ckp");
        let backup_checkpoint = MetaFile::new(name, &mut self.random);
        let rewritten = self.rewritten(start);
        Moment {
            start,
            objects: self.seen(),
            checkpoints: self.checkpoints.clone(),
            collected: (Ts::default(), self.checkpoints[0].1, self.checkpoints[0].2),
            rewritten,
            backup_checkpoint,
            configs: if self.options.launched {
                files(self.options.backend)
            } else {
                Vec::new()
            },
            backend: self.options.backend,
            keeper: self.keeper(),
            seed: self.random.next(),
        }
    }

    /// The growing objects up to the backup's time, and the data of its checkpoint.
    fn rewritten(&mut self, start: Ts) -> Vec<MetaFile> {
        let mut names: Vec<String> = self
            .growing
            .iter()
            .map(|segment| format!("{segment}_01000"))
            .collect();
        let uuid = self.random.uuid(start.milliseconds());
        names.push(format!("{uuid}_00000"));
        let files = names.into_iter();
        files
            .map(|name| MetaFile::new(name, &mut self.random))
            .collect()
    }

    fn keeper(&self) -> Vec<u8> {
        let keys = [
            ("____server_conn_id", 1000 + self.checkpoints_made),
            ("_mo_bootstrap", 1),
            ("mo_catalog.mo_account", 3),
            ("mo_catalog.mo_user", 4),
        ];
        let keys = keys.map(|(key, id)| (key.to_owned(), id));
        keeper_data(self.next_id, &keys)
    }
}
