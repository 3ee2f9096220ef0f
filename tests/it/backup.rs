//! Backups: a restore gives the same data back, and existing data is not stored again.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use br_core::ErrorKind;
use br_core::engine::backup::Base;
use br_core::engine::diff::{Difference, diff};
use br_core::model::{Backup, BackupId, BackupKind, EntryKind};
use br_testkit::{Behaviour, MemorySource, Noise, TestRepo, Thing, TreeFixture, block_on, noise};

use crate::support::Disk;

fn round_trip(disk: &Disk) {
    let before = disk.tree();
    let report = disk.backup();
    assert!(
        report.backup.is_complete(),
        "every file is read: {:?}",
        report.backup.unread
    );
    assert_eq!(
        report.backup.kind,
        BackupKind::Full,
        "the first backup is a full one"
    );
    let _ = disk.restore_all(report.backup.id, "out");
    before.assert_same(&disk.copy("out"), "the restored tree equals the original");
    before.assert_same(&disk.tree(), "a backup does not change the tree");
    disk.assert_sound();
}

#[test]
fn restore_gives_back_everything_unchanged() {
    round_trip(&Disk::new(TreeFixture::rich()));
}

#[test]
fn restore_from_encrypted_repository_gives_back_everything_unchanged() {
    let disk = Disk::encrypted(TreeFixture::rich());
    round_trip(&disk);
    let secret = b"sorts after what is in";
    let storage = disk.store.storage();
    for object in block_on(storage.list("")).unwrap() {
        let bytes = block_on(storage.get(&object.key, object.size)).unwrap();
        for secret in [&secret[..], b"folder-next"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{} contains no plain text", object.key);
        }
    }
}

