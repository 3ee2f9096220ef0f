//! Copies into another repository: every backup is copied once and verified, and the order of the backups stays the same.

use std::collections::BTreeMap;

use br_core::engine::backup::BackupOptions;
use br_core::engine::check::{CheckOptions, CheckReport, ReadData, check};
use br_core::engine::copy::{CopyOptions, CopyReport, copy, repair};
use br_core::engine::label::{self, LabelChange};
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::model::{Backup, BackupId, Origin, OriginKind};
use br_core::{Context, ErrorKind, InitOptions, Repository, Result};
use br_testkit::{
    Behaviour, Corruption, MemorySource, Snapshot, StoreKind, TestRepo, TestStore, Thing,
    TreeFixture, When, block_on, noise, steps,
};
use tokio_util::sync::CancellationToken;

use crate::support::Disk;

type Expected = BTreeMap<BackupId, MemorySource>;

const OTHER: &[u8] = b"another password";

/// Every combination of keys: source and target. Not in memory only one, because copies take long there, and keys have nothing to do with
/// the store.
fn pairs() -> Vec<(TestRepo, TestRepo)> {
    let plain = |seed| TestRepo::init(None, seed);
    let mut pairs = vec![(TestRepo::encrypted(), TestRepo::init(Some(OTHER), 2))];
    if matches!(StoreKind::chosen(), None | Some(StoreKind::Memory)) {
        pairs.push((plain(1), plain(2)));
        pairs.push((TestRepo::encrypted(), plain(2)));
        pairs.push((plain(1), TestRepo::init(Some(OTHER), 2)));
        // Here the target must not hold content in its entries.
        pairs.push((plain(1), TestRepo::with_write_only_keys(2)));
        pairs.push((TestRepo::with_write_only_keys(1), plain(2)));
    }
    pairs
}

/// The combinations that differ most, for tests that repeat a copy many times.
fn two_pairs() -> [(TestRepo, TestRepo); 2] {
    let plain = |seed| TestRepo::init(None, seed);
    let other_key = (TestRepo::encrypted(), TestRepo::init(Some(OTHER), 2));
    [(plain(1), plain(2)), other_key]
}

/// A small tree, for tests that repeat a copy many times.
fn tiny(seed: u64) -> MemorySource {
    let file = Thing::File(noise(seed, 3000).into());
    let mut source = MemorySource::new().file("shared", noise(1, 2000));
    source.insert("own", file, seed.cast_signed(), Behaviour::Honest);
    source
}

fn options() -> CopyOptions {
    CopyOptions::default().with_threads(Some(1))
}

fn copy_with(from: &TestRepo, to: &TestRepo, options: &CopyOptions) -> Result<CopyReport> {
    block_on(copy(&from.repository, &to.repository, options, &to.context))
}

fn copy_all(from: &TestRepo, to: &TestRepo) -> CopyReport {
    copy_with(from, to, &options()).unwrap()
}

/// A tree with everything that the tree format treats differently.
fn source(seed: u64) -> MemorySource {
    let mut source = MemorySource::new()
        .folder("d")
        .file("d/inline", "in the entry itself")
        .file("d/shared", noise(1, 60_000))
        .file("text", "some text ".repeat(20_000))
        .file("cut", noise(2, 900_000))
        .with("link", Thing::Link(b"text".to_vec()));
    for number in 0..200 {
        source = source.file(&format!("many/{number:03}"), noise(1000 + number, 700));
    }
    let own = Thing::File(noise(seed + 50, 30_000).into());
    let time = 1_400_000_000 + seed.cast_signed();
    source.insert("own", own, time, Behaviour::Honest);
    source
}

/// Whether entries hold short content.
fn inline(repo: &TestRepo) -> bool {
    repo.repository.config().chunker.inline > 0
}

