//! The process dies at each operation: the repository opens, lists only complete backups, and stays usable.

use std::collections::BTreeMap;
use std::sync::Arc;

use br_core::model::BackupId;
use br_core::{ErrorKind, InitOptions, Repository};
use br_testkit::{
    Behaviour, FaultyStore, MemorySource, StoreKind, TestRepo, TestStore, Thing, When, block_on,
    noise, steps,
};

type Expected = BTreeMap<BackupId, MemorySource>;

fn tiny(seed: u64) -> MemorySource {
    let mut source = MemorySource::new()
        .folder("d")
        .file("d/shared", noise(1, 2000))
        .with("l", Thing::Link(b"e".to_vec()));
    // A different time: otherwise the files would count as unchanged since the last backup.
    let time = 1_400_000_000 + seed.cast_signed();
    let inline = Thing::File(format!("inline {seed}").into());
    source.insert("d/inline", inline, time, Behaviour::Honest);
    source.insert(
        "e",
        Thing::File(noise(seed, 3000).into()),
        time,
        Behaviour::Honest,
    );
    source
}

/// A repository with two backups, and what they hold.
fn two_backups(encrypted: bool) -> (TestRepo, Expected) {
    let repo = if encrypted {
        TestRepo::encrypted()
    } else {
        TestRepo::new()
    };
    let mut expected = Expected::new();
    for seed in [10, 11] {
        let source = tiny(seed);
        expected.insert(repo.backup(&source).unwrap().backup.id, source);
    }
    (repo, expected)
}

/// Stops `work` at every operation, before and after that operation took effect, and calls `verify` with the remaining repository.
fn at_every_operation(
    repo: &TestRepo,
    work: impl Fn(&TestRepo) -> br_core::Result<()>,
    verify: impl Fn(&str, &TestRepo, bool),
) {
    for when in [When::Before, When::After] {
        for n in steps(0..) {
            assert!(n < 200, "the work ends");
            let victim = repo.fork(1000 + n);
            victim.faults.stop_at(n, when);
            let result = work(&victim);
            let stopped = victim.faults.count() > n;
            let last = victim.faults.operations().pop();
            let what = format!(
                "stopped {when:?} operation {n} of {}, at {last:?}",
                victim.faults.count()
            );
            if !stopped {
                result.unwrap_or_else(|error| panic!("{what}: {error}"));
                break;
            }
            if let Err(error) = &result {
                let kind = error.kind();
                assert_eq!(
                    kind,
                    ErrorKind::Unavailable,
                    "{what}: the error names the store: {error}"
                );
            }
            let survivor = victim.reopen(2000 + n);
            verify(&what, &survivor, result.is_ok());
        }
    }
}

/// The listed backups and their content: a backup that is not in `before` must have the content `new`.
fn listed(what: &str, repo: &TestRepo, before: &Expected, new: &MemorySource) -> Expected {
    let listed = repo
        .backups()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let content = |id| before.get(&id).unwrap_or(new).clone();
    let all: Expected = listed
        .iter()
        .map(|backup| (backup.id, content(backup.id)))
        .collect();
    assert!(
        before.keys().all(|id| all.contains_key(id)),
        "{what}: no backup is lost"
    );
    assert!(
        all.len() <= before.len() + 1,
        "{what}: at most the interrupted backup is new"
    );
    all
}

fn a_backup_dies(encrypted: bool) {
    let (repo, before) = two_backups(encrypted);
    let new = tiny(12);
    let work = |victim: &TestRepo| victim.backup(&new).map(drop);
    at_every_operation(&repo, work, |what, survivor, succeeded| {
        let mut all = listed(what, survivor, &before, &new);
        assert!(
            !succeeded || all.len() == 3,
            "{what}: the reported backup exists"
        );
        survivor.assert_holds(what, &all);
        let next = survivor
            .backup(&new)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        all.insert(next.backup.id, new.clone());
        survivor.assert_holds(&format!("{what}, and the next backup"), &all);
        let _ = survivor
            .prune()
            .unwrap_or_else(|error| panic!("{what}: prune: {error}"));
        survivor.assert_holds(&format!("{what}, and a prune"), &all);
        assert_clean(what, survivor);
    });
}

/// Asserts that the repository has no unused objects.
fn assert_clean(what: &str, repo: &TestRepo) {
    let findings = repo.check().unwrap().findings;
    assert!(
        findings.is_empty(),
        "{what}: a prune leaves nothing behind: {findings:?}"
    );
    let options = TestRepo::thorough();
    let plan = br_core::engine::prune::plan(&repo.repository, &options, &repo.context);
    let plan = block_on(plan).unwrap();
    assert!(
        plan.is_empty(),
        "{what}: a second prune has nothing to do: {plan:?}"
    );
    let stats = block_on(br_core::engine::stats::stats(
        &repo.repository,
        &repo.context,
    ))
    .unwrap();
    assert_eq!(stats.packs_condemned, 0, "{what}: no pack stays condemned");
}

