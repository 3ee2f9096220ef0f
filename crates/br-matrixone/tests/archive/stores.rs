//! Archives in object stores.

use std::path::Path;
use std::sync::Arc;

use br_matrixone::archive::*;
use br_storage::Storage;
use object_store::{ObjectStore, ObjectStoreExt as _, memory::InMemory, path::Path as Key};

use crate::make::{self, Shape};

fn folder_in(
    store: &Arc<dyn ObjectStore>,
    prefix: &str,
    runtime: &tokio::runtime::Runtime,
) -> Folder {
    let storage = Storage::from_object_store(Arc::clone(store), "test");
    Folder::in_storage(&storage, prefix, runtime.handle().clone()).unwrap()
}

/// Copies a folder into a store, below a prefix.
fn upload(
    store: &Arc<dyn ObjectStore>,
    runtime: &tokio::runtime::Runtime,
    root: &Path,
    prefix: &str,
) {
    let folder = Folder::local(root);
    for file in folder.list("").unwrap() {
        let path = file.unwrap().path;
        let bytes = folder.read(&path, u64::MAX).unwrap();
        let key = Key::from(format!("{prefix}/{path}"));
        runtime.block_on(store.put(&key, bytes.into())).unwrap();
    }
}

#[test]
fn backup_in_a_store_is_restored_to_a_folder_and_to_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    let all = make::chain(&root, Shape::RAW);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    upload(&store, &runtime, &root, "backup1");
    let folder = |prefix| folder_in(&store, prefix, &runtime);
    let archive = Archive::open(&folder("/backup1"), &Limits::default()).unwrap();
    let backup = archive.find(&make::id(3)).unwrap();
    let report = check(
        &archive,
        backup,
        &CheckOptions::default(),
        &NoArchiveProgress,
    )
    .unwrap();
    assert!(report.is_good(), "{:?}", report.problems);

    // A cluster with the backend DISK needs frames.
    let target = dir.path().join("mo");
    let into = RestoreTarget::local(&target)
        .unwrap()
        .with_framing(Framing::Framed);
    let plan = RestorePlan::new(&archive, backup, into, &NoArchiveProgress).unwrap();
    plan.execute(&RestoreOptions::default(), &NoArchiveProgress)
        .unwrap();
    make::assert_restored(&target, &all[3], Framing::Framed);

    let into = RestoreTarget::object(&folder("restored/mo")).unwrap();
    let plan = RestorePlan::new(&archive, backup, into, &NoArchiveProgress).unwrap();
    assert!(
        plan.files()
            .all(|file| file.to == "hk_data" || file.to.starts_with("data/"))
    );
    plan.execute(&RestoreOptions::default(), &NoArchiveProgress)
        .unwrap();
    let restored = folder("restored/mo");
    for file in &all[3] {
        let found = restored
            .read(&format!("data/{}", file.path), u64::MAX)
            .unwrap();
        assert!(found == file.bytes, "{}", file.path);
    }
    assert_eq!(restored.read("hk_data", 999).unwrap(), make::HK_DATA);
    assert_eq!(restored.contents("", 9).unwrap().files.len(), 1);
    assert_eq!(
        plan.execute(&RestoreOptions::default(), &NoArchiveProgress)
            .unwrap_err()
            .kind(),
        ErrorKind::Exists
    );
}

#[test]
fn folder_of_one_backup_in_a_store_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    make::chain(dir.path(), Shape::FRAMED);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    upload(&store, &runtime, dir.path(), "a/b");
    let prefix = format!("a/b/{}/", make::dir_of(2));
    let folder = folder_in(&store, &prefix, &runtime);
    let archive = Archive::open(&folder, &Limits::default()).unwrap();
    assert_eq!(archive.only().unwrap().id, Some(make::id(2)));
    assert_eq!(archive.backups().len(), 4);
}
