//! Malicious archives.

use br_matrixone::archive::*;

use crate::make::{self, Shape};
use crate::restored::restore;

const SUM: &str = "2025-01-03 08:42:00,5,1735893768000000100-0,full";

#[test]
fn lists_with_paths_out_of_the_archive_are_refused() {
    for path in [
        "../x",
        "../../mo-data/x",
        "/etc/passwd",
        "a/../../x",
        "ckp//x",
        ".br-restore",
        "a\\..\\x",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
        let backup = make::backup(&root, Shape::RAW, 0, 100, None, &make::cluster());
        make::write_list(&backup, Shape::RAW, &format!("{path},5,,true,1-0\n"), SUM);
        let error = restore(&root, "", RestoreTarget::local(&target).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.path().unwrap().ends_with("tae_list"), "{error}");
        let archive = make::open(&root);
        let report = check(
            &archive,
            archive.only().unwrap(),
            &CheckOptions::default(),
            &NoArchiveProgress,
        )
        .unwrap();
        assert_eq!(report.problem_count, 1);
        assert!(!target.exists());
    }
}

#[test]
fn huge_numbers_use_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
    let backup = make::backup(&root, Shape::RAW, 0, 100, None, &[make::file(1, 500, 1)]);
    let list = format!(
        "{},{},,true,1-0\nb,{},,true,1-0\n",
        make::name(1),
        i64::MAX,
        i64::MAX
    );
    make::write_list(&backup, Shape::RAW, &list, SUM);
    let error = restore(&root, "", RestoreTarget::local(&target).unwrap()).unwrap_err();
    assert_eq!(
        (error.kind(), error.problems().len()),
        (ErrorKind::Missing, 2)
    );
}

#[test]
fn links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
    let backup = make::backup(&root, Shape::RAW, 0, 100, None, &make::cluster());
    let object = backup.join("tae").join(make::name(5));
    let outside = dir.path().join("outside");
    std::fs::rename(&object, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &object).unwrap();
    let error = restore(&root, "", RestoreTarget::local(&target).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let archive = make::open(&root);
    let report = check(
        &archive,
        archive.only().unwrap(),
        &CheckOptions::default(),
        &NoArchiveProgress,
    )
    .unwrap();
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.kind == ProblemKind::Irregular)
    );
    // A folder that is a link is not followed either.
    std::fs::rename(backup.join("tae"), dir.path().join("tae")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("tae"), backup.join("tae")).unwrap();
    assert!(restore(&root, "", RestoreTarget::local(&target).unwrap()).is_err());
    assert!(!target.exists());
}

#[test]
fn links_in_the_target_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
    make::backup(&root, Shape::RAW, 0, 100, None, &make::cluster());
    let outside = dir.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::create_dir_all(target.join("mo-data")).unwrap();
    std::os::unix::fs::symlink(&outside, target.join("mo-data/shared")).unwrap();
    assert!(restore(&root, "", RestoreTarget::local(&target).unwrap()).is_err());
    assert_eq!(make::count(&outside), 0);
}

#[test]
fn rows_are_limited() {
    let dir = tempfile::tempdir().unwrap();
    make::backup(dir.path(), Shape::RAW, 0, 100, None, &make::cluster());
    let archive =
        Archive::open(&Folder::local(dir.path()), &Limits::default().with_rows(3)).unwrap();
    let error = Resolution::of(&archive, archive.only().unwrap(), &NoArchiveProgress).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

/// Every byte of the small files is altered in turn: nothing panics.
#[test]
fn altered_metadata_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let backup = make::backup(
        dir.path(),
        Shape::RAW,
        0,
        100,
        None,
        &[make::file(1, 300, 10)],
    );
    for file in [
        "tae/tae_list",
        "tae/tae_sum",
        "mo_meta",
        "backup_meta",
        "hakeeper/hk_data",
        "mo_meta.sha256",
        "tae/tae_list.sha256",
    ] {
        let path = backup.join(file);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            let archive = make::open(dir.path());
            let report = check(
                &archive,
                archive.only().unwrap(),
                &CheckOptions::default(),
                &NoArchiveProgress,
            )
            .unwrap();
            assert!(!report.is_good(), "{file} at {at}");
        }
        std::fs::write(&path, &good).unwrap();
    }
}
