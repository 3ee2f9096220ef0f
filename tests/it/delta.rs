//! Small changes in a large file are stored as deltas. They are as safe as other data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use br_core::ErrorKind;
use br_core::engine::backup::{BackupOptions, backup};
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::delete;
use br_core::engine::prune::{PruneOptions, plan, prune};
use br_core::model::{BackupId, EntryPath, FileTime, Owner};
use br_core::source::StreamSource;
use br_testkit::{Behaviour, MemorySource, TestRepo, Thing, When, block_on, noise, steps};

type Expected = BTreeMap<BackupId, MemorySource>;

/// The size of a chunk in bytes, complete and as a difference, with all its metadata.
const WHOLE: u64 = 30_000;
const DIFFERENCE: u64 = 1_000;

fn options(host: &str) -> BackupOptions {
    TestRepo::options(host).with_deltas(Some(true))
}

/// A version of a file; each version has a different time.
fn version(number: i64, content: Vec<u8>) -> MemorySource {
    let mut source = MemorySource::new().file("small", "small");
    source.insert(
        "large",
        Thing::File(content.into()),
        1_400_000_000 + number,
        Behaviour::Honest,
    );
    source
}

/// Changes single bytes at this number of places.
fn scatter(content: &mut [u8], places: usize, salt: usize) {
    let step = content.len() / places;
    for place in 0..places {
        content[place * step + (salt * 7919) % step] ^= 0x55;
    }
}

fn stored(repo: &TestRepo) -> u64 {
    let packs = repo.sizes().into_iter();
    let packs = packs.filter(|(key, _)| key.starts_with("packs/"));
    packs.map(|(_, len)| len).sum()
}

/// A repository with two versions of a file; the second is stored as differences.
fn two_versions(encrypted: bool) -> (TestRepo, Expected) {
    let repo = if encrypted {
        TestRepo::encrypted()
    } else {
        TestRepo::new()
    };
    let mut content = noise(1, 2 << 20);
    let mut all = Expected::new();
    for number in 0..2 {
        let source = version(number, content.clone());
        let report = repo.backup_with(&source, &options("host")).unwrap();
        all.insert(report.backup.id, source);
        scatter(&mut content, 6, 1);
    }
    (repo, all)
}

#[test]
fn small_change_stores_little_data() {
    for encrypted in [false, true] {
        let repo = if encrypted {
            TestRepo::encrypted()
        } else {
            TestRepo::new()
        };
        let mut content = noise(1, 8 << 20);
        let first = version(0, content.clone());
        let base = repo
            .backup_with(&first, &options("host"))
            .unwrap()
            .backup
            .id;
        let before = stored(&repo);
        scatter(&mut content, 20, 1);
        let second = version(1, content);

        let plain = repo.fork(5);
        let whole = options("host").with_deltas(Some(false));
        let _ = plain.backup_with(&second, &whole).unwrap();
        let whole = stored(&plain) - before;
        assert!(whole > 20 * WHOLE, "{whole} bytes");

        let report = repo.backup_with(&second, &options("host")).unwrap();
        let difference = stored(&repo) - before;
        assert!(difference < 20 * DIFFERENCE, "{difference} bytes");
        assert!(report.backup.changes.bytes_added > 20 * WHOLE);
        assert_eq!(report.backup.changes.files_changed, 1);
        let all = Expected::from([(base, first), (report.backup.id, second)]);
        repo.reopen(6).assert_holds("with differences", &all);
        assert!(repo.check().unwrap().findings.is_empty());
    }
}

