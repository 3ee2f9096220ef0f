//! Repairs: `check` rebuilds the index from the packs, and the backup list from the manifests.

use br_core::ErrorKind;
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::check::{CheckReport, Severity};
use br_core::model::BackupId;
use br_testkit::{MemorySource, TestRepo, block_on, noise};

use crate::damage::{chain, damages, source, whole};
use crate::support::telling;

#[test]
fn a_damaged_index_is_rebuilt() {
    for encrypted in [false, true] {
        let whole = whole(encrypted);
        for key in whole
            .repo
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("index/"))
        {
            for (how, bytes) in damages(&whole, &key) {
                let what = format!("{key} {how}");
                let repo = whole.repo.fork(3);
                repo.set_object(&key, bytes);
                let error = repo
                    .prune()
                    .err()
                    .unwrap_or_else(|| panic!("{what}: nothing is pruned"));
                assert_eq!(
                    error.kind(),
                    ErrorKind::Damaged,
                    "{what}: {}",
                    chain(&error)
                );
                let options = CheckOptions::default()
                    .with_data(ReadData::All)
                    .with_repair_index(true);
                let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
                assert!(report.is_sound(), "{what}: {:?}", report.findings);
                assert!(
                    report.repaired.iter().any(|text| text.contains(&key)),
                    "{what}: {:?}",
                    report.repaired
                );
                let repo = repo.reopen(4);
                assert!(repo.check().unwrap().is_sound(), "{what}: the repair lasts");
                for (id, files) in &whole.backups {
                    assert_eq!(repo.files(*id).unwrap(), *files, "{what}");
                }
                repo.delete(&[whole.backups[0].0]).unwrap();
                let _ = repo.prune().unwrap();
                assert_eq!(
                    repo.files(whole.backups[1].0).unwrap(),
                    whole.backups[1].1,
                    "{what}"
                );
                assert!(
                    repo.check().unwrap().findings.is_empty(),
                    "{what}: later operations work"
                );
            }
        }
    }
}

/// Symptom: the repair dropped the last groups of a pack that lacked only bytes after them.
#[test]
fn pack_with_another_end_loses_no_readable_group_in_a_repair() {
    for encrypted in [false, true] {
        let whole = whole(encrypted);
        let keys = whole.repo.keys();
        for key in keys.iter().filter(|key| key.starts_with("packs/")) {
            let bytes = whole.repo.object(key).to_vec();
            let longer = [&bytes[..], b"x"].concat();
            for (how, bytes) in [
                ("without its last byte", bytes[..bytes.len() - 1].to_vec()),
                ("without its trailer", bytes[..bytes.len() - 16].to_vec()),
                ("with another byte", longer),
            ] {
                let what = format!("{key} {how}");
                let repo = whole.repo.fork(3);
                repo.set_object(key, Some(bytes));
                let found = repo.check().unwrap();
                assert!(!found.is_sound(), "{what}");
                assert!(found.damaged_backups.is_empty(), "{what}: {found:?}");
                let options = CheckOptions::default()
                    .with_data(ReadData::All)
                    .with_repair_index(true);
                let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
                assert!(report.is_sound(), "{what}: {:?}", report.findings);
                assert!(report.repaired[0].contains("(0 of "), "{what}: {report:?}");
                let repo = repo.reopen(4);
                let _ = repo.prune().unwrap();
                assert!(repo.check().unwrap().findings.is_empty(), "{what}");
                for (id, files) in &whole.backups {
                    assert_eq!(repo.files(*id).unwrap(), *files, "{what}");
                }
                let marked = repo.backups().unwrap();
                assert!(marked.iter().all(|one| one.damaged.is_none()), "{what}");
            }
        }
    }
}