#[test]
fn meaningless_options_are_refused_with_message() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("f", "x");
    for (options, expected) in [
        (TestRepo::options("h").with_level(40), "from 1 to 19"),
        (TestRepo::options("h").with_level(0), "from 1 to 19"),
        (
            TestRepo::options("h").with_threads(Some(0)),
            "at least one worker thread",
        ),
        (TestRepo::options(" "), "host name of a backup"),
    ] {
        let error = repo.backup_with(&source, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn unchanged_files_are_not_read_again() {
    let disk = Disk::new(TreeFixture::rich());
    let first = disk.backup().backup;
    let before = disk.store.size();
    let second = disk.backup().backup;
    assert_eq!(
        second.kind,
        BackupKind::Incremental,
        "the second backup has a base"
    );
    assert_eq!(second.base, Some(first.id), "the base is the backup before");
    let changes = second.changes;
    assert_eq!(
        changes.files_unchanged, second.totals.files,
        "no file is read"
    );
    assert_eq!(
        (changes.files_new, changes.files_changed),
        (0, 0),
        "no file is new"
    );
    assert_eq!(
        (changes.bytes_read, changes.bytes_added),
        (0, 0),
        "no byte is read or stored"
    );
    assert_eq!(second.tree, first.tree, "the same tree has the same root");
    let grown = disk.store.size() - before;
    assert!(
        grown < 4096,
        "only manifest and log entry are written, not {grown} bytes"
    );
    let _ = disk.restore_all(second.id, "out");
    disk.tree().assert_same(
        &disk.copy("out"),
        "the second backup is as complete as the first",
    );
}

#[test]
fn same_tree_has_same_root_for_every_way_of_reading() {
    let disk = Disk::new(TreeFixture::rich());
    let first = disk.backup().backup;
    for threads in [1, 3] {
        let options = disk
            .options()
            .with_base(Base::None)
            .with_threads(Some(threads));
        let again = disk.backup_with(disk.source(), &options).unwrap().backup;
        assert_eq!(again.kind, BackupKind::Full, "everything is read");
        assert_eq!(
            again.tree, first.tree,
            "equal trees are equal, independent of their origin"
        );
        assert_eq!(
            again.changes.bytes_added, 0,
            "existing data is not stored again"
        );
    }
}

/// Paths that differ between two backups, with a sign.
fn differences(disk: &Disk, from: BackupId, to: BackupId) -> Vec<String> {
    block_on(async {
        let mut feed = diff(&disk.repository, from, to, Vec::new(), &disk.context);
        let mut all = Vec::new();
        let name =
            |path: &br_core::model::EntryPath| String::from_utf8_lossy(path.name()).into_owned();
        while let Some(difference) = feed.next().await {
            all.push(match difference.unwrap() {
                Difference::Added(entry) => format!("+{}", name(&entry.path)),
                Difference::Removed(entry) => format!("-{}", name(&entry.path)),
                Difference::Changed {
                    to, content: true, ..
                } => format!("!{}", name(&to.path)),
                Difference::Changed {
                    to, content: false, ..
                } => format!("~{}", name(&to.path)),
                other => panic!("{other:?}"),
            });
        }
        all
    })
}

#[test]
fn changes_are_found_and_old_backups_stay_unchanged() {
    let disk = Disk::new(TreeFixture::rich());
    let old_tree = disk.tree();
    let first = disk.backup().backup;
    let tree = disk.fixture.tree();
    fs::remove_file(tree.join("one byte")).unwrap();
    let writable = fs::Permissions::from_mode(0o700);
    fs::set_permissions(tree.join("folder/deeper"), writable).unwrap();
    fs::remove_dir_all(tree.join("folder/deeper")).unwrap();
    fs::write(tree.join("just a chunk"), noise(9, 513)).unwrap();
    File::options()
        .append(true)
        .open(tree.join("cut"))
        .unwrap()
        .write_all(b"more")
        .unwrap();
    fs::set_permissions(tree.join("small"), fs::Permissions::from_mode(0o777)).unwrap();
    disk.fixture.write("new", "new");
    fs::remove_file(tree.join("empty")).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    disk.fixture.settle();
    let new_tree = disk.tree();
    let second = disk.backup().backup;
    let Backup {
        changes, totals, ..
    } = &second;
    assert_eq!(changes.files_new, 1, "one file is new");
    assert_eq!(changes.files_changed, 2, "two files have other content");
    assert_eq!(
        changes.files_unchanged,
        totals.files - 3,
        "all other files have the same content, whatever their metadata"
    );
    // `small` has another mode, which makes it look changed under each of its three names.
    assert_eq!(
        changes.bytes_read,
        3 + 513 + 131_077 + 3 * 131_072 + 1,
        "files with changed metadata are read"
    );
    let found = differences(&disk, first.id, second.id);
    for wanted in [
        "!just a chunk",
        "!cut",
        "~small",
        "+new",
        "-one byte",
        "-deeper",
        "-text",
        "!empty",
    ] {
        assert!(
            found.iter().any(|line| line == wanted),
            "{wanted} in {found:?}"
        );
    }
    let _ = disk.restore_all(first.id, "old");
    let _ = disk.restore_all(second.id, "new");
    old_tree.assert_same(&disk.copy("old"), "the first backup has the old tree");
    new_tree.assert_same(&disk.copy("new"), "the second backup has the new tree");
    disk.assert_sound();
}

#[test]
fn renamed_folder_stores_almost_no_data() {
    let disk = Disk::new(TreeFixture::rich());
    let _ = disk.backup();
    let before = disk.store.size();
    fs::rename(
        disk.fixture.tree().join("folder"),
        disk.fixture.tree().join("moved"),
    )
    .unwrap();
    disk.fixture.settle();
    let report = disk.backup();
    let grown = disk.store.size() - before;
    assert!(grown < 100_000, "six megabytes moved cost {grown} bytes");
    let _ = disk.restore_all(report.backup.id, "out");
    disk.tree()
        .assert_same(&disk.copy("out"), "the moved folder is whole");
}

#[test]
fn a_dry_run_counts_and_stores_nothing() {
    let repo = TestRepo::new();
    let source = MemorySource::new()
        .file("a", noise(1, 300_000))
        .file("b", "short");
    let keys = repo.keys();
    let report = repo
        .backup_with(&source, &TestRepo::options("host").with_dry_run(true))
        .unwrap();
    assert!(
        report.dry_run && report.backup.changes.files_new == 2,
        "the dry run counts files: {report:?}"
    );
    assert!(
        report.backup.changes.bytes_added >= 300_000,
        "the dry run computes the added bytes"
    );
    assert_eq!(repo.keys(), keys, "nothing is stored");
    assert_eq!(repo.backups().unwrap(), [], "nothing is listed");
}

#[test]
fn backup_of_other_host_or_paths_is_not_used_as_base() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("a", noise(1, 3000));
    let first = repo.backup(&source).unwrap().backup;
    let other_host = repo
        .backup_with(&source, &TestRepo::options("other"))
        .unwrap()
        .backup;
    assert_eq!(
        (other_host.base, other_host.kind),
        (None, BackupKind::Full),
        "a backup of another host is no base"
    );
    let mut options = TestRepo::options("host").with_tags(vec!["t".to_owned()]);
    options.paths = vec![b"/else".to_vec()];
    let other_paths = repo.backup_with(&source, &options).unwrap().backup;
    assert_eq!(other_paths.base, None, "a backup of other paths is no base");
    assert_eq!(other_paths.tags, ["t"], "tags are kept");
    let base = Base::Backup(first.id.to_string().parse().unwrap());
    let told = repo
        .backup_with(&source, &options.with_base(base))
        .unwrap()
        .backup;
    assert_eq!(told.base, Some(first.id), "the named base is used");
    assert_eq!(told.changes.files_unchanged, 1, "the base is used");
    assert_eq!(repo.backups().unwrap().len(), 4, "all are listed");
}

/// Symptom: br took `src ins` and `ins src`, or `../src` typed in another folder, for different paths, and read everything again.
#[test]
fn base_is_found_for_any_path_order_and_current_folder() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("src/a", noise(1, 3000));
    let back_up = |paths: &[&str], folder: &str| {
        let mut options = TestRepo::options("host").with_folder(folder.as_bytes().to_vec());
        options.paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        repo.backup_with(&source, &options).unwrap().backup
    };
    let first = back_up(&["src", "ins"], "/x");
    for (paths, folder) in [
        (&["ins", "src"][..], "/x"),
        (&["src", "ins", "./src/"], "/x"),
        (&["../src", "../ins"], "/x/sub"),
        (&["sub/../src", "ins"], "/x"),
    ] {
        let backup = back_up(paths, folder);
        assert!(backup.base.is_some(), "{paths:?} from {folder}");
        assert_eq!(backup.changes.files_unchanged, 1, "{paths:?} from {folder}");
        let dots = |path: &Vec<u8>| path.split(|byte| *byte == b'/').any(|part| part == b"..");
        assert!(!backup.paths.iter().any(dots), "{:?}", backup.paths);
        assert_eq!(backup.folder, first.folder);
    }
    assert_eq!(
        back_up(&["src"], "/x").base,
        None,
        "a backup of fewer paths is no base"
    );
    assert_eq!(
        back_up(&["src", "ins"], "/y").base,
        None,
        "a backup of another folder is no base"
    );
}

