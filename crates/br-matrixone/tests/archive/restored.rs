//! A restore gives the files that were backed up.

use std::path::Path;

use br_matrixone::archive::*;

use crate::make::{self, Shape};

pub(crate) fn restore(root: &Path, id: &str, target: RestoreTarget) -> Result<RestoreReport> {
    let archive = make::open(root);
    let backup = if id.is_empty() {
        archive.only()?
    } else {
        archive.find(id)?
    };
    let plan = RestorePlan::new(&archive, backup, target, &NoArchiveProgress)?;
    plan.execute(&RestoreOptions::default(), &NoArchiveProgress)
}

#[test]
fn every_layout_of_archive_is_restored() {
    for shape in Shape::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
        let files = make::cluster();
        make::backup(&root, shape, 0, 100, None, &files);
        let archive = make::open(&root);
        let backup = archive.only().unwrap();
        assert_eq!(backup.backup_ts.is_some(), shape.columns == 5);
        assert_eq!(backup.id.is_some(), shape.nested);
        let report = check(
            &archive,
            backup,
            &CheckOptions::default(),
            &NoArchiveProgress,
        )
        .unwrap();
        assert!(report.is_good(), "{shape:?} {:?}", report.problems);
        assert_eq!((report.unproven_count, report.strays.len()), (1, 0));
        assert!(report.unproven.keys().all(|path| path.ends_with("_01000")));
        let into = RestoreTarget::local(&target).unwrap();
        let report = restore(&root, "", into).unwrap();
        assert_eq!(
            (report.files, report.kept, report.reframed),
            (files.len() as u64 + 1, 0, 0)
        );
        make::assert_restored(&target, &files, shape.framing);
    }
}

#[test]
fn restore_adds_and_removes_frames() {
    for (shape, framing) in [(Shape::FRAMED, Framing::Raw), (Shape::RAW, Framing::Framed)] {
        let dir = tempfile::tempdir().unwrap();
        let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
        let files = make::cluster();
        make::backup(&root, shape, 0, 100, None, &files);
        let into = RestoreTarget::local(&target).unwrap().with_framing(framing);
        assert_eq!(
            restore(&root, "", into).unwrap().reframed,
            files.len() as u64
        );
        make::assert_restored(&target, &files, framing);
    }
}

#[test]
fn every_backup_of_a_chain_is_restored() {
    for shape in [Shape::FRAMED, Shape::RAW] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("archive");
        let all = make::chain(&root, shape);
        for (number, files) in all.iter().enumerate() {
            let target = dir.path().join(format!("mo{number}"));
            let id = make::id(number as u64);
            let archive = make::open(&root);
            let report = check(
                &archive,
                archive.find(&id).unwrap(),
                &CheckOptions::default(),
                &NoArchiveProgress,
            )
            .unwrap();
            assert!(report.is_good(), "{:?}", report.problems);
            assert_eq!(report.uses.len(), number + 1);
            restore(&root, &id, RestoreTarget::local(&target).unwrap()).unwrap();
            make::assert_restored(&target, files, shape.framing);
        }
    }
}

#[test]
fn folder_of_one_backup_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let all = make::chain(dir.path(), Shape::FRAMED);
    let archive = make::open(&dir.path().join(make::dir_of(2)));
    let backup = archive.only().unwrap();
    assert_eq!(backup.id, Some(make::id(2)));
    let target = dir.path().join("mo");
    let into = RestoreTarget::local(&target).unwrap();
    let plan = RestorePlan::new(&archive, backup, into, &NoArchiveProgress).unwrap();
    plan.execute(&RestoreOptions::default(), &NoArchiveProgress)
        .unwrap();
    make::assert_restored(&target, &all[2], Framing::Framed);
}

#[test]
fn folders_of_a_configuration_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
    let files = make::cluster();
    make::backup(&root, Shape::FRAMED, 0, 100, None, &files);
    let config = "[[fileservice]]\nname='SHARED'\nbackend='DISK-V2'\ndata-dir='mo-data/shared2'\n\
        [[fileservice]]\nname='LOCAL'\nbackend='DISK-V2'\ndata-dir='mo-data/local2'\n";
    let config = TnConfig::parse(config).unwrap();
    restore(
        &root,
        "",
        RestoreTarget::local_with(&target, &config).unwrap(),
    )
    .unwrap();
    std::fs::rename(
        target.join("mo-data/shared2"),
        target.join("mo-data/shared"),
    )
    .unwrap();
    std::fs::rename(target.join("mo-data/local2"), target.join("mo-data/local")).unwrap();
    make::assert_restored(&target, &files, Framing::Raw);
}

#[test]
fn target_that_is_not_empty_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    make::backup(&root, Shape::RAW, 0, 100, None, &make::cluster());
    for other in [
        "mo-data/shared/x",
        "mo-data/local/RESTORED",
        "mo-data/logservice-data/wal",
        "mo-data/local/hk_data",
    ] {
        let target = dir.path().join(other.replace('/', "-"));
        let path = target.join(other);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "mine").unwrap();
        let error = restore(&root, "", RestoreTarget::local(&target).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{other}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        assert_eq!(make::count(&target), 1);
    }
    let target = dir.path().join("twice");
    restore(&root, "", RestoreTarget::local(&target).unwrap()).unwrap();
    let again = restore(&root, "", RestoreTarget::local(&target).unwrap()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);
}

#[test]
fn unfinished_backups_are_shown_and_not_used() {
    let dir = tempfile::tempdir().unwrap();
    make::chain(dir.path(), Shape::FRAMED);
    std::fs::remove_file(dir.path().join(make::dir_of(3)).join("mo_meta.sha256")).unwrap();
    std::fs::create_dir_all(
        dir.path()
            .join("full-01942b55-0f5a-7d64-8f2f-00000000ffff/tae"),
    )
    .unwrap();
    let archive = make::open(dir.path());
    assert_eq!(
        (archive.backups().len(), archive.unfinished().len()),
        (3, 2)
    );
    let error = archive.find(&make::id(3)).unwrap_err();
    assert!(error.to_string().contains("mo_meta.sha256"), "{error}");
    let nothing = tempfile::tempdir().unwrap();
    let error = Archive::open(&Folder::local(nothing.path()), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