/// Symptom: after a repair while the folder of the packs was not there, no command took the packs back.
#[test]
fn packs_that_were_away_during_a_repair_come_back() {
    for encrypted in [false, true] {
        for lost in ["all", "one"] {
            let whole = whole(encrypted);
            let repo = whole.repo.fork(3);
            let packs = repo.keys().into_iter();
            let mut packs: Vec<_> = packs.filter(|key| key.starts_with("packs/")).collect();
            if lost == "one" {
                packs.truncate(1);
            }
            let away: Vec<_> = packs.iter().map(|key| repo.object(key).to_vec()).collect();
            packs.iter().for_each(|key| repo.set_object(key, None));
            let options = CheckOptions::default().with_repair_index(true);
            let repair = |repo: &TestRepo| {
                block_on(check(&repo.repository, &options, &repo.context)).unwrap()
            };
            assert!(!repair(&repo).is_sound());
            let again = packs.iter().zip(away);
            again.for_each(|(key, bytes)| repo.set_object(key, Some(bytes)));
            let back = repair(&repo);
            assert!(back.is_sound(), "{lost}: {:?}", back.findings);
            assert_eq!(back.repaired.len(), packs.len(), "{:?}", back.repaired);
            let repo = repo.reopen(4);
            assert!(
                repair(&repo).repaired.is_empty(),
                "there is nothing left to do"
            );
            for (id, files) in &whole.backups {
                assert_eq!(repo.files(*id).unwrap(), *files, "{lost}");
            }
            let _ = repo.prune().unwrap();
            assert!(repo.check().unwrap().findings.is_empty(), "{lost}");
            for (id, files) in &whole.backups {
                assert_eq!(repo.files(*id).unwrap(), *files, "{lost}");
            }
            let marked = repo.backups().unwrap();
            assert!(marked.iter().all(|one| one.damaged.is_none()), "{lost}");
        }
    }
}

#[test]
fn backup_to_repository_with_damaged_index_is_complete() {
    let whole = whole(false);
    for key in whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("index/"))
    {
        let repo = whole.repo.fork(3);
        repo.set_object(&key, Some(noise(1, 100)));
        let report = repo.backup(&source()).unwrap();
        assert_eq!(
            report.backup.changes.bytes_added, 0,
            "packs are found by their footers"
        );
        assert_eq!(repo.files(report.backup.id).unwrap(), source().files());
        let options = CheckOptions::default()
            .with_data(ReadData::All)
            .with_repair_index(true);
        let repaired = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
        assert!(repaired.is_sound(), "{:?}", repaired.findings);
    }
}

#[test]
fn a_damaged_log_is_named_and_rebuilt() {
    let whole = whole(false);
    let keys = whole.repo.keys();
    let last = keys.into_iter().rfind(|key| key.starts_with("log/"));
    let last = last.unwrap();
    for key in whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("log/"))
    {
        for (how, bytes) in damages(&whole, &key) {
            let what = format!("{key} {how}");
            let repo = whole.repo.fork(3);
            // Without the last entry the log is an earlier log: only a machine that saw the entry can detect this.
            let bytes_are_sound = key == last && bytes.is_none();
            repo.set_object(&key, bytes);
            let before = repo.keys();
            if bytes_are_sound {
                continue;
            }
            let (context, told) = telling(&repo.context);
            let listed = block_on(repo.repository.backups(&context)).unwrap();
            assert_eq!(
                listed.len(),
                2,
                "{what}: the backups are found by their manifests"
            );
            let told = told.warnings.lock().unwrap().join("\n");
            assert!(told.contains(&key), "{what}: {told}");
            let error = repo.backup(&source()).unwrap_err();
            assert!(chain(&error).contains(&key), "{what}: {}", chain(&error));
            assert_eq!(
                error.kind(),
                ErrorKind::Damaged,
                "{what}: nothing is added to the repository"
            );
            assert_eq!(repo.keys(), before, "{what}: nothing is written");
            let options = CheckOptions::default()
                .with_data(ReadData::All)
                .with_repair_log(true);
            let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
            assert!(report.is_sound(), "{what}: {:?}", report.findings);
            let repo = repo.reopen(4);
            assert_eq!(
                repo.backups().unwrap().len(),
                2,
                "{what}: all backups are listed again"
            );
            for (id, files) in &whole.backups {
                assert_eq!(repo.files(*id).unwrap(), *files, "{what}");
            }
            let next = repo.backup(&source()).unwrap().backup.id;
            assert_eq!(
                repo.files(next).unwrap(),
                source().files(),
                "{what}: later operations work"
            );
            repo.delete(&[whole.backups[0].0]).unwrap();
            let _ = repo.prune().unwrap();
            assert_eq!(
                repo.files(whole.backups[1].0).unwrap(),
                whole.backups[1].1,
                "{what}"
            );
        }
    }
}