/// Backs up some sources, and returns them by the ids of the backups.
fn fill(repo: &TestRepo, sources: impl IntoIterator<Item = MemorySource>) -> Expected {
    let backup = |source: MemorySource| (repo.backup(&source).unwrap().backup.id, source);
    sources.into_iter().map(backup).collect()
}

/// The expected content of the copies in `to`, from the expected content of their originals.
fn of_copies(to: &TestRepo, expected: &Expected) -> Expected {
    let held = |backup: Backup| {
        let source = expected.get(&backup.original_id()).unwrap();
        (backup.id, source.clone())
    };
    to.backups().unwrap().into_iter().map(held).collect()
}

fn assert_copied(what: &str, from: &TestRepo, to: &TestRepo, expected: &Expected) {
    let copies = of_copies(to, expected);
    assert_eq!(
        copies.len(),
        expected.len(),
        "{what}: every backup is copied"
    );
    to.assert_holds(what, &copies);
    let originals = |repo: &TestRepo| -> Vec<BackupId> {
        let backups = repo.backups().unwrap();
        backups.iter().map(Backup::original_id).collect()
    };
    assert_eq!(originals(to), originals(from), "{what}: the order stays");
    for original in from.backups().unwrap() {
        let backups = to.backups().unwrap();
        let mut copies = backups.iter();
        let copy = copies.find(|copy| copy.original_id() == original.original_id());
        let mut entries = to.entries(copy.unwrap().id).unwrap();
        let mut wanted = from.entries(original.id).unwrap();
        for entry in entries.iter_mut().chain(&mut wanted) {
            forget_ids(entry);
        }
        assert!(entries == wanted, "{what}: every entry is the same");
    }
}

/// Chunk ids depend on the key, and so does whether an entry holds a few bytes itself.
fn forget_ids(entry: &mut br_core::model::Entry) {
    use br_core::model::{ChunkId, ChunkRef, Content, EntryKind};
    let id = ChunkId([0; 32]);
    let EntryKind::File(file) = &mut entry.kind else {
        return;
    };
    match &mut file.content {
        Content::Inline(bytes) if bytes.is_empty() => {}
        Content::Inline(bytes) => {
            let len = bytes.len() as u32;
            file.sha256 = None;
            file.content = Content::Chunks(vec![ChunkRef { id, len }]);
        }
        Content::Chunks(chunks) => {
            chunks.iter_mut().for_each(|chunk| chunk.id = id);
            // An entry that holds its content has no digest.
            file.sha256 = file.sha256.filter(|_| file.size > 512);
        }
        _ => {}
    }
}

fn packs(repo: &TestRepo) -> u64 {
    let sizes = repo.sizes().into_iter();
    let packs = sizes.filter(|(key, _)| key.starts_with("packs/"));
    packs.map(|(_, len)| len).sum()
}

#[test]
fn copies_have_the_content_of_their_originals() {
    for (from, to) in pairs() {
        let what = format!("{:?} to {:?}", from.repository, to.repository);
        let expected = fill(&from, [source(1), source(2), MemorySource::new()]);
        let keys = from.sizes();
        let report = copy_all(&from, &to);
        assert_eq!(report.copied.len(), 3, "{what}");
        assert!(report.is_complete() && report.present.is_empty());
        assert_copied(&what, &from, &to, &expected);
        assert_eq!(from.sizes(), keys, "{what}: the source is only read");
    }
}

#[test]
fn restore_of_a_copy_is_equal_to_the_tree() {
    for encrypted in [false, true] {
        let disk = if encrypted {
            Disk::encrypted(TreeFixture::rich())
        } else {
            Disk::new(TreeFixture::rich())
        };
        let _ = disk.backup();
        let context = Context::system();
        let store = TestStore::chosen_or(StoreKind::Local);
        let options = InitOptions::default()
            .with_password("other")
            .with_weak_key_derivation();
        let made = Repository::init_storage(store.storage(), &options, &context);
        let target = block_on(made).unwrap();
        let options = CopyOptions::default();
        let copied = copy(&disk.repository, &target, &options, &context);
        let report = block_on(copied).unwrap();
        let id = report.copied[0].backup.id;
        let to = disk.fixture.at("out");
        let options = RestoreOptions::default();
        let restored = restore(&target, id, &to, &options, &context);
        assert_eq!(block_on(restored).unwrap().failed, []);
        let tree = disk.restored("out", "");
        disk.tree()
            .assert_same(&Snapshot::of(tree), "the restored copy");
    }
}

