//! Stored bytes are altered, shortened, lost or swapped: it is noticed, named, and costs no more than it must.

use std::collections::{BTreeMap, BTreeSet};

use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::model::{BackupId, Content, Entry, EntryKind};
use br_core::{BackupSelector, Error, ErrorKind};
use br_testkit::{Corruption, MemorySource, Noise, TestRepo, Thing, block_on, noise};
use bytes::Bytes;

fn source() -> MemorySource {
    MemorySource::new()
        .folder("d")
        .file("d/inline", "in the entry itself")
        .file("d/small", noise(1, 5_000))
        .file("large", noise(2, 1_500_000))
        .file("text", "some text ".repeat(1000))
        .with("link", Thing::Link(b"text".to_vec()))
}

/// A repository with two backups, and what is in it.
struct Whole {
    repo: TestRepo,
    backups: Vec<(BackupId, BTreeMap<String, Bytes>)>,
}

fn whole(encrypted: bool) -> Whole {
    let repo = if encrypted {
        TestRepo::encrypted()
    } else {
        TestRepo::new()
    };
    let second = source().file("only in the second", noise(3, 20_000));
    let mut backups = Vec::new();
    for source in [source(), second] {
        backups.push((repo.backup(&source).unwrap().backup.id, source.files()));
    }
    Whole { repo, backups }
}

/// An error with all its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What a look at a damaged repository may end with.
fn assert_is_about_damage(what: &str, error: &Error) {
    use ErrorKind::{Damaged, Password, RepositoryNotFound, UnsupportedFormat};
    let kinds = [Damaged, Password, RepositoryNotFound, UnsupportedFormat];
    assert!(
        kinds.contains(&error.kind()),
        "{what}: {:?}: {}",
        error.kind(),
        chain(error)
    );
}

/// What was noticed after `key` was altered.
struct Noticed {
    /// Texts of errors and findings.
    texts: String,
    /// Files that could not be read, by the number of their backup.
    lost: BTreeSet<(usize, String)>,
    /// A backup is missing from the list.
    unlisted: bool,
    /// The check found it, or the repository did not even open.
    found: bool,
}

/// Opens, lists, checks and reads everything. Whatever is read is right, or an error.
fn look(what: &str, whole: &Whole, key: &str, bytes: Option<Vec<u8>>, seed: u64) -> Noticed {
    let copy = whole.repo.fork(seed);
    copy.set_object(key, bytes);
    let mut seen = Noticed {
        texts: String::new(),
        lost: BTreeSet::new(),
        unlisted: false,
        found: false,
    };
    let repo = match copy.try_reopen(seed) {
        Ok(repo) => repo,
        Err(error) => {
            assert_is_about_damage(what, &error);
            return Noticed {
                texts: chain(&error),
                found: true,
                ..seen
            };
        }
    };
    let listed = match repo.backups() {
        Ok(listed) => listed,
        Err(error) => {
            assert_is_about_damage(what, &error);
            return Noticed {
                texts: chain(&error),
                found: true,
                ..seen
            };
        }
    };
    match repo.check() {
        Ok(report) => {
            seen.found = !report.is_sound();
            for finding in report.findings {
                seen.texts += &format!(
                    "{}: {} {:?}\n",
                    finding.object, finding.message, finding.files
                );
            }
        }
        Err(error) => {
            assert_is_about_damage(what, &error);
            seen.found = true;
            seen.texts += &chain(&error);
        }
    }
    for (number, (id, files)) in whole.backups.iter().enumerate() {
        if !listed.iter().any(|backup| backup.id == *id) {
            seen.unlisted = true;
            continue;
        }
        for (path, content) in files {
            let path = br_core::model::EntryPath::new(path.as_bytes()).unwrap();
            match repo.dump(*id, &path) {
                Ok(bytes) => assert!(bytes == content[..], "{what}: {path} is right or an error"),
                Err(error) => {
                    assert_is_about_damage(what, &error);
                    seen.lost.insert((number, path.to_string()));
                }
            }
        }
    }
    seen
}