#[test]
fn a_log_damaged_before_a_checkpoint_does_not_matter() {
    let repo = TestRepo::new();
    for _ in 0..40 {
        let _ = repo.backup(&source()).unwrap();
    }
    for seq in 0..32 {
        repo.set_object(
            &format!("log/{seq:016}"),
            (seq % 2 == 0).then(|| noise(seq, 50)),
        );
    }
    let repo = repo.reopen(2);
    assert_eq!(
        repo.backups().unwrap().len(),
        40,
        "a checkpoint has the whole state"
    );
    let _ = repo.backup(&source()).unwrap();
    assert!(repo.check().unwrap().is_sound());
}

#[test]
fn rebuilt_log_keeps_moved_chunks() {
    let repo = TestRepo::new();
    let deleted = repo
        .backup(&source().file("surplus", noise(9, 300_000)))
        .unwrap()
        .backup
        .id;
    let kept = repo.backup(&source()).unwrap().backup.id;
    repo.delete(&[deleted]).unwrap();
    let _ = repo.prune().unwrap();
    let last = repo
        .keys()
        .into_iter()
        .rfind(|key| key.starts_with("log/"))
        .unwrap();
    repo.set_object(&last, Some(noise(1, 300)));
    let options = CheckOptions::default()
        .with_data(ReadData::All)
        .with_repair_log(true);
    let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(repo.files(kept).unwrap(), source().files());
    let _ = repo.prune().unwrap();
    assert_eq!(repo.files(kept).unwrap(), source().files());
    let findings = repo.check().unwrap().findings;
    assert_eq!(findings.len(), 1, "the old entry stays: {findings:?}");
    assert_eq!(findings[0].severity, Severity::Note, "{findings:?}");
}

#[test]
fn a_missing_manifest_is_damage_and_stops_a_prune() {
    let whole = whole(false);
    let (id, files) = &whole.backups[0];
    let key = format!("manifests/{id}");
    let repo = whole.repo.fork(2);
    repo.set_object(&key, None);
    let report = repo.check().unwrap();
    assert!(
        report.findings.iter().any(|finding| finding.object == key),
        "{:?}",
        report.findings
    );
    assert_eq!(
        repo.files(*id).unwrap(),
        *files,
        "the files can be restored nevertheless"
    );
    let error = repo.prune().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(chain(&error).contains(&key), "{}", chain(&error));
    assert_eq!(repo.files(*id).unwrap(), *files, "nothing was removed");
}

/// A pack was lost. The next backup must store its content again, which also repairs the old backup.
#[test]
fn a_lost_pack_is_given_up_and_its_content_stored_again() {
    for encrypted in [false, true] {
        let whole = whole(encrypted);
        for pack in whole
            .repo
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("packs/"))
        {
            let repo = whole.repo.fork(3);
            repo.set_object(&pack, None);
            assert!(
                !repo.check().unwrap().is_sound(),
                "{pack}: the loss is detected"
            );
            let options = CheckOptions::default().with_repair_index(true);
            let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
            assert!(
                report.repaired.iter().any(|text| text.contains(&pack)),
                "{pack}: {:?}",
                report.repaired
            );
            let repo = repo.reopen(4);
            // The sources of both backups are still there.
            let _ = repo.backup(&source()).unwrap();
            let second = source().file("only in the second", noise(3, 20_000));
            let _ = repo.backup(&second).unwrap();
            let report = repo.check().unwrap();
            let latest = repo.backups().unwrap().pop().unwrap();
            assert_eq!(
                repo.files(latest.id).unwrap(),
                whole.backups[1].1,
                "{pack}: the new backup is complete"
            );
            let lost_tree = report
                .findings
                .iter()
                .any(|f| f.message.contains("cannot be listed"));
            if !lost_tree {
                let _ = repo.prune().unwrap();
                assert!(
                    repo.check().unwrap().is_sound(),
                    "{pack}: {:?}",
                    report.findings
                );
                for (id, files) in &whole.backups {
                    assert_eq!(
                        repo.files(*id).unwrap(),
                        *files,
                        "{pack}: the old backups are complete too"
                    );
                }
            }
        }
    }
}