#[test]
fn crash_of_backup_at_any_point_leaves_intact_repository() {
    a_backup_dies(false);
}

#[test]
fn crash_of_backup_at_any_point_leaves_intact_encrypted_repository() {
    a_backup_dies(true);
}

#[test]
fn crash_of_first_backup_at_any_point_leaves_empty_repository() {
    let repo = TestRepo::new();
    let new = tiny(1);
    let work = |victim: &TestRepo| victim.backup(&new).map(drop);
    at_every_operation(&repo, work, |what, survivor, _| {
        let mut all = listed(what, survivor, &Expected::new(), &new);
        survivor.assert_holds(what, &all);
        all.insert(survivor.backup(&new).unwrap().backup.id, new.clone());
        survivor.assert_holds(what, &all);
    });
}

#[test]
fn crash_of_backup_at_checkpoint_leaves_intact_repository() {
    let repo = TestRepo::new();
    let mut before = Expected::new();
    // Entries 0 (a checkpoint) to 31: the next is a checkpoint again.
    for seed in 0..31 {
        let source = tiny(seed);
        before.insert(repo.backup(&source).unwrap().backup.id, source);
    }
    let new = tiny(99);
    let work = |victim: &TestRepo| victim.backup(&new).map(drop);
    at_every_operation(&repo, work, |what, survivor, _| {
        let mut all = listed(what, survivor, &before, &new);
        all.insert(survivor.backup(&new).unwrap().backup.id, new.clone());
        survivor.assert_holds(what, &all);
    });
}

#[test]
fn lost_response_does_not_lose_backup() {
    let (repo, before) = two_backups(false);
    let new = tiny(12);
    for when in [When::Before, When::After] {
        for n in steps(0..) {
            let victim = repo.fork(3000 + n);
            victim.faults.fail_once(n, when);
            let result = victim.backup(&new);
            if victim.faults.count() <= n {
                let _ = result.unwrap();
                break;
            }
            let operation = victim.faults.operations()[usize::try_from(n).unwrap()].clone();
            let what = format!("operation {n}, {operation:?}, failed {when:?} its effect");
            let survivor = victim.reopen(4000 + n);
            let all = listed(&what, &survivor, &before, &new);
            assert_eq!(
                all.len() == 3,
                result.is_ok(),
                "{what}: the report describes what happened"
            );
            if operation.verb == "put" && operation.key.starts_with("log/") {
                assert!(
                    result.is_ok(),
                    "{what}: it is determined whether the log entry was written"
                );
            }
            survivor.assert_holds(&what, &all);
        }
    }
}

#[test]
fn crash_of_delete_at_any_point_is_atomic() {
    let (repo, before) = two_backups(false);
    let victim_id = *before.keys().next().unwrap();
    let work = |victim: &TestRepo| victim.delete(&[victim_id]);
    at_every_operation(&repo, work, |what, survivor, succeeded| {
        let there = survivor
            .backups()
            .unwrap()
            .iter()
            .any(|backup| backup.id == victim_id);
        assert!(
            !(succeeded && there),
            "{what}: the reported deletions happened"
        );
        let mut all = before.clone();
        if !there {
            all.remove(&victim_id);
        }
        survivor.assert_holds(what, &all);
        let _ = survivor.prune().unwrap();
        survivor.assert_holds(what, &all);
    });
}

/// A repository in which a prune has every kind of work: unused packs, packs with little used data, earlier moves, leftovers.
fn much_to_prune() -> (TestRepo, Expected) {
    let repo = TestRepo::new();
    let mut all = Expected::new();
    let mixed = |seed: u64| {
        let mut source = tiny(seed).file("only here", noise(100 + seed, 20_000));
        source.remove(if seed.is_multiple_of(2) {
            "e"
        } else {
            "d/shared"
        });
        source.file("everywhere", noise(7, 5_000))
    };
    let mut ids = Vec::new();
    for seed in 20..26 {
        let source = mixed(seed);
        let id = repo
            .backup_with(&source, &TestRepo::options(&format!("host{seed}")))
            .unwrap()
            .backup
            .id;
        all.insert(id, source);
        ids.push(id);
    }
    // Moves the used chunks of the first backup to other packs.
    repo.delete(&ids[..1]).unwrap();
    let _ = repo.prune().unwrap();
    // The next prune has work: the backup whose packs the others share is deleted, and a later one.
    repo.delete(&[ids[1], ids[3]]).unwrap();
    for id in [ids[0], ids[1], ids[3]] {
        all.remove(&id);
    }
    let dead = repo.reopen(77);
    let count = {
        let probe = repo.fork(78);
        let _ = probe.backup(&mixed(30)).unwrap();
        probe.faults.count()
    };
    dead.faults.stop_at(count - 1, When::Before);
    dead.backup(&mixed(30)).unwrap_err();
    (repo.reopen(79), all)
}

