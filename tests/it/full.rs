//! Full disk: no data is lost, the error names the reason, and the command continues once there is space.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use br_core::engine::backup::backup;
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::engine::{delete, prune};
use br_core::model::BackupId;
use br_core::{BackupSelector, Context, ErrorKind, InitOptions, Location, Repository};
use br_testkit::{MemorySource, TestRepo, block_on, is_root, noise, skip};

/// A small separate file system, unmounted at the end.
pub(crate) struct Tmpfs {
    dir: tempfile::TempDir,
}

impl Tmpfs {
    /// `None` when the file system cannot be created here.
    pub(crate) fn new(mib: u32) -> Option<Self> {
        if !is_root() {
            skip("only root can mount");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "br-test"])
            .arg(dir.path())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            skip("mounting is not allowed");
            return None;
        }
        Some(Self { dir })
    }

    fn resize(&self, mib: u32) {
        let options = format!("remount,size={mib}m");
        let status = Command::new("mount")
            .args(["-o", &options])
            .arg(self.dir.path())
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.dir.path())
            .status();
    }
}

fn files(count: u64) -> MemorySource {
    let file = |source: MemorySource, n| source.file(&format!("file{n:02}"), noise(n, 1 << 20));
    (0..count).fold(MemorySource::new(), file)
}

#[test]
fn backup_on_full_disk_continues_after_space_is_freed() {
    let Some(small) = Tmpfs::new(12) else { return };
    let context = Context::system();
    let location = Location::Local(small.at("repository"));
    let repository = block_on(Repository::init(
        &location,
        &InitOptions::default(),
        &context,
    ))
    .unwrap();
    let first = block_on(backup(
        &repository,
        files(4),
        &TestRepo::options("host"),
        &context,
    ))
    .unwrap();
    let journal = tempfile::tempdir().unwrap();
    let options = TestRepo::options("host").with_journal(Some(journal.path().to_owned()));
    let error = block_on(backup(&repository, files(40), &options, &context)).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Full,
        "{error}: {:?}",
        std::error::Error::source(&error)
    );
    let look = CheckOptions::default().with_data(ReadData::All);
    let report = block_on(check(&repository, &look, &context)).unwrap();
    assert!(
        report.is_sound(),
        "existing backups are sound: {:?}",
        report.findings
    );
    let listed = block_on(repository.backups(&context)).unwrap();
    let listed: Vec<_> = listed.iter().map(|backup| backup.id).collect();
    assert_eq!(listed, [first.backup.id], "no new backup is listed");
    small.resize(80);
    let report = block_on(backup(&repository, files(40), &options, &context)).unwrap();
    assert_eq!(report.backup.totals.files, 40);
    let report = block_on(check(&repository, &look, &context)).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    let staged = |folder: &Path| count(folder, &|name| name.contains('#'));
    assert_eq!(
        staged(&small.at("repository")),
        0,
        "no half-written objects are left"
    );
}

/// Counts the files below a folder that have a wanted name.
fn count(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> usize {
    let items = fs::read_dir(folder).unwrap().map(|item| item.unwrap());
    let count = |item: fs::DirEntry| {
        if item.file_type().unwrap().is_dir() {
            count(&item.path(), wanted)
        } else {
            usize::from(wanted(item.file_name().to_str().unwrap()))
        }
    };
    items.map(count).sum()
}

#[test]
fn restore_on_full_disk_reports_missing_files() {
    let Some(small) = Tmpfs::new(8) else { return };
    let repo = TestRepo::new();
    let source = files(16).file("zz inline", "short");
    let _ = repo.backup(&source).unwrap();
    let target = small.at("out");
    let options = RestoreOptions::default().with_owner(false);
    let report = restore(
        &repo.repository,
        &BackupSelector::Latest,
        target.clone(),
        &options,
        &repo.context,
    );
    let report = block_on(report).unwrap();
    assert!(
        report.failed_count >= 8,
        "some files do not fit: {report:?}"
    );
    assert!(!report.damaged, "the error does not name the repository");
    for (path, reason) in &report.failed {
        assert!(reason.contains("No space left"), "{path}: {reason}");
        assert!(
            !target.join(path.to_string()).exists(),
            "no part of {path} is left"
        );
    }
    let failed: Vec<_> = report
        .failed
        .iter()
        .map(|(path, _)| path.to_string())
        .collect();
    for (path, content) in source.files() {
        if !failed.contains(&path) {
            assert_eq!(
                fs::read(target.join(&path)).unwrap(),
                content,
                "{path} is complete"
            );
        }
    }
    assert_eq!(
        count(&target, &|name| name.starts_with(".br-")),
        0,
        "no temporary files are left"
    );
    small.resize(64);
    let report = restore(
        &repo.repository,
        &BackupSelector::Latest,
        target.clone(),
        &options,
        &repo.context,
    );
    let report = block_on(report).unwrap();
    assert_eq!(report.failed, []);
    assert!(
        report.files_unchanged >= 1,
        "existing files are not written again: {report:?}"
    );
    for (path, content) in source.files() {
        assert_eq!(fs::read(target.join(&path)).unwrap(), content, "{path}");
    }
}

/// Fills the file system completely.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    for len in [1 << 20, 4096, 64, 1] {
        while file.write_all(&vec![7; len]).is_ok() {}
    }
}

