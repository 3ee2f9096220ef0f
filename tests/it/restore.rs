//! Restores: exactly the selected paths, and nothing outside of the target.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::restore::{Overwrite, RestoreOptions, restore};
use br_core::source::{LocalSource, LocalSourceOptions};
use br_core::{BackupSelector, Context, ErrorKind, Site};
use br_testkit::{Snapshot, TestRepo, TreeFixture, block_on, set_time};

use crate::support::Disk;

fn options() -> RestoreOptions {
    RestoreOptions::default()
}

#[test]
fn restore_writes_only_selected_paths() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    let before = disk.tree();
    for (number, path) in [
        "folder/large",
        "folder/deeper",
        "many",
        "link",
        "zz hard",
        "folder",
    ]
    .iter()
    .enumerate()
    {
        let to = format!("out{number}");
        let paths = vec![disk.stored(path)];
        let report = disk.restore(id, &to, &options().with_paths(paths)).unwrap();
        assert_eq!(report.failed, [], "{path}");
        let copy = disk.copy(&to);
        for (there, item) in &copy.items {
            let there = std::str::from_utf8(there).unwrap();
            let leads = there.is_empty() || path.starts_with(&format!("{there}/"));
            let inside = there == *path || there.starts_with(&format!("{path}/"));
            assert!(leads || inside, "{there} was not selected");
            let mut wanted = before.items[there.as_bytes()].clone();
            // The other names of this file were not selected.
            wanted.linked_to.clone_from(&item.linked_to);
            assert_eq!(*item, wanted, "{there} is unchanged");
        }
        let wanted = before.items.keys().filter(|other| {
            **other == *path.as_bytes() || other.starts_with(format!("{path}/").as_bytes())
        });
        for wanted in wanted {
            assert!(
                copy.items.contains_key(wanted),
                "{} is there",
                wanted.escape_ascii()
            );
        }
    }
}

#[test]
fn a_path_that_is_not_in_the_backup_is_an_error() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    let paths = vec![disk.stored("many/001"), disk.stored("no such")];
    let error = disk
        .restore(id, "out", &options().with_paths(paths))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PathNotFound, "{error}");
    assert!(
        error.to_string().contains("no such"),
        "the path is named: {error}"
    );
}

/// Restores over a copy in which one file has other content and the same size and time, and another has other content.
fn over(overwrite: Overwrite) -> (Disk, br_core::engine::restore::RestoreReport) {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    let _ = disk.restore_all(id, "out");
    let hidden = disk.restored("out", "just a chunk");
    let meta = fs::metadata(&hidden).unwrap();
    fs::write(&hidden, [b'?'; 513]).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    set_time(&hidden, meta.mtime(), meta.mtime_nsec());
    fs::write(disk.restored("out", "many/007"), "changed").unwrap();
    fs::remove_file(disk.restored("out", "folder/large")).unwrap();
    fs::remove_file(disk.restored("out", "link")).unwrap();
    symlink("elsewhere", disk.restored("out", "link")).unwrap();
    let report = disk
        .restore(id, "out", &options().with_overwrite(overwrite))
        .unwrap();
    assert_eq!(report.failed, []);
    (disk, report)
}

#[test]
fn existing_files_with_same_metadata_are_not_rewritten() {
    let (disk, report) = over(Overwrite::IfChanged);
    let read = |path| fs::read(disk.restored("out", path)).unwrap();
    assert_eq!(
        read("just a chunk"),
        [b'?'; 513],
        "a file with the same size and time is not read"
    );
    assert_eq!(
        read("many/007"),
        b"content 7",
        "a file that differs is replaced"
    );
    assert_eq!(
        report.files_restored, 2,
        "the changed file and the missing file are written"
    );
    let copy = disk.copy("out").without("just a chunk");
    disk.tree()
        .without("just a chunk")
        .assert_same(&copy, "all else is as in the backup");
}

#[test]
fn overwrite_always_replaces_every_file() {
    let (disk, report) = over(Overwrite::Always);
    disk.tree()
        .assert_same(&disk.copy("out"), "all is as in the backup");
    assert_eq!(report.files_unchanged, 0, "every file is written");
}

#[test]
fn overwrite_never_replaces_no_file() {
    let (disk, report) = over(Overwrite::Never);
    let read = |path| fs::read(disk.restored("out", path)).unwrap();
    assert_eq!(read("just a chunk"), [b'?'; 513]);
    assert_eq!(read("many/007"), b"changed", "a file that differs stays");
    let link = fs::read_link(disk.restored("out", "link")).unwrap();
    assert_eq!(link.to_str(), Some("elsewhere"), "a link stays as well");
    assert_eq!(report.files_restored, 1, "only the missing file is written");
}

