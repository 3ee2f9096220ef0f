//! The conformance tests in memory, and tests of wrappers.

use std::sync::Arc;

use br_storage::{ErrorKind, Location, Storage, StorageOptions, conformance};
use object_store::{memory::InMemory, prefix::PrefixStore};

#[tokio::test]
async fn memory_conforms() {
    conformance::all(async || Storage::memory()).await;
}

#[tokio::test]
async fn a_wrapped_store_conforms() {
    conformance::all(async || {
        let store = PrefixStore::new(InMemory::new(), "bucket/folder");
        Storage::from_object_store(Arc::new(store), "test")
    })
    .await;
}

#[tokio::test]
async fn memory_has_nothing_to_sweep_and_is_always_new() {
    let options = StorageOptions::default();
    let storage = Storage::create(&Location::Memory, &options).unwrap();
    let created = storage.create_new("a", b"x".to_vec().into()).await.unwrap();
    assert_eq!(created, br_storage::Creation::Created);
    let modified = storage.list("").await.unwrap()[0].modified;
    assert_eq!(storage.sweep_staging("packs", modified).await.unwrap(), 0);
    assert_eq!(
        storage.clone().size("a").await.unwrap(),
        1,
        "a clone is the same storage"
    );
    let other = Storage::open(&Location::Memory, &options).unwrap();
    assert_eq!(
        other.size("a").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(format!("{other} {other:?}"), "memory: Storage(\"memory:\")");
}

/// Callers run storage operations in tasks that move between threads.
#[test]
fn operations_can_be_sent_to_other_threads() {
    fn sendable<T: Send>(_: T) {}
    fn shareable<T: Send + Sync + 'static>() {}
    shareable::<Storage>();
    shareable::<br_storage::Error>();
    let storage = Storage::memory();
    sendable(storage.create_new("a", b"x".to_vec().into()));
    sendable(storage.get("a", 1));
    sendable(storage.get_range("a", 0..1));
    sendable(storage.get_suffix("a", 1));
    sendable(storage.keys_after("a", "a"));
    sendable(storage.delete_all(Vec::new()));
    sendable(storage.sweep_staging("packs", std::time::UNIX_EPOCH));
}
