//! Random bytes as objects: an error, never a panic, never wrong content.

use std::sync::OnceLock;

use br_core::engine::check::{CheckOptions, ReadData, check};
use br_testkit::{MemorySource, TestRepo, block_on, noise};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::cases;

fn source() -> MemorySource {
    MemorySource::new()
        .folder("d")
        .file("d/a", noise(1, 3000))
        .file("d/b", "inline")
        .file("t", "text ".repeat(500))
}

fn whole() -> &'static TestRepo {
    static WHOLE: OnceLock<TestRepo> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let repo = TestRepo::new();
        let deleted = repo
            .backup(&source().file("more", noise(2, 9000)))
            .unwrap()
            .backup
            .id;
        let _ = repo.backup(&source()).unwrap();
        repo.delete(&[deleted]).unwrap();
        let _ = repo.prune().unwrap();
        repo
    })
}

/// A change of an object's bytes.
#[derive(Debug, Clone)]
enum Change {
    Replace(Vec<u8>),
    Overwrite(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Cut(Index, Index),
    /// Keeps the header, so that the reader decodes the bytes after it.
    KeepHeader(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        bytes().prop_map(Change::Replace),
        (any::<Index>(), bytes()).prop_map(|(at, bytes)| Change::Overwrite(at, bytes)),
        (any::<Index>(), bytes()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Cut(from, to)),
        bytes().prop_map(Change::KeepHeader),
    ]
}

impl Change {
    fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        let at = |index: &Index| index.index(bytes.len());
        match self {
            Self::Replace(with) => with.clone(),
            Self::Insert(index, with) => [&bytes[..at(index)], with, &bytes[at(index)..]].concat(),
            Self::KeepHeader(with) => [&bytes[..32.min(bytes.len())], with].concat(),
            Self::Cut(from, to) => {
                let (from, to) = (at(from).min(at(to)), at(from).max(at(to)));
                [&bytes[..from], &bytes[to..]].concat()
            }
            Self::Overwrite(index, with) => {
                let mut bytes = bytes.to_vec();
                let start = at(index);
                for (byte, with) in bytes[start..].iter_mut().zip(with) {
                    *byte = *with;
                }
                bytes
            }
        }
    }
}

fn use_all(repo: &TestRepo) {
    let Ok(repo) = repo.try_reopen(3) else { return };
    let _ = repo.check();
    if let Ok(backups) = repo.backups() {
        for backup in backups {
            let wanted = source().files();
            for (path, content) in &wanted {
                let path = br_core::model::EntryPath::new(path.as_bytes()).unwrap();
                if let Ok(bytes) = repo.dump(backup.id, &path) {
                    assert_eq!(bytes, content[..], "{path} is correct or an error");
                }
            }
        }
    }
    let _ = repo.backup(&source());
    let _ = repo.prune();
    let repair = CheckOptions::default()
        .with_data(ReadData::All)
        .with_repair_index(true)
        .with_repair_log(true);
    let _ = block_on(check(&repo.repository, &repair, &repo.context));
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn random_bytes_in_any_object_give_error_without_panic(key in any::<Index>(), change in change()) {
        let repo = whole().fork(2);
        let key = key.get(&repo.keys()).clone();
        let bytes = repo.object(&key);
        repo.set_object(&key, Some(change.apply(&bytes)));
        use_all(&repo);
    }

    #[test]
    fn unknown_objects_are_ignored(
        name in "(packs/[0-9a-f]{2}/[0-9a-f]{32}|index/[0-9a-f]{32}|manifests/[0-9a-f-]{36}|log/[0-9]{16}|log/x|packs/y|keys/z|other)",
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let repo = whole().fork(2);
        repo.set_object(&name, Some(bytes));
        use_all(&repo);
    }
}