/// Everything that can become of an object.
fn damages(whole: &Whole, key: &str) -> Vec<(String, Option<Vec<u8>>)> {
    let bytes = whole.repo.object(key);
    let mut all = vec![
        ("removed".to_owned(), None),
        ("emptied".to_owned(), Some(Vec::new())),
        (
            "cut in half".to_owned(),
            Some(bytes[..bytes.len() / 2].to_vec()),
        ),
        (
            "cut by a byte".to_owned(),
            Some(bytes[..bytes.len() - 1].to_vec()),
        ),
        ("replaced by noise".to_owned(), Some(noise(4, bytes.len()))),
        ("replaced by zeros".to_owned(), Some(vec![0; bytes.len()])),
        ("longer".to_owned(), Some([&bytes[..], b"x"].concat())),
    ];
    let folder = key.split('/').next().unwrap();
    let other = whole
        .repo
        .keys()
        .into_iter()
        .find(|other| other != key && other.starts_with(folder));
    if let Some(other) = other {
        all.push((
            format!("swapped with {other}"),
            Some(whole.repo.object(&other).to_vec()),
        ));
    }
    let header = 0..32.min(bytes.len());
    let spread = (0..40).map(|part| bytes.len() * part / 40);
    let end = bytes.len().saturating_sub(24)..bytes.len();
    let places: BTreeSet<_> = header.chain(spread).chain(end).collect();
    let mut random = Noise::new(7);
    for at in places {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << random.below(8);
        all.push((format!("flipped at {at}"), Some(flipped)));
    }
    all
}

fn every_damage_is_noticed(encrypted: bool) {
    let whole = whole(encrypted);
    let keys = whole.repo.keys();
    let last_log = keys
        .iter()
        .rfind(|key| key.starts_with("log/"))
        .unwrap()
        .clone();
    for key in &keys {
        for (number, (how, bytes)) in damages(&whole, key).into_iter().enumerate() {
            let what = format!("{key} {how}");
            let seen = look(&what, &whole, key, bytes.clone(), 1000 + number as u64);
            // The newest entry of the log has no successor that would miss it: a backup less is listed. What it left is a
            // note, and `repair_log` cannot know it from a backup that was never finished.
            if *key == last_log && bytes.is_none() {
                assert!(
                    seen.unlisted && seen.lost.is_empty(),
                    "{what}: the backup is not listed"
                );
                continue;
            }
            assert!(
                !seen.unlisted,
                "{what}: every backup is listed, or there is an error"
            );
            if key == "br.json" && !seen.found {
                let white = |bytes: &[u8]| bytes.trim_ascii().to_vec();
                let same = bytes.is_some_and(|bytes| white(&bytes) == white(&whole.repo.object(key)));
                assert!(same, "{what}: only white space is of no meaning");
                continue;
            }
            assert!(
                seen.found,
                "{what}: it is found; lost {:?}; {}",
                seen.lost, seen.texts
            );
            let name = key.rsplit('/').next().unwrap();
            // Without its configuration nothing shows that it is a repository, and a key slot that is gone has no name.
            let name = match (key.split('/').next(), &bytes) {
                (Some("br.json"), None) => "no repository",
                (Some("keys"), None) => "no key slot",
                _ => name,
            };
            assert!(
                seen.texts.contains(name),
                "{what}: the object is named: {}",
                seen.texts
            );
            if key.starts_with("index/") || key.starts_with("manifests/") {
                assert!(
                    seen.lost.is_empty(),
                    "{what}: everything restores without it: {:?}",
                    seen.lost
                );
            }
        }
    }
}

#[test]
fn every_damage_is_noticed_and_named() {
    every_damage_is_noticed(false);
}

#[test]
fn every_damage_is_noticed_and_named_in_an_encrypted_repository() {
    every_damage_is_noticed(true);
}

/// The files of the second backup that use a pack of data. Which pack a chunk is in shows when the pack is gone.
fn lost_without(whole: &Whole, key: &str) -> BTreeSet<String> {
    let lost = look("probe", whole, key, None, 5).lost.into_iter();
    let of_second = lost.filter(|(number, _)| *number == 1);
    let of_second: BTreeSet<_> = of_second.map(|(_, path)| path).collect();
    // Without tree nodes nothing is known, not even what is in the entries themselves.
    if of_second.contains("d/inline") {
        BTreeSet::new()
    } else {
        of_second
    }
}

