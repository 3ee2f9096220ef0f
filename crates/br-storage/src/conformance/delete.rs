//! Checks of deletes.

use super::{create, keys};
use crate::{ErrorKind, Storage};

/// Deleting an object a second time succeeds.
pub async fn deletes_are_idempotent(storage: &Storage) {
    create(storage, "d/1", b"x".to_vec()).await;
    create(storage, "d/2", b"y".to_vec()).await;
    for _ in 0..2 {
        assert!(
            storage.delete("d/1").await.is_ok(),
            "deleting a missing object succeeds"
        );
    }
    for key in ["never", "never/was", "d/2/x"] {
        assert!(
            storage.delete(key).await.is_ok(),
            "deleting a missing object succeeds: {key}"
        );
    }
    let kind = storage.size("d/1").await.map_err(|error| error.kind());
    assert_eq!(
        kind,
        Err(ErrorKind::NotFound),
        "a deleted object no longer exists"
    );
    assert_eq!(keys(storage, "d").await, ["d/2"], "other objects stay");
}

/// Many deletes at once, including missing and invalid keys.
pub async fn many_deletes_report_the_failed(storage: &Storage) {
    assert!(
        storage.delete_all(Vec::new()).await.is_empty(),
        "deleting no objects succeeds"
    );
    let all: Vec<String> = (0..64).map(|number| format!("d/{number:02}/x")).collect();
    for key in &all {
        create(storage, key, b"x".to_vec()).await;
    }
    let mut to_delete = all[..63].to_vec();
    to_delete.insert(0, "d/missing".to_owned());
    to_delete.insert(30, "d/../refused".to_owned());
    to_delete.push("d/00/x".to_owned());
    let failed = storage.delete_all(to_delete).await;
    let failed: Vec<_> = failed
        .iter()
        .map(|(key, error)| (key.as_str(), error.kind()))
        .collect();
    let refused = [("d/../refused", ErrorKind::Invalid)];
    assert_eq!(
        failed, refused,
        "only what failed is reported, with its key"
    );
    assert_eq!(
        keys(storage, "").await,
        all[63..],
        "all others are deleted, and nothing else"
    );
}
