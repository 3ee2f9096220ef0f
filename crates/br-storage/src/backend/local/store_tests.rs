//! Symptom: a `prune` whose clock was ahead swept the staging file of a live writer. The next writer took the
//! same name, and the first one then linked the bytes of the second, or failed with "not found". Cause:
//! staging numbers began at 1, and a link uses the name. Fix: random numbers, a check of the file before the
//! link, and a second write.

use super::super::{Meddle, open};
use super::*;
use crate::StorageOptions;

fn disk() -> (tempfile::TempDir, Arc<Disk>) {
    let folder = tempfile::tempdir().unwrap();
    let options = StorageOptions::default().with_fsync(false);
    let disk = open(folder.path(), &options).unwrap().disk.unwrap();
    (folder, disk)
}

fn meddle(disk: &Disk, how: impl FnMut(&Disk, &str) + Send + 'static) {
    *disk.meddle.lock().unwrap() = Some(Meddle(Box::new(how)));
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let names = std::fs::read_dir(folder.path().join("packs")).unwrap();
    let name = |item: io::Result<std::fs::DirEntry>| item.unwrap().file_name();
    let mut names: Vec<_> = names
        .map(|item| name(item).into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn file_is_written_again_if_its_staging_file_was_swept() {
    for (sweeps, replace) in [(1, false), (MAX_WRITES - 1, false), (1, true)] {
        let (folder, disk) = disk();
        let mut left = sweeps;
        meddle(&disk, move |disk, staged| {
            if left > 0 {
                left -= 1;
                disk.root.remove_file(staged).unwrap();
            }
        });
        disk.write("packs/one", &PutPayload::from_static(b"whole"), replace)
            .unwrap();
        let bytes = std::fs::read(folder.path().join("packs/one")).unwrap();
        assert_eq!(bytes, b"whole", "swept {sweeps} times");
        assert_eq!(names(&folder), ["one"], "nothing is left");
    }
}

#[test]
fn a_file_that_is_swept_every_time_is_an_error_and_not_an_absence() {
    let (folder, disk) = disk();
    meddle(&disk, |disk, staged| disk.root.remove_file(staged).unwrap());
    let written = disk.write("packs/one", &PutPayload::from_static(b"whole"), false);
    let error = written.unwrap_err();
    assert!(!is_absent(&error), "{error}");
    assert!(error.to_string().contains("clocks"), "{error}");
    assert!(names(&folder).is_empty());
}

#[test]
fn file_of_another_writer_is_never_published() {
    for replace in [false, true] {
        let (folder, disk) = disk();
        let mut first = true;
        meddle(&disk, move |disk, staged| {
            if std::mem::take(&mut first) {
                disk.root.remove_file(staged).unwrap();
                let mut other = disk.root.create_file(staged).unwrap();
                other.write_all(b"of another").unwrap();
            }
        });
        disk.write("packs/one", &PutPayload::from_static(b"mine"), replace)
            .unwrap();
        let bytes = std::fs::read(folder.path().join("packs/one")).unwrap();
        assert_eq!(bytes, b"mine");
        assert_eq!(names(&folder).len(), 2, "the other writer keeps its file");
    }
}

#[test]
fn two_writers_of_a_key_get_other_names() {
    let (_folder, disk) = disk();
    let (first, _) = disk.stage("packs/one").unwrap();
    disk.root.remove_file(&first).unwrap();
    let (second, _) = disk.stage("packs/one").unwrap();
    assert_ne!(first, second);
    for name in [first, second] {
        let name = name.strip_prefix("packs/").unwrap();
        assert!(super::super::is_staging_name(name), "{name}");
    }
}
