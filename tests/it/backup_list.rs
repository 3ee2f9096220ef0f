//! Selecting a backup by its id, by a part of its id, or as the latest one that matches a filter.

use std::sync::Arc;
use std::time::Duration;

use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::check::{CheckOptions, check};
use br_core::engine::{dump, ls};
use br_core::model::{Backup, BackupId, EntryPath};
use br_core::runtime::Runtime;
use br_core::{BackupFilter, BackupSelector, Context, Error, ErrorKind, ShortIds};
use br_testkit::{ManualClock, MemorySource, SeededRandom, TestRepo, Thing, block_on, noise};

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A machine whose clock is ahead of that of the others.
fn ahead(by: Duration, seed: u64) -> Context {
    let clock = ManualClock::default();
    clock.advance(by);
    let mut context = br_testkit::context(seed);
    context.runtime = Runtime {
        clock: Arc::new(clock),
        random: Arc::new(SeededRandom::new(seed)),
    };
    context
}

fn source() -> MemorySource {
    MemorySource::new().file("f", noise(1, 2000))
}

fn back_up(repo: &TestRepo, options: &BackupOptions, context: &Context) -> Backup {
    let made = backup(&repo.repository, source(), options, context);
    block_on(made).unwrap().backup
}

fn find(repo: &TestRepo, selector: &BackupSelector) -> Result<BackupId, Error> {
    let found = block_on(repo.repository.find(selector, &repo.context));
    found.map(|backup| backup.id)
}

fn find_text(repo: &TestRepo, text: &str) -> Result<BackupId, Error> {
    find(repo, &text.parse().unwrap())
}

/// Four backups, the second by a machine whose clock is ten years ahead.
fn with_a_clock_ahead() -> (TestRepo, Vec<BackupId>) {
    let repo = TestRepo::new();
    let (now, future) = (ahead(Duration::ZERO, 5), ahead(TEN_YEARS, 6));
    let options = TestRepo::options("host");
    let made = [&now, &future, &now, &now].map(|context| back_up(&repo, &options, context));
    let last = made.last().unwrap();
    assert_eq!(last.base, Some(made[2].id), "the base is the last one");
    let ids = made.iter().map(|backup| backup.id).collect();
    (repo, ids)
}

fn listed(repo: &TestRepo) -> Vec<BackupId> {
    let backups = repo.backups().unwrap();
    backups.iter().map(|backup| backup.id).collect()
}

/// Symptom: a backup from a machine whose clock was ten years ahead stayed `latest`, and the base of new backups, for ten years.
#[test]
fn latest_backup_is_last_commit_despite_wrong_clocks() {
    let (repo, ids) = with_a_clock_ahead();
    assert_eq!(listed(&repo), ids);
    assert_eq!(find_text(&repo, "latest").unwrap(), ids[3]);
    assert_eq!(find_text(&repo, "latest~2").unwrap(), ids[1]);
}

#[test]
fn checkpoints_keep_the_order_of_commits() {
    let (repo, mut ids) = with_a_clock_ahead();
    let now = ahead(TEN_YEARS / 2, 7);
    for _ in 0..70 {
        ids.push(back_up(&repo, &TestRepo::options("host"), &now).id);
    }
    let removed = [ids.remove(40), ids.remove(0)];
    repo.delete(&removed).unwrap();
    assert_eq!(listed(&repo.reopen(3)), ids);
}

#[test]
fn rebuilt_log_keeps_order_of_entries() {
    let (repo, ids) = with_a_clock_ahead();
    // The entries of the first backup and of the last one cannot be read. Entry 0 is the checkpoint that begins the log.
    for lost in [1, 4] {
        let repo = repo.fork(3);
        repo.set_object(&format!("log/{lost:016}"), Some(noise(1, 100)));
        let options = CheckOptions::default().with_repair_log(true);
        let _ = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
        assert_eq!(listed(&repo.reopen(4)), ids, "entry {lost} was lost");
    }
}

#[test]
fn a_backup_is_found_by_the_end_of_its_id() {
    let repo = TestRepo::new();
    let ids: Vec<_> = (0..40)
        .map(|_| back_up(&repo, &TestRepo::options("host"), &repo.context).id)
        .collect();
    let short = ShortIds::new(ids.iter().copied());
    for id in &ids {
        let text = short.get(*id);
        assert_eq!(text.len(), ShortIds::LEN, "{text}");
        assert!(id.to_string().ends_with(&text), "{text} of {id}");
        assert_eq!(find_text(&repo, &text).unwrap(), *id);
        assert_eq!(find_text(&repo, &text.to_uppercase()).unwrap(), *id);
        assert_eq!(find_text(&repo, &id.to_string()).unwrap(), *id);
        assert_eq!(find_text(&repo, &id.0.simple().to_string()).unwrap(), *id);
        // The typed end may be longer than the last group of digits, and is then written without hyphens.
        let long = &id.0.simple().to_string()[10..];
        assert_eq!(find_text(&repo, long).unwrap(), *id);
    }
    // An id starts with the time, which is the same for these backups.
    let start = &ids[0].to_string()[..8];
    let error = find_text(&repo, start).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AmbiguousId, "{error}");
    let end = &ids[0].to_string()[33..];
    assert_ne!(
        find_text(&repo, end).ok(),
        Some(ids[0]),
        "an ambiguous prefix is refused"
    );
}

