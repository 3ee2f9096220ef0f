//! Backups that are stored again without some entries.

use std::collections::BTreeMap;

use br_core::engine::backup::BackupOptions;
use br_core::engine::label::{self, LabelChange};
use br_core::engine::rewrite::{RewriteOptions, RewriteReport, rewrite};
use br_core::model::{Backup, BackupId, Origin, OriginKind};
use br_core::source::Excludes;
use br_core::{BackupSelector, ErrorKind, Result};
use br_testkit::{Behaviour, MemorySource, TestRepo, Thing, block_on, noise, steps};

fn options(patterns: &[&str]) -> RewriteOptions {
    RewriteOptions::default().with_excludes(Excludes::parse(patterns).unwrap())
}

fn rewrite_with(
    repo: &TestRepo,
    ids: &[BackupId],
    options: &RewriteOptions,
) -> Result<RewriteReport> {
    let ids = ids.iter().copied();
    block_on(rewrite(&repo.repository, ids, options, &repo.context))
}

/// A tree whose entries are in many tree nodes and packs.
fn source(seed: u64) -> MemorySource {
    let mut source = MemorySource::new()
        .folder("d")
        .file("d/inline", "in the entry itself")
        .file("d/keep.txt", noise(1, 60_000))
        .file("d/large.iso", noise(2, 3_000_000))
        .folder("d/secret")
        .file("d/secret/a", noise(3, 30_000))
        .file("d/secret/b", "b")
        .file("top.iso", noise(4, 20_000));
    for number in 0..300 {
        source = source.file(&format!("many/{number:03}"), noise(1000 + number, 700));
    }
    let own = Thing::File(noise(seed + 50, 3_000).into());
    source.insert("own", own, seed.cast_signed(), Behaviour::Honest);
    source
}

/// The same tree without some entries.
fn without(seed: u64, paths: &[&str]) -> MemorySource {
    let mut source = source(seed);
    for path in paths {
        source.remove(path);
    }
    source
}

const SECRET: [&str; 3] = ["d/secret", "d/secret/a", "d/secret/b"];

#[test]
fn new_backup_lacks_what_patterns_match_and_shares_all_data() {
    for repo in [TestRepo::new(), TestRepo::encrypted()] {
        let original = repo.backup(&source(1)).unwrap().backup;
        let before = repo.sizes();
        let report = rewrite_with(&repo, &[original.id], &options(&["secret/", "*.iso"])).unwrap();
        let [one] = report.backups.as_slice() else {
            panic!("{report:?}")
        };
        let removed = one.removed;
        assert_eq!(
            (
                removed.entries,
                removed.files,
                removed.directories,
                removed.bytes
            ),
            (5, 4, 1, 3_050_001)
        );
        let new = one.backup.clone().unwrap();
        assert_eq!(new.totals.entries + 5, original.totals.entries);
        let stored: u64 = repo
            .sizes()
            .iter()
            .filter(|(key, _)| !before.contains_key(*key))
            .map(|(_, len)| len)
            .sum();
        assert!(stored < 60_000, "{stored} bytes for a backup of 3.3 MB");
        let gone = [&SECRET[..], &["d/large.iso", "top.iso"]].concat();
        let expected = BTreeMap::from([(original.id, source(1)), (new.id, without(1, &gone))]);
        let again = repo.reopen(7);
        again.assert_holds("rewritten", &expected);
        assert!(again.prove().unwrap().is_sound());
        // The data that both have stays, and the rest goes.
        again.delete(&[original.id]).unwrap();
        let size = again.size();
        let _ = again.prune().unwrap();
        assert!(again.size() + 2_500_000 < size, "the removed data is gone");
        let expected = BTreeMap::from([(new.id, without(1, &gone))]);
        again
            .reopen(8)
            .assert_holds("without the original", &expected);
    }
}

