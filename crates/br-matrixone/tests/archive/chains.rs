//! Chains of backups: which backup has which files, and which backups depend on others.

use br_matrixone::archive::*;

use crate::make::{self, File, Shape};
use crate::restored::restore;

#[test]
fn missing_base_is_named_before_any_write() {
    for with_index in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
        make::chain(&root, Shape::FRAMED);
        std::fs::remove_dir_all(root.join(make::dir_of(0))).unwrap();
        if with_index {
            std::fs::remove_file(root.join(format!("{}.meta", make::id(0)))).unwrap();
            let rows: String = make::cluster()
                .iter()
                .map(|file| format!("{},{},1-0\n", file.path, make::dir_of(0)))
                .collect();
            std::fs::write(
                root.join(format!("file_index_{}-0.idx", make::ts(100))),
                rows,
            )
            .unwrap();
        }
        let error =
            restore(&root, &make::id(3), RestoreTarget::local(&target).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        // By then, three of the nine objects had been merged into others.
        assert_eq!(error.problems().len(), 6);
        for problem in error.problems() {
            assert!(problem.path.starts_with(&make::dir_of(0)), "{problem}");
            assert!(problem.text.contains("no longer exists"), "{problem}");
        }
        assert!(!target.exists());
    }
}

#[test]
fn missing_base_without_catalogue_line_is_located_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    make::chain(root, Shape::RAW);
    std::fs::remove_dir_all(root.join(make::dir_of(0))).unwrap();
    std::fs::remove_file(root.join(format!("{}.meta", make::id(0)))).unwrap();
    let archive = make::open(root);
    let backup = archive.find(&make::id(2)).unwrap();
    let missing = Resolution::of(&archive, backup, &NoArchiveProgress)
        .unwrap()
        .missing;
    assert_eq!(missing.len(), 7);
    for missing in missing {
        let Holder::Between {
            after: Some(after),
            before: Some(before),
        } = missing.holder
        else {
            panic!("{missing}");
        };
        assert!(after.physical < make::ts(100));
        assert_eq!(before.physical, make::ts(200));
    }
}

#[test]
fn dependents_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    make::chain(root, Shape::FRAMED);
    let archive = make::open(root);
    let needs = |number: u64| {
        let backup = archive.find(&make::id(number)).unwrap();
        let found = dependents(&archive, &[backup], &NoArchiveProgress).unwrap();
        found
            .into_iter()
            .map(|found| (found.id.unwrap(), found.files))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        needs(0),
        [(make::id(1), 8), (make::id(2), 7), (make::id(3), 6)]
    );
    assert_eq!(needs(1), [(make::id(2), 5), (make::id(3), 5)]);
    assert_eq!(needs(2), [(make::id(3), 5)]);
    assert_eq!(needs(3), []);
}

/// A cloned table lists an object again with the time of the clone, so a later backup copies it again.
#[test]
fn clones_are_found_in_every_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (root, shape) = (dir.path().join("archive"), Shape::RAW);
    let old = make::file(1, 5000, 10);
    let clone = File {
        ts: 150,
        ..old.clone()
    };
    make::backup(&root, shape, 0, 100, None, std::slice::from_ref(&old));
    make::backup(
        &root,
        shape,
        1,
        200,
        Some(100),
        std::slice::from_ref(&clone),
    );
    make::backup(
        &root,
        shape,
        2,
        300,
        Some(200),
        std::slice::from_ref(&clone),
    );
    let archive = make::open(&root);
    // Because of the clone's copy, the first backup is not needed.
    let first = archive.find(&make::id(0)).unwrap();
    assert_eq!(
        dependents(&archive, &[first], &NoArchiveProgress).unwrap(),
        []
    );
    let second = archive.find(&make::id(1)).unwrap();
    assert_eq!(
        dependents(&archive, &[second], &NoArchiveProgress).unwrap(),
        []
    );
    // The third backup can use either copy.
    for gone in [0, 1] {
        let aside = dir.path().join("aside");
        let there = root.join(make::dir_of(gone));
        std::fs::rename(&there, &aside).unwrap();
        let target = dir.path().join(format!("mo{gone}"));
        restore(&root, &make::id(2), RestoreTarget::local(&target).unwrap()).unwrap();
        make::assert_restored(&target, std::slice::from_ref(&clone), shape.framing);
        std::fs::rename(&aside, &there).unwrap();
    }
}

/// An object of the same name and another size, from a restored cluster, is not used.
#[test]
fn file_with_same_name_and_other_size_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let (root, shape) = (dir.path(), Shape::RAW);
    make::backup(root, shape, 0, 100, None, &[make::file(1, 5000, 10)]);
    make::backup(
        root,
        shape,
        1,
        200,
        Some(100),
        &[File {
            bytes: make::object(9, 6000),
            ..make::file(1, 0, 10)
        }],
    );
    let archive = make::open(root);
    let found = Resolution::of(
        &archive,
        archive.find(&make::id(1)).unwrap(),
        &NoArchiveProgress,
    )
    .unwrap();
    assert_eq!((found.files.len(), found.missing.len()), (0, 1));
}

/// If the client did not copy a file into the own folder, it is taken from an earlier backup where it is certainly the same.
#[test]
fn file_missing_in_own_folder_is_taken_from_earlier_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (root, shape) = (dir.path().join("archive"), Shape::FRAMED);
    let files = [make::file(1, 5000, 10), make::file(2, 5000, 20)];
    make::backup(&root, shape, 0, 100, None, &files);
    make::backup(&root, shape, 1, 200, Some(0), &files);
    std::fs::remove_file(root.join(make::dir_of(1)).join("tae").join(make::name(1))).unwrap();
    let target = dir.path().join("mo");
    restore(&root, &make::id(1), RestoreTarget::local(&target).unwrap()).unwrap();
    make::assert_restored(&target, &files, shape.framing);
}
