//! Whatever is done in whatever order: the repository holds what a simple model says.

use std::collections::BTreeMap;

use br_core::model::BackupId;
use br_testkit::{Behaviour, MemorySource, TestRepo, Thing, noise};
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Debug, Clone)]
enum Step {
    /// A backup by one of two hosts of these files: name and content.
    Backup {
        host: bool,
        files: BTreeMap<u8, u8>,
    },
    Delete(Vec<Index>),
    Prune,
    /// Another process goes on.
    Reopen,
    /// A backup that dies at some operation.
    Die {
        at: u64,
        files: BTreeMap<u8, u8>,
    },
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    let files = || prop::collection::btree_map(0..8_u8, 0..12_u8, 0..8);
    prop_oneof![
        6 => (any::<bool>(), files()).prop_map(|(host, files)| Step::Backup { host, files }),
        3 => prop::collection::vec(any::<Index>(), 1..4).prop_map(Step::Delete),
        2 => Just(Step::Prune),
        1 => Just(Step::Reopen),
        1 => (0..12_u64, files()).prop_map(|(at, files)| Step::Die { at, files }),
        1 => Just(Step::Check),
    ]
}

fn source(files: &BTreeMap<u8, u8>) -> MemorySource {
    let mut source = MemorySource::new().folder("d");
    for (name, content) in files {
        // Nothing, a few bytes, one chunk, several chunks.
        let len = [0, 100, 2_000, 60_000, 300_000][usize::from(*content) % 5];
        let time = 1_000_000_000 + i64::from(*content);
        let thing = Thing::File(noise(u64::from(*content), len).into());
        source.insert(&format!("d/{name}"), thing, time, Behaviour::Honest);
    }
    source
}

fn run(steps: &[Step], encrypted: bool) {
    let mut repo = if encrypted {
        TestRepo::encrypted()
    } else {
        TestRepo::new()
    };
    let mut model: BTreeMap<BackupId, MemorySource> = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        let seed = 100 + number as u64;
        match step {
            Step::Backup { host, files } => {
                let source = source(files);
                let host = if *host { "one" } else { "other" };
                let made = repo.backup_with(&source, &TestRepo::options(host)).unwrap();
                model.insert(made.backup.id, source);
            }
            Step::Delete(which) if !model.is_empty() => {
                let ids: Vec<_> = model.keys().copied().collect();
                let doomed: Vec<_> = which.iter().map(|index| *index.get(&ids)).collect();
                repo.delete(&doomed).unwrap();
                model.retain(|id, _| !doomed.contains(id));
            }
            Step::Delete(_) => {}
            Step::Prune => drop(repo.prune().map(|_| ()).unwrap()),
            Step::Reopen => repo = repo.reopen(seed),
            Step::Die { at, files } => {
                repo.faults.reset();
                repo.faults.stop_at(*at, br_testkit::When::Before);
                let source = source(files);
                if let Ok(made) = repo.backup(&source) {
                    model.insert(made.backup.id, source);
                }
                repo = repo.reopen(seed);
            }
            Step::Check => repo.assert_holds(&format!("step {number}"), &model),
        }
    }
    let repo = repo.reopen(99);
    repo.assert_holds("at the end", &model);
    repo.prune().unwrap();
    repo.assert_holds("at the end, pruned", &model);
    assert!(
        repo.check().unwrap().findings.is_empty(),
        "nothing is left over"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_repository_holds_what_the_model_says(
        steps in prop::collection::vec(step(), 1..25),
        encrypted in any::<bool>(),
    ) {
        run(&steps, encrypted);
    }
}