#[test]
fn description_stays_and_names_the_original() {
    for (from, to) in pairs() {
        let origin = Origin::new(OriginKind::Files).with_version(Some("7".to_owned()));
        let options = BackupOptions::new("web1", "ann", vec![b"/etc".to_vec(), b"x".to_vec()])
            .with_folder(b"/home".to_vec())
            .with_tags(vec!["daily".to_owned()])
            .with_origin(origin);
        let mut source = source(1);
        source.insert("gone", Thing::File("x".into()), 1, Behaviour::Vanishes);
        let made = from.backup_with(&source, &options).unwrap().backup;
        assert!(!made.is_complete());
        let change = LabelChange::default().with_note("why").with_pinned(true);
        let labels = label::label(&from.repository, [made.id], &change, &from.context);
        let original = block_on(labels).unwrap().remove(0);
        let _ = from.prove().unwrap();
        let report = copy_all(&from, &to);
        let described = block_on(
            to.repository
                .describe(report.copied[0].backup.id, &to.context),
        );
        let copy = described.unwrap();
        assert_eq!(copy.unread, made.unread, "the names of what is missing");
        assert!(copy.id != original.id);
        let mut same = copy.clone();
        same.id = original.id;
        same.copy_of = None;
        same.tree = original.tree;
        same.unread = Vec::new();
        assert_eq!(same, original, "all else is the same, without the proof");
        assert_eq!(copy.copy_of, Some(original.id));
        // A copy is found by the id of its original, too.
        let found = block_on(to.repository.find(original.id, &to.context)).unwrap();
        assert_eq!(found.id, copy.id);
    }
}

#[test]
fn second_copy_reads_and_stores_only_what_is_new() {
    for (from, to) in pairs() {
        let what = format!("{:?} to {:?}", from.repository, to.repository);
        let mut expected = fill(&from, [source(1)]);
        let first = copy_all(&from, &to);
        assert!(first.bytes_read > 1_000_000, "{what}: {first:?}");
        let before = to.sizes();
        let again = copy_all(&from, &to);
        assert_eq!((again.copied.len(), again.present.len()), (0, 1), "{what}");
        assert_eq!(to.sizes(), before, "{what}: there is nothing to store");

        expected.extend(fill(&from, [source(2)]));
        let third = copy_all(&from, &to);
        assert_eq!(third.copied.len(), 1, "{what}");
        // An entry of the target may need content that the source has in a group with other content.
        let reads_content = !inline(&from) && inline(&to);
        assert!(
            third.bytes_read < if reads_content { 1_200_000 } else { 60_000 },
            "{what}: {} bytes read",
            third.bytes_read
        );
        assert!(
            third.bytes_stored < 80_000,
            "{what}: {} bytes stored",
            third.bytes_stored
        );
        assert_copied(&what, &from, &to, &expected);
    }
}

#[test]
fn copying_back_or_onward_makes_no_second_copy() {
    let (from, to) = pairs().swap_remove(0);
    let third = TestRepo::init(None, 3);
    let expected = fill(&from, [source(1), source(2)]);
    let _ = copy_all(&from, &to);
    let back = copy_all(&to, &from);
    assert_eq!((back.copied.len(), back.present.len()), (0, 2));
    let _ = copy_all(&to, &third);
    assert_copied("a copy of copies", &from, &third, &expected);
    let direct = copy_all(&from, &third);
    assert_eq!((direct.copied.len(), direct.present.len()), (0, 2));
}