fn repair_log(repo: &TestRepo) -> CheckReport {
    let options = CheckOptions::default()
        .with_data(ReadData::All)
        .with_repair_log(true);
    block_on(check(&repo.repository, &options, &repo.context)).unwrap()
}

/// Makes a repository remember the newest log entry in a folder.
fn remember(repo: &TestRepo, folder: &std::path::Path) {
    repo.repository.remember_log(folder, &repo.context).unwrap();
}

fn log_keys(repo: &TestRepo) -> Vec<String> {
    let keys = repo.keys().into_iter();
    keys.filter(|key| key.starts_with("log/")).collect()
}

fn small(seed: u64) -> MemorySource {
    MemorySource::new()
        .file("shared", noise(1, 9_000))
        .file("own", noise(seed, 5_000))
}

fn back_up(repo: &TestRepo, seed: u64) -> BackupId {
    let options = TestRepo::options(&format!("host{seed}"));
    repo.backup_with(&small(seed), &options).unwrap().backup.id
}

fn assert_all_refuse(what: &str, repo: &TestRepo, id: BackupId) {
    let before = repo.keys();
    let errors = [
        ("list", repo.backups().err()),
        ("check", repo.check().err()),
        ("backup", repo.backup(&small(9)).err()),
        ("prune", repo.prune().err()),
        ("ls", repo.entries(id).err()),
        ("delete", repo.delete(&[id]).err()),
    ];
    for (verb, error) in errors {
        let error = error.unwrap_or_else(|| panic!("{what}: {verb} refuses"));
        assert_eq!(error.kind(), ErrorKind::Damaged, "{what}: {verb}: {error}");
        assert!(
            chain(&error).contains("check --repair-log"),
            "{what}: {verb} says what can be done: {}",
            chain(&error)
        );
    }
    assert_eq!(repo.keys(), before, "{what}: nothing is written or removed");
}

#[test]
fn a_lost_log_is_damage_in_every_command_and_rebuilt_on_request() {
    for encrypted in [false, true] {
        let whole = whole(encrypted);
        let id = whole.backups[0].0;
        for left in ["manifests/", "index/", "packs/", ""] {
            let repo = whole.repo.fork(3);
            for key in repo.keys() {
                let is_kept = key == "br.json" || key.starts_with("keys/");
                if key.starts_with("log/") || !(is_kept || key.starts_with(left)) {
                    repo.set_object(&key, None);
                }
            }
            assert_all_refuse(&format!("only {left} is left"), &repo, id);
        }
        let repo = whole.repo.fork(4);
        log_keys(&repo)
            .iter()
            .for_each(|key| repo.set_object(key, None));
        let report = repair_log(&repo);
        assert!(report.is_sound(), "{:?}", report.findings);
        assert_eq!(report.repaired.len(), 3, "{:?}", report.repaired);
        let repo = repo.reopen(5);
        assert_eq!(
            repo.backups().unwrap().len(),
            2,
            "all backups are listed again"
        );
        let _ = repo.prune().unwrap();
        for (id, files) in &whole.backups {
            assert_eq!(repo.files(*id).unwrap(), *files);
        }
    }
}

