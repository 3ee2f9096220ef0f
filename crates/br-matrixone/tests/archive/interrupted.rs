//! Interrupted restores continue.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use br_matrixone::archive::*;

use crate::make::{self, Shape};

/// Cancels after a number of events.
struct Stop(AtomicU64, u64);

impl ArchiveProgress for Stop {
    fn event(&self, _event: Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= self.1
    }
}

fn run(root: &Path, target: &Path, progress: &dyn ArchiveProgress) -> Result<RestoreReport> {
    let archive = make::open(root);
    let backup = archive.find(&make::id(3))?;
    let plan = RestorePlan::new(
        &archive,
        backup,
        RestoreTarget::local(target)?,
        &NoArchiveProgress,
    )?;
    plan.execute(&RestoreOptions::default(), progress)
}

#[test]
fn restore_cancelled_at_any_step_continues() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    let all = make::chain(&root, Shape::FRAMED);
    for steps in 1.. {
        let target = dir.path().join(format!("mo{steps}"));
        match run(&root, &target, &Stop(AtomicU64::new(0), steps)) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
            Ok(_) => break,
        }
        assert!(!target.join("mo-data/local/hk_data").exists());
        run(&root, &target, &NoArchiveProgress).unwrap();
        make::assert_restored(&target, &all[3], Framing::Framed);
        std::fs::remove_dir_all(&target).unwrap();
    }
}

const ROOT: &str = "BR_TEST_ARCHIVE_ROOT";
const TARGET: &str = "BR_TEST_ARCHIVE_TARGET";

/// The child process that the next test kills.
#[test]
fn the_child_that_is_killed() {
    let (Some(root), Some(target)) = (std::env::var_os(ROOT), std::env::var_os(TARGET)) else {
        return;
    };
    run(Path::new(&root), Path::new(&target), &NoArchiveProgress).unwrap();
}

#[test]
fn restore_killed_at_any_time_continues() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    let mut files = make::cluster();
    // Enough files for a long run.
    files.extend((500..700).map(|seed| make::file(seed, 200_000, 20)));
    make::backup(&root, Shape::FRAMED, 0, 100, None, &files);
    make::backup(&root, Shape::FRAMED, 3, 200, Some(5), &files);
    let mut kept = 0;
    for round in 0..8u64 {
        let target = dir.path().join("mo");
        for wait in [3 + 7 * round, 11 + 5 * round] {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "interrupted::the_child_that_is_killed"])
                .env(ROOT, &root)
                .env(TARGET, &target)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(wait));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        match run(&root, &target, &NoArchiveProgress) {
            Ok(report) => kept += report.kept,
            // The child finished before the kill.
            Err(error) => assert!(
                error.kind() == ErrorKind::Exists
                    && !target.join("mo-data/shared/.br-restore").exists(),
                "{error}"
            ),
        }
        make::assert_restored(&target, &files, Framing::Framed);
        std::fs::remove_dir_all(&target).unwrap();
    }
    println!("{kept} files were kept");
}

/// After a power failure a file may exist without its content.
#[test]
fn wrong_existing_files_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
    let all = make::chain(&root, Shape::RAW);
    run(&root, &target, &Stop(AtomicU64::new(0), 12)).unwrap_err();
    let shared = target.join("mo-data/shared");
    assert!(shared.join(".br-restore").exists());
    for (number, file) in all[3].iter().enumerate() {
        let path = shared.join(&file.path);
        if !path.exists() || number % 2 == 0 {
            continue;
        }
        let len = std::fs::metadata(&path).unwrap().len();
        std::fs::write(
            &path,
            vec![0; if number % 3 == 0 { 0 } else { len as usize }],
        )
        .unwrap();
    }
    std::fs::write(shared.join(".br-x.tmp"), "part").unwrap();
    run(&root, &target, &NoArchiveProgress).unwrap();
    make::assert_restored(&target, &all[3], Framing::Raw);
}

#[test]
fn restore_of_another_backup_does_not_continue() {
    let dir = tempfile::tempdir().unwrap();
    let (root, target) = (dir.path().join("archive"), dir.path().join("mo"));
    make::chain(&root, Shape::RAW);
    run(&root, &target, &Stop(AtomicU64::new(0), 3)).unwrap_err();
    let archive = make::open(&root);
    let other = archive.find(&make::id(2)).unwrap();
    let plan = RestorePlan::new(
        &archive,
        other,
        RestoreTarget::local(&target).unwrap(),
        &NoArchiveProgress,
    )
    .unwrap();
    let error = plan
        .execute(&RestoreOptions::default(), &NoArchiveProgress)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(error.to_string().contains("another backup"), "{error}");
}