#[test]
fn older_backup_that_is_copied_later_comes_before_the_newer_one() {
    for (from, to) in pairs() {
        let mut expected = fill(&from, [source(1), source(2), source(3)]);
        let own = fill(&to, [source(9)]);
        let ids: Vec<BackupId> = from.backups().unwrap().iter().map(|one| one.id).collect();
        let _ = copy_with(&from, &to, &options().with_backups([ids[1]])).unwrap();
        let _ = copy_all(&from, &to);
        let order: Vec<BackupId> = to
            .backups()
            .unwrap()
            .iter()
            .map(Backup::original_id)
            .collect();
        let own_id = *own.keys().next().unwrap();
        assert_eq!(order, [own_id, ids[0], ids[1], ids[2]]);
        expected.extend(own);
        let reopened = to.reopen(7);
        reopened.assert_holds("in order", &of_copies(&to, &expected));
    }
}

#[test]
fn selected_backups_are_copied_and_no_others() {
    let (from, to) = pairs().swap_remove(0);
    let _ = from
        .backup_with(&source(1), &TestRepo::options("one"))
        .unwrap();
    let _ = from
        .backup_with(&source(2), &TestRepo::options("two"))
        .unwrap();
    let filter = br_core::BackupFilter::default().with_host(Some("two".to_owned()));
    let plan = copy_with(
        &from,
        &to,
        &options().with_filter(filter.clone()).with_dry_run(true),
    );
    let plan = plan.unwrap();
    assert_eq!(plan.copied.len(), 1);
    assert!(plan.copied[0].bytes_new > 1_000_000 && plan.bytes_stored == 0);
    assert!(to.backups().unwrap().is_empty(), "a dry run stores nothing");
    let report = copy_with(&from, &to, &options().with_filter(filter)).unwrap();
    assert_eq!(report.copied.len(), 1);
    assert_eq!(to.backups().unwrap()[0].host, "two");
    let unknown = copy_with(
        &from,
        &to,
        &options().with_backups([to.backups().unwrap()[0].id]),
    );
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::BackupNotFound);
}

#[test]
fn backup_that_was_deleted_in_the_target_stays_deleted_unless_it_is_named() {
    for (from, to) in pairs() {
        let expected = fill(&from, [source(1), source(2)]);
        let _ = copy_all(&from, &to);
        let first = to.backups().unwrap()[0].clone();
        to.delete(&[first.id]).unwrap();
        let _ = to.prune().unwrap();
        let report = copy_all(&from, &to);
        assert_eq!(report.copied.len(), 0);
        assert_eq!(report.deleted.len(), 1);
        assert_eq!(to.backups().unwrap().len(), 1);
        let named = options().with_backups([first.original_id()]);
        let report = copy_with(&from, &to, &named).unwrap();
        assert_eq!((report.copied.len(), report.deleted.len()), (1, 0));
        assert_copied("named", &from, &to, &expected);
    }
}

#[test]
fn repository_with_the_same_id_is_refused() {
    let repo = TestRepo::new();
    let _ = fill(&repo, [source(1)]);
    for to in [repo.reopen(5), repo.fork(6)] {
        let error = copy_with(&repo, &to, &options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("same"), "{error}");
    }
}

/// A file in some versions, all but the first stored as deltas.
fn versions(repo: &TestRepo, numbers: std::ops::Range<usize>) -> Expected {
    let mut all = Expected::new();
    for number in numbers {
        let mut content = noise(1, 2 << 20);
        for place in 0..6 * number {
            content[place * 50_000 + number] ^= 0x55;
        }
        let mut source = MemorySource::new();
        let time = 1_400_000_000 + number as i64;
        source.insert(
            "large",
            Thing::File(content.into()),
            time,
            Behaviour::Honest,
        );
        let options = TestRepo::options("host").with_deltas(Some(true));
        let report = repo.backup_with(&source, &options).unwrap();
        all.insert(report.backup.id, source);
    }
    all
}

