//! Snapshots: listing one backup and reading parts of its files, with few requests and few bytes.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use br_core::engine::backup::backup;
use br_core::model::{BackupId, Entry, EntryKind, EntryPath, Extent, FileContent, FileTime, Owner};
use br_core::source::{ContentReader, Details, Source, SourceItem};
use br_core::{
    BackupSelector, Context, ErrorKind, FileReader, InitOptions, Repository, Result, Snapshot,
    WalkOptions,
};
use br_testkit::{Behaviour, MemorySource, StoreKind, TestRepo, TestStore, Thing, block_on, noise};
use proptest::prelude::*;

use crate::support::cases;

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

fn open(repo: &TestRepo, id: BackupId) -> Snapshot {
    block_on(repo.repository.snapshot(id, &repo.context)).unwrap()
}

fn open_file(snapshot: &Snapshot, name: &str) -> FileReader {
    block_on(snapshot.open_file(&path(name))).unwrap()
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.path.to_string()).collect()
}

/// A source with one sparse file; only the bytes outside of the holes are stored.
struct Holed(Option<(Entry, Vec<u8>)>);

impl Holed {
    fn new(name: &str, whole: &[u8], holes: Vec<Extent>) -> Self {
        let file = FileContent {
            size: whole.len() as u64,
            holes,
            ..FileContent::default()
        };
        let data = file.data_extents().flat_map(|extent| {
            whole[extent.offset as usize..(extent.offset + extent.len) as usize].to_vec()
        });
        let data = data.collect();
        let entry = Entry {
            path: path(name),
            kind: EntryKind::File(file),
            mode: 0o600,
            owner: Arc::new(Owner::default()),
            mtime: FileTime::default(),
            ctime: FileTime::default(),
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        };
        Self(Some((entry, data)))
    }
}

impl Source for Holed {
    fn next(&mut self) -> Option<SourceItem> {
        let (entry, content) = self.0.take()?;
        let details = Box::new(HoledDetails(Cursor::new(content)));
        Some(SourceItem::Entry { entry, details })
    }
}

struct HoledDetails(Cursor<Vec<u8>>);

impl Details for HoledDetails {
    fn complete(&mut self, _: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, _: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        Ok(self)
    }
}