fn available(small: &Tmpfs) -> u64 {
    let output = Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(small.dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().nth(1).unwrap().trim().parse().unwrap()
}

fn delete_backups(
    repository: &Repository,
    ids: &[BackupId],
    context: &Context,
) -> br_core::Result<()> {
    block_on(async {
        let plan = delete::plan(repository, ids.iter().copied(), context).await?;
        delete::delete(repository, &plan, context).await
    })
}

fn prune_all(repository: &Repository, context: &Context) -> br_core::Result<prune::PruneReport> {
    let options = TestRepo::thorough();
    block_on(async {
        let plan = prune::plan(repository, &options, context).await?;
        prune::prune(repository, &plan, context).await
    })
}

/// Symptom: on a disk without a free byte, br could write no log entry, so it could delete nothing.
#[test]
fn delete_and_prune_work_on_completely_full_disk() {
    // The prune frees a pack of four files. Of a pack of eight files, some are still used: the prune must copy nothing, some data, or more
    // data than there is space for.
    for (kept, with_reserve) in [(0..0, true), (6..8, true), (2..8, true), (6..8, false)] {
        let Some(small) = Tmpfs::new(36) else { return };
        let context = Context::system();
        let location = Location::Local(small.at("repository"));
        let options = InitOptions::default();
        let repository = block_on(Repository::init(&location, &options, &context)).unwrap();
        let back_up = |source: &MemorySource, host: &str| {
            let options = TestRepo::options(host);
            let made = block_on(backup(&repository, source.clone(), &options, &context));
            made.map(|report| report.backup.id)
        };
        let file =
            |source: MemorySource, n: u64| source.file(&format!("file{n:02}"), noise(n, 1 << 20));
        let other = kept
            .clone()
            .fold(MemorySource::new(), file)
            .file("own", noise(99, 1 << 20));
        let alone = (20..24).fold(MemorySource::new(), file);
        let deleted = [
            back_up(&files(8), "deleted").unwrap(),
            back_up(&alone, "alone").unwrap(),
        ];
        let id = back_up(&other, "kept").unwrap();
        let what = format!("{kept:?}, reserve {with_reserve}");
        if !with_reserve {
            // Deleted while there was space; then the reserve was used up.
            delete_backups(&repository, &deleted, &context).unwrap();
            fs::remove_file(small.at("repository/reserve")).unwrap();
        }
        fill(&small.at("filler"));
        assert_eq!(available(&small), 0, "{what}");
        if with_reserve {
            delete_backups(&repository, &deleted, &context).unwrap();
            fill(&small.at("more"));
            assert_eq!(available(&small), 0, "{what}");
        }
        let report = prune_all(&repository, &context).unwrap();
        let fits = kept.end - kept.start <= 4;
        let least = if fits { 8 << 20 } else { 3 << 20 };
        assert!(
            available(&small) > least,
            "{what}: {} {report:?}",
            available(&small)
        );
        assert_eq!(report.failed == 0, fits, "{what}: {report:?}");
        let look = CheckOptions::default().with_data(ReadData::All);
        let checked = block_on(check(&repository, &look, &context)).unwrap();
        assert!(checked.is_sound(), "{what}: {:?}", checked.findings);
        let listed = block_on(repository.backups(&context)).unwrap();
        assert_eq!(listed.len(), 1, "{what}");
        assert_eq!(listed[0].id, id, "{what}");
        fs::remove_file(small.at("filler")).unwrap();
        let _ = fs::remove_file(small.at("more"));
        assert_eq!(
            prune_all(&repository, &context).unwrap().failed,
            0,
            "{what}"
        );
        back_up(&files(8), "again").unwrap();
        let checked = block_on(check(&repository, &look, &context)).unwrap();
        assert!(
            checked.findings.is_empty(),
            "{what}: {:?}",
            checked.findings
        );
    }
}