#[test]
fn deltas_stay_deltas() {
    for (from, to) in pairs() {
        let what = format!("{:?} to {:?}", from.repository, to.repository);
        let mut expected = versions(&from, 0..3);
        let _ = copy_all(&from, &to);
        let (one, other) = (packs(&from), packs(&to));
        assert!(other < one + one / 20, "{what}: {one} bytes became {other}");
        // An incremental copy needs the bases that are in the target.
        expected.extend(versions(&from, 3..5));
        let report = copy_all(&from, &to);
        assert!(report.bytes_stored < 40_000, "{what}: {report:?}");
        assert_copied(&what, &from, &to, &expected);
    }
}

#[test]
fn delta_whose_original_is_not_copied_is_readable() {
    for (from, to) in pairs() {
        let expected = versions(&from, 0..3);
        let last = *expected.keys().last().unwrap();
        let _ = copy_with(&from, &to, &options().with_backups([last])).unwrap();
        to.assert_holds("the last version", &of_copies(&to, &expected));
        let _ = to.prune().unwrap();
        to.assert_holds("after a prune", &of_copies(&to, &expected));
    }
}

#[test]
fn copy_into_repository_with_the_same_files_stores_little() {
    for (from, to) in pairs() {
        let expected = fill(&from, [source(1)]);
        let own = fill(&to, [source(1)]);
        let before = packs(&to);
        let report = copy_all(&from, &to);
        let is_encrypted = |repo: &TestRepo| repo.repository.is_encrypted();
        // Chunk borders in large files depend on the key. A small file is one chunk under every key.
        let limit = if is_encrypted(&from) || is_encrypted(&to) {
            1_000_000
        } else {
            40_000
        };
        assert!(packs(&to) - before < limit, "{report:?}");
        let all: Expected = expected.into_iter().chain(own).collect();
        to.assert_holds("both", &of_copies(&to, &all));
    }
}

#[test]
fn part_of_a_group_is_copied_without_the_rest() {
    for (from, to) in pairs() {
        let big = MemorySource::new()
            .file("a", noise(1, 100_000))
            .file("b", noise(2, 100_000))
            .file("c", noise(3, 100_000));
        let all = fill(
            &from,
            [big, MemorySource::new().file("b", noise(2, 100_000))],
        );
        let last = *all.keys().last().unwrap();
        let report = copy_with(&from, &to, &options().with_backups([last])).unwrap();
        assert!(report.bytes_stored < 110_000, "{report:?}");
        to.assert_holds("a part", &of_copies(&to, &all));
    }
}

#[test]
fn damaged_backup_is_reported_and_the_others_are_copied() {
    for (from, to) in pairs() {
        let lone = MemorySource::new().file("lone", noise(77, 40_000));
        let mut expected = fill(&from, [lone.clone()]);
        let damaged = *expected.keys().next().unwrap();
        let before = from.keys();
        expected.remove(&damaged);
        expected.extend(fill(&from, [source(1), source(2)]));
        let mut packs = before.iter().filter(|key| key.starts_with("packs/"));
        let pack = packs.find(|key| from.object(key).len() > 30_000).unwrap();
        let mut bytes = from.object(pack).to_vec();
        let sound = bytes.clone();
        bytes[20_000] ^= 1;
        from.set_object(pack, Some(bytes));
        let keys = from.keys();
        let report = copy_all(&from, &to);
        assert_eq!(report.copied.len(), 2);
        assert_eq!(report.damaged.len(), 1);
        assert_eq!(report.damaged[0].backup.id, damaged);
        assert_eq!(report.damaged[0].first[0].path.to_string(), "lone");
        assert!(!report.is_complete());
        to.assert_holds("the others", &of_copies(&to, &expected));
        assert_eq!(from.keys(), keys, "nothing is recorded in the source");
        // When it is repaired, it is copied, and comes before the others.
        from.set_object(pack, Some(sound));
        expected.insert(damaged, lone);
        let _ = copy_all(&from, &to);
        assert_copied("repaired", &from, &to, &expected);
    }
}

