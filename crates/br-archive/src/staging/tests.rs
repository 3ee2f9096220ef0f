use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;
use crate::error::ErrorKind;

/// All files of a folder with their content.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            if path.is_dir() {
                out.insert(name, Vec::new());
                folders.push(path);
            } else {
                out.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    out
}

fn target() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("there/deep")).unwrap();
    fs::write(folder.path().join("there/old"), "old").unwrap();
    fs::write(folder.path().join("there/deep/kept"), "kept").unwrap();
    fs::write(folder.path().join("top"), "before").unwrap();
    folder
}

fn stage(into: &Path) -> Staging {
    let mut staging = Staging::open(into, 1).unwrap();
    for (path, content) in [
        ("there/old", "new"),
        ("there/deep/added", "added"),
        ("fresh/a/b", "b"),
        ("fresh/c", "c"),
        ("top", "after"),
    ] {
        let path = MemberPath::new(path).unwrap();
        let mut file = staging.create(&path, 0o644).unwrap();
        file.write_all(content.as_bytes()).unwrap();
    }
    staging
}

fn after() -> BTreeMap<PathBuf, Vec<u8>> {
    let expected = [
        ("there", ""),
        ("there/deep", ""),
        ("there/deep/kept", "kept"),
        ("there/deep/added", "added"),
        ("there/old", "new"),
        ("fresh", ""),
        ("fresh/a", ""),
        ("fresh/a/b", "b"),
        ("fresh/c", "c"),
        ("top", "after"),
    ];
    let expected = expected.map(|(path, content)| (PathBuf::from(path), content.into()));
    expected.into_iter().collect()
}

#[test]
fn publish_swaps_everything_in() {
    let folder = target();
    stage(folder.path()).publish(true).unwrap();
    assert_eq!(snapshot(folder.path()), after());
}

/// Each swap fails once; the target is unchanged every time.
#[test]
fn failed_swap_leaves_target_unchanged() {
    let folder = target();
    let before = snapshot(folder.path());
    let mut failures = 0;
    loop {
        let staging = stage(folder.path());
        staging.steps.until.set(Some(failures));
        if staging.publish(false).is_ok() {
            break;
        }
        assert_eq!(snapshot(folder.path()), before, "{failures}");
        failures += 1;
    }
    assert_eq!(failures, 4);
    assert_eq!(snapshot(folder.path()), after());
}

/// The process dies after each swap once; the next import finds the journal and undoes the swaps.
#[test]
fn next_import_undoes_a_crash() {
    let folder = target();
    let before = snapshot(folder.path());
    for done in 0..=4 {
        let mut staging = stage(folder.path());
        let mut swaps = Vec::new();
        publish::plan(&staging.new, &staging.target, "", &mut swaps).unwrap();
        assert_eq!(swaps.len(), 4);
        journal::write(&staging.staging, &swaps).unwrap();
        for (number, swap) in swaps.iter().enumerate().take(done) {
            staging.swap(number, swap).unwrap();
        }
        staging.over = true;
        drop(staging);
        assert_ne!(snapshot(folder.path()), before, "{done}");
        drop(Staging::open(folder.path(), 2).unwrap());
        assert_eq!(snapshot(folder.path()), before, "{done}");
    }
}

/// Without a journal no swap was made, so the next import only removes the leftover.
#[test]
fn next_import_removes_leftover_without_journal() {
    let folder = target();
    let before = snapshot(folder.path());
    let mut staging = stage(folder.path());
    staging.over = true;
    drop(staging);
    drop(Staging::open(folder.path(), 2).unwrap());
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn failure_removes_a_target_that_was_created() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("made");
    drop(stage(&into));
    assert!(!into.exists());
    stage(&into).publish(false).unwrap();
    assert_eq!(fs::read(into.join("top")).unwrap(), b"after");
}

#[test]
fn only_one_import_runs_at_a_time() {
    let folder = target();
    let first = stage(folder.path());
    let error = Staging::open(folder.path(), 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    drop(first);
    Staging::open(folder.path(), 2).unwrap();
}

/// Links in the target lead out of it; nothing is written through them, and nothing changes.
#[test]
fn links_are_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    for (link, to) in [("there", "."), ("top", "top"), ("fresh", "a/../..")] {
        let folder = target();
        let place = folder.path().join(link);
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        } else if place.exists() {
            fs::remove_file(&place).unwrap();
        }
        symlink(elsewhere.path().join(to), &place).unwrap();
        let staging = stage(folder.path());
        let error = staging.publish(false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(error.member(), Some(link));
        assert_eq!(snapshot(elsewhere.path()).len(), 0);
        assert!(!folder.path().join("fresh/c").exists());
    }
}

/// A folder blocks a file, and a file blocks a folder.
#[test]
fn files_and_folders_do_not_replace_each_other() {
    let folder = target();
    fs::remove_file(folder.path().join("top")).unwrap();
    fs::create_dir(folder.path().join("top")).unwrap();
    let before = snapshot(folder.path());
    let error = stage(folder.path()).publish(false).unwrap_err();
    assert_eq!(error.to_string(), "top: in the target this is a folder");
    assert_eq!(snapshot(folder.path()), before);
}
