//! The number of requests of each operation: object storage bills them, and each one costs a round trip. `docs/requests.md`
//! documents these numbers.

use std::time::Duration;

use br_core::engine::backup::{BackupReport, backup};
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::engine::copy::{CopyOptions, copy};
use br_core::engine::find::{FindOptions, find};
use br_core::engine::forget::ForgetOptions;
use br_core::engine::label::{LabelChange, label};
use br_core::engine::lock::{self, LockOptions};
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::engine::undelete::undelete;
use br_core::engine::{delete, forget, ls, prune};
use br_core::jiff::tz::TimeZone;
use br_core::model::retention::{KeepCount, RetentionPolicy, RetentionRule};
use br_core::{BackupSelector, Context, InitOptions, Location, NewKey, Repository};
use br_testkit::{Behaviour, MemorySource, TestRepo, Thing, block_on, noise};

use super::{BUCKET, Bucket};

/// 300 small files, three of which differ from version to version, and one that fills two packs.
fn source(version: u64) -> MemorySource {
    let mut source = MemorySource::new().file("large", noise(1, 40 << 20));
    for number in 0..300 {
        let version = if number % 100 == 0 { version } else { 0 };
        let content = Thing::File(noise(number + 1000 * version, 5_000).into());
        let time = 1_500_000_000 + version.cast_signed();
        let path = format!("small/{number}");
        source.insert(&path, content, time, Behaviour::Honest);
    }
    source
}

/// Counts the requests of an operation.
struct Ledger {
    bucket: Bucket,
    lines: Vec<String>,
}

impl Ledger {
    fn note(&mut self, what: &str) {
        let counts = self.bucket.server.counts();
        self.bucket.server.reset_requests();
        let total: u64 = counts.values().sum();
        let parts: Vec<_> = counts
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        self.lines
            .push(format!("| {what} | {total} | {} |", parts.join(", ")));
    }

    fn open(&self, cache: Option<&std::path::Path>) -> Repository {
        let location = self.bucket.location();
        let opened = Repository::open(&location, &self.bucket.options, Some(b"secret"));
        let repository = block_on(opened).unwrap();
        if let Some(folder) = cache {
            let cache = br_core::CacheOptions::new(folder);
            repository.use_cache(&cache, &self.bucket.context).unwrap();
        }
        repository
    }

    /// Backs up a version with a cache, and optionally with a journal.
    fn backup(&self, cache: &std::path::Path, version: u64, journal: bool) -> BackupReport {
        let journal = journal.then(|| cache.join("journal"));
        let options = TestRepo::options("host").with_journal(journal);
        let (repository, context) = (self.open(Some(cache)), &self.bucket.context);
        block_on(backup(&repository, source(version), &options, context)).unwrap()
    }

    fn restore(&self, cache: Option<&std::path::Path>) {
        let dir = tempfile::tempdir().unwrap();
        let options = RestoreOptions::default().with_owner(false);
        let to = dir.path().join("to");
        let (repository, context) = (self.open(cache), &self.bucket.context);
        let restored = restore(&repository, &BackupSelector::Latest, to, &options, context);
        assert_eq!(block_on(restored).unwrap().failed, []);
    }

    fn check(&self, cache: &std::path::Path, data: ReadData) {
        let options = CheckOptions::default()
            .with_data(data)
            .with_record_proof(data == ReadData::All);
        let repository = self.open(Some(cache));
        let report = block_on(check(&repository, &options, &self.bucket.context)).unwrap();
        assert!(report.is_sound());
    }
}

/// Copies the repository into another one, twice.
fn note_copies(ledger: &mut Ledger, here: Option<&std::path::Path>) {
    let options = InitOptions::default();
    let other = Repository::init(&Location::Memory, &options, &ledger.bucket.context);
    let other = block_on(other).unwrap();
    for what in ["`copy` from it", "the same, when nothing is new"] {
        let (source, context) = (ledger.open(here), &ledger.bucket.context);
        let options = CopyOptions::default();
        let copied = copy(&source, &other, &options, context);
        assert!(block_on(copied).unwrap().is_complete());
        ledger.note(what);
    }
}

/// Changes what the list says, deletes by a policy, and brings a backup back.
fn note_list_changes(ledger: &mut Ledger, here: Option<&std::path::Path>) {
    let repository = ledger.open(here);
    let change = LabelChange::default().with_added_tags(vec!["weekly".to_owned()]);
    let context = ledger.bucket.context.clone();
    let _ = block_on(label(
        &repository,
        [BackupSelector::Latest],
        &change,
        &context,
    ))
    .unwrap();
    ledger.note("`tag add`, `pin`, `annotate`");
    let repository = ledger.open(here);
    let last = RetentionRule::Last(KeepCount::Number(1));
    let options = ForgetOptions::new(RetentionPolicy::new(TimeZone::UTC).keep(last));
    let forgotten = block_on(async {
        let plan = forget::plan(&repository, &options, &context).await?;
        forget::forget(&repository, &plan, &context).await
    });
    let forgotten = forgotten.unwrap();
    ledger.note("`forget`");
    let repository = ledger.open(here);
    block_on(undelete(&repository, [forgotten[0]], &context)).unwrap();
    ledger.note("`undelete`");
    let repository = ledger.open(here);
    let options = FindOptions::default()
        .with_pattern("small/*7", false)
        .unwrap();
    block_on(find(&repository, &options, &context)).unwrap();
    ledger.note("`find`");
}