#[test]
fn damaged_data_of_the_target_is_copied_again_only_if_it_is_verified() {
    for verify in [false, true] {
        for (from, to) in pairs() {
            let mut expected = fill(&from, [source(1)]);
            let _ = copy_all(&from, &to);
            damage(&to);
            expected.extend(fill(&from, [source(2)]));
            let options = options().with_verify_known(verify);
            let report = copy_with(&from, &to, &options).unwrap();
            assert_eq!(report.copied.len(), 1);
            let copy = report.copied[0].backup.id;
            assert_eq!(to.files(copy).is_ok(), verify);
            if verify {
                // The first copy needs the same data.
                assert_copied("verified", &from, &to, &expected);
            }
        }
    }
}

/// Changes a byte in a group of every pack of the first backups.
fn damage(repo: &TestRepo) {
    for key in repo.keys().iter().filter(|key| key.starts_with("packs/")) {
        let mut bytes = repo.object(key).to_vec();
        // The footer is most of a short pack.
        let middle = if bytes.len() < 1000 {
            33
        } else {
            bytes.len() / 2
        };
        bytes[middle] ^= 1;
        repo.set_object(key, Some(bytes));
    }
}

fn check_all(repo: &TestRepo, repairs: bool) -> CheckReport {
    let options = CheckOptions::default()
        .with_data(ReadData::All)
        .with_repair_index(repairs);
    block_on(check(&repo.repository, &options, &repo.context)).unwrap()
}

#[test]
fn damaged_repository_is_repaired_from_its_copies() {
    for (original, copy) in pairs() {
        // In both directions: the original from the copy, and the copy from the original.
        for original_is_damaged in [true, false] {
            let (original, copy) = (original.fork(31), copy.fork(32));
            let expected = fill(&original, [source(1), source(2), source(3)]);
            let _ = copy_all(&original, &copy);
            let (damaged, other) = if original_is_damaged {
                (&original, &copy)
            } else {
                (&copy, &original)
            };
            damage(damaged);
            let lost = check_all(damaged, true);
            assert!(!lost.is_sound());
            let keys = other.keys();
            let repaired = block_on(repair(
                &damaged.repository,
                &other.repository,
                &damaged.context,
            ));
            let repaired = repaired.unwrap();
            assert_eq!((repaired.compared, repaired.missing.len()), (3, 0));
            assert!(repaired.damaged.is_empty(), "{:?}", repaired.damaged);
            assert!(repaired.bytes_stored > 0);
            assert_eq!(
                other.keys(),
                keys,
                "nothing is recorded in the other repository"
            );
            let report = check_all(damaged, false);
            assert!(report.is_sound(), "{:?}", report.findings);
            let reopened = damaged.reopen(8);
            // A prune keeps what was stored again.
            let _ = reopened.prune().unwrap();
            let again = reopened.reopen(9);
            let expected = of_copies(&again, &expected);
            assert_eq!(expected.len(), 3);
            again.assert_holds("repaired", &expected);
            assert!(check_all(&again, false).is_sound());
            let second = block_on(repair(&again.repository, &other.repository, &again.context));
            assert_eq!(
                second.unwrap().bytes_stored,
                0,
                "there is nothing left to do"
            );
        }
    }
}

#[test]
fn backup_without_a_copy_stays_damaged_and_is_named() {
    for (original, copy) in pairs() {
        let _ = fill(&original, [source(1)]);
        let _ = copy_all(&original, &copy);
        let own = MemorySource::new().file("lone", noise(78, 40_000));
        let id = *fill(&original, [own]).keys().next().unwrap();
        damage(&original);
        let _ = check_all(&original, true);
        let repaired = block_on(repair(
            &original.repository,
            &copy.repository,
            &original.context,
        ));
        assert_eq!(repaired.unwrap().missing, [id]);
        let report = check_all(&original, false);
        assert!(!report.is_sound());
        assert!(
            report.files.iter().all(|file| file.path == "lone"),
            "{:?}",
            report.files
        );
    }
}