#[test]
fn machine_that_saw_newer_entry_refuses_older_log() {
    let dir = tempfile::tempdir().unwrap();
    let repo = TestRepo::new();
    remember(&repo, dir.path());
    let first = back_up(&repo, 2);
    let before = repo.fork(3);
    let second = back_up(&repo, 3);
    let last = log_keys(&repo).pop().unwrap();
    let open = |store: &TestRepo, seed| {
        let repo = store.reopen(seed);
        remember(&repo, dir.path());
        repo
    };
    // The last log entry is lost; the whole repository was rolled back; all log entries are lost.
    let cut = repo.fork(4);
    cut.set_object(&last, None);
    assert_all_refuse("the last entry is lost", &open(&cut, 5), first);
    assert_all_refuse("the repository was rolled back", &open(&before, 6), first);
    let emptied = repo.fork(7);
    for key in emptied.keys().iter().filter(|key| *key != "br.json") {
        emptied.set_object(key, None);
    }
    assert_all_refuse("all entries are lost", &open(&emptied, 8), first);
    // Other writers continued: the entry number is used again, for a different entry.
    let other = before.fork(9);
    back_up(&other, 4);
    assert_all_refuse("a different history", &open(&other, 10), first);
    // A damaged entry does not hide that the log was rolled back.
    let worse = before.fork(11);
    worse.set_object(&log_keys(&worse).pop().unwrap(), Some(vec![0; 90]));
    let error = open(&worse, 12).backups().unwrap_err();
    assert!(chain(&error).contains("rolled back"), "{}", chain(&error));

    let repaired = open(&cut, 13);
    let report = repair_log(&repaired);
    assert!(report.is_sound(), "{:?}", report.findings);
    let listed: Vec<_> = repaired.backups().unwrap().iter().map(|b| b.id).collect();
    assert_eq!(
        listed,
        [first, second],
        "the backup is recovered from its manifest"
    );
    back_up(&repaired, 5);
    assert_eq!(
        cut.reopen(14).backups().unwrap().len(),
        3,
        "other readers see the backup too"
    );
    let _ = repaired.prune().unwrap();
    assert!(repaired.check().unwrap().is_sound());
    assert_eq!(repaired.files(second).unwrap(), small(3).files());
}

#[test]
fn repository_set_back_on_purpose_is_accepted_after_deleting_local_state() {
    let dir = tempfile::tempdir().unwrap();
    let repo = TestRepo::new();
    remember(&repo, dir.path());
    back_up(&repo, 2);
    let before = repo.fork(3);
    back_up(&repo, 3);
    let old = before.reopen(4);
    remember(&old, dir.path());
    let error = old.backups().unwrap_err();
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert_eq!(files.len(), 1);
    let path = files[0].path();
    assert!(
        chain(&error).contains(path.to_str().unwrap()),
        "{}",
        chain(&error)
    );
    std::fs::remove_file(path).unwrap();
    assert_eq!(old.backups().unwrap().len(), 1);
    back_up(&old, 4);
    assert!(old.check().unwrap().findings.is_empty());
}

#[test]
fn local_state_does_not_block_repairs_and_other_writers() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let repo = TestRepo::new();
    remember(&repo, here.path());
    let other = repo.reopen(2);
    remember(&other, there.path());
    back_up(&repo, 1);
    // Others write more entries than there are between two checkpoints, while this machine does not read the log.
    for seed in 10..80 {
        back_up(&other, seed % 20);
    }
    assert_eq!(repo.backups().unwrap().len(), 71);
    // Another user repairs a log whose last entry was truncated.
    let last = log_keys(&repo).pop().unwrap();
    repo.set_object(&last, Some(repo.object(&last)[..40].to_vec()));
    assert!(repair_log(&repo.reopen(3)).is_sound());
    for (repo, folder) in [(repo.reopen(4), &here), (repo.reopen(5), &there)] {
        remember(&repo, folder.path());
        assert_eq!(repo.backups().unwrap().len(), 71);
    }
    // The local state file is damaged: br reports that and continues.
    let file = std::fs::read_dir(here.path()).unwrap().next().unwrap();
    std::fs::write(file.unwrap().path(), "noise").unwrap();
    let (context, told) = telling(&repo.context);
    let listed = block_on(repo.repository.backups(&context)).unwrap();
    assert_eq!(listed.len(), 71);
    let told = told.warnings.lock().unwrap().join("\n");
    assert!(told.contains("rolled back"), "{told}");
}