#[test]
fn description_stays_and_names_the_original() {
    let repo = TestRepo::new();
    let origin = Origin::new(OriginKind::Files).with_version(Some("7".to_owned()));
    let describe = BackupOptions::new("web1", "ann", vec![b"/etc".to_vec(), b"x".to_vec()])
        .with_folder(b"/home".to_vec())
        .with_tags(vec!["daily".to_owned()])
        .with_origin(origin);
    let mut tree = source(1);
    for path in ["d/secret/gone", "gone"] {
        tree.insert(path, Thing::File("x".into()), 1, Behaviour::Vanishes);
    }
    let made = repo.backup_with(&tree, &describe).unwrap().backup;
    assert_eq!(made.unread_count, 2);
    let change = LabelChange::default().with_note("why").with_pinned(true);
    let labels = label::label(&repo.repository, [made.id], &change, &repo.context);
    let original = block_on(labels).unwrap().remove(0);
    let _ = repo.prove().unwrap();
    let report = rewrite_with(&repo, &[original.id], &options(&["/d/secret"])).unwrap();
    let new = report.backups[0].backup.clone().unwrap();
    assert_eq!(new.rewrite_of, Some(original.id));
    let mut same = new.clone();
    same.id = original.id;
    same.rewrite_of = None;
    same.tree = original.tree;
    same.totals = original.totals;
    same.unread_count = 2;
    assert_eq!(same, original, "all else is the same, without the proof");
    let described = block_on(repo.repository.describe(new.id, &repo.context)).unwrap();
    let unread: Vec<_> = described.unread.iter().map(|one| &one.path[..]).collect();
    assert_eq!((unread, described.unread_count), (vec![&b"gone"[..]], 1));
    assert_eq!(described.rewrite_of, Some(original.id));
    // From the log alone.
    let listed = repo.reopen(5).backups().unwrap();
    assert_eq!(listed[1].rewrite_of, Some(original.id));
    // It is no copy: a search for the original finds the original.
    let found = block_on(repo.repository.find(original.id, &repo.context)).unwrap();
    assert_eq!((found.id, new.original_id()), (original.id, new.id));
}

#[test]
fn new_backup_follows_its_original_in_the_order() {
    let repo = TestRepo::new();
    let ids: Vec<BackupId> = (1..=3)
        .map(|seed| repo.backup(&source(seed)).unwrap().backup.id)
        .collect();
    let report = rewrite_with(&repo, &[ids[2], ids[0], ids[0]], &options(&["own"])).unwrap();
    assert_eq!(report.backups.len(), 2, "named twice");
    let new: Vec<_> = report
        .backups
        .iter()
        .map(|one| one.backup.clone().unwrap().id)
        .collect();
    let order: Vec<_> = repo
        .reopen(4)
        .backups()
        .unwrap()
        .iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(order, [ids[0], new[1], ids[1], ids[2], new[0]]);
    let expected = BTreeMap::from([
        (ids[0], source(1)),
        (ids[1], source(2)),
        (ids[2], source(3)),
        (new[1], without(1, &["own"])),
        (new[0], without(3, &["own"])),
    ]);
    repo.reopen(5).assert_holds("all", &expected);
}