/// The base of a delta is always a complete chunk, for any number of versions; after some versions a complete chunk is stored again.
#[test]
fn many_versions_do_not_form_delta_chain() {
    let repo = TestRepo::new();
    let mut content = noise(1, 1 << 20);
    let mut all = Expected::new();
    let mut sizes = Vec::new();
    for number in 0..12 {
        let source = version(number, content.clone());
        let before = stored(&repo);
        let report = repo.backup_with(&source, &options("host")).unwrap();
        sizes.push(stored(&repo) - before);
        all.insert(report.backup.id, source);
        scatter(&mut content, 400, number as usize + 1);
    }
    repo.assert_holds("many versions", &all);
    assert!(sizes[1] < sizes[0] / 10, "{sizes:?}");
    assert!(sizes[5] > sizes[1], "{sizes:?}");
    // Only the last version is kept: its bases stay.
    let last = all.pop_last().unwrap();
    repo.delete(&all.into_keys().collect::<Vec<_>>()).unwrap();
    let _ = repo.prune().unwrap();
    let _ = repo.prune().unwrap();
    let all = Expected::from([last]);
    repo.reopen(6).assert_holds("the last version", &all);
    assert!(repo.check().unwrap().findings.is_empty());
}

#[test]
fn moved_grown_and_unrelated_content_is_restored() {
    let old = noise(1, 3 << 20);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut content = old.clone();
        change(&mut content);
        content
    };
    let insert = |at: usize, len: usize| {
        with(&move |content| {
            content.splice(at..at, noise(2, len));
        })
    };
    for (what, content) in [
        ("some bytes were inserted", insert(1_000_000, 100)),
        ("many bytes were inserted", insert(1_000_000, 2_000_000)),
        ("some bytes were inserted at the start", insert(0, 10)),
        (
            "a part was removed",
            with(&|content| drop(content.drain(5_000..1_500_000))),
        ),
        ("it grew", with(&|content| content.extend(noise(3, 50_000)))),
        (
            "it was truncated",
            with(&|content| content.truncate(100_000)),
        ),
        ("it is another file", noise(9, 3 << 20)),
        (
            "it was rotated",
            with(&|content| content.rotate_left(1 << 20)),
        ),
        (
            "it was doubled",
            with(&|content| content.extend_from_within(..)),
        ),
        (
            "bytes changed everywhere",
            with(&|content| scatter(content, 5000, 3)),
        ),
        ("it is empty", Vec::new()),
        ("it is small", noise(1, 40_000)),
    ] {
        let repo = TestRepo::new();
        let (first, second) = (version(0, old.clone()), version(1, content));
        let mut all = Expected::new();
        for source in [&first, &second, &first] {
            let report = repo.backup_with(source, &options("host")).unwrap();
            all.insert(report.backup.id, source.clone());
        }
        repo.assert_holds(what, &all);
    }
}

/// br compares the entries of a source with the base, even if the source never reports an entry as unchanged.
#[test]
fn a_stream_is_compared_with_the_one_before() {
    let repo = TestRepo::new();
    let mut content = noise(1, 4 << 20);
    let mut sizes = Vec::new();
    for _ in 0..2 {
        let source = StreamSource::new(
            EntryPath::new(b"dump.sql".to_vec()).unwrap(),
            std::io::Cursor::new(content.clone()),
            FileTime { secs: 0, nanos: 0 },
            Owner::default(),
        );
        let options = options("host");
        let made = backup(&repo.repository, source, &options, &repo.context);
        let before = stored(&repo);
        let id = block_on(made).unwrap().backup.id;
        sizes.push(stored(&repo) - before);
        assert!(repo.files(id).unwrap()["dump.sql"] == content);
        scatter(&mut content, 10, 1);
    }
    assert!(sizes[1] < 10 * DIFFERENCE, "{sizes:?}");
}