fn note_keys(ledger: &mut Ledger, here: Option<&std::path::Path>) {
    let new = |password: &str, label: &str| NewKey::new(password, label).with_weak_key_derivation();
    let context = ledger.bucket.context.clone();
    let location = ledger.bucket.location();
    let listed = Repository::list_keys(&location, &ledger.bucket.options);
    assert_eq!(block_on(listed).unwrap().len(), 1);
    ledger.note("`key list`, one key");
    let repository = ledger.open(here);
    block_on(repository.add_key(&new("second", "second"), &context)).unwrap();
    ledger.note("`key add`");
    let repository = ledger.open(here);
    block_on(repository.remove_key("second", &context)).unwrap();
    ledger.note("`key remove`");
    let repository = ledger.open(here);
    block_on(repository.change_password(&new("secret", "first"), &context)).unwrap();
    ledger.note("`key passwd`");
    let repository = ledger.open(here);
    block_on(repository.change_master_key(&new("secret", "first"), &context)).unwrap();
    ledger.note("`key rotate`");
}

/// Locks everything, twice, and asks until when it is locked.
fn note_locks(ledger: &mut Ledger, here: Option<&std::path::Path>) {
    ledger.bucket.server.create_locking_bucket(BUCKET, None);
    // Locks end by the clock of the server.
    let context = Context::system();
    let options = LockOptions::new(Duration::from_secs(30 * 24 * 3600));
    for what in ["`lock extend`", "the same, when everything is locked"] {
        let repository = ledger.open(here);
        let locked = block_on(lock::extend(&repository, &options, &context)).unwrap();
        assert_eq!(locked.missing, 0);
        ledger.note(what);
    }
    let repository = ledger.open(here);
    let status = block_on(lock::status(&repository, &context)).unwrap();
    assert_eq!(status.unlocked, 0);
    ledger.note("`lock status`");
}

#[test]
fn every_operation_needs_documented_number_of_requests() {
    let bucket = Bucket::new();
    let mut ledger = Ledger {
        bucket,
        lines: Vec::new(),
    };
    let dir = tempfile::tempdir().unwrap();
    let here = Some(dir.path());
    let options = InitOptions::default()
        .with_storage(ledger.bucket.options.clone())
        .with_password("secret")
        .with_weak_key_derivation();
    block_on(Repository::init(
        &ledger.bucket.location(),
        &options,
        &ledger.bucket.context,
    ))
    .unwrap();
    ledger.note("`init` (with the probe)");
    let first = ledger.backup(dir.path(), 0, true);
    ledger.note("first `backup`: 2 data packs, 1 tree pack");
    let _ = ledger.backup(dir.path(), 0, true);
    ledger.note("unchanged `backup`");
    let _ = ledger.backup(dir.path(), 1, true);
    ledger.note("`backup` with a few changed files");
    block_on(ledger.open(here).backups(&ledger.bucket.context)).unwrap();
    ledger.note("`list`");
    let repository = ledger.open(here);
    block_on(async {
        let id = first.backup.id;
        let mut feed = ls::ls(&repository, id, Vec::new(), &ledger.bucket.context);
        while let Some(entry) = feed.next().await {
            entry.unwrap();
        }
    });
    ledger.note("`ls`");
    ledger.restore(here);
    ledger.note("`restore`");
    ledger.restore(None);
    ledger.note("`restore` on a machine that has no copies");
    ledger.check(dir.path(), ReadData::None);
    ledger.note("`check`");
    ledger.check(dir.path(), ReadData::All);
    ledger.note("`check --read-data`");
    note_copies(&mut ledger, here);
    let repository = ledger.open(here);
    block_on(async {
        let context = &ledger.bucket.context;
        let selector = BackupSelector::Prefix(first.backup.id.to_string());
        let plan = delete::plan(&repository, vec![selector], context).await?;
        delete::delete(&repository, &plan, context).await
    })
    .unwrap();
    ledger.note("`delete`");
    let repository = ledger.open(here);
    let pruned = block_on(async {
        let plan = prune::plan(&repository, &TestRepo::thorough(), &ledger.bucket.context).await?;
        prune::prune(&repository, &plan, &ledger.bucket.context).await
    });
    let _ = pruned.unwrap();
    ledger.note("`prune`");
    let _ = ledger.backup(dir.path(), 1, false);
    ledger.note("unchanged `backup` without a journal");
    note_list_changes(&mut ledger, here);
    note_keys(&mut ledger, here);
    note_locks(&mut ledger, here);
    let document = include_str!("../../../docs/requests.md");
    let missing: Vec<_> = ledger
        .lines
        .iter()
        .filter(|line| !document.contains(*line))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/requests.md does not say:\n{}",
        ledger.lines.join("\n")
    );
}
