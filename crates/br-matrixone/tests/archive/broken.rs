//! A check and a restore detect damage and name it.

use std::path::Path;

use br_matrixone::archive::*;

use crate::make::{self, Shape};
use crate::restored::restore;

/// Makes a chain, damages a file, and expects check and restore to name it.
fn breaks(shape: Shape, file: &str, kind: ProblemKind, hurt: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
    make::chain(&root, shape);
    hurt(&root.join(file));
    let archive = make::open(&root);
    let backup = archive.find(&make::id(3)).unwrap();
    let report = check(
        &archive,
        backup,
        &CheckOptions::default(),
        &NoArchiveProgress,
    )
    .unwrap();
    let found: Vec<_> = report
        .problems
        .iter()
        .map(|problem| (problem.path.as_str(), problem.kind))
        .collect();
    assert_eq!(found, [(file, kind)], "{:?}", report.problems);
    let error = restore(&root, &make::id(3), RestoreTarget::local(&target).unwrap()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing),
        "{error}"
    );
    let named = error.problems().iter().map(|problem| problem.path.as_str());
    let named: Vec<_> = named.chain(error.path()).collect();
    assert_eq!(named, [file], "{error}");
    assert!(!target.join("mo-data/local/hk_data").exists());
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, less: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - less).unwrap();
}

fn in_base(seed: u64) -> String {
    format!("{}/tae/{}", make::dir_of(0), make::name(seed))
}

fn in_last(seed: u64) -> String {
    format!("{}/tae/{}", make::dir_of(3), make::name(seed))
}

#[test]
fn flipped_bits_are_detected() {
    for file in [in_base(9), in_last(304)] {
        breaks(Shape::RAW, &file, ProblemKind::Digest, |path| {
            flip(path, 3000);
        });
        breaks(Shape::FRAMED, &file, ProblemKind::Frame, |path| {
            flip(path, 3000);
        });
        breaks(Shape::FRAMED, &file, ProblemKind::Frame, |path| {
            flip(path, 1);
        });
    }
}

#[test]
fn truncated_objects_are_detected() {
    for shape in [Shape::RAW, Shape::FRAMED] {
        for less in [1, 2, 2048, 4000] {
            breaks(shape, &in_base(9), ProblemKind::Size, |path| {
                cut(path, less);
            });
            breaks(shape, &in_last(304), ProblemKind::Size, |path| {
                cut(path, less);
            });
        }
    }
}

#[test]
fn missing_objects_are_detected() {
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    for shape in [Shape::RAW, Shape::FRAMED] {
        breaks(shape, &in_base(9), ProblemKind::Missing, remove);
        breaks(shape, &in_last(304), ProblemKind::Missing, remove);
    }
}

#[test]
fn replaced_objects_are_detected() {
    for shape in [Shape::RAW, Shape::FRAMED] {
        let other = |path: &Path| {
            std::fs::write(path, make::framed(&make::object(77, 5000), shape.framing)).unwrap();
        };
        breaks(shape, &in_last(304), ProblemKind::Digest, other);
    }
}

/// No digest of the rewritten object is recorded: only its header can be checked.
#[test]
fn damaged_header_of_file_without_digest_is_detected() {
    let file = format!(
        "{}/tae/{}",
        make::dir_of(3),
        make::name(5).replace("_00000", "_01000")
    );
    breaks(Shape::RAW, &file, ProblemKind::Header, |path| {
        flip(path, 15);
    });
    breaks(Shape::FRAMED, &file, ProblemKind::Header, |path| {
        let mut bytes = make::object(2003, 2500);
        bytes[0] = 0;
        std::fs::write(path, make::framed(&bytes, Framing::Framed)).unwrap();
    });
}