/// A dump in which one row of a hundred changes its length has no chunk of the earlier one, and each place is further off than the one before.
#[test]
fn a_dump_with_scattered_changes_of_length_stores_little_data() {
    let rows = noise(1, 100 * 100_000);
    let dump = |first: usize, changes: &dyn Fn(usize) -> Option<&'static str>| {
        let mut text = String::new();
        for (id, row) in rows.chunks(100).enumerate().skip(first) {
            let hex = row.iter().map(|byte| format!("{byte:02x}"));
            let hex: String = hex.collect();
            match changes(id) {
                Some(change) => writeln!(text, "({id},'{change}'),").unwrap(),
                None => writeln!(text, "({id},'{hex}'),").unwrap(),
            }
        }
        text.into_bytes()
    };
    let scattered = |id: usize| (id % 100 == 7).then_some("short");
    let later = |id: usize| (id % 100 == 57).then_some("another");
    for (what, versions) in [
        (
            "rows that change",
            vec![dump(0, &|_| None), dump(0, &scattered), dump(0, &later)],
        ),
        // What follows has moved by 4 MB.
        (
            "rows at the start are gone",
            vec![dump(0, &|_| None), dump(20_000, &scattered)],
        ),
    ] {
        let repo = TestRepo::new();
        let mut sizes = Vec::new();
        let mut all = Expected::new();
        for (number, content) in (0..).zip(versions) {
            let source = version(number, content);
            let before = stored(&repo);
            let report = repo.backup_with(&source, &options("host")).unwrap();
            sizes.push(stored(&repo) - before);
            all.insert(report.backup.id, source);
        }
        assert!(
            sizes[1..].iter().all(|size| *size < sizes[0] / 20),
            "{what}: {sizes:?}"
        );
        repo.assert_holds(what, &all);
    }
}