#[test]
fn a_damaged_pack_costs_only_its_files() {
    let whole = whole(false);
    let (id, files) = &whole.backups[1];
    let packs: Vec<_> = whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("packs/"))
        .collect();
    let mut losses = Vec::new();
    for pack in &packs {
        let lost = lost_without(&whole, pack);
        if lost.is_empty() {
            continue;
        }
        losses.push(lost.clone());
        for how in [Corruption::Hide, Corruption::Truncate(128)] {
            let repo = whole.repo.reopen(8);
            repo.faults.corrupt(pack.clone(), how);
            let out = tempfile::tempdir().unwrap();
            let selector = BackupSelector::Prefix(id.to_string());
            let options = RestoreOptions::default().with_owner(false);
            let target = out.path().join("out");
            let report = restore(
                &repo.repository,
                &selector,
                target.clone(),
                &options,
                &repo.context,
            );
            let report = block_on(report).unwrap();
            let failed: BTreeSet<_> = report
                .failed
                .iter()
                .map(|(path, _)| path.to_string())
                .collect();
            assert!(
                failed.is_subset(&lost),
                "{how:?}: only files of the pack fail: {failed:?}"
            );
            assert!(
                how != Corruption::Hide || failed == lost,
                "{how:?}: {failed:?} but not {lost:?}"
            );
            assert_eq!(
                report.damaged,
                !failed.is_empty(),
                "{how:?}: it is damage, not the target"
            );
            assert_eq!(report.failed_count, failed.len() as u64);
            for (_, reason) in &report.failed {
                assert!(
                    reason.contains(pack.as_str()),
                    "the pack is named: {reason}"
                );
            }
            for (path, content) in files {
                let there = std::fs::read(target.join(path));
                if failed.contains(path) {
                    assert!(there.is_err(), "{how:?}: no half of {path} is left");
                } else {
                    assert!(there.unwrap() == content[..], "{how:?}: {path} is whole");
                }
            }
            let link = std::fs::read_link(target.join("link")).unwrap();
            assert_eq!(link.to_str(), Some("text"));
            let names = std::fs::read_dir(&target)
                .unwrap()
                .map(|item| item.unwrap().file_name());
            assert!(
                names
                    .into_iter()
                    .all(|name| !name.to_string_lossy().starts_with(".br-")),
                "nothing half-written stays"
            );
        }
    }
    assert!(
        losses.iter().any(|lost| lost.contains("large")),
        "{losses:?}"
    );
    assert!(
        losses
            .iter()
            .any(|lost| lost.contains("only in the second")),
        "{losses:?}"
    );
}

#[test]
fn a_check_names_the_files_that_are_lost() {
    let whole = whole(false);
    let (id, _) = &whole.backups[1];
    let packs: Vec<_> = whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("packs/"))
        .collect();
    for pack in packs {
        let lost = lost_without(&whole, &pack);
        if lost.is_empty() {
            continue;
        }
        let repo = whole.repo.fork(3);
        repo.set_object(&pack, None);
        for data in [ReadData::None, ReadData::All] {
            let options = CheckOptions::default().with_data(data);
            let report = block_on(check(&repo.repository, &options, &repo.context)).unwrap();
            let named: BTreeSet<_> = report
                .findings
                .iter()
                .flat_map(|finding| &finding.files)
                .filter(|(backup, _)| backup == id)
                .map(|(_, path)| path.clone())
                .collect();
            assert_eq!(named, lost, "{data:?}: {:?}", report.findings);
        }
    }
}