impl Read for HoledDetails {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl ContentReader for HoledDetails {
    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

/// A file with its bytes, open for reading.
struct Known {
    reader: FileReader,
    bytes: Vec<u8>,
    /// Kept, because the objects are deleted when it is dropped.
    _repo: TestRepo,
}

/// Files that are stored in different ways: with holes, as deltas, inline in the entry, in very many chunks.
fn known() -> Vec<Known> {
    let repo = TestRepo::new();
    let mut content = noise(1, 3 << 20);
    let mut all = Vec::new();
    for version in 0..2 {
        let thing = Thing::File(content.clone().into());
        let mut source = MemorySource::new()
            .file("inline", "few bytes")
            .file("empty", "");
        source.insert("large", thing, 1_400_000_000 + version, Behaviour::Honest);
        let options = TestRepo::options("host").with_deltas(Some(true));
        let id = repo.backup_with(&source, &options).unwrap().backup.id;
        let snapshot = open(&repo, id);
        for (name, bytes) in source.files() {
            let reader = open_file(&snapshot, &name);
            let bytes = bytes.to_vec();
            let _repo = repo.clone();
            all.push(Known {
                reader,
                bytes,
                _repo,
            });
        }
        for place in 0..6 {
            content[place * 500_000 + 77] ^= 0x55;
        }
    }
    for len in [12, 5 << 20] {
        let mut whole = noise(3, len);
        let at = |part: usize| len * part / 12;
        let hole = |from: usize, to: usize| Extent {
            offset: at(from) as u64,
            len: (at(to) - at(from)) as u64,
        };
        let holes = vec![hole(0, 2), hole(5, 6), hole(7, 8), hole(11, 12)];
        for hole in &holes {
            whole[hole.offset as usize..(hole.offset + hole.len) as usize].fill(0);
        }
        let source = Holed::new("holed", &whole, holes);
        let options = TestRepo::options("other");
        let made = block_on(backup(&repo.repository, source, &options, &repo.context));
        let snapshot = open(&repo, made.unwrap().backup.id);
        let reader = open_file(&snapshot, "holed");
        all.push(Known {
            reader,
            bytes: whole,
            _repo: repo.clone(),
        });
    }
    all
}

fn expected(bytes: &[u8], offset: u64, len: usize) -> &[u8] {
    let from = (offset as usize).min(bytes.len());
    &bytes[from..from.saturating_add(len).min(bytes.len())]
}

#[test]
fn any_range_has_the_bytes_of_the_file() {
    let files = known();
    proptest!(cases(200), |(
        which in any::<prop::sample::Index>(),
        at in 0.0..1.1_f64,
        len in prop_oneof![0_usize..100, 0_usize..200_000, 0_usize..8_000_000],
    )| {
        let file = which.get(&files);
        let offset = (at * file.bytes.len() as f64) as u64;
        let read = block_on(file.reader.read_at(offset, len)).unwrap();
        prop_assert_eq!(&read[..], expected(&file.bytes, offset, len));
        let mut buffer = vec![9; len.min(1000)];
        let filled = block_on(file.reader.read_into(offset, &mut buffer)).unwrap();
        prop_assert_eq!(&buffer[..filled], expected(&file.bytes, offset, len.min(1000)));
    });
}

#[test]
fn a_read_at_or_after_the_end_returns_nothing() {
    for file in known() {
        let len = file.bytes.len() as u64;
        assert_eq!(file.reader.len(), len);
        for offset in [len, len + 1, u64::MAX] {
            let read = block_on(file.reader.read_at(offset, usize::MAX)).unwrap();
            assert!(read.is_empty());
        }
        let whole = block_on(file.reader.read_at(0, usize::MAX)).unwrap();
        assert_eq!(&whole[..], file.bytes);
    }
}

#[test]
fn a_stream_reads_and_seeks_inside_and_outside_of_a_runtime() {
    let check = |file: Known| {
        let mut stream = file.reader.into_stream().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all, file.bytes);
        let (len, mut some) = (file.bytes.len() as u64, [0; 7]);
        if len > 7 {
            assert_eq!(stream.seek(SeekFrom::End(-7)).unwrap(), len - 7);
            stream.read_exact(&mut some).unwrap();
            assert_eq!(some, file.bytes[file.bytes.len() - 7..]);
        }
        assert_eq!(stream.seek(SeekFrom::Start(len + 10)).unwrap(), len + 10);
        assert_eq!(stream.read(&mut some).unwrap(), 0);
        assert!(stream.seek(SeekFrom::End(-100_000_000)).is_err());
    };
    known().into_iter().for_each(check);
    let files = known();
    let one_thread = tokio::runtime::Builder::new_current_thread();
    let one_thread = { one_thread }.enable_all().build().unwrap();
    one_thread.block_on(async { files.into_iter().for_each(check) });
}

/// Files in many folders, some of them large enough for a tree of several levels.
fn folders() -> MemorySource {
    let mut source = MemorySource::new();
    for folder in 0..40 {
        source = source.folder(&format!("d{folder:02}"));
        source = source.folder(&format!("d{folder:02}/deep"));
        for file in 0..60 {
            let name = format!("d{folder:02}/deep/file-{file:03}.txt");
            source = source.file(&name, format!("{folder} {file}"));
        }
        source = source.file(&format!("d{folder:02}/zz.rs"), "fn");
    }
    source.file("top.rs", "fn")
}

#[test]
fn folders_are_listed_one_level_at_a_time() {
    let repo = TestRepo::new();
    let id = repo.backup(&folders()).unwrap().backup.id;
    let snapshot = open(&repo, id);
    assert_eq!(snapshot.backup().id, id);
    let children = |at: &str| block_on(async { snapshot.children(&path(at)).collect().await });
    let top = names(&children("").unwrap());
    assert_eq!(top.len(), 41);
    assert_eq!((top[0].as_str(), top[40].as_str()), ("d00", "top.rs"));
    assert_eq!(names(&children("d07").unwrap()), ["d07/deep", "d07/zz.rs"]);
    assert_eq!(children("d07/deep").unwrap().len(), 60);
    assert_eq!(names(&children("top.rs").unwrap()), [""; 0]);
    let error = children("d07/no").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PathNotFound);