#[test]
fn damaged_tree_node_is_reported() {
    for (from, to) in pairs() {
        let _ = fill(&from, [source(1)]);
        for key in from.keys().iter().filter(|key| key.starts_with("packs/")) {
            from.faults.corrupt(key.as_str(), Corruption::Flip(10));
        }
        let report = copy_all(&from, &to);
        assert_eq!((report.copied.len(), report.damaged.len()), (0, 1));
        assert!(to.backups().unwrap().is_empty());
    }
}

#[test]
fn lost_manifest_of_the_source_does_not_matter() {
    for (from, to) in pairs() {
        let expected = fill(&from, [source(1)]);
        from.faults.corrupt("manifests/", Corruption::Hide);
        let _ = copy_all(&from, &to);
        to.assert_holds("without the manifest", &of_copies(&to, &expected));
    }
}

/// Stops a copy at every operation of the target or of the source, before and after that operation took effect.
fn dies_at_every_operation(encrypted: bool, in_target: bool) {
    let from = TestRepo::new();
    let to = if encrypted {
        TestRepo::init(Some(OTHER), 2)
    } else {
        TestRepo::init(None, 2)
    };
    let expected = fill(&from, [tiny(5), tiny(6), tiny(7)]);
    for when in [When::Before, When::After] {
        for n in steps(0..) {
            assert!(n < 200, "the copy ends");
            let (source, target) = (from.reopen(500 + n), to.fork(1000 + n));
            let victim = if in_target { &target } else { &source };
            victim.faults.stop_at(n, when);
            let result = copy_with(&source, &target, &options());
            let last = victim.faults.operations().pop();
            let what = format!("stopped {when:?} operation {n}, at {last:?}");
            if victim.faults.count() <= n {
                let _ = result.unwrap();
                break;
            }
            if let Err(error) = &result {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}: {error}");
            }
            let survivor = target.reopen(2000 + n);
            let copies = of_copies(&survivor, &expected);
            survivor.assert_holds(&what, &copies);
            let next = copy_all(&from.reopen(3000 + n), &survivor);
            assert!(next.is_complete(), "{what}");
            assert_copied(
                &format!("{what}, and the next copy"),
                &from,
                &survivor,
                &expected,
            );
            let _ = survivor.prune().unwrap();
            assert_copied(&format!("{what}, and a prune"), &from, &survivor, &expected);
        }
    }
}

#[test]
fn copy_that_dies_in_the_target_is_continued() {
    dies_at_every_operation(false, true);
}

#[test]
fn copy_that_dies_in_an_encrypted_target_is_continued() {
    dies_at_every_operation(true, true);
}

#[test]
fn copy_that_loses_the_source_is_continued() {
    dies_at_every_operation(true, false);
}

#[test]
fn interrupted_copy_does_not_store_its_packs_again() {
    for (from, to) in pairs() {
        let expected = fill(&from, [source(1)]);
        let probe = to.fork(30);
        let _ = copy_all(&from, &probe);
        let operations = probe.faults.operations();
        let manifest = operations
            .iter()
            .position(|one| one.verb == "put" && one.key.starts_with("manifests/"))
            .unwrap();
        let victim = to.fork(31);
        victim.faults.stop_at(manifest as u64, When::Before);
        let _ = copy_with(&from, &victim, &options()).unwrap_err();
        let survivor = victim.reopen(32);
        let before = packs(&survivor);
        let report = copy_all(&from, &survivor);
        assert!(report.packs_resumed > 0);
        assert_eq!(packs(&survivor), before, "every pack is used");
        assert_copied("continued", &from, &survivor, &expected);
    }
}

