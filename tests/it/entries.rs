//! Sources with invalid entries: a backup that counts as complete can be listed, dumped and restored, and an invalid entry does not affect
//! other entries.

use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex};

use br_core::engine::backup::{BackupReport, backup};
use br_core::engine::dump::dump;
use br_core::engine::ls::ls;
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::model::{
    BackupId, Content, Device, Entry, EntryKind, EntryPath, Extent, FileContent, FileTime, Owner,
    Xattr,
};
use br_core::source::{ContentReader, Details, Source, SourceItem};
use br_core::{BackupSelector, ErrorKind, Result};
use br_testkit::{TestRepo, block_on, noise};
use proptest::prelude::*;

use crate::support::cases;

/// Entries as they are given, in the order in which they are given. Files have the bytes outside of their holes.
#[derive(Debug, Clone, Default)]
struct Given(Vec<(Entry, Vec<u8>)>);

struct GivenSource(std::vec::IntoIter<(Entry, Vec<u8>)>);

impl Given {
    fn and(mut self, entry: Entry, content: &[u8]) -> Self {
        self.0.push((entry, content.to_vec()));
        self
    }

    fn source(&self) -> GivenSource {
        GivenSource(self.0.clone().into_iter())
    }
}

impl Source for GivenSource {
    fn next(&mut self) -> Option<SourceItem> {
        let (entry, content) = self.0.next()?;
        let details = Box::new(GivenDetails(Cursor::new(content)));
        Some(SourceItem::Entry { entry, details })
    }
}

struct GivenDetails(Cursor<Vec<u8>>);

impl Details for GivenDetails {
    fn complete(&mut self, _: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, _: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        Ok(self)
    }
}

impl Read for GivenDetails {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl ContentReader for GivenDetails {
    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry {
        path: EntryPath::new(path.as_bytes()).unwrap(),
        kind,
        mode: 0o640,
        owner: Arc::default(),
        mtime: FileTime::new(1_500_000_000, 7).unwrap(),
        ctime: FileTime::new(1_500_000_000, 7).unwrap(),
        inode: 0,
        xattrs: Vec::new(),
        link_group: None,
    }
}

fn file(path: &str, size: u64, holes: Vec<Extent>) -> Entry {
    let content = FileContent {
        size,
        holes,
        ..FileContent::default()
    };
    entry(path, EntryKind::File(content))
}

fn back_up(repo: &TestRepo, given: &Given) -> Result<BackupReport> {
    let options = TestRepo::options("host");
    block_on(backup(
        &repo.repository,
        given.source(),
        &options,
        &repo.context,
    ))
}

fn list(repo: &TestRepo, id: BackupId) -> Vec<Entry> {
    block_on(async {
        let mut feed = ls(&repo.repository, id, Vec::new(), &repo.context);
        let mut all = Vec::new();
        while let Some(entry) = feed.next().await {
            all.push(entry.unwrap());
        }
        all
    })
}

/// A change that makes an entry invalid.
type Change = fn(&mut Entry);

/// A writer whose bytes the test can read later.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn dumped(repo: &TestRepo, id: BackupId, path: &EntryPath) -> Vec<u8> {
    let to = Shared::default();
    let done = dump(
        &repo.repository,
        id,
        path.clone(),
        to.clone(),
        &repo.context,
    );
    block_on(done).unwrap();
    std::mem::take(&mut to.0.lock().unwrap())
}

