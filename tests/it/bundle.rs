//! Bundles as a source and as a sink: a bundle leaves the repository unchanged, and data that several bundles share is stored once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use br_archive::{
    BundleOptions, BundleProgress, BundleTime, BundleWriter, Error, ErrorKind, Event,
    ImportOptions, Inspection, Limits, NoBundleProgress, Selection, inspect, to_hex,
};
use br_core::BackupSelector;
use br_core::engine::backup::{BackupOptions, BackupReport, Base, backup};
use br_core::engine::export::{ExportOptions, export};
use br_core::model::{Backup, BackupId, EntryKind};
use br_core::source::{Source as _, SourceItem};
use br_emqx::meta::Meta;
use br_sources::bundle::{BundleSink, BundleSource, TAG, name_of};
use br_testkit::{EmqxNode, TestRepo, TreeFixture, block_on};

use crate::support::Disk;

const BASE: &str = "emqx-export-2023-06-19-15-14-19.947";

/// Reads a bundle; it is unpacked next to the file.
fn open(bundle: &Path, options: &ImportOptions) -> br_archive::Result<(BundleSource, Inspection)> {
    BundleSource::open(
        bundle,
        bundle.parent().unwrap(),
        options,
        &mut NoBundleProgress,
    )
}

fn import(repo: &TestRepo, bundle: &Path) -> BackupReport {
    let (source, _) = open(bundle, &ImportOptions::new(1)).unwrap();
    let path = bundle.as_os_str().as_encoded_bytes().to_vec();
    let options = BackupOptions::new("host", "user", vec![path])
        .with_tags(vec![TAG.to_owned()])
        .with_base(Base::Tagged(vec![TAG.to_owned()]));
    let imported = backup(&repo.repository, source, &options, &repo.context);
    block_on(imported).unwrap()
}

/// Writes a backup into a bundle of the name that it had.
fn write(repo: &TestRepo, backup: &Backup, dir: &Path) -> PathBuf {
    let path = br_core::model::EntryPath::new(b"META.hocon".to_vec()).unwrap();
    let meta = repo.dump(backup.id, &path).unwrap();
    let snapshot = block_on(repo.repository.snapshot(backup.id, &repo.context)).unwrap();
    let mtime = block_on(snapshot.stat(&path)).unwrap().mtime.secs;
    let time = BundleTime::new(0, 0).unwrap();
    let options = BundleOptions::new(time, Meta::parse(&meta).unwrap())
        .with_sync(false)
        .with_name(name_of(backup).unwrap(), meta, mtime.try_into().unwrap());
    let writer = BundleWriter::create(dir, options).unwrap();
    let sink =
        BundleSink::new(writer, Selection::default(), NoBundleProgress).with_whole_bundle(true);
    let selector = BackupSelector::Prefix(backup.id.to_string());
    let options = ExportOptions::default();
    let written = export(&repo.repository, &selector, sink, &options, &repo.context);
    let (sink, _) = block_on(written).unwrap();
    let (writer, left_out) = sink.finish().unwrap();
    assert_eq!(left_out, []);
    writer.finish().unwrap().path
}

/// The SHA-256 of every member.
fn sums(bundle: &Path) -> BTreeMap<String, String> {
    let inspection = inspect(bundle, &Limits::default(), None, &mut NoBundleProgress).unwrap();
    assert!(inspection.is_sound(), "{:?}", inspection.problems);
    let members = inspection.members.iter();
    members
        .map(|member| (member.path.to_string(), to_hex(&member.sha256)))
        .collect()
}

/// As operators do: one export an hour, with few differences. Each further export takes a small part of the space of the first, and br
/// writes each one back unchanged.
#[test]
fn hourly_exports_store_only_changes() {
    let folder = tempfile::tempdir().unwrap();
    let repo = TestRepo::new();
    let mut node = EmqxNode::large(50_000);
    let (mut kept, mut sizes, mut archives) = (Vec::new(), Vec::new(), 0);
    for hour in 0..20 {
        let base = format!("emqx-export-2023-06-19-{hour:02}-14-19.947");
        let bundle = node.export(folder.path(), &base);
        archives += fs::metadata(&bundle).unwrap().len();
        let report = import(&repo, &bundle);
        sizes.push(repo.size());
        kept.push((report.backup, sums(&bundle)));
        fs::remove_file(bundle).unwrap();
        node.live();
    }
    let (first, last) = (sizes[0], sizes[19]);
    eprintln!(
        "20 exports: {archives} bytes as archives; the repository has {first} after the first and {last} after the last"
    );
    assert!(
        (last - first) / 19 < first / 100,
        "19 more exports take {} bytes, the first {first}",
        last - first
    );
    assert!(
        last < archives / 8,
        "{last} bytes for {archives} of archives"
    );
    for (backup, expected) in &kept {
        let written = write(&repo, backup, folder.path());
        assert_eq!(&sums(&written), expected, "{}", written.display());
        fs::remove_file(written).unwrap();
    }
    assert!(repo.check().unwrap().is_sound());
}