#[test]
fn what_is_stored_twice_is_not_lost_when_one_goes() {
    let (one, all) = (TestRepo::new(), source());
    let other = one.reopen(2);
    // Both begin with an empty repository and store the same.
    let operations = {
        let probe = one.fork(9);
        probe.backup(&all).unwrap();
        probe.faults.count()
    };
    one.faults.before(operations - 2, {
        let (other, all) = (other.clone(), all.clone());
        move || {
            Box::pin(async move {
                let options = TestRepo::options("other");
                br_core::engine::backup::backup(&other.repository, all, &options, &other.context)
                    .await
                    .unwrap();
            })
        }
    });
    let id = one.backup(&all).unwrap().backup.id;
    let packs: Vec<_> = one
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("packs/"))
        .collect();
    assert_eq!(packs.len(), 4, "everything is stored twice");
    for pack in packs {
        let fork = one.fork(4);
        let bytes = fork.object(&pack);
        fork.set_object(&pack, Corruption::Flip(100).apply(&bytes));
        assert_eq!(
            fork.files(id).unwrap(),
            all.files(),
            "the other copy is read"
        );
        let report = fork.check().unwrap();
        assert!(
            report.findings.iter().any(|finding| finding.object == pack),
            "and the damage is found"
        );
    }
}

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
                repo.prune().unwrap();
                assert_eq!(
                    repo.files(whole.backups[1].0).unwrap(),
                    whole.backups[1].1,
                    "{what}"
                );
                assert!(
                    repo.check().unwrap().findings.is_empty(),
                    "{what}: and it works on"
                );
            }
        }
    }
}

#[test]
fn a_backup_to_a_repository_with_a_damaged_index_is_whole() {
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
    for key in whole
        .repo
        .keys()
        .into_iter()
        .filter(|key| key.starts_with("log/"))
    {
        for (how, bytes) in damages(&whole, &key) {
            let what = format!("{key} {how}");
            let repo = whole.repo.fork(3);
            repo.set_object(&key, bytes);
            let before = repo.keys();
            let Err(error) = repo.backups() else { continue };
            assert_eq!(
                error.kind(),
                ErrorKind::Damaged,
                "{what}: {}",
                chain(&error)
            );
            assert!(chain(&error).contains(&key), "{what}: {}", chain(&error));
            let error = repo.backup(&source()).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Damaged,
                "{what}: nothing is added to it"
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
                "{what}: all backups are back"
            );
            for (id, files) in &whole.backups {
                assert_eq!(repo.files(*id).unwrap(), *files, "{what}");
            }
            let next = repo.backup(&source()).unwrap().backup.id;
            assert_eq!(
                repo.files(next).unwrap(),
                source().files(),
                "{what}: it works on"
            );
            repo.delete(&[whole.backups[0].0]).unwrap();
            repo.prune().unwrap();
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
        repo.backup(&source()).unwrap();
    }
    for seq in 0..32 {
        repo.set_object(
            &format!("log/{seq:016}"),
            (seq % 2 == 0).then(|| noise(seq, 50)),
        );
    }
    let repo = repo.reopen(2);
    assert_eq!(repo.backups().unwrap().len(), 40, "a checkpoint has it all");
    repo.backup(&source()).unwrap();
    assert!(repo.check().unwrap().is_sound());
}

#[test]
fn a_repository_whose_log_was_rebuilt_loses_nothing_that_was_moved() {
    let repo = TestRepo::new();
    let doomed = repo
        .backup(&source().file("surplus", noise(9, 300_000)))
        .unwrap()
        .backup
        .id;
    let kept = repo.backup(&source()).unwrap().backup.id;
    repo.delete(&[doomed]).unwrap();
    repo.prune().unwrap();
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
    repo.prune().unwrap();
    assert_eq!(repo.files(kept).unwrap(), source().files());
    assert!(repo.check().unwrap().findings.is_empty());
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
        "the files are there all the same"
    );
    let error = repo.prune().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(chain(&error).contains(&key), "{}", chain(&error));
    assert_eq!(repo.files(*id).unwrap(), *files, "nothing was removed");
}

/// `br.json` with another version, as its writer would sign it.
fn config_with_version(repo: &TestRepo, major: u64, minor: u64) -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_slice(&repo.object("br.json")).unwrap();
    json["version"] = serde_json::json!({"major": major, "minor": minor});
    let object = json.as_object_mut().unwrap();
    object.remove("checksum");
    let sorted: BTreeMap<_, _> = object.clone().into_iter().collect();
    let text = serde_json::to_string(&sorted).unwrap();
    object.insert(
        "checksum".to_owned(),
        blake3::hash(text.as_bytes()).to_hex().to_string().into(),
    );
    serde_json::to_vec(&json).unwrap()
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let repo = whole(false).repo;
    repo.set_object("br.json", Some(config_with_version(&repo, 2, 0)));
    let error = repo.try_reopen(2).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::UnsupportedFormat,
        "{}",
        chain(&error)
    );
    assert!(
        chain(&error).contains('2'),
        "the version is named: {}",
        chain(&error)
    );
}

