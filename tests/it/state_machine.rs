//! Random operations in random order: the content of the repository matches a simple model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use br_core::engine::check::{Finding, Severity};
use br_core::engine::copy::{self, CopyOptions};
use br_core::engine::forget::{self, ForgetOptions};
use br_core::engine::label::{self, LabelChange};
use br_core::engine::{backup, delete, undelete};
use br_core::jiff::tz::TimeZone;
use br_core::model::BackupId;
use br_core::model::retention::{KeepCount, RetentionPolicy, RetentionRule};
use br_core::runtime::Clock;
use br_core::{BackupSelector, ErrorKind, NewKey, Repository};
use br_testkit::{Behaviour, ManualClock, MemorySource, TestRepo, Thing, When, block_on, noise};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::simulations;

/// The content of every backup.
#[derive(Default)]
struct Model {
    live: BTreeMap<BackupId, MemorySource>,
    /// Deleted backups. An undelete may bring some of them back.
    deleted: BTreeMap<BackupId, MemorySource>,
    /// How often each backup was deleted or brought back.
    changes: BTreeMap<BackupId, u64>,
    /// True after a prune that does not keep the data of deleted backups.
    may_lack_deleted: bool,
    /// The backups of another repository, which [`Work::Copy`] copies.
    originals: BTreeMap<BackupId, MemorySource>,
}

impl Model {
    fn changes(&self, id: &BackupId) -> u64 {
        self.changes.get(id).copied().unwrap_or_default()
    }

    /// A deletion took effect.
    fn delete(&mut self, id: &BackupId) {
        if let Some(source) = self.live.remove(id) {
            self.deleted.insert(*id, source);
            *self.changes.entry(*id).or_default() += 1;
        }
    }

    /// A deleted backup is back.
    fn bring_back(&mut self, id: &BackupId) {
        if let Some(source) = self.deleted.remove(id) {
            self.live.insert(*id, source);
            *self.changes.entry(*id).or_default() += 1;
        }
    }
}

/// Records that an operation deleted a backup or brought it back. If another process changed the same backup meanwhile, only the log shows
/// which change came last.
async fn settle(
    repo: &TestRepo,
    model: &Mutex<Model>,
    id: BackupId,
    changes_before: u64,
    is_live: bool,
) -> br_core::Result<()> {
    let is_alone = model.lock().unwrap().changes(&id) == changes_before;
    let is_live = if is_alone {
        is_live
    } else {
        let listed = repo.repository.backups(&repo.context).await?;
        listed.iter().any(|backup| backup.id == id)
    };
    let mut model = model.lock().unwrap();
    if is_live {
        model.bring_back(&id);
    } else {
        model.delete(&id);
    }
    Ok(())
}

/// Name and content of the files of a backup.
type Files = BTreeMap<u8, u8>;

/// Something that changes the repository.
#[derive(Debug, Clone)]
enum Work {
    /// A backup by one of two hosts.
    Backup {
        host: bool,
        files: Files,
    },
    Delete(Index),
    Undelete(Index),
    /// Keeps this number of backups of each host.
    Forget(u32),
    /// Adds a tag.
    Tag(Index),
    /// With `true`, the data of deleted backups stays.
    Prune(bool),
    /// Copies the backups of another repository that this one lacks.
    Copy,
    /// Changes the master key, if the repository is encrypted.
    ChangeMasterKey,
}

/// Kinds of repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Encrypted,
    /// One host has a write-only key.
    WithWriteOnlyKeys,
}

#[derive(Debug, Clone)]
enum Step {
    Do(Work),
    /// The process dies at some operation, and another process continues.
    Die {
        work: Work,
        at: u64,
        when: bool,
    },
    /// Others do something before some operation.
    Interleave {
        work: Work,
        at: u64,
        others: Vec<Work>,
    },
    Reopen,
    Check,
}