#[test]
fn crash_of_prune_at_any_point_can_be_resumed() {
    let (repo, all) = much_to_prune();
    repo.assert_holds("before", &all);
    at_every_operation(
        &repo,
        |victim| victim.prune().map(drop),
        |what, survivor, _| {
            survivor.assert_holds(what, &all);
            let again = survivor.reopen(5);
            let _ = again
                .prune()
                .unwrap_or_else(|error| panic!("{what}: the next prune: {error}"));
            again.assert_holds(&format!("{what}, and the next prune"), &all);
            assert_clean(what, &again);
        },
    );
}

#[test]
fn prune_with_store_errors_can_be_resumed() {
    let (repo, all) = much_to_prune();
    for when in [When::Before, When::After] {
        for n in steps(0..) {
            let victim = repo.fork(6000 + n);
            victim.faults.fail_once(n, when);
            let _ = victim.prune();
            if victim.faults.count() <= n {
                break;
            }
            let what = format!("operation {n} failed {when:?} its effect");
            let again = victim.reopen(7000 + n);
            again.assert_holds(&what, &all);
            let _ = again
                .prune()
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            again.assert_holds(&what, &all);
            assert_clean(&what, &again);
        }
    }
}

#[test]
fn crash_of_init_at_any_point_can_be_repeated() {
    for password in [None, Some(&b"secret"[..])] {
        let mut options = InitOptions::default();
        if let Some(password) = password {
            options = options.with_password(password).with_weak_key_derivation();
        }
        let init = |faults: &Arc<FaultyStore>, seed| {
            let context = br_testkit::context(seed);
            block_on(Repository::init_storage(
                TestRepo::storage_of(faults),
                &options,
                &context,
            ))
            .map(drop)
        };
        for when in [When::Before, When::After] {
            for n in steps(0..) {
                let store = TestStore::chosen_or(StoreKind::Memory);
                let faults = FaultyStore::new(store.objects());
                faults.stop_at(n, when);
                let result = init(&faults, 1);
                if faults.count() <= n {
                    result.unwrap();
                    break;
                }
                let what = format!("stopped {when:?} operation {n}");
                match init(&FaultyStore::new(store.objects()), 2) {
                    Ok(()) => {}
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::RepositoryExists, "{what}: {error}");
                    }
                }
                let repo = TestRepo::open(store, password, 3)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                let _ = repo.backup(&tiny(1)).unwrap();
                assert_eq!(
                    repo.backups().unwrap().len(),
                    1,
                    "{what}: the repository works"
                );
            }
        }
    }
}

/// Forty megabytes that cannot be compressed, in ten files.
fn big() -> MemorySource {
    let file = |source: MemorySource, n: u64| source.file(&format!("file{n}"), noise(n, 4 << 20));
    (0..10).fold(MemorySource::new(), file)
}