/// A backup of a file without its metadata is not final: the metadata may be readable the next time.
#[test]
fn next_backup_reads_entries_with_missing_metadata_again() {
    let repo = TestRepo::new();
    let source = MemorySource::new()
        .file("good", "good")
        .odd("poor", noise(1, 3000), Behaviour::LacksAttributes)
        .odd_folder("poor folder", Behaviour::LacksAttributes);
    for round in 0..2 {
        let backup = repo.backup(&source).unwrap().backup;
        assert_eq!(backup.unread_count, 2, "round {round}: {:?}", backup.unread);
        assert_eq!(backup.totals.entries, 3, "all files are in the backup");
        assert_eq!(repo.files(backup.id).unwrap(), source.files());
    }
    let honest = MemorySource::new()
        .file("good", "good")
        .file("poor", noise(1, 3000))
        .folder("poor folder");
    for unchanged in [2, 2] {
        let backup = repo.backup(&honest).unwrap().backup;
        assert!(backup.is_complete(), "{:?}", backup.unread);
        assert_eq!(backup.changes.files_unchanged, unchanged);
    }
}

#[test]
fn a_cancelled_backup_is_not_listed_and_the_next_one_works() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("a", noise(1, 5_000_000));
    let mut cancelled = repo.clone();
    cancelled.context.cancel = br_core_cancel();
    cancelled.context.cancel.cancel();
    let error = cancelled.backup(&source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    for n in 0..8 {
        let mut cancelled = repo.fork(100 + n);
        let cancel = br_core_cancel();
        cancelled.context.cancel = cancel.clone();
        cancelled
            .faults
            .before(n, move || Box::pin(async move { cancel.cancel() }));
        if let Err(error) = cancelled.backup(&source) {
            assert_eq!(
                error.kind(),
                ErrorKind::Interrupted,
                "cancelled at {n}: {error}"
            );
            assert_eq!(cancelled.backups_again(n), 0, "nothing is listed");
        }
    }
    assert_eq!(repo.backups().unwrap(), []);
    let done = repo.backup(&source).unwrap().backup;
    assert_eq!(repo.files(done.id).unwrap(), source.files());
}

trait Again {
    fn backups_again(&self, seed: u64) -> usize;
}

impl Again for TestRepo {
    fn backups_again(&self, seed: u64) -> usize {
        self.reopen(1000 + seed).backups().unwrap().len()
    }
}

/// A cancellation token, as a context has one.
fn br_core_cancel() -> tokio_util::sync::CancellationToken {
    tokio_util::sync::CancellationToken::new()
}