#[test]
fn damage_of_list_and_hk_data_is_detected() {
    let list = format!("{}/tae/tae_list", make::dir_of(3));
    let hk_data = format!("{}/hakeeper/hk_data", make::dir_of(3));
    breaks(Shape::RAW, &list, ProblemKind::Format, |path| {
        flip(path, 100);
    });
    breaks(Shape::FRAMED, &list, ProblemKind::Format, |path| {
        flip(path, 100);
    });
    breaks(Shape::RAW, &hk_data, ProblemKind::Digest, |path| {
        flip(path, 20);
    });
    breaks(Shape::FRAMED, &hk_data, ProblemKind::Frame, |path| {
        flip(path, 20);
    });
    breaks(Shape::RAW, &hk_data, ProblemKind::Missing, |path| {
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn check_detects_damage_that_a_restore_ignores() {
    type Hurt = (&'static str, ProblemKind, fn(&Path));
    let hurts: [Hurt; 5] = [
        ("mo_meta", ProblemKind::Digest, |path| flip(path, 12)),
        ("backup_meta", ProblemKind::Digest, |path| flip(path, 12)),
        ("config/tn.toml_018f70d1", ProblemKind::Missing, |path| {
            std::fs::remove_file(path).unwrap();
        }),
        ("tae/tae_sum", ProblemKind::Frame, |path| flip(path, 12)),
        ("tae/tae_sum.sha256", ProblemKind::Format, |path| {
            cut(path, 1);
        }),
    ];
    for (file, kind, hurt) in hurts {
        let dir = tempfile::tempdir().unwrap();
        let backup = make::backup(dir.path(), Shape::FRAMED, 0, 100, None, &make::cluster());
        hurt(&backup.join(file));
        let archive = make::open(dir.path());
        let report = check(
            &archive,
            archive.only().unwrap(),
            &CheckOptions::default(),
            &NoArchiveProgress,
        )
        .unwrap();
        let found: Vec<_> = report
            .problems
            .iter()
            .map(|problem| (problem.path.clone(), problem.kind))
            .collect();
        assert_eq!(
            found,
            [(format!("{}/{file}", make::dir_of(0)), kind)],
            "{:?}",
            report.problems
        );
    }
}

#[test]
fn check_reports_wrong_total_and_stray_files() {
    let dir = tempfile::tempdir().unwrap();
    let backup = make::backup(dir.path(), Shape::RAW, 0, 100, None, &make::cluster());
    let list = std::fs::read_to_string(backup.join("tae/tae_list")).unwrap();
    make::write_list(
        &backup,
        Shape::RAW,
        &list,
        "2025-01-03 08:42:00,5,1735893768000000100-0,full",
    );
    std::fs::write(backup.join("tae/.tmp.123"), "x").unwrap();
    let archive = make::open(dir.path());
    let report = check(
        &archive,
        archive.only().unwrap(),
        &CheckOptions::default(),
        &NoArchiveProgress,
    )
    .unwrap();
    assert_eq!(
        (report.problem_count, report.problems[0].kind),
        (1, ProblemKind::Total)
    );
    assert_eq!(report.strays, ["tae/.tmp.123"]);
}

#[test]
fn existence_check_finds_missing_files() {
    let dir = tempfile::tempdir().unwrap();
    make::chain(dir.path(), Shape::FRAMED);
    std::fs::remove_file(dir.path().join(in_base(7))).unwrap();
    flip(&dir.path().join(in_base(9)), 99);
    let archive = make::open(dir.path());
    let options = CheckOptions::default().with_level(CheckLevel::Existence);
    let report = check(
        &archive,
        archive.find(&make::id(3)).unwrap(),
        &options,
        &NoArchiveProgress,
    )
    .unwrap();
    let found: Vec<_> = report
        .problems
        .iter()
        .map(|problem| problem.path.clone())
        .collect();
    assert_eq!(found, [in_base(7)]);
    let own = CheckOptions::default().with_own_only(true);
    let report = check(
        &archive,
        archive.find(&make::id(3)).unwrap(),
        &own,
        &NoArchiveProgress,
    )
    .unwrap();
    assert_eq!(report.problem_count, 1);
}

/// After the damaged file was repaired, a restore continues and copies only that file.
#[test]
fn restore_continues_after_repair() {
    let dir = tempfile::tempdir().unwrap();
    let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
    let all = make::chain(&root, Shape::RAW);
    for seed in [7, 9] {
        flip(&root.join(in_base(seed)), 99);
    }
    let error = restore(&root, &make::id(3), RestoreTarget::local(&target).unwrap()).unwrap_err();
    assert_eq!(error.problems().len(), 2);
    for seed in [7, 9] {
        flip(&root.join(in_base(seed)), 99);
    }
    let report = restore(&root, &make::id(3), RestoreTarget::local(&target).unwrap()).unwrap();
    // The rewritten object has no digest, so the restore copies it again, and hk_data as well.
    assert_eq!(report.files - report.kept, 4);
    make::assert_restored(&target, &all[3], Framing::Raw);
}