#[test]
fn a_newer_minor_version_can_be_read_and_not_written() {
    let whole = whole(false);
    let repo = &whole.repo;
    repo.set_object("br.json", Some(config_with_version(repo, 1, 7)));
    let repo = repo.reopen(2);
    let keys = repo.keys();
    for (id, files) in &whole.backups {
        assert_eq!(repo.files(*id).unwrap(), *files, "it can be read");
    }
    assert!(repo.check().unwrap().is_sound());
    let repair = CheckOptions::default().with_repair_index(true);
    let results = [
        repo.backup(&source()).map(drop),
        repo.delete(&[whole.backups[0].0]),
        repo.prune().map(drop),
        block_on(check(&repo.repository, &repair, &repo.context)).map(drop),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::UnsupportedFormat,
            "{}",
            chain(&error)
        );
    }
    assert_eq!(repo.keys(), keys, "nothing was written");
}

#[test]
fn a_configuration_swapped_for_one_in_the_clear_is_found_out() {
    let encrypted = whole(true).repo;
    let clear = whole(false).repo;
    encrypted.set_object("br.json", Some(clear.object("br.json").to_vec()));
    let error = encrypted.try_reopen(2).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Password | ErrorKind::Damaged),
        "{}",
        chain(&error)
    );
    // Without a password it opens as what it claims to be, and nothing in it can be read.
    let opened = TestRepo::open(encrypted.store.clone(), None, 3).unwrap();
    let error = opened.backups().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{}", chain(&error));
}

#[test]
fn passwords() {
    let encrypted = whole(true).repo;
    for wrong in [
        None,
        Some(&b""[..]),
        Some(b"open sesam"),
        Some(b"open sesame "),
    ] {
        let error = TestRepo::open(encrypted.store.clone(), wrong, 2).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Password,
            "{wrong:?}: {}",
            chain(&error)
        );
    }
    let clear = whole(false).repo;
    let error = TestRepo::open(clear.store.clone(), Some(b"any"), 2).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Password,
        "a password for a repository that has none"
    );
}

/// Entries of a backup whose content is in packs.
fn in_packs(entries: &[Entry]) -> usize {
    let chunked = |entry: &&Entry| matches!(&entry.kind, EntryKind::File(file) if matches!(file.content, Content::Chunks(_)));
    entries.iter().filter(chunked).count()
}

#[test]
fn a_damaged_tree_costs_only_what_hangs_on_it() {
    let mut source = MemorySource::new();
    for number in 0..20_000 {
        let path = format!("file {number:05}");
        let content = Thing::File(noise(number, 20).into());
        source.insert(&path, content, 1_000_000_000, br_testkit::Behaviour::Honest);
    }
    let repo = TestRepo::new();
    let id = repo.backup(&source).unwrap().backup.id;
    assert_eq!(
        in_packs(&repo.entries(id).unwrap()),
        0,
        "everything is in the tree"
    );
    let pack = repo
        .keys()
        .into_iter()
        .find(|key| key.starts_with("packs/"))
        .unwrap();
    let bytes = repo.object(&pack);
    repo.set_object(&pack, Corruption::Flip(100).apply(&bytes));
    let out = tempfile::tempdir().unwrap();
    let selector = BackupSelector::Latest;
    let options = RestoreOptions::default()
        .with_owner(false)
        .with_delete(true);
    let report = restore(
        &repo.repository,
        &selector,
        out.path().to_owned(),
        &options,
        &repo.context,
    );
    let report = block_on(report).unwrap();
    assert!(
        report.damaged && report.failed_count == 1,
        "the gap is told: {:?}",
        report.failed
    );
    assert!(
        report.failed[0].1.contains("entries"),
        "with how much is missing: {:?}",
        report.failed
    );
    let restored = std::fs::read_dir(out.path()).unwrap().count();
    assert!(
        (15_000..20_000).contains(&restored),
        "the other nodes are read: {restored}"
    );
    for (path, content) in source.files().into_iter().step_by(97) {
        if let Ok(bytes) = std::fs::read(out.path().join(&path)) {
            assert_eq!(bytes, content, "{path}");
        }
    }
}