    let walk = |at: &str, options: WalkOptions| {
        names(&block_on(async { snapshot.walk(&path(at), &options).collect().await }).unwrap())
    };
    let all = WalkOptions::default();
    assert_eq!(
        walk("", all.clone()).len(),
        names(&repo.entries(id).unwrap()).len()
    );
    assert_eq!(walk("d07", all.clone()).len(), 63);
    assert_eq!(walk("d07", all.clone().with_max_depth(Some(0))), ["d07"]);
    assert_eq!(
        walk("d07", all.clone().with_max_depth(Some(1))),
        ["d07", "d07/deep", "d07/zz.rs"]
    );
    let glob = |pattern: &str| all.clone().with_glob(pattern).unwrap();
    assert_eq!(walk("", glob("*.rs")).len(), 41);
    assert_eq!(walk("d07", glob("*.rs")), ["d07/zz.rs"]);
    assert_eq!(walk("d07", glob("deep/*-00[12].txt")).len(), 2);
    let broken = all.with_glob("[").unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::Invalid);
}

#[test]
fn a_file_without_entries_for_its_folders_is_found() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("db/dump.sql", "text");
    let snapshot = open(&repo, repo.backup(&source).unwrap().backup.id);
    let children = block_on(async { snapshot.children(&path("db")).collect().await }).unwrap();
    assert_eq!(names(&children), ["db/dump.sql"]);
    let shallow = WalkOptions::default().with_max_depth(Some(0));
    let walk = block_on(async { snapshot.walk(&path("db"), &shallow).collect().await });
    assert_eq!(walk.unwrap(), []);
    let error = block_on(snapshot.stat(&path("db"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PathNotFound);
    assert!(block_on(snapshot.stat(&path("db/dump.sql"))).is_ok());
}

#[test]
fn fifty_stats_read_neither_the_log_nor_the_index() {
    let repo = TestRepo::new();
    let id = repo.backup(&folders()).unwrap().backup.id;
    let snapshot = open(&repo, id);
    repo.faults.reset();
    for number in 0..50 {
        let name = format!("d{:02}/deep/file-{number:03}.txt", number % 40);
        let entry = block_on(snapshot.stat(&path(&name))).unwrap();
        assert_eq!(entry.path, path(&name));
    }
    let operations = repo.faults.operations();
    assert!(operations.len() <= 2, "{operations:#?}");
    let is_pack = |operation: &br_testkit::Operation| operation.key.starts_with("packs/");
    assert!(operations.iter().all(is_pack), "{operations:#?}");
    repo.faults.reset();
    let again = snapshot.clone();
    for folder in 0..40 {
        let folder = path(&format!("d{folder:02}"));
        block_on(async { again.children(&folder).collect().await }).unwrap();
    }
    assert_eq!(repo.faults.operations(), [], "all data is cached in memory");
}

/// A file of 64 MiB in a repository on a server that counts.
fn on_server() -> (TestStore, Repository, Context) {
    let store = TestStore::new(StoreKind::S3);
    let context = Context::system();
    let source = MemorySource::new().file("large", noise(1, 64 << 20));
    let repository = block_on(async {
        let options = InitOptions::default();
        let repository = Repository::init_storage(store.storage(), &options, &context).await?;
        let _ = backup(&repository, source, &TestRepo::options("host"), &context).await?;
        Ok::<_, br_core::Error>(repository)
    });
    (store, repository.unwrap(), context)
}

#[test]
fn a_few_bytes_of_a_large_file_cost_a_group() {
    let (store, repository, context) = on_server();
    let traffic = || store.storage().traffic().unwrap();
    let bytes = noise(1, 64 << 20);
    let before = traffic();
    let snapshot = block_on(repository.snapshot(BackupSelector::Latest, &context)).unwrap();
    let opened = traffic();
    let file = open_file(&snapshot, "large");
    let found = traffic();
    let at = 60 << 20;
    let read = block_on(file.read_at(at, 4096)).unwrap();
    assert_eq!(&read[..], &bytes[at as usize..][..4096]);
    let after = traffic();
    let figures = |from: br_core::Traffic, to: br_core::Traffic| {
        (
            to.requests - from.requests,
            to.bytes_received - from.bytes_received,
        )
    };
    let all = [
        figures(before, opened),
        figures(opened, found),
        figures(found, after),
    ];
    assert!(all[2].1 < 3 << 20, "open, find, read: {all:?}");
    assert!(all[2].0 <= 2, "open, find, read: {all:?}");
    block_on(file.read_at(at + 4096, 4096)).unwrap();
    assert_eq!(traffic(), after, "the same group is in memory");
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

#[test]
fn read_after_a_prune_is_a_conflict_until_the_snapshot_is_opened_again() {
    let repo = TestRepo::new();
    let content = noise(1, 2 << 20);
    let keeps = MemorySource::new()
        .file("kept", content[..100_000].to_vec())
        .file("small", noise(2, 50_000));
    let kept = repo.backup(&keeps).unwrap().backup.id;
    let deleted = MemorySource::new().file("deleted", noise(3, 4 << 20));
    let deleted = repo.backup_with(&deleted, &TestRepo::options("other"));
    let deleted = deleted.unwrap().backup.id;
    let (gone, stays) = (open(&repo, deleted), open(&repo, kept));
    let file = open_file(&gone, "deleted");
    repo.delete(&[deleted]).unwrap();
    let _ = repo.prune().unwrap();

    assert_eq!(kind(block_on(file.read_at(0, 10))), ErrorKind::Conflict);
    let error = block_on(file.read_at(0, 10)).unwrap_err();
    assert!(error.to_string().contains("open it again"), "{error}");
    let again = repo.repository.snapshot(deleted, &repo.context);
    assert_eq!(kind(block_on(again)), ErrorKind::BackupNotFound);

    // The kept backup can be read, or can be read after it is opened again, depending on what the prune moved.
    if let Err(error) =
        block_on(async { stays.open_file(&path("kept")).await?.read_at(0, 9).await })
    {
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    let file = open_file(&open(&repo, kept), "kept");
    let read = block_on(file.read_at(0, usize::MAX)).unwrap();
    assert_eq!(&read[..], &content[..100_000]);
    assert!(repo.check().unwrap().is_sound());
}

#[test]
fn unreadable_data_without_a_prune_is_reported_as_damage() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("large", noise(1, 1 << 20));
    let snapshot = open(&repo, repo.backup(&source).unwrap().backup.id);
    let file = open_file(&snapshot, "large");
    repo.faults.corrupt("packs/", br_testkit::Corruption::Hide);
    for _ in 0..2 {
        assert_eq!(kind(block_on(file.read_at(0, 10))), ErrorKind::Damaged);
    }
}

#[test]
fn a_cancelled_context_ends_every_call() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("large", noise(1, 1 << 20));
    let snapshot = open(&repo, repo.backup(&source).unwrap().backup.id);
    let file = open_file(&snapshot, "large");
    repo.context.cancel.cancel();
    assert_eq!(kind(block_on(file.read_at(0, 10))), ErrorKind::Interrupted);
}

#[test]
fn a_snapshot_outlives_the_runtime_that_opened_it() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("large", noise(1, 1 << 20));
    let _ = repo.backup(&source).unwrap();
    let opened = br_core::blocking(
        repo.repository
            .snapshot(BackupSelector::Latest, &repo.context),
    );
    let snapshot = opened.unwrap().unwrap();
    let read = br_core::blocking(async {
        let file = snapshot.open_file(&path("large")).await?;
        file.read_at(5, 5).await
    });
    assert_eq!(&read.unwrap().unwrap()[..], &noise(1, 10)[5..]);
    let large = path("large");
    let mut outside = std::pin::pin!(snapshot.stat(&large));
    let mut nothing = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outside) = outside.as_mut().poll(&mut nothing) else {
        panic!("outside of a runtime the call returns at once");
    };
    assert_eq!(kind(outside), ErrorKind::Invalid);
}