#[test]
fn surplus_is_deleted_only_in_backed_up_folders() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    let _ = disk.restore_all(id, "out");
    let inside = ["extra", "folder/extra", "many/extra"];
    for path in inside {
        fs::write(disk.restored("out", path), "extra").unwrap();
    }
    fs::create_dir_all(disk.restored("out", "extra folder/deep")).unwrap();
    symlink("/", disk.restored("out", "folder/link to root")).unwrap();
    // A parent folder of backed-up entries contains other files that were never part of the backup.
    let beside = disk.restored("out", "").with_file_name("sibling");
    fs::write(&beside, "precious").unwrap();
    let top = disk.fixture.at("out/precious");
    fs::write(&top, "precious").unwrap();

    let everything = Snapshot::of(disk.fixture.at("out"));
    let dry = options().with_delete(true).with_dry_run(true);
    let report = disk.restore(id, "out", &dry).unwrap();
    assert_eq!(
        report.deleted.len(),
        5,
        "a dry run reports what it would delete: {:?}",
        report.deleted
    );
    everything.assert_same(
        &Snapshot::of(disk.fixture.at("out")),
        "a dry run changes nothing",
    );

    let some = options()
        .with_delete(true)
        .with_paths(vec![disk.stored("folder")]);
    let report = disk.restore(id, "out", &some).unwrap();
    assert_eq!(
        report.deleted.len(),
        2,
        "only entries of the selected folder are deleted: {:?}",
        report.deleted
    );
    assert!(
        disk.restored("out", "extra").exists(),
        "entries outside of the folder stay"
    );

    let report = disk
        .restore(id, "out", &options().with_delete(true))
        .unwrap();
    assert_eq!(
        report.deleted.len(),
        3,
        "the remaining entries are deleted: {:?}",
        report.deleted
    );
    assert_eq!(report.failed, []);
    disk.tree()
        .assert_same(&disk.copy("out"), "all backed-up entries are unchanged");
    assert!(
        beside.exists() && top.exists(),
        "siblings of a leading folder stay"
    );
    assert!(fs::metadata("/etc").is_ok(), "links are not followed");
}

#[test]
fn a_dry_run_writes_nothing() {
    let disk = Disk::new(TreeFixture::rich());
    let backup = disk.backup().backup;
    let report = disk
        .restore(backup.id, "out", &options().with_dry_run(true))
        .unwrap();
    assert!(
        !disk.fixture.at("out").exists(),
        "the target folder is not created"
    );
    assert_eq!(
        report.entries, backup.totals.entries,
        "every entry is counted"
    );
    assert!(
        report.bytes_restored > 6_000_000,
        "the report has all counts: {report:?}"
    );
}

#[test]
fn symlink_planted_in_target_is_not_followed() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    let outside = disk.fixture.at("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("large"), "precious").unwrap();
    let kept = Snapshot::of(&outside);
    let at = disk.restored("out", "");
    fs::create_dir_all(&at).unwrap();
    symlink(&outside, at.join("folder")).unwrap();
    symlink(outside.join("large"), at.join("small")).unwrap();
    symlink(&outside, at.join("many")).unwrap();
    for options in [
        options().with_dry_run(true),
        options().with_delete(true),
        options().with_overwrite(Overwrite::Always),
    ] {
        let report = disk.restore(id, "out", &options).unwrap();
        assert!(
            !report.damaged,
            "an obstacle in the target is not reported as damage: {:?}",
            report.failed
        );
        kept.assert_same(
            &Snapshot::of(&outside),
            "nothing outside of the target is touched",
        );
    }
}

#[test]
fn a_target_behind_a_file_is_refused() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    fs::write(disk.fixture.at("out"), "a file").unwrap();
    let error = disk.restore(id, "out", &options()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Io | ErrorKind::Invalid),
        "{error}: {:?}",
        error.kind()
    );
    assert_eq!(
        fs::read(disk.fixture.at("out")).unwrap(),
        b"a file",
        "the existing entry stays"
    );
}

#[test]
fn every_number_of_threads_gives_the_same() {
    let disk = Disk::encrypted(TreeFixture::rich());
    let id = disk.backup().backup.id;
    for threads in [1, 2, 9] {
        let to = format!("out{threads}");
        let report = disk
            .restore(id, &to, &options().with_threads(Some(threads)))
            .unwrap();
        assert_eq!(report.failed, []);
        disk.tree()
            .assert_same(&disk.copy(&to), "threads make no difference");
    }
}

#[test]
fn a_restore_over_a_running_copy_leaves_no_temporary_files() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    for overwrite in [Overwrite::IfChanged, Overwrite::Always] {
        let _ = disk
            .restore(id, "out", &options().with_overwrite(overwrite))
            .unwrap();
        let paths = disk.copy("out").paths();
        let temporary: Vec<_> = paths.iter().filter(|path| path.contains(".br-")).collect();
        assert!(temporary.is_empty(), "{temporary:?}");
    }
}