#[test]
fn a_hundred_thousand_small_files_in_one_folder() {
    let mut source = MemorySource::new().folder("d");
    let name = |number: usize| format!("d/file-{:05}", (number * 7919) % 100_000);
    for number in 0..100_000 {
        let content = format!("{number:010}");
        source.insert(
            &name(number),
            Thing::File(content.into()),
            1_000_000_000,
            Behaviour::Honest,
        );
    }
    let repo = TestRepo::new();
    let first = repo.backup(&source).unwrap().backup;
    assert_eq!(first.totals.files, 100_000);
    let entries = repo.entries(first.id).unwrap();
    assert!(
        entries.is_sorted_by(|a, b| a.path < b.path),
        "entries come in path order"
    );
    let wanted = source.files();
    let inline = |entry: &br_core::model::Entry| match &entry.kind {
        EntryKind::File(file) => match &file.content {
            br_core::model::Content::Inline(bytes) => bytes.to_vec(),
            _ => Vec::new(),
        },
        _ => b"folder".to_vec(),
    };
    assert_eq!(entries.len(), 100_001);
    for entry in &entries[1..] {
        assert_eq!(
            inline(entry),
            wanted[&entry.path.to_string()],
            "{}",
            entry.path
        );
    }
    let before = repo.size();
    let one = name(50_000);
    source.insert(
        &one,
        Thing::File("something".into()),
        1_100_000_000,
        Behaviour::Honest,
    );
    let second = repo.backup(&source).unwrap().backup;
    assert_eq!(second.changes.files_changed, 1);
    let grown = repo.size() - before;
    assert!(
        grown < 100_000,
        "a change of one file rewrites few nodes, not {grown} bytes"
    );
    assert!(repo.check().unwrap().findings.is_empty());
}

#[test]
fn paths_longer_than_system_limit_are_backed_up_and_restored() {
    use std::os::fd::AsRawFd as _;
    let fixture = TreeFixture::new();
    let mut at = File::open(fixture.tree()).unwrap();
    let part = "d".repeat(200);
    for depth in 0..25 {
        let here = std::path::PathBuf::from(format!("/proc/self/fd/{}", at.as_raw_fd()));
        fs::write(here.join("file"), format!("at depth {depth}")).unwrap();
        fs::create_dir(here.join(&part)).unwrap();
        at = File::open(here.join(&part)).unwrap();
    }
    fixture.settle();
    let disk = Disk::new(fixture);
    let before = disk.tree();
    assert!(
        before.items.keys().any(|path| path.len() > 4096),
        "the tree has a path of that length"
    );
    let report = disk.backup();
    assert!(report.backup.is_complete(), "{:?}", report.backup.unread);
    let _ = disk.restore_all(report.backup.id, "out");
    before.assert_same(&disk.copy("out"), "long paths come back");
    let again = disk.backup().backup;
    assert_eq!(
        again.changes.files_unchanged, 25,
        "the long paths are recognised as unchanged"
    );
}

#[test]
fn compressible_data_is_compressed_and_random_data_is_not() {
    let repo = TestRepo::new();
    let text = "the same words again and again ".repeat(100_000);
    let text_report = repo
        .backup(&MemorySource::new().file("text", text.clone()))
        .unwrap()
        .backup;
    assert!(
        text_report.changes.bytes_stored * 10 < text.len() as u64,
        "text is compressed"
    );
    let random = noise(1, 2_000_000);
    let noise_report = repo.backup_with(
        &MemorySource::new().file("noise", random.clone()),
        &TestRepo::options("other").with_level(19),
    );
    let stored = noise_report.unwrap().backup.changes.bytes_stored;
    assert!(
        (2_000_000..2_050_000).contains(&stored),
        "incompressible data is stored uncompressed: {stored}"
    );
}

#[test]
fn insertion_into_large_file_stores_little_data() {
    let mut content = vec![0; 8_000_000];
    Noise::new(5).fill(&mut content);
    let repo = TestRepo::new();
    let _ = repo
        .backup(&MemorySource::new().file("image", content.clone()))
        .unwrap();
    content.splice(3_000_000..3_000_000, *b"a few bytes in the middle");
    let mut source = MemorySource::new();
    source.insert(
        "image",
        Thing::File(content.into()),
        1_600_000_000,
        Behaviour::Honest,
    );
    let second = repo.backup(&source).unwrap().backup;
    assert!(
        second.changes.bytes_added < 600_000,
        "{} bytes added",
        second.changes.bytes_added
    );
    assert_eq!(repo.files(second.id).unwrap(), source.files());
}

#[test]
fn an_empty_source_is_an_empty_backup() {
    let repo = TestRepo::encrypted();
    let empty = repo.backup(&MemorySource::new()).unwrap().backup;
    assert_eq!((empty.tree, empty.totals.entries), (None, 0));
    assert_eq!(repo.entries(empty.id).unwrap(), []);
    assert!(repo.check().unwrap().findings.is_empty());
    let next = repo
        .backup(&MemorySource::new().file("a", "a"))
        .unwrap()
        .backup;
    assert_eq!(next.base, Some(empty.id));
    assert_eq!(repo.files(next.id).unwrap().len(), 1);
}
