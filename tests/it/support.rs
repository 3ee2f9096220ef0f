//! What several themes need: a repository on disk with a tree to back up.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use br_core::engine::backup::{BackupOptions, BackupReport, backup};
use br_core::engine::check::{CheckOptions, CheckReport, ReadData, check};
use br_core::engine::restore::{RestoreOptions, RestoreReport, restore};
use br_core::model::{BackupId, EntryPath};
use br_core::source::{LocalSource, LocalSourceOptions, Source, SourceItem};
use br_core::{BackupSelector, Context, Event, InitOptions, Progress, Repository, Result};
use br_testkit::{Snapshot, StoreKind, TestStore, TreeFixture, block_on, every_nth};

/// Measures how long something takes.
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a test may take the time")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.0.elapsed()
    }
}

/// A repository, on local disk unless the environment says otherwise, and a tree on local disk.
pub(crate) struct Disk {
    pub(crate) fixture: TreeFixture,
    pub(crate) store: TestStore,
    pub(crate) repository: Repository,
    pub(crate) context: Context,
}

impl Disk {
    pub(crate) fn new(fixture: TreeFixture) -> Self {
        Self::init(fixture, &InitOptions::default())
    }

    pub(crate) fn encrypted(fixture: TreeFixture) -> Self {
        let options = InitOptions::default()
            .with_password("secret")
            .with_weak_key_derivation();
        Self::init(fixture, &options)
    }

    fn init(fixture: TreeFixture, options: &InitOptions) -> Self {
        let context = Context::system();
        let store = TestStore::chosen_or(StoreKind::Local);
        let made = Repository::init_storage(store.storage(), options, &context);
        let repository = block_on(made).unwrap();
        Self {
            fixture,
            store,
            repository,
            context,
        }
    }

    /// Options for backups of the tree.
    pub(crate) fn options(&self) -> BackupOptions {
        let typed = self.fixture.tree().as_os_str().as_bytes().to_vec();
        BackupOptions::new("host", "user", vec![typed])
    }

    /// A source that walks the tree.
    pub(crate) fn source(&self) -> TreeSource {
        let options = LocalSourceOptions::default();
        let source = LocalSource::new(&[self.fixture.tree()], options).unwrap();
        let above = self.fixture.at("").as_os_str().as_bytes()[1..]
            .trim_ascii()
            .to_vec();
        let above = above.strip_suffix(b"/").unwrap_or(&above).to_vec();
        TreeSource {
            source,
            above: EntryPath::new(above).unwrap(),
        }
    }

    /// Backs up the tree.
    pub(crate) fn backup(&self) -> BackupReport {
        self.backup_with(self.source(), &self.options()).unwrap()
    }

    pub(crate) fn backup_with(
        &self,
        source: impl Source + 'static,
        options: &BackupOptions,
    ) -> Result<BackupReport> {
        block_on(backup(&self.repository, source, options, &self.context))
    }

    /// Restores a backup into a folder next to the tree.
    pub(crate) fn restore(
        &self,
        id: BackupId,
        to: &str,
        options: &RestoreOptions,
    ) -> Result<RestoreReport> {
        let selector = BackupSelector::Prefix(id.to_string());
        let to = self.fixture.at(to);
        block_on(restore(
            &self.repository,
            &selector,
            to,
            options,
            &self.context,
        ))
    }

    /// Restores a complete backup; every entry must be restored.
    pub(crate) fn restore_all(&self, id: BackupId, to: &str) -> RestoreReport {
        let report = self.restore(id, to, &RestoreOptions::default()).unwrap();
        assert_eq!(report.failed, [], "everything is restored");
        assert_eq!(report.attributes_refused, 0, "every attribute is set");
        report
    }

    pub(crate) fn check(&self) -> CheckReport {
        let options = CheckOptions::default().with_data(ReadData::All);
        block_on(check(&self.repository, &options, &self.context)).unwrap()
    }

    pub(crate) fn assert_sound(&self) {
        let report = self.check();
        assert!(
            report.findings.is_empty(),
            "check finds nothing: {:#?}",
            report.findings
        );
    }

    /// The path of an entry of the tree below the folder `to`.
    pub(crate) fn restored(&self, to: &str, path: &str) -> PathBuf {
        let tree = self.fixture.tree();
        let below = tree.strip_prefix("/").unwrap();
        let at = self.fixture.at(to).join(below);
        if path.is_empty() { at } else { at.join(path) }
    }

    /// The path in the backup of something in the tree.
    pub(crate) fn stored(&self, path: &str) -> EntryPath {
        let at = if path.is_empty() {
            self.fixture.tree()
        } else {
            self.fixture.tree().join(path)
        };
        EntryPath::new(&at.as_os_str().as_bytes()[1..]).unwrap()
    }

    /// The tree as it is now.
    pub(crate) fn tree(&self) -> Snapshot {
        Snapshot::of(self.fixture.tree())
    }

    /// The restored tree.
    pub(crate) fn copy(&self, to: &str) -> Snapshot {
        Snapshot::of(self.restored(to, ""))
    }
}

/// Walks a tree, without the folders above the fixture: other tests change them all the time.
pub(crate) struct TreeSource {
    source: LocalSource,
    above: EntryPath,
}

impl Source for TreeSource {
    fn next(&mut self) -> Option<SourceItem> {
        loop {
            match self.source.next()? {
                SourceItem::Entry { entry, .. } if !entry.path.is_within(&self.above) => {}
                item => return Some(item),
            }
        }
    }

    fn can_skip_unchanged(&self) -> bool {
        self.source.can_skip_unchanged()
    }
}

/// Records the events of an operation.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) warnings: Mutex<Vec<String>>,
    pub(crate) failed: Mutex<Vec<String>>,
}

impl Progress for Told {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Warning(warning) => self.warnings.lock().unwrap().push(warning.to_string()),
            Event::Failed { path, reason } => {
                self.failed
                    .lock()
                    .unwrap()
                    .push(format!("{path}: {reason}"));
            }
            _ => {}
        }
    }
}

/// A context whose events are kept.
pub(crate) fn telling(context: &Context) -> (Context, Arc<Told>) {
    let told = Arc::new(Told::default());
    let context = Context {
        progress: Arc::clone(&told) as _,
        ..context.clone()
    };
    (context, told)
}

/// True when tests may take minutes.
pub(crate) fn is_slow_wanted() -> bool {
    std::env::var_os("BR_SLOW_TESTS").is_some_and(|value| value == "1")
}

/// How many cases a property is tried with.
pub(crate) fn cases(usually: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: if is_slow_wanted() {
            usually * 20
        } else {
            usually.div_ceil(every_nth() as u32)
        },
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    }
}

/// As [`cases`], times `BR_SIMULATIONS`. Far fewer on stores that are slower than memory.
pub(crate) fn simulations(usually: u32) -> proptest::test_runner::Config {
    let times = std::env::var("BR_SIMULATIONS").map_or(1, |times| times.parse().unwrap());
    let is_slow = !matches!(StoreKind::chosen(), None | Some(StoreKind::Memory));
    let usually = if is_slow {
        usually.div_ceil(30)
    } else {
        usually
    };
    let mut config = cases(usually);
    config.cases *= times;
    if times == 1 {
        // The same histories on every run. More of them are other ones each time.
        config.rng_seed = proptest::test_runner::RngSeed::Fixed(13);
    }
    config
}