#[test]
fn damage_to_delta_base_is_named_and_repaired() {
    let (repo, all) = two_versions(false);
    let (first, second) = (all.keys().next().unwrap(), all.keys().nth(1).unwrap());
    let largest = repo.sizes().into_iter().max_by_key(|(_, len)| *len);
    let (key, _) = largest.unwrap();

    let rotten = repo.fork(7);
    rot(&rotten, &key);
    let report = rotten.check().unwrap();
    for id in [first, second] {
        let large = report.files.iter().find(|file| file.path == "large");
        assert!(
            large.is_some_and(|file| file.backups.contains(id)),
            "{report:?}"
        );
        let error = rotten.files(*id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
    }

    let lost = repo.fork(8);
    lost.set_object(&key, None);
    let report = lost.check().unwrap();
    for id in [first, second] {
        let mut files = report.files.iter();
        assert!(files.any(|file| file.backups.contains(id)), "{report:?}");
    }
    let options_of_repair = CheckOptions::default()
        .with_data(ReadData::All)
        .with_repair_index(true);
    let _ = block_on(check(&lost.repository, &options_of_repair, &lost.context)).unwrap();
    // Another backup of the same data restores everything.
    for (number, source) in (20..).zip(all.values()) {
        let healing = lost.reopen(number);
        let id = healing
            .backup_with(source, &options("host"))
            .unwrap()
            .backup
            .id;
        assert!(healing.files(id).unwrap() == source.files());
    }
    for (id, source) in &all {
        assert!(lost.reopen(30).files(*id).unwrap() == source.files());
    }
}

/// Changes bytes all over an object.
fn rot(repo: &TestRepo, key: &str) {
    let mut bytes = repo.object(key).to_vec();
    for at in (1000..bytes.len() - 1000).step_by(1000) {
        bytes[at] ^= 1;
    }
    repo.set_object(key, Some(bytes));
}

/// Two machines store the same data at the same time; a delta can use either copy of its base.
#[test]
fn either_copy_of_delta_base_is_sufficient() {
    let mut content = noise(1, 2 << 20);
    let first = version(0, content.clone());
    let large = |repo: &TestRepo| -> Vec<String> {
        let packs = repo.sizes().into_iter();
        let packs = packs.filter(|(key, len)| key.starts_with("packs/") && *len > 1 << 20);
        packs.map(|(key, _)| key).collect()
    };
    let twice = (0..20).find_map(|n| {
        let one = TestRepo::new();
        let other = one.reopen(2);
        let (slow, source) = (other.clone(), first.clone());
        one.faults.before(n, move || {
            Box::pin(async move {
                let options = options("other");
                let made = backup(&slow.repository, source, &options, &slow.context);
                let _ = made.await.unwrap();
            })
        });
        let _ = one.backup_with(&first, &options("host")).unwrap();
        (large(&one).len() == 2).then_some(one)
    });
    let repo = twice.unwrap();
    let mut all = Expected::new();
    for host in ["host", "other"] {
        scatter(&mut content, 6, 1);
        let source = version(1, content.clone());
        let report = repo.backup_with(&source, &options(host)).unwrap();
        all.insert(report.backup.id, source);
    }
    // Segments are merged, and then another copy may be found first.
    for number in 0..20 {
        let small = MemorySource::new().file("f", noise(100 + number, 2000));
        let _ = repo.backup_with(&small, &options("small")).unwrap();
    }
    assert_eq!(repo.check().unwrap().findings.len(), 0);
    for (number, key) in (10..).zip(large(&repo)) {
        for lost in [false, true] {
            let worse = repo.fork(number);
            if lost {
                worse.set_object(&key, None);
            } else {
                rot(&worse, &key);
            }
            for (id, source) in &all {
                assert!(worse.files(*id).unwrap() == source.files(), "{key}");
            }
            let report = worse.check().unwrap();
            assert!(!report.findings.is_empty());
            assert!(report.files.is_empty(), "{report:?}");
        }
    }
}

/// A check that reads only some packs names every file that the damage affects.
#[test]
fn partial_check_names_deltas_with_damaged_base() {
    let (repo, all) = two_versions(false);
    let (first, second) = (all.keys().next().unwrap(), all.keys().nth(1).unwrap());
    let largest = repo.sizes().into_iter().max_by_key(|(_, len)| *len);
    let (key, _) = largest.unwrap();
    repo.delete(&[*first]).unwrap();
    rot(&repo, &key);
    let mut found = 0;
    for seed in 0..20 {
        let repo = repo.reopen(seed);
        let options = CheckOptions::default().with_data(ReadData::Bytes(1));
        let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
        for finding in &report.findings {
            found += u32::from(finding.object == key);
            assert_eq!(report.files.len(), 1, "{report:?}");
            assert_eq!(report.files[0].path, "large");
            assert_eq!(report.files[0].backups, [*second]);
        }
    }
    assert!(found > 0, "at least one partial check reads the pack");
}

/// The earlier version is deleted and pruned while a backup stores deltas against it.
#[test]
fn prune_during_backup_keeps_delta_bases() {
    let (repo, all) = two_versions(false);
    let mut content = all.values().next_back().unwrap().files()["large"].to_vec();
    // Another backup uses part of the data of the deleted one: the prune moves it to other packs.
    let kept = version(9, content[..1 << 20].to_vec());
    let kept_id = repo.backup_with(&kept, &options("kept")).unwrap().backup.id;
    scatter(&mut content, 5, 2);
    let third = version(3, content);
    let probe = repo.fork(9);
    let _ = probe.backup_with(&third, &options("host")).unwrap();
    let deleted: Vec<BackupId> = all.keys().copied().collect();
    let conflicts = AtomicU64::new(0);
    for n in steps(0..probe.faults.count()) {
        let one = repo.fork(100 + n);
        let other = one.reopen(200 + n);
        one.faults.before(n, {
            let (other, deleted) = (other.clone(), deleted.clone());
            move || {
                Box::pin(async move {
                    let context = &other.context;
                    let plan = delete::plan(&other.repository, deleted, context).await;
                    delete::delete(&other.repository, &plan.unwrap(), context)
                        .await
                        .unwrap();
                    let _ = other.prune_async().await.unwrap();
                })
            }
        });
        let id = match one.backup_with(&third, &options("host")) {
            Ok(report) => report.backup.id,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Conflict, "operation {n}: {error}");
                conflicts.fetch_add(1, Ordering::Relaxed);
                one.backup_with(&third, &options("host")).unwrap().backup.id
            }
        };
        let all = Expected::from([(id, third.clone()), (kept_id, kept.clone())]);
        let what = format!("a prune before operation {n}");
        one.reopen(300 + n).assert_holds(&what, &all);
        let _ = one.prune().unwrap();
        one.reopen(400 + n).assert_holds(&what, &all);
    }
}