#[test]
fn prune_in_the_target_during_a_copy_loses_nothing() {
    for (from, to) in two_pairs() {
        let mut expected = fill(&from, [tiny(5)]);
        let _ = copy_all(&from, &to);
        // The prune removes data that the copy is about to rely on.
        let gone = to.backups().unwrap()[0].id;
        expected.extend(fill(&from, [tiny(6)]));
        let probe = to.fork(40);
        let _ = copy_all(&from, &probe);
        let operations = probe.faults.count();
        for n in steps(0..operations) {
            let target = to.fork(100 + n);
            let other = target.reopen(300 + n);
            target.faults.before(n, {
                let other = other.clone();
                move || {
                    Box::pin(async move {
                        let ids = [gone];
                        let plan =
                            br_core::engine::delete::plan(&other.repository, ids, &other.context);
                        let plan = plan.await.unwrap();
                        let delete = br_core::engine::delete::delete(
                            &other.repository,
                            &plan,
                            &other.context,
                        );
                        delete.await.unwrap();
                        let _ = other.prune_async().await.unwrap();
                    })
                }
            });
            let what = format!("a prune before operation {n}");
            match copy_with(&from, &target, &options()) {
                Ok(report) => assert!(report.is_complete(), "{what}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{what}: {error}");
                    let _ = copy_all(&from, &target.reopen(600 + n));
                }
            }
            let survivor = target.reopen(700 + n);
            survivor.assert_holds(&what, &of_copies(&survivor, &expected));
            assert_eq!(survivor.backups().unwrap().len(), 1, "{what}");
        }
    }
}

#[test]
fn two_copies_at_the_same_time_give_each_backup_once() {
    for (from, to) in two_pairs() {
        let expected = fill(&from, [tiny(5)]);
        let probe = to.fork(50);
        let _ = copy_all(&from, &probe);
        for n in steps(0..probe.faults.count()) {
            let target = to.fork(100 + n);
            let (source, other) = (from.reopen(200 + n), target.reopen(300 + n));
            target.faults.before(n, move || {
                Box::pin(async move {
                    let (source, other) = (source, other);
                    let (from, to) = (&source.repository, &other.repository);
                    let options = options();
                    let _ = copy(from, to, &options, &other.context).await.unwrap();
                })
            });
            let _ = copy_all(&from, &target);
            assert_copied(&format!("operation {n}"), &from, &target, &expected);
        }
    }
}

#[test]
fn prune_in_the_source_during_a_copy_is_named() {
    let (from, to) = pairs().swap_remove(0);
    let expected = fill(&from, [source(1)]);
    let probe = from.reopen(60);
    let _ = copy_with(&probe, &to.fork(60), &options()).unwrap();
    let operations = probe.faults.operations();
    let pack = operations
        .iter()
        .position(|one| one.key.starts_with("packs/"));
    let victim = from.reopen(61);
    let other = from.reopen(62);
    let gone = *expected.keys().next().unwrap();
    victim.faults.before(pack.unwrap() as u64, move || {
        Box::pin(async move {
            let plan = br_core::engine::delete::plan(&other.repository, [gone], &other.context);
            let plan = plan.await.unwrap();
            let deleted = br_core::engine::delete::delete(&other.repository, &plan, &other.context);
            deleted.await.unwrap();
            let _ = other.prune_async().await.unwrap();
        })
    });
    let error = copy_with(&victim, &to, &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("prune"), "{error}");
    assert!(to.backups().unwrap().is_empty());
}

#[test]
fn cancelled_copy_ends_and_commits_nothing_more() {
    let (from, to) = pairs().swap_remove(0);
    let _ = fill(&from, [source(1)]);
    let cancel = CancellationToken::new();
    let victim = from.reopen(70);
    victim.faults.before(4, {
        let cancel = cancel.clone();
        move || Box::pin(async move { cancel.cancel() })
    });
    let context = to.context.clone().with_cancel(cancel);
    let options = options();
    let copied = copy(&victim.repository, &to.repository, &options, &context);
    let error = block_on(copied).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(to.backups().unwrap().is_empty());
}