#[test]
fn not_found_error_names_missing_backup() {
    let repo = TestRepo::new();
    let kind = |text: &str| find_text(&repo, text).unwrap_err().kind();
    assert_eq!(kind("latest"), ErrorKind::NoBackup);
    assert_eq!(kind("0123abcd"), ErrorKind::BackupNotFound);
    let id = back_up(&repo, &TestRepo::options("host"), &repo.context).id;
    assert_eq!(kind("latest~1"), ErrorKind::NoBackup);
    let other = BackupFilter::default().with_host(Some("other".to_owned()));
    let error = find(&repo, &BackupSelector::Latest.with_filter(other)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoBackup);
    assert!(error.to_string().contains("host `other`"), "{error}");

    let absent = EntryPath::new(b"absent".as_slice()).unwrap();
    let first = block_on(async {
        let paths = vec![absent.clone()];
        ls::ls(&repo.repository, id, paths, &repo.context)
            .next()
            .await
    });
    assert_eq!(first.unwrap().unwrap_err().kind(), ErrorKind::PathNotFound);
    let paths = vec![absent.clone(), EntryPath::new(b"f".as_slice()).unwrap()];
    let has = ls::has_paths(&repo.repository, id, paths, &repo.context);
    assert_eq!(block_on(has).unwrap(), [false, true]);
    let dumped = dump::dump(&repo.repository, id, absent, Vec::new(), &repo.context);
    let error = block_on(dumped).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PathNotFound);
}

#[test]
fn latest_counts_only_backups_that_match_filter() {
    let repo = TestRepo::new();
    let options = |host: &str, path: &str, tags: &[&str]| {
        BackupOptions::new(host, "user", vec![path.into()])
            .with_folder(if path.starts_with('/') { "" } else { "/home/u" }.into())
            .with_tags(tags.iter().map(|&tag| tag.to_owned()).collect())
            .with_threads(Some(1))
    };
    let make = |options: BackupOptions| back_up(&repo, &options, &repo.context).id;
    let ids = [
        make(options("a", "/etc", &["daily"])),
        make(options("b", "docs", &["daily", "weekly"])),
        make(options("a", "/etc", &[])),
        make(options("a", "db.sql", &["daily"])),
    ];
    let latest = |back: usize, filter: BackupFilter| {
        let found = find(&repo, &BackupSelector::Newest { back, filter });
        found
            .ok()
            .map(|id| ids.iter().position(|other| *other == id).unwrap())
    };
    let any = BackupFilter::default;
    assert_eq!(latest(0, any()), Some(3));
    assert_eq!(latest(0, any().with_host(Some("b".into()))), Some(1));
    assert_eq!(latest(1, any().with_host(Some("a".into()))), Some(2));
    assert_eq!(latest(3, any().with_host(Some("a".into()))), None);
    let tags = |tags: &[&str]| any().with_tags(tags.iter().map(|&t| t.to_owned()).collect());
    assert_eq!(latest(0, tags(&["weekly", "daily"])), Some(1));
    assert_eq!(latest(2, tags(&["daily"])), Some(0));
    let path = |path: &str, folder: &str| any().with_paths(vec![path.into()], folder.into());
    for (typed, folder, expected) in [
        ("/etc/", "", Some(2)),
        ("//etc/.", "", Some(2)),
        ("etc", "/", Some(2)),
        ("etc", "/home", None),
        ("docs", "/elsewhere", Some(1)),
        ("./docs/", "", Some(1)),
        ("/home/u/docs", "", Some(1)),
        ("../u/docs", "/home/x", Some(1)),
        (".", "/etc", Some(2)),
        (".", "/home", None),
        ("doc", "/home/u", None),
    ] {
        assert_eq!(
            latest(0, path(typed, folder)),
            expected,
            "{typed} in {folder}"
        );
    }
    let both = any().with_paths(vec!["/etc".into(), "docs".into()], Vec::new());
    assert_eq!(latest(0, both), None, "no backup has both");
}

/// An incomplete backup can be the base of the next one, which reads the missing entries again.
#[test]
fn incomplete_backup_can_be_skipped_and_can_be_base() {
    let repo = TestRepo::new();
    let whole = source().file("secret", noise(2, 3000));
    let partial = source().with("secret", Thing::Unreadable);
    let first = repo.backup(&whole).unwrap().backup;
    let second = repo.backup(&partial).unwrap().backup;
    assert!(!second.is_complete());
    let complete = BackupFilter::default().with_complete(true);
    let complete = BackupSelector::Latest.with_filter(complete);
    assert_eq!(find_text(&repo, "latest").unwrap(), second.id);
    assert_eq!(find(&repo, &complete).unwrap(), first.id);
    let third = repo.backup(&whole).unwrap().backup;
    assert_eq!(third.base, Some(second.id));
    assert!(third.is_complete());
    assert_eq!(third.changes.bytes_read, 3000, "the missing entry is read");
    assert_eq!(third.changes.files_unchanged, 1);
    assert_eq!(repo.files(third.id).unwrap(), whole.files());
    assert_eq!(find(&repo, &complete).unwrap(), third.id);
}
