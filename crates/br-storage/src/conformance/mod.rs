//! The tests that every backend, and every wrapper around one, must pass.
//!
//! [`all`] runs every check on a new [`Storage`]; each check is also a separate function. A check panics if
//! the storage breaks the promise in the message. [`folder()`] checks a [`Folder`](crate::Folder). Invariant:
//! a check requires only what the documentation of [`Storage`] or [`Folder`](crate::Folder) promises.

mod delete;
mod folder;
mod list;
mod read;
mod write;

use bytes::Bytes;

pub use delete::*;
pub use folder::*;
pub use list::*;
pub use read::*;
pub use write::*;

use crate::{Creation, Payload, Storage};

/// A limit for [`Storage::get`] that exceeds the size of every object.
const NO_LIMIT: u64 = 1 << 30;

/// Runs every check, each on a new, empty storage.
pub async fn all(make: impl AsyncFn() -> Storage) {
    created_objects_are_read_back(&make().await).await;
    create_is_exclusive(&make().await).await;
    concurrent_creates_have_one_winner(&make().await).await;
    empty_objects_are_objects(&make().await).await;
    large_objects_are_whole(&make().await).await;
    ranges_are_exact(&make().await).await;
    suffixes_tell_the_size(&make().await).await;
    too_large_objects_are_refused(&make().await).await;
    missing_objects_are_not_found(&make().await).await;
    folders_are_not_objects(&make().await).await;
    invalid_keys_are_refused(&make().await).await;
    lists_are_complete_and_sorted(&make().await).await;
    the_top_level_has_names(&make().await).await;
    lists_stay_within_their_folder(&make().await).await;
    lists_continue_after_a_key(&make().await).await;
    deletes_are_idempotent(&make().await).await;
    many_deletes_report_the_failed(&make().await).await;
}

async fn create(storage: &Storage, key: &str, payload: impl Into<Payload>) {
    let creation = storage
        .create_new(key, payload.into())
        .await
        .expect("a new key is free");
    assert_eq!(creation, Creation::Created, "a new key is free: {key}");
}

async fn read(storage: &Storage, key: &str) -> Bytes {
    storage
        .get(key, NO_LIMIT)
        .await
        .expect("an object that was created can be read")
}

async fn keys(storage: &Storage, prefix: &str) -> Vec<String> {
    let objects = storage.list(prefix).await.expect("a folder can be listed");
    objects.into_iter().map(|object| object.key).collect()
}