#[test]
fn a_bundle_is_a_source_in_path_order() {
    let folder = tempfile::tempdir().unwrap();
    let node = EmqxNode::small();
    let bundle = node.export(folder.path(), BASE);
    let (mut source, inspection) = open(&bundle, &ImportOptions::new(1)).unwrap();
    assert!(inspection.is_emqx);
    let mut given = Vec::new();
    while let Some(SourceItem::Entry { entry, .. }) = source.next() {
        let is_folder = matches!(entry.kind, EntryKind::Directory);
        given.push((entry.path.to_string(), is_folder));
        assert_eq!(entry.mtime.secs, i64::from(node.time), "{}", entry.path);
    }
    let mut expected: Vec<_> = node.files().into_iter().map(|(path, _)| path).collect();
    expected.push("mnesia".to_owned());
    expected.sort();
    assert!(
        given.iter().map(|(path, _)| path).eq(&expected),
        "{given:?}"
    );
    let folders = given.iter().filter(|(_, is_folder)| *is_folder);
    assert_eq!(folders.count(), 1);
    drop(source);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(
        left, 1,
        "the unpacked files are removed, and the bundle remains"
    );
}

/// Nothing of a bundle reaches the repository if the bundle is damaged or truncated, or the selection does not exist.
#[test]
fn invalid_bundle_source_leaves_repository_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = EmqxNode::small().export(folder.path(), BASE);
    let bytes = fs::read(&bundle).unwrap();
    let failed = |result: br_archive::Result<(BundleSource, Inspection)>| -> Error {
        let error = result.map(drop).unwrap_err();
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "{error}");
        error
    };
    let path = "mnesia/none".parse().unwrap();
    let selection = Selection::default().with_paths(vec![path]);
    let options = ImportOptions::new(1).with_selection(selection);
    let error = failed(open(&bundle, &options));
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let limits = Limits::default().with_members(3);
    let error = failed(open(&bundle, &ImportOptions::new(1).with_limits(limits)));
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    for len in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&bundle, &bytes[..len]).unwrap();
        let error = failed(open(&bundle, &ImportOptions::new(1)));
        assert_eq!(error.kind(), ErrorKind::Damaged, "{len}: {error}");
    }
    fs::write(&bundle, &bytes).unwrap();
    let spool = folder.path();
    let options = ImportOptions::new(1);
    let error = failed(BundleSource::open(&bundle, spool, &options, &mut Stopped));
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
}

/// Cancels as soon as the operation starts.
struct Stopped;

impl BundleProgress for Stopped {
    fn event(&mut self, _: Event<'_>) {}

    fn is_cancelled(&self) -> bool {
        true
    }
}

/// A tree with every kind of entry: the bundle has its regular files, byte for byte, and the report names the other entries.
#[test]
fn bundle_of_backup_contains_its_regular_files() {
    let disk = Disk::new(TreeFixture::rich());
    let report = disk.backup();
    let time = BundleTime::new(1_767_323_045_678, 0).unwrap();
    let options = BundleOptions::new(time, Meta::new("br", "0.1.0")).with_sync(false);
    let out = disk.fixture.at("out");
    let writer = BundleWriter::create(&out, options).unwrap();
    let sink = BundleSink::new(writer, Selection::default(), NoBundleProgress);
    let id: BackupId = report.backup.id;
    let selector = BackupSelector::Prefix(id.to_string());
    let options = ExportOptions::default();
    let exported = export(&disk.repository, &selector, sink, &options, &disk.context);
    let (sink, _) = block_on(exported).unwrap();
    let (writer, left_out) = sink.finish().unwrap();
    let bundle = writer.finish().unwrap().path;
    let extracted = disk.fixture.at("extracted");
    br_archive::extract(
        &bundle,
        &extracted,
        &ImportOptions::new(1),
        &mut NoBundleProgress,
    )
    .unwrap();
    let top = disk.stored("").to_string();
    let (tree, copy) = (disk.tree(), br_testkit::Snapshot::of(extracted.join(&top)));
    let mut missing = 0;
    for (path, item) in &tree.items {
        let name = String::from_utf8_lossy(path);
        if item.kind == "folder" {
            continue;
        }
        match copy.items.get(path) {
            Some(there) => {
                assert_eq!(item.kind, "file", "{name}");
                assert_eq!(item.content, there.content, "{name}");
            }
            None => {
                missing += 1;
                let stored = [top.as_bytes(), b"/", path].concat();
                let mut left_out_paths = left_out.iter().map(|(path, _)| path.as_bytes());
                let named = left_out_paths.any(|path| path == stored);
                assert!(named, "{name} is left out and reported: {left_out:?}");
            }
        }
    }
    assert_eq!(missing, left_out.len());
    assert!(missing > 5, "links, pipes, sockets, names: {left_out:?}");
    assert!(copy.items.contains_key(&b"folder/large"[..]));
}

/// A backup that was not imported from a bundle has no bundle name, even if its tags look like one.
#[test]
fn only_imported_bundles_have_bundle_name() {
    let folder = tempfile::tempdir().unwrap();
    let repo = TestRepo::new();
    let bundle = EmqxNode::small().export(folder.path(), BASE);
    let backup = import(&repo, &bundle).backup;
    assert_eq!(name_of(&backup).unwrap().directory(), BASE);
    let mut untagged = backup.clone();
    untagged.tags.clear();
    assert_eq!(name_of(&untagged), None);
    for path in ["/etc/app", "/srv/.tar.gz", "/srv/\u{7f}.tar"] {
        let mut other = backup.clone();
        other.paths = vec![path.as_bytes().to_vec()];
        assert_eq!(name_of(&other), None, "{path}");
    }
}