#[test]
fn backup_missing_from_log_is_recovered_unless_deleted() {
    let repo = TestRepo::new();
    let deleted = back_up(&repo, 1);
    let kept = back_up(&repo, 2);
    repo.delete(&[deleted]).unwrap();
    let lost = back_up(&repo, 3);
    let last = log_keys(&repo).pop().unwrap();
    repo.set_object(&last, None);
    let dead = "01890000-0000-7000-8000-000000000000";
    repo.set_object(&format!("manifests/{dead}"), Some(noise(1, 500)));
    let findings = repo.check().unwrap().findings;
    let of = |name: &str| {
        let mut found = findings.iter().filter(|f| f.object.contains(name));
        let first = found.next().map(|f| (f.severity, f.message.clone()));
        assert!(
            found.next().is_none(),
            "each pack has one finding: {findings:?}"
        );
        first
    };
    let (severity, message) = of(&lost.to_string()).unwrap();
    assert_eq!(severity, Severity::Note, "{message}");
    assert!(message.contains("check --repair-log"), "{message}");
    assert!(
        of(dead).unwrap().1.contains("cannot be used"),
        "{findings:?}"
    );
    assert_eq!(of(&deleted.to_string()), None, "{findings:?}");
    let report = repair_log(&repo);
    assert!(report.repaired[0].contains(&lost.to_string()), "{report:?}");
    let listed: Vec<_> = repo.backups().unwrap().iter().map(|b| b.id).collect();
    assert_eq!(listed, [kept, lost]);
    let _ = repo.prune().unwrap();
    assert_eq!(repo.files(lost).unwrap(), small(3).files());
    assert!(repo.check().unwrap().findings.is_empty());
    let again = repair_log(&repo);
    assert_eq!(again.repaired, [""; 0], "nothing is repaired twice");
}

#[test]
fn log_with_truncated_last_entry_is_read_without_write() {
    for encrypted in [false, true] {
        let whole = whole(encrypted);
        let deleted = whole.repo.backup(&small(5)).unwrap().backup.id;
        whole.repo.delete(&[deleted]).unwrap();
        let fourth = whole.repo.backup(&small(6)).unwrap().backup.id;
        let last = log_keys(&whole.repo).pop().unwrap();
        let bytes = whole.repo.object(&last).to_vec();
        for bad in [
            Vec::new(),
            vec![0; bytes.len()],
            bytes[..bytes.len() / 2].to_vec(),
        ] {
            let repo = whole.repo.fork(3);
            repo.set_object(&last, Some(bad));
            repo.faults.reset();
            let ids: Vec<_> = repo.backups().unwrap().iter().map(|b| b.id).collect();
            let wanted = [whole.backups[0].0, whole.backups[1].0, fourth];
            assert_eq!(ids, wanted, "the deleted backup is not recovered");
            for (id, files) in &whole.backups {
                assert_eq!(repo.files(*id).unwrap(), *files);
            }
            assert_eq!(repo.files(fourth).unwrap(), small(6).files());
            let report = repo.check().unwrap();
            assert!(!report.is_sound());
            assert!(
                report
                    .findings
                    .iter()
                    .any(|f| f.object == last && f.message.contains("repair-log")),
                "{:?}",
                report.findings
            );
            let reads = |verb: &str| verb == "get" || verb == "list" || verb == "head";
            let operations = repo.faults.operations();
            assert!(operations.iter().all(|o| reads(o.verb)), "{operations:?}");
            for error in [
                repo.backup(&small(7)).unwrap_err(),
                repo.prune().unwrap_err(),
                repo.delete(&[fourth]).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Damaged);
                assert!(
                    chain(&error).contains("check --repair-log"),
                    "{}",
                    chain(&error)
                );
            }
            let report = repair_log(&repo);
            assert!(report.is_sound(), "{:?}", report.findings);
            let ids: Vec<_> = repo.backups().unwrap().iter().map(|b| b.id).collect();
            assert_eq!(ids, wanted);
            let _ = repo.prune().unwrap();
            assert_eq!(repo.files(fourth).unwrap(), small(6).files());
        }
    }
}

#[test]
fn a_check_reads_log_entries_before_the_newest_checkpoint() {
    let repo = TestRepo::new();
    for seed in 0..40 {
        back_up(&repo, seed % 5);
    }
    assert!(repo.check().unwrap().findings.is_empty());
    let keys = log_keys(&repo);
    repo.set_object(&keys[7], Some(noise(1, 300)));
    repo.set_object(&keys[9], None);
    repo.set_object(&keys[10], None);
    let report = repo.check().unwrap();
    assert!(
        report.is_sound(),
        "no backup needs the lost packs: {:?}",
        report.findings
    );
    let named: Vec<_> = report.findings.iter().map(|f| f.object.clone()).collect();
    let gap = format!("{} to {}", keys[9], keys[10]);
    assert_eq!(named, [keys[7].clone(), gap], "{:?}", report.findings);
}