#[test]
fn nothing_is_stored_without_a_match_or_in_a_dry_run() {
    let repo = TestRepo::new();
    let id = repo.backup(&source(1)).unwrap().backup.id;
    let before = repo.sizes();
    let none = rewrite_with(&repo, &[id], &options(&["*.tmp", "/secret", "keep.txt/"])).unwrap();
    assert_eq!(none.backups[0].removed.entries, 0);
    assert!(none.backups[0].backup.is_none());
    let dry = options(&["secret"]).with_dry_run(true);
    let dry = rewrite_with(&repo, &[id], &dry).unwrap();
    assert_eq!(dry.backups[0].removed.entries, 3);
    assert!(dry.backups[0].backup.is_none());
    for (patterns, kind) in [
        (&["*"][..], ErrorKind::Invalid),
        (&["./secret"], ErrorKind::Invalid),
        (&[], ErrorKind::Invalid),
    ] {
        let error = rewrite_with(&repo, &[id], &options(patterns)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let unknown = BackupSelector::Prefix("ffffffff".to_owned());
    let selectors = [BackupSelector::from(id), unknown];
    let secret = options(&["secret"]);
    let work = rewrite(&repo.repository, selectors, &secret, &repo.context);
    let error = block_on(work).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BackupNotFound);
    assert_eq!(repo.sizes(), before);
}

#[test]
fn later_pattern_includes_entries_again() {
    let repo = TestRepo::new();
    let id = repo.backup(&source(1)).unwrap().backup.id;
    let report = rewrite_with(&repo, &[id], &options(&["*.iso", "!top.iso"])).unwrap();
    let new = report.backups[0].backup.clone().unwrap();
    let expected = BTreeMap::from([(id, source(1)), (new.id, without(1, &["d/large.iso"]))]);
    repo.reopen(2).assert_holds("included again", &expected);
}

#[test]
fn data_of_files_is_not_read() {
    let repo = TestRepo::new();
    let id = repo.backup(&source(1)).unwrap().backup.id;
    let probe = repo.fork(2);
    let _ = rewrite_with(&probe, &[id], &options(&["secret"])).unwrap();
    let operations = probe.faults.count();
    assert!(operations < 40, "{operations} requests");
    // Tree nodes are in separate, small packs.
    let data = repo
        .sizes()
        .into_iter()
        .filter(|(key, len)| key.starts_with("packs/") && *len > 1 << 20);
    let data: Vec<String> = data.map(|(key, _)| key).collect();
    assert!(!data.is_empty());
    for pack in data {
        repo.set_object(&pack, None);
    }
    let report = rewrite_with(&repo.reopen(3), &[id], &options(&["secret"])).unwrap();
    assert!(report.backups[0].backup.is_some());
}

#[test]
fn backup_with_an_unreadable_tree_is_not_rewritten() {
    let repo = TestRepo::new();
    let id = repo.backup(&source(1)).unwrap().backup.id;
    let packs = repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("packs/"));
    for pack in packs {
        repo.set_object(&pack, None);
    }
    let error = rewrite_with(&repo.reopen(3), &[id], &options(&["secret"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(repo.reopen(4).backups().unwrap().len(), 1);
}

#[test]
fn rewrite_during_a_prune_loses_nothing() {
    let repo = TestRepo::new();
    let gone = repo.backup(&source(9)).unwrap().backup.id;
    let id = repo.backup(&source(1)).unwrap().backup.id;
    repo.delete(&[gone]).unwrap();
    let run = |repo: &TestRepo| rewrite_with(repo, &[id], &options(&["secret"]));
    let probe = repo.fork(9);
    let _ = run(&probe).unwrap();
    for n in steps(0..probe.faults.count()) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, move || {
            Box::pin(async move {
                let _ = other.prune_async().await.unwrap();
            })
        });
        let what = format!("a prune before operation {n}");
        let report = run(&one).or_else(|error| {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{what}: {error}");
            run(&one.reopen(300 + n))
        });
        let new = report.unwrap().backups[0].backup.clone().unwrap();
        let expected = BTreeMap::from([(id, source(1)), (new.id, without(1, &SECRET))]);
        one.reopen(400 + n).assert_holds(&what, &expected);
    }
}

#[test]
fn rewrite_during_a_deletion_of_the_original_brings_nothing_back() {
    let repo = TestRepo::new();
    let id = repo.backup(&source(1)).unwrap().backup.id;
    let stays = repo.backup(&source(2)).unwrap().backup.id;
    let run = |repo: &TestRepo| rewrite_with(repo, &[id], &options(&["secret"]));
    let probe = repo.fork(9);
    let _ = run(&probe).unwrap();
    for n in steps(0..probe.faults.count()) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, move || {
            Box::pin(async move {
                let plan = br_core::engine::delete::plan(&other.repository, [id], &other.context);
                let plan = plan.await.unwrap();
                let deleted =
                    br_core::engine::delete::delete(&other.repository, &plan, &other.context);
                deleted.await.unwrap();
            })
        });
        let result = run(&one);
        let backups: Vec<Backup> = one.reopen(300 + n).backups().unwrap();
        let new = backups
            .iter()
            .filter(|one| one.rewrite_of == Some(id))
            .count();
        match result {
            Ok(_) => assert_eq!(new, 1, "before operation {n}"),
            Err(error) => {
                let kinds = [ErrorKind::Conflict, ErrorKind::BackupNotFound];
                assert!(kinds.contains(&error.kind()), "{n}: {error}");
                assert_eq!(new, 0, "before operation {n}");
            }
        }
        assert!(backups.iter().any(|one| one.id == stays));
        assert!(one.reopen(400 + n).prove().unwrap().is_sound());
    }
}