/// An interrupted backup left deltas; their bases are pruned before it continues.
#[test]
fn deltas_of_interrupted_backup_are_reused_only_with_their_bases() {
    let (repo, all) = two_versions(false);
    let mut content = all.values().next_back().unwrap().files()["large"].to_vec();
    scatter(&mut content, 5, 2);
    let third = version(3, content);
    let journal = tempfile::tempdir().unwrap();
    let options = options("host").with_journal(Some(journal.path().to_owned()));
    let probe = repo.fork(9);
    let _ = probe.backup_with(&third, &options).unwrap();
    for n in steps(0..probe.faults.count()) {
        let one = repo.fork(100 + n);
        one.faults.stop_at(n, When::After);
        let stopped = one.backup_with(&third, &options).is_err();
        one.faults.reset();
        let listed = one.reopen(150 + n).backups().unwrap();
        if !stopped || listed.len() > all.len() {
            continue;
        }
        let next = one.reopen(200 + n);
        next.delete(&all.keys().copied().collect::<Vec<_>>())
            .unwrap();
        let sparing = PruneOptions::default()
            .with_max_unused(0.0)
            .with_grace(Duration::from_secs(24 * 3600));
        block_on(async {
            let planned = plan(&next.repository, &sparing, &next.context)
                .await
                .unwrap();
            let _ = prune(&next.repository, &planned, &next.context)
                .await
                .unwrap();
        });
        let id = next.backup_with(&third, &options).unwrap().backup.id;
        let all = Expected::from([(id, third.clone())]);
        next.reopen(300 + n)
            .assert_holds(&format!("stopped at operation {n}"), &all);
    }
}

/// A prune keeps a pack with little unused data, including unused deltas. Their bases may be deleted.
#[test]
fn unused_delta_without_base_is_not_damage() {
    let repo = TestRepo::new();
    let mut content = noise(1, 200_000);
    let back_up = |source: &MemorySource| {
        repo.backup_with(source, &options("host"))
            .unwrap()
            .backup
            .id
    };
    let first = back_up(&version(0, content.clone()));
    content[100_000..100_010].fill(7);
    let second = back_up(&version(1, content).file("other", noise(2, 20 << 20)));
    let last = MemorySource::new().file("other", noise(2, 20 << 20));
    let third = back_up(&last);
    repo.delete(&[first, second]).unwrap();
    let lenient = PruneOptions::default().with_grace(Duration::ZERO);
    let planned = block_on(plan(&repo.repository, &lenient, &repo.context)).unwrap();
    assert!(
        planned.packs_unused > 0 && planned.packs_kept > 0,
        "{planned:?}"
    );
    let _ = block_on(prune(&repo.repository, &planned, &repo.context)).unwrap();
    repo.assert_holds("pruned", &Expected::from([(third, last)]));
    let findings = repo.check().unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
}

/// Damage to data that no backup uses is a note: the next backup could rely on it.
#[test]
fn damage_to_unused_data_is_note() {
    let repo = TestRepo::new();
    let file = |seed| noise(seed, 2 << 20);
    let both = MemorySource::new().file("a", file(1)).file("b", file(2));
    let deleted = repo.backup(&both).unwrap().backup.id;
    let kept = MemorySource::new().file("a", file(1));
    let id = repo
        .backup_with(&kept, &options("other"))
        .unwrap()
        .backup
        .id;
    repo.delete(&[deleted]).unwrap();
    let sizes = repo.sizes().into_iter();
    let (pack, len) = sizes
        .filter(|(key, _)| key.starts_with("packs/"))
        .max_by_key(|(_, len)| *len)
        .unwrap();
    let (mut sound, mut unsound) = (0, 0);
    for part in 1..16 {
        let rotten = repo.fork(part);
        let mut bytes = rotten.object(&pack).to_vec();
        bytes[usize::try_from(len * part / 16).unwrap()] ^= 1;
        rotten.set_object(&pack, Some(bytes));
        let report = rotten.check().unwrap();
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        assert_eq!(
            report.is_sound(),
            rotten.files(id).is_ok(),
            "{:?}",
            report.findings
        );
        if report.is_sound() {
            sound += 1;
        } else {
            unsound += 1;
        }
    }
    assert!(sound > 3 && unsound > 3, "{sound} {unsound}");
}