/// Everything that can be done with a backup works.
fn assert_usable(repo: &TestRepo, id: BackupId) -> Vec<Entry> {
    let entries = list(repo, id);
    for entry in &entries {
        if let EntryKind::File(file) = &entry.kind {
            let len = dumped(repo, id, &entry.path).len() as u64;
            assert_eq!(len, file.size, "{}", entry.path);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let options = RestoreOptions::default().with_owner(false);
    let selector = BackupSelector::Prefix(id.to_string());
    let to = dir.path().join("to");
    let restored = restore(
        &repo.repository,
        &selector,
        to.clone(),
        &options,
        &repo.context,
    );
    let report = block_on(restored).unwrap();
    // Only root can make devices.
    let failed = report.failed.iter();
    let failed = failed.filter(|(path, _)| !path.to_string().contains("device"));
    assert_eq!(failed.count(), 0, "{:?}", report.failed);
    for entry in &entries {
        if let EntryKind::File(_) = &entry.kind {
            let at = to.join(entry.path.to_string());
            let there = std::fs::read(&at).unwrap();
            assert!(there == dumped(repo, id, &entry.path), "{}", entry.path);
        }
    }
    assert!(repo.check().unwrap().findings.is_empty());
    entries
}

fn neighbours() -> Given {
    Given::default()
        .and(entry("a", EntryKind::Directory), b"")
        .and(file("a/good", 3, Vec::new()), b"abc")
}

/// Symptom: after one entry with invalid metadata, such as a mode with the bits of the file type, the whole backup could not be listed.
/// Cause: the writer checked fewer rules than the reader. Fix: br drops invalid metadata, names it, and keeps the content.
#[test]
fn invalid_metadata_is_left_out_and_content_is_kept() {
    let xattr = |name: &[u8], len| Xattr {
        name: name.to_vec(),
        value: vec![7; len],
    };
    let owner = Owner {
        user: "u".repeat(1 << 20),
        ..Owner::default()
    };
    let changes: [(&str, Change); 4] = [
        ("mode", |entry| entry.mode = 0o100_644),
        ("nanoseconds", |entry| entry.mtime.nanos = 1_000_000_000),
        ("nanoseconds", |entry| entry.ctime.nanos = u32::MAX),
        ("name of an extended attribute", |entry| {
            entry.xattrs = vec![Xattr {
                name: Vec::new(),
                value: Vec::new(),
            }];
        }),
    ];
    for (word, change) in changes {
        let mut bad = file("a/odd", 5, Vec::new());
        change(&mut bad);
        assert_kept(&bad, word);
    }
    let mut bad = file("a/odd", 5, Vec::new());
    bad.owner = Arc::new(owner);
    assert_kept(&bad, "owner");
    for (xattrs, word) in [
        (vec![xattr(b"user.\0", 1)], "NUL"),
        (vec![xattr(b"user.x", 65_537)], "too long"),
        (vec![xattr(&[b'n'; 256], 1)], "too long"),
        (
            (0..20).map(|n| xattr(&[b'a' + n], 65_536)).collect(),
            "too long",
        ),
        (vec![xattr(b"user.x", 1), xattr(b"user.x", 2)], "twice"),
    ] {
        let mut bad = file("a/odd", 5, Vec::new());
        bad.xattrs = xattrs;
        assert_kept(&bad, word);
    }
}

fn assert_kept(bad: &Entry, word: &str) {
    let repo = TestRepo::new();
    let given = neighbours().and(bad.clone(), b"12345");
    let backup = back_up(&repo, &given).unwrap().backup;
    assert_eq!(backup.unread_count, 1, "{word}");
    let reason = &backup.unread[0].reason.0;
    assert!(reason.contains(word), "{word}: {reason}");
    let entries = assert_usable(&repo, backup.id);
    assert_eq!(entries.len(), 3, "{word}");
    assert_eq!(entries[2].check(), Ok(()));
    assert_eq!(dumped(&repo, backup.id, &bad.path), b"12345", "{word}");
}

#[test]
fn links_and_holes_that_break_a_rule_are_left_out_and_named() {
    let extent = |offset, len| Extent { offset, len };
    let link = |target: &[u8]| entry("a/odd", EntryKind::Symlink(target.into()));
    for bad in [
        link(b""),
        link(b"a\0b"),
        link(&[b'x'; 65_536]),
        file("a/odd", 10, vec![extent(5, 6)]),
        file("a/odd", 10, vec![extent(0, 2), extent(2, 2)]),
        file("a/odd", 10, vec![extent(5, 2), extent(1, 2)]),
        file("a/odd", 10, vec![extent(3, 0)]),
        file("a/odd", 10, vec![extent(u64::MAX, 2)]),
        file(
            "a/odd",
            u64::MAX,
            vec![extent(0, u64::MAX), extent(1, u64::MAX)],
        ),
    ] {
        let repo = TestRepo::new();
        let backup = back_up(&repo, &neighbours().and(bad, b"12345"));
        let backup = backup.unwrap().backup;
        assert_eq!(backup.unread_count, 1);
        assert_eq!(backup.unread[0].path, b"a/odd");
        assert_eq!(assert_usable(&repo, backup.id).len(), 2);
    }
}

#[test]
fn a_source_that_breaks_the_order_of_paths_is_refused_before_anything_is_committed() {
    let fifo = |path: &str| entry(path, EntryKind::Fifo);
    for (bad, word) in [
        (
            vec![file("b", 0, Vec::new()), file("a", 0, Vec::new())],
            "out of order",
        ),
        (vec![fifo("b"), fifo("b")], "out of order"),
        (vec![file("b", 0, Vec::new()), fifo("b/c")], "not a folder"),
        (
            vec![fifo("b"), entry("b/c", EntryKind::Directory), fifo("b/c/d")],
            "not a folder",
        ),
    ] {
        let repo = TestRepo::new();
        let given = bad
            .into_iter()
            .fold(Given::default(), |given, bad| given.and(bad, b""));
        let error = back_up(&repo, &given).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(
            error.to_string().starts_with("the source returned "),
            "{error}"
        );
        assert_eq!(repo.backups().unwrap(), []);
    }
    let repo = TestRepo::new();
    let backup = back_up(&repo, &Given::default().and(file("", 0, Vec::new()), b""));
    assert_eq!(
        backup.unwrap().backup.totals.entries,
        0,
        "the root is a folder"
    );
}

/// Symptom: content that was shorter or longer than announced was stored without a warning, and longer content of a sparse file made the
/// backup unreadable.
#[test]
fn content_with_unexpected_length_is_stored_and_marked() {
    let hole = |offset, len| vec![Extent { offset, len }];
    for (announced, holes, content) in [
        (10, Vec::new(), 4_usize),
        (10, Vec::new(), 600),
        (1000, Vec::new(), 300_000),
        (300_000, Vec::new(), 10),
        (300_000, Vec::new(), 300_001),
        (10_000, hole(100, 5_000), 6_000),
        (10_000, hole(100, 9_900), 101),
        (10_000, hole(100, 5_000), 50),
    ] {
        let repo = TestRepo::new();
        let bytes = noise(1, content);
        let given = neighbours().and(file("a/odd", announced, holes), &bytes);
        let report = back_up(&repo, &given).unwrap();
        assert_eq!(report.torn, 1, "{announced} {content}");
        let entries = assert_usable(&repo, report.backup.id);
        let EntryKind::File(file) = &entries[2].kind else {
            panic!()
        };
        assert_eq!(file.data_len(), content as u64, "no byte is dropped");
    }
}

/// Symptom: if a source gave default times, the backup had the old content of a changed file.
#[test]
fn source_without_change_evidence_is_always_read() {
    let repo = TestRepo::new();
    let given = |content: &[u8]| {
        let mut entry = file("f", 3, Vec::new());
        (entry.mtime, entry.ctime) = Default::default();
        Given::default().and(entry, content)
    };
    let _ = back_up(&repo, &given(b"old")).unwrap();
    let second = back_up(&repo, &given(b"new")).unwrap().backup;
    let path = EntryPath::new("f".as_bytes()).unwrap();
    assert_eq!(dumped(&repo, second.id, &path), b"new");
    assert_eq!(second.changes.files_unchanged, 0);
}

/// Owner names of thousands of bytes, and paths of tens of thousands, fill a node long before it has its maximum number of entries.
#[test]
fn long_names_do_not_exceed_node_size_limit() {
    let repo = TestRepo::new();
    let mut given = Given::default();
    for number in 0..6000_u32 {
        let mut entry = entry(&format!("{number:05}"), EntryKind::Fifo);
        let user = format!("{number:04096}");
        entry.owner = Arc::new(Owner::new(number, 0, user, "").unwrap());
        given = given.and(entry, b"");
    }
    for number in 0..1500 {
        let path = format!("z{number:05}{}", "x".repeat(60_000));
        given.0.push((entry(&path, EntryKind::Fifo), Vec::new()));
    }
    let backup = back_up(&repo, &given).unwrap().backup;
    assert!(backup.is_complete());
    assert_eq!(list(&repo, backup.id).len(), 7500);
}

#[test]
fn oversized_metadata_is_refused() {
    let repo = TestRepo::new();
    let options = TestRepo::options(&"h".repeat(5 << 20));
    let error = block_on(backup(
        &repo.repository,
        neighbours().source(),
        &options,
        &repo.context,
    ));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid);
}

fn any_kind() -> impl Strategy<Value = (EntryKind, Vec<u8>)> {
    let hole = (0..3000_u64, 0..2000_u64).prop_map(|(offset, len)| Extent { offset, len });
    let holes = prop_oneof![
        4 => Just(Vec::new()),
        1 => prop::collection::vec(hole, 1..3),
    ];
    let len = prop_oneof![
        0..3_usize,
        500..530_usize,
        Just(5_000_usize),
        Just(140_000_usize)
    ];
    let is_right = prop::bool::weighted(0.8);
    let file = (holes, len, any::<u8>(), is_right, 0..4000_u64).prop_map(
        |(holes, len, seed, is_right, other)| {
            let sum: u64 = holes.iter().map(|hole: &Extent| hole.len).sum();
            let size = if is_right { len as u64 + sum } else { other };
            let content = FileContent {
                size,
                holes,
                content: Content::Inline(b"what the source says"[..].into()),
                sha256: Some([seed; 32]),
                torn: false,
            };
            (EntryKind::File(content), noise(seed.into(), len))
        },
    );
    let target = prop::collection::vec(prop_oneof![Just(0_u8), Just(b'x')], 0..4);
    let other = prop_oneof![
        4 => Just(EntryKind::Directory),
        1 => Just(EntryKind::Fifo),
        1 => Just(EntryKind::Socket),
        1 => Just(EntryKind::CharDevice(Device { major: 1, minor: 3 })),
        2 => target.prop_map(|target| EntryKind::Symlink(target.into())),
    ];
    prop_oneof![3 => file, 2 => other.prop_map(|kind| (kind, Vec::new()))]
}

fn any_entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let path = prop::collection::vec("[abc]", 1..4).prop_map(|parts| parts.join("/"));
    let nanos = prop_oneof![8 => 0..1_000_000_000_u32, 1 => any::<u32>()];
    let mode = prop_oneof![8 => 0o600..0o1000_u32, 1 => any::<u32>()];
    let name = prop_oneof![8 => "[a-z]{0,5}", 1 => Just("u".repeat(5000))];
    let attribute = (prop_oneof![8 => "user\\.[ab]", 1 => ".{0,2}"], 0..100_usize);
    let xattrs = prop::collection::vec(attribute, 0..3);
    let group = prop::option::weighted(0.2, 0..2_u64);
    (any_kind(), path, nanos, mode, name, xattrs, group).prop_map(
        |((kind, content), path, nanos, mode, name, xattrs, link_group)| {
            let is_device = matches!(kind, EntryKind::CharDevice(_));
            let path = if is_device {
                format!("{path}-device")
            } else {
                path
            };
            let xattrs = xattrs.into_iter().map(|(name, len)| Xattr {
                name: name.into_bytes(),
                value: vec![1; len],
            });
            let entry = Entry {
                mode,
                mtime: FileTime { secs: 5, nanos },
                owner: Arc::new(Owner {
                    user: name,
                    ..Owner::default()
                }),
                xattrs: xattrs.collect(),
                link_group,
                ..entry(&path, kind)
            };
            (entry, content)
        },
    )
}