#[test]
fn data_of_crashed_backup_is_not_stored_again() {
    let source = big();
    let repo = TestRepo::new();
    let journal = tempfile::tempdir().unwrap();
    let options = TestRepo::options("host").with_journal(Some(journal.path().to_owned()));
    let fresh = repo.fork(1);
    let whole = fresh
        .backup_with(&source, &options)
        .unwrap()
        .backup
        .changes
        .bytes_stored;
    let operations = fresh.faults.operations();
    let packs = operations
        .iter()
        .filter(|operation| operation.key.starts_with("packs/") && operation.verb == "put");
    assert_eq!(packs.count(), 4, "there are several packs: {operations:?}");
    let third = operations
        .iter()
        .enumerate()
        .filter(|(_, operation)| operation.key.starts_with("packs/"))
        .nth(2);
    let third = third.unwrap().0 as u64;
    let last = operations.len() as u64 - 1;
    for (n, resumed, most) in [
        (third, 2, whole * 6 / 10),
        (last - 1, 4, whole / 100),
        (last, 4, whole / 100),
    ] {
        let victim = repo.fork(10 + n);
        victim.faults.stop_at(n, When::Before);
        victim.backup_with(&source, &options).unwrap_err();
        let survivor = victim.reopen(50 + n);
        let report = survivor.backup_with(&source, &options).unwrap();
        assert_eq!(
            report.packs_resumed, resumed,
            "stopped at {n}: packs of the killed run are used"
        );
        let stored = report.backup.changes.bytes_stored;
        assert!(
            stored <= most,
            "stopped at {n}: {stored} bytes stored, {whole} by a fresh backup"
        );
        let expected = Expected::from([(report.backup.id, source.clone())]);
        survivor.assert_holds("resumed", &expected);
        let left: Vec<_> = std::fs::read_dir(journal.path())
            .unwrap()
            .flatten()
            .collect();
        let left: usize = left
            .iter()
            .map(|dir| std::fs::read_dir(dir.path()).unwrap().count())
            .sum();
        assert_eq!(left, 0, "journals are gone once their content is committed");
        let again = survivor.backup_with(&source, &options).unwrap();
        assert_eq!(again.backup.changes.files_unchanged, 10);
        let _ = survivor.prune().unwrap();
        survivor.assert_holds(
            "pruned",
            &Expected::from([
                (report.backup.id, source.clone()),
                (again.backup.id, source.clone()),
            ]),
        );
    }
}

/// Symptom: after Ctrl-C the last packs were stored a second time, because the journal did not name them yet.
#[test]
fn pack_missing_from_journal_is_not_stored_again() {
    let source = MemorySource::new()
        .file("a", noise(1, 2 << 20))
        .file("b", noise(2, 2 << 20));
    let repo = TestRepo::new();
    let packs = |repo: &TestRepo| {
        let keys = repo.keys().into_iter();
        keys.filter(|key| key.starts_with("packs/")).count()
    };
    let probe = repo.fork(2);
    let journal = tempfile::tempdir().unwrap();
    let options = TestRepo::options("host").with_journal(Some(journal.path().to_owned()));
    let _ = probe.backup_with(&source, &options).unwrap();
    let expected = packs(&probe);
    let operations = probe.faults.operations();
    let is_pack = |operation: &br_testkit::Operation| {
        operation.verb == "put" && operation.key.starts_with("packs/")
    };
    let puts = (0..)
        .zip(&operations)
        .filter(|(_, operation)| is_pack(operation));
    for (n, _) in puts {
        let victim = repo.fork(10 + n);
        victim.faults.stop_at(n, When::After);
        victim.backup_with(&source, &options).unwrap_err();
        let survivor = victim.reopen(50 + n);
        let report = survivor.backup_with(&source, &options).unwrap();
        assert!(report.packs_resumed > 0, "stopped at {n}");
        assert_eq!(packs(&survivor), expected, "stopped at {n}");
        let expected = Expected::from([(report.backup.id, source.clone())]);
        survivor.assert_holds("resumed", &expected);
    }
}

#[test]
fn damaged_journal_only_costs_time() {
    let source = MemorySource::new()
        .file("a", noise(1, 2 << 20))
        .file("b", noise(2, 2 << 20))
        .file("c", "inline");
    let repo = TestRepo::new();
    let probe = repo.fork(2);
    let folder = tempfile::tempdir().unwrap();
    let options = TestRepo::options("host").with_journal(Some(folder.path().to_owned()));
    let _ = probe.backup_with(&source, &options).unwrap();
    let last = probe.faults.count() - 1;
    let make = |folder: &std::path::Path, seed| {
        let options = TestRepo::options("host").with_journal(Some(folder.to_owned()));
        let victim = repo.fork(seed);
        victim.faults.stop_at(last, When::Before);
        victim.backup_with(&source, &options).unwrap_err();
        (victim.reopen(seed + 1), options)
    };
    for (number, at) in (0..256).step_by(15).enumerate() {
        for truncate in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (survivor, options) = make(folder.path(), 10 + 2 * number as u64);
            let of_repository = std::fs::read_dir(folder.path())
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .path();
            let file = std::fs::read_dir(of_repository)
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .path();
            let bytes = std::fs::read(&file).unwrap();
            let at = u8::try_from(at).unwrap();
            let how = if truncate {
                br_testkit::Corruption::Truncate(at)
            } else {
                br_testkit::Corruption::Flip(at)
            };
            std::fs::write(&file, how.apply(&bytes).unwrap()).unwrap();
            let report = survivor.backup_with(&source, &options).unwrap();
            survivor.assert_holds(
                &format!("{how:?}"),
                &Expected::from([(report.backup.id, source.clone())]),
            );
        }
    }
}