/// A repository with one backup, in which a bit of a file's data is wrong.
fn with_a_bad_bit() -> (TestRepo, MemorySource, BackupId, String) {
    let repo = TestRepo::new();
    let source = source();
    let id = repo.backup(&source).unwrap().backup.id;
    let keys = repo.keys().into_iter();
    let packs = keys.filter(|key| key.starts_with("packs/"));
    let pack = packs.max_by_key(|key| repo.object(key).len()).unwrap();
    let mut bytes = repo.object(&pack).to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    repo.set_object(&pack, Some(bytes));
    (repo, source, id, pack)
}

fn check_with(repo: &TestRepo, options: &CheckOptions) -> CheckReport {
    block_on(check(&repo.repository, options, &repo.context)).unwrap()
}

fn read_all() -> CheckOptions {
    CheckOptions::default().with_data(ReadData::All)
}

/// Symptom: after a bit flipped in a pack, no later backup of the same data could be restored either, not even a full one.
#[test]
fn next_backup_stores_data_again_that_reader_found_damaged() {
    let restore: fn(&TestRepo, BackupId) = |repo, id| {
        assert!(repo.files(id).is_err(), "the run reads damaged data");
    };
    let checked: fn(&TestRepo, BackupId) = |repo, _| {
        assert!(!check_with(repo, &read_all()).is_sound());
    };
    for (what, find) in [("a restore", restore), ("a check", checked)] {
        for full in [false, true] {
            let (repo, source, first, pack) = with_a_bad_bit();
            find(&repo, first);
            let repo = repo.reopen(7);
            assert!(
                !check_with(&repo, &CheckOptions::default()).is_sound(),
                "{what}: a check of the structure reports the damage now"
            );
            let base = if full {
                br_core::engine::backup::Base::None
            } else {
                br_core::engine::backup::Base::Auto
            };
            let options = TestRepo::options("host").with_base(base);
            let second = repo.backup_with(&source, &options).unwrap();
            assert!(second.backup.changes.bytes_stored > 0, "{what} {full}");
            for id in [first, second.backup.id] {
                assert_eq!(repo.files(id).unwrap(), source.files(), "{what} {full}");
            }
            let report = check_with(&repo, &read_all());
            assert!(
                report.is_sound(),
                "{what}: nothing is lost: {:?}",
                report.findings
            );
            assert!(report.findings.iter().any(|finding| finding.object == pack));
            let report = check_with(&repo, &read_all().with_repair_index(true));
            assert!(report.is_sound(), "{:?}", report.findings);
            assert!(report.repaired.iter().any(|text| text.contains(&pack)));
            let _ = repo.prune().unwrap();
            let repo = repo.reopen(8);
            assert!(!repo.keys().contains(&pack), "the damaged pack is deleted");
            assert!(check_with(&repo, &read_all()).is_sound());
            for id in [first, second.backup.id] {
                assert_eq!(repo.files(id).unwrap(), source.files(), "{what} {full}");
            }
        }
    }
}

#[test]
fn repair_keeps_intact_data_and_next_backup_completes_rest() {
    for encrypted in [false, true] {
        let repo = if encrypted {
            TestRepo::encrypted()
        } else {
            TestRepo::new()
        };
        // One pack with several groups; one of the groups is damaged.
        let source = MemorySource::new()
            .folder("d")
            .file("d/a", noise(1, 3_000_000))
            .file("d/b", noise(2, 3_000_000))
            .file("d/c", noise(3, 3_000_000));
        let first = repo.backup(&source).unwrap().backup.id;
        let keys = repo.keys().into_iter();
        let packs = keys.filter(|key| key.starts_with("packs/"));
        let pack = packs.max_by_key(|key| repo.object(key).len()).unwrap();
        let mut bytes = repo.object(&pack).to_vec();
        bytes[4_500_000] ^= 1;
        repo.set_object(&pack, Some(bytes));
        let report = check_with(&repo, &read_all().with_repair_index(true));
        assert!(!report.is_sound(), "some chunks are lost");
        assert_eq!(report.files.len(), 1, "{:?}", report.files);
        assert_eq!(report.files[0].backups, [first]);
        let lost = br_core::model::EntryPath::new(report.files[0].path.as_bytes()).unwrap();
        for path in ["d/a", "d/b", "d/c"] {
            let path = br_core::model::EntryPath::new(path.as_bytes()).unwrap();
            let read = repo.dump(first, &path);
            assert_eq!(read.is_err(), path == lost, "{path}");
        }
        let repo = repo.reopen(3);
        let second = repo.backup(&source).unwrap().backup;
        assert!(
            second.changes.bytes_stored < 3_000_000,
            "only lost chunks are stored again: {}",
            second.changes.bytes_stored
        );
        for id in [first, second.id] {
            assert_eq!(repo.files(id).unwrap(), source.files());
        }
        let report = check_with(&repo, &read_all());
        assert!(report.is_sound(), "{:?}", report.findings);
        let _ = repo.prune().unwrap();
        assert!(check_with(&repo, &read_all()).is_sound());
        for id in [first, second.id] {
            assert_eq!(repo.files(id).unwrap(), source.files());
        }
    }
}