#[test]
fn an_unknown_backup_is_an_error() {
    let disk = Disk::new(TreeFixture::new());
    let error = disk
        .restore(br_core::model::BackupId(nil()), "out", &options())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BackupNotFound, "{error}");
    let _ = disk.backup();
    let error = disk
        .restore(br_core::model::BackupId(nil()), "out", &options())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BackupNotFound, "{error}");
    assert!(!disk.fixture.at("out").exists(), "nothing is created");
}

fn nil() -> uuid::Uuid {
    uuid::Uuid::nil()
}

#[test]
fn kept_file_gets_no_additional_hard_links() {
    let fixture = TreeFixture::new();
    fixture.write("a", "the content of both names");
    fs::hard_link(fixture.tree().join("a"), fixture.tree().join("b")).unwrap();
    fs::hard_link(fixture.tree().join("a"), fixture.tree().join("c")).unwrap();
    fixture.settle();
    let disk = Disk::new(fixture);
    let id = disk.backup().backup.id;
    fs::create_dir_all(disk.restored("out", "")).unwrap();
    fs::write(disk.restored("out", "a"), "something else").unwrap();
    let report = disk
        .restore(id, "out", &options().with_overwrite(Overwrite::Never))
        .unwrap();
    assert_eq!(report.failed, []);
    let read = |path| fs::read(disk.restored("out", path)).unwrap();
    assert_eq!(read("a"), b"something else", "the existing file stays");
    assert_eq!(
        read("b"),
        b"the content of both names",
        "no other name is linked to the existing file"
    );
    let copy = disk.copy("out");
    assert_eq!(
        copy.items[&b"c"[..]].linked_to,
        Some(b"b".to_vec()),
        "the other names are one file"
    );
}

/// Symptom: a restore looked for surplus files only below the paths that the backup names. If its entries were elsewhere, it deleted none.
/// Fix: a folder counts as backed up if it has an entry and is not a parent of one of the paths.
#[test]
fn surplus_is_deleted_in_all_folders_with_entries() {
    for paths in [vec![], vec![b"db".to_vec()]] {
        let disk = Disk::new(TreeFixture::rich());
        let backup = BackupOptions::new("host", "user", paths);
        let id = disk.backup_with(disk.source(), &backup).unwrap().backup.id;
        let _ = disk.restore_all(id, "out");
        let mine = disk.restored("out", "folder/mine");
        fs::write(&mine, "surplus").unwrap();
        let delete = options().with_delete(true);
        let report = disk.restore(id, "out", &delete).unwrap();
        assert_eq!(report.deleted, [disk.stored("folder/mine")]);
        assert!(!mine.exists());
        let copy = disk.copy("out");
        disk.tree().assert_same(&copy, "nothing else is deleted");
    }
}

#[test]
fn a_target_without_a_name_is_refused() {
    let disk = Disk::new(TreeFixture::rich());
    let _ = disk.backup();
    for dry_run in [true, false] {
        let options = options().with_dry_run(dry_run);
        let context = Context::system();
        let done = restore(
            &disk.repository,
            &BackupSelector::Latest,
            PathBuf::new(),
            &options,
            &context,
        );
        let error = block_on(done).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(error.site(), Site::Target, "{error}");
    }
}

#[test]
fn invalid_target_path_is_refused_in_dry_and_real_run() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    let kinds = [true, false].map(|dry_run| {
        let options = options().with_dry_run(dry_run);
        let error = disk.restore(id, "out\0", &options).unwrap_err();
        assert_eq!(error.site(), Site::Target, "{error}");
        error.kind()
    });
    assert_eq!(kinds[0], kinds[1]);
}

/// Symptom: without paths, the backup seemed to have everything, and a restore that deletes removed what was next to the folder.
#[test]
fn backup_without_paths_has_those_of_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    let repo = TestRepo::new();
    let source = LocalSource::new(&[&tree], LocalSourceOptions::default()).unwrap();
    let without = BackupOptions::new("host", "user", Vec::new());
    let made = block_on(backup(&repo.repository, source, &without, &repo.context));
    let made = made.unwrap().backup;
    let typed = tree.as_os_str().as_encoded_bytes().to_vec();
    assert_eq!(made.paths, [typed]);
    // The same folders below another target.
    let out = tempfile::tempdir().unwrap();
    let below = |path: &Path| out.path().join(path.strip_prefix("/").unwrap());
    let (beside, surplus) = (dir.path().join("beside"), tree.join("surplus"));
    fs::create_dir_all(below(&tree)).unwrap();
    for file in [&beside, &surplus] {
        fs::write(below(file), "not in the backup").unwrap();
    }
    let options = options().with_delete(true);
    let restored = restore(
        &repo.repository,
        made.id,
        out.path(),
        &options,
        &repo.context,
    );
    let _ = block_on(restored).unwrap();
    assert!(below(&beside).exists() && !below(&surplus).exists());
}