fn work() -> impl Strategy<Value = Work> {
    let files = prop::collection::btree_map(0..8_u8, 0..12_u8, 0..8);
    prop_oneof![
        3 => (any::<bool>(), files).prop_map(|(host, files)| Work::Backup { host, files }),
        2 => any::<Index>().prop_map(Work::Delete),
        2 => any::<Index>().prop_map(Work::Undelete),
        1 => (1..4_u32).prop_map(Work::Forget),
        1 => any::<Index>().prop_map(Work::Tag),
        1 => any::<bool>().prop_map(Work::Prune),
        1 => Just(Work::Copy),
        1 => Just(Work::ChangeMasterKey),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let others = prop::collection::vec(work(), 1..5);
    prop_oneof![
        8 => work().prop_map(Step::Do),
        3 => (work(), 0..40_u64, any::<bool>()).prop_map(|(work, at, when)| Step::Die { work, at, when }),
        6 => (work(), 0..40_u64, others)
            .prop_map(|(work, at, others)| Step::Interleave { work, at, others }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Check),
    ]
}

fn source(files: &Files) -> MemorySource {
    let mut source = MemorySource::new().folder("d");
    for (name, content) in files {
        // Nothing, a few bytes, one chunk, several chunks.
        let len = [0, 100, 2_000, 30_000, 150_000][usize::from(*content) % 5];
        let time = 1_000_000_000 + i64::from(*content);
        let thing = Thing::File(noise(u64::from(*content), len).into());
        source.insert(&format!("d/{name}"), thing, time, Behaviour::Honest);
    }
    source
}

/// Runs one operation, and records its result in the model.
async fn work_on(
    repo: &mut TestRepo,
    other: &TestRepo,
    work: &Work,
    model: &Mutex<Model>,
) -> br_core::Result<()> {
    match work {
        Work::Backup { host, files } => {
            back_up(repo, *host, source(files), model).await?;
        }
        Work::Delete(which) => {
            let Some(id) = choose(*which, &model.lock().unwrap().live) else {
                return Ok(());
            };
            let before = model.lock().unwrap().changes(&id);
            let selectors = vec![BackupSelector::Prefix(id.to_string())];
            let plan = delete::plan(&repo.repository, selectors, &repo.context).await;
            // Another process may have deleted the backup first.
            if !model.lock().unwrap().live.contains_key(&id) {
                return Ok(());
            }
            delete::delete(&repo.repository, &plan?, &repo.context).await?;
            settle(repo, model, id, before, false).await?;
        }
        Work::Undelete(which) => {
            let Some(id) = choose(*which, &model.lock().unwrap().deleted) else {
                return Ok(());
            };
            let before = model.lock().unwrap().changes(&id);
            match undelete::undelete(&repo.repository, [id], &repo.context).await {
                Ok(_) => settle(repo, model, id, before, true).await?,
                // A prune came first.
                Err(error) if error.kind() == ErrorKind::BackupNotFound => {
                    assert!(model.lock().unwrap().may_lack_deleted, "{error}");
                }
                Err(error) => return Err(error),
            }
        }
        Work::Forget(number) => {
            let last = RetentionRule::Last(KeepCount::Number(*number));
            let policy = RetentionPolicy::new(TimeZone::UTC).keep(last);
            // Backups have random sizes here, so the newest one may look wrong.
            let options = ForgetOptions::new(policy.with_ignore_anomalies(true));
            let plan = forget::plan(&repo.repository, &options, &repo.context).await?;
            for id in forget::forget(&repo.repository, &plan, &repo.context).await? {
                model.lock().unwrap().delete(&id);
            }
        }
        Work::Tag(which) => {
            tag(repo, *which, model).await?;
        }
        Work::Prune(true) => match repo.prune_keeping_deleted().await {
            // A prune that keeps nothing was interrupted: only a prune of the same kind completes it.
            Err(error) if error.kind() == ErrorKind::Damaged => {
                assert!(model.lock().unwrap().may_lack_deleted, "{error}");
            }
            done => done.map(drop)?,
        },
        Work::Prune(false) => {
            model.lock().unwrap().may_lack_deleted = true;
            repo.prune_async().await.map(drop)?;
        }
        Work::Copy => {
            // `adopt_copies` records the result: a copy that fails may have made some backups.
            let options = CopyOptions::default();
            let copied = copy::copy(&other.repository, &repo.repository, &options, &repo.context);
            copied.await.map(drop)?;
        }
        Work::ChangeMasterKey => {
            if !repo.repository.is_encrypted() {
                return Ok(());
            }
            let new = NewKey::new(TestRepo::PASSWORD, "machine").with_weak_key_derivation();
            match repo.repository.change_master_key(&new, &repo.context).await {
                Ok((repository, _)) => repo.repository = repository,
                // It has 16 master keys already.
                Err(error) if error.kind() == ErrorKind::Invalid => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Makes a backup by one of two hosts.
async fn back_up(
    repo: &TestRepo,
    host: bool,
    source: MemorySource,
    model: &Mutex<Model>,
) -> br_core::Result<()> {
    let options = TestRepo::options(if host { "one" } else { "other" });
    let make =
        async |by: &Repository| backup::backup(by, source.clone(), &options, &repo.context).await;
    let writer = writer(repo, host).await;
    let mut made = make(&writer).await;
    if writer.is_write_only() {
        made = match made {
            // A write-only key cannot copy what a prune condemned meanwhile.
            Err(error) if error.kind() == ErrorKind::Conflict => make(&writer).await,
            // A process that changed the master key died before it removed the write-only key.
            Err(error) if error.kind() == ErrorKind::Password => make(&repo.repository).await,
            made => made,
        };
    }
    let id = made?.backup.id;
    model.lock().unwrap().live.insert(id, source);
    Ok(())
}

/// How a process opens the repository for a backup: one host has a write-only key where such keys are possible. Another process may change
/// the keys meanwhile; then it uses the key that it has.
async fn writer(repo: &TestRepo, host: bool) -> Repository {
    let is_encrypted = repo.repository.is_encrypted();
    if host
        && is_encrypted
        && let Ok(writer) = repo.write_only().await
    {
        return writer.repository;
    }
    repo.repository.clone()
}

/// Adds a tag to a backup.
async fn tag(repo: &TestRepo, which: Index, model: &Mutex<Model>) -> br_core::Result<()> {
    let Some(id) = choose(which, &model.lock().unwrap().live) else {
        return Ok(());
    };
    let change = LabelChange::default().with_added_tags(vec![format!("t{}", which.index(9))]);
    match label::label(&repo.repository, [id], &change, &repo.context).await {
        Err(error) if error.kind() == ErrorKind::BackupNotFound => {
            assert!(!model.lock().unwrap().live.contains_key(&id), "{error}");
        }
        changed => drop(changed?),
    }
    Ok(())
}

/// Adds the copies that are listed to the model. A copy that another process deleted is listed no longer.
async fn adopt_copies(repo: &TestRepo, model: &Mutex<Model>) -> br_core::Result<()> {
    let listed = repo.repository.backups(&repo.context).await?;
    let mut model = model.lock().unwrap();
    for backup in listed {
        let original = backup.copy_of.and_then(|id| model.originals.get(&id));
        if let Some(source) = original.cloned()
            && !model.deleted.contains_key(&backup.id)
        {
            model.live.insert(backup.id, source);
        }
    }
    Ok(())
}

/// A repository with backups to copy, partly with the same content as the backups of the tests.
fn other(encrypted: bool) -> (TestRepo, BTreeMap<BackupId, MemorySource>) {
    let repo = TestRepo::init(encrypted.then_some(TestRepo::PASSWORD), 7_777);
    let mut made = BTreeMap::new();
    for contents in [[1, 2, 3], [1, 4, 9], [11, 12, 13]] {
        let files: Files = (0..).zip(contents).collect();
        let source = source(&files);
        let options = TestRepo::options("elsewhere");
        let report = repo.backup_with(&source, &options).unwrap();
        made.insert(report.backup.id, source);
    }
    (repo, made)
}

/// A process whose clock is wrong by up to a day.
fn another_process(repo: &TestRepo, seed: u64) -> TestRepo {
    const DAY: i64 = 24 * 3600;
    let mut repo = repo.reopen(seed);
    let off = [0, DAY, -DAY, 3600][seed as usize / 2 % 4];
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::off_by(off));
    repo.context.runtime.clock = clock;
    repo
}

/// After a change of the master key that did not end, the next command that changes keys deletes the removed ones. If it opened the
/// repository with one of them, it fails, and the next one works.
fn without_removed_keys(repo: &TestRepo, seed: u64) -> TestRepo {
    let no_such_key = repo.repository.remove_key("no such key", &repo.context);
    assert!(block_on(no_such_key).is_err());
    another_process(repo, seed)
}

fn choose(which: Index, among: &BTreeMap<BackupId, MemorySource>) -> Option<BackupId> {
    let ids: Vec<_> = among.keys().copied().collect();
    (!ids.is_empty()).then(|| *which.get(&ids))
}

/// Only the log shows which operations a process completed before it died.
fn catch_up(repo: &TestRepo, work: &Work, all: &Mutex<Model>) {
    let mut model = all.lock().unwrap();
    let listed: Vec<_> = repo
        .backups()
        .unwrap()
        .iter()
        .map(|backup| backup.id)
        .collect();
    if let Work::Backup { files, .. } = work {
        for id in &listed {
            model.live.entry(*id).or_insert_with(|| source(files));
        }
    } else if let Work::Copy = work {
        drop(model);
        block_on(adopt_copies(repo, all)).unwrap();
    } else {
        let live: Vec<_> = model.live.keys().copied().collect();
        for id in live.iter().filter(|id| !listed.contains(id)) {
            assert!(
                matches!(work, Work::Delete(_) | Work::Forget(_)),
                "{work:?} lost a backup"
            );
            model.delete(id);
        }
        listed.iter().for_each(|id| model.bring_back(id));
    }
}

fn run(steps: &[Step], kind: Kind) {
    let encrypted = kind != Kind::Plain;
    let mut repo = match kind {
        Kind::Plain => TestRepo::new(),
        Kind::Encrypted => TestRepo::encrypted(),
        Kind::WithWriteOnlyKeys => TestRepo::with_write_only_keys(1),
    };
    let (elsewhere, originals) = other(encrypted);
    let model = Arc::new(Mutex::new(Model {
        originals,
        ..Model::default()
    }));
    for (number, step) in steps.iter().enumerate() {
        let seed = 100 + 2 * number as u64;
        repo.faults.reset();
        match step {
            Step::Do(work) => {
                block_on(work_on(&mut repo, &elsewhere, work, &model)).unwrap();
                block_on(adopt_copies(&repo, &model)).unwrap();
            }
            Step::Reopen => repo = another_process(&repo, seed),
            Step::Check => {
                repo.assert_holds(&format!("step {number}"), &model.lock().unwrap().live);
            }
            Step::Die { work, at, when } => {
                let when = if *when { When::Before } else { When::After };
                repo.faults.stop_at(*at, when);
                let _ = block_on(work_on(&mut repo, &elsewhere, work, &model));
                repo = another_process(&repo, seed);
                if let Work::ChangeMasterKey = work {
                    repo = without_removed_keys(&repo, seed);
                }
                catch_up(&repo, work, &model);
            }
            Step::Interleave { work, at, others } => {
                let (mut other, others, theirs) =
                    (another_process(&repo, seed), others.clone(), model.clone());
                let keys_change = |work: &Work| matches!(work, Work::ChangeMasterKey);
                let keys_changed = encrypted && others.iter().any(keys_change);
                let is_change = encrypted && keys_change(work);
                let from = elsewhere.clone();
                repo.faults.before(*at, move || {
                    Box::pin(async move {
                        for work in &others {
                            let mut done = work_on(&mut other, &from, work, &theirs).await;
                            if done.is_ok() {
                                done = adopt_copies(&other, &theirs).await;
                            }
                            match done {
                                // The process that it interrupts has changed the master key.
                                Err(error) if is_change && error.kind() == ErrorKind::Password => {
                                    break;
                                }
                                done => done.unwrap(),
                            }
                        }
                    })
                });
                if let Err(error) = block_on(work_on(&mut repo, &elsewhere, work, &model)) {
                    let kind = error.kind();
                    assert!(
                        kind == ErrorKind::Conflict || keys_changed && kind == ErrorKind::Password,
                        "step {number}: {error}: {step:?}"
                    );
                }
                if keys_changed {
                    // A process that has only the old master key can do nothing any more.
                    repo = another_process(&repo, seed + 1);
                }
                repo.faults.reset();
                block_on(adopt_copies(&repo, &model)).unwrap();
            }
        }
    }
    let (repo, model) = (repo.reopen(99), model.lock().unwrap());
    repo.assert_holds("at the end", &model.live);
    let _ = repo.prune().unwrap();
    repo.assert_holds("at the end, pruned", &model.live);
    let mut findings = repo.check().unwrap().findings;
    // An interrupted change of the master key leaves key slots. The next change of keys deletes them.
    let is_key =
        |found: &Finding| found.severity == Severity::Note && found.object.starts_with("keys/");
    findings.retain(|found| !is_key(found));
    assert!(findings.is_empty(), "no leftovers are found: {findings:?}");
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // A history has about six operations that another one or a death interrupts.
    prop::collection::vec(step(), 1..25)
}

proptest! {
    #![proptest_config(simulations(900))]

    #[test]
    fn plain_repository_matches_the_model(steps in steps()) {
        run(&steps, Kind::Plain);
    }
}

proptest! {
    #![proptest_config(simulations(450))]

    #[test]
    fn encrypted_repository_matches_the_model(steps in steps()) {
        run(&steps, Kind::Encrypted);
    }

    #[test]
    fn repository_with_write_only_keys_matches_the_model(steps in steps()) {
        run(&steps, Kind::WithWriteOnlyKeys);
    }
}