#[test]
fn verify_known_stores_undetected_damaged_data_again() {
    for verify in [false, true] {
        let (repo, source, first, _) = with_a_bad_bit();
        let options = TestRepo::options("host").with_verify_known(verify);
        let second = repo.backup_with(&source, &options).unwrap();
        assert_eq!(repo.files(second.backup.id).is_ok(), verify);
        assert_eq!(repo.files(first).is_ok(), verify);
    }
}

#[test]
fn restored_pack_is_used_again() {
    let (repo, source, first, pack) = with_a_bad_bit();
    let damaged = repo.object(&pack).to_vec();
    assert!(!check_with(&repo, &read_all()).is_sound());
    let mut right = damaged;
    let middle = right.len() / 2;
    right[middle] ^= 4;
    repo.set_object(&pack, Some(right));
    assert!(check_with(&repo, &read_all()).is_sound());
    let second = repo.backup(&source).unwrap().backup;
    assert_eq!(second.changes.bytes_added, 0);
    assert_eq!(repo.files(first).unwrap(), source.files());
    assert!(
        check_with(&repo, &CheckOptions::default())
            .findings
            .is_empty()
    );
}

/// A reader sees earlier entries only through the checkpoint.
#[test]
fn damage_is_remembered_past_a_checkpoint() {
    let (repo, source, first, _) = with_a_bad_bit();
    assert!(repo.files(first).is_err());
    for number in 0..40 {
        let other = MemorySource::new().file("other", noise(number, 600));
        let id = repo.backup(&other).unwrap().backup.id;
        repo.delete(&[id]).unwrap();
    }
    let repo = repo.reopen(9);
    let _ = repo.backup(&source).unwrap();
    assert_eq!(repo.files(first).unwrap(), source.files());
}

/// A limit of time must not hide damage that the check sees at once.
#[test]
fn check_without_time_left_still_reports_pack_with_damaged_header() {
    let folder = tempfile::tempdir().unwrap();
    let repo = TestRepo::new();
    let _ = repo.backup(&source()).unwrap();
    let checks = |repo: &TestRepo| {
        repo.repository
            .remember_checks(folder.path(), &repo.context)
            .unwrap();
    };
    checks(&repo);
    let _ = check_with(&repo, &read_all());
    let keys = repo.keys().into_iter();
    let pack = keys
        .filter(|key| key.starts_with("packs/"))
        .max_by_key(|key| repo.object(key).len())
        .unwrap();
    let mut bytes = repo.object(&pack).to_vec();
    bytes[12] ^= 4;
    repo.set_object(&pack, Some(bytes));
    let repo = repo.reopen(2);
    checks(&repo);
    let due = ReadData::Due {
        max_age: std::time::Duration::from_secs(30 * 24 * 3600),
        max_bytes: None,
        max_time: Some(std::time::Duration::ZERO),
    };
    let options = CheckOptions::default().with_data(due);
    if repo.repository.storage().is_remote() {
        // Packs on a server are only listed.
        return;
    }
    let report = check_with(&repo, &options);
    assert!(!report.is_sound(), "{report:?}");
    assert_eq!(report.packs_read, 1, "{report:?}");
}