/// Drops entries below a link, which a restore may refuse to follow.
fn in_order(mut entries: Vec<(Entry, Vec<u8>)>) -> Vec<(Entry, Vec<u8>)> {
    entries.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    entries.dedup_by(|a, b| a.0.path == b.0.path);
    let links = entries.iter().map(|(entry, _)| entry);
    let links = links.filter(|entry| matches!(entry.kind, EntryKind::Symlink(_)));
    let links: Vec<_> = links.map(|entry| entry.path.clone()).collect();
    let is_below = |path: &EntryPath| {
        links
            .iter()
            .any(|link| path != link && path.is_within(link))
    };
    entries.retain(|(entry, _)| !is_below(&entry.path));
    entries
}

proptest! {
    #![proptest_config(cases(96))]

    /// For any source: the backup is refused, or it can be listed, dumped and restored; and if the backup says that it is complete, all
    /// entries are restored as the source gave them.
    #[test]
    fn every_accepted_backup_can_be_listed_dumped_and_restored(
        entries in prop::collection::vec(any_entry(), 0..12),
        is_sorted in prop::bool::weighted(0.95),
    ) {
        let entries = if is_sorted { in_order(entries) } else { entries };
        let given = Given(entries);
        let repo = TestRepo::new();
        let report = match back_up(&repo, &given) {
            Ok(report) => report,
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Invalid, "{}", error);
                prop_assert_eq!(repo.backups().unwrap(), []);
                return Ok(());
            }
        };
        let stored = assert_usable(&repo, report.backup.id);
        if !report.backup.is_complete() {
            return Ok(());
        }
        prop_assert_eq!(stored.len(), given.0.len());
        for (stored, (given, content)) in stored.iter().zip(&given.0) {
            prop_assert_eq!(&stored.path, &given.path);
            prop_assert_eq!(stored.mode, given.mode);
            prop_assert_eq!(stored.mtime, given.mtime);
            prop_assert_eq!(&stored.owner, &given.owner);
            prop_assert_eq!(stored.link_group, given.link_group);
            prop_assert_eq!(stored.xattrs.len(), given.xattrs.len());
            match &stored.kind {
                EntryKind::File(file) => prop_assert_eq!(file.data_len(), content.len() as u64),
                kind => prop_assert_eq!(kind, &given.kind),
            }
        }
    }
}
