//! Checks of listings.

use super::{create, keys};
use crate::Storage;

/// A listing has every object below a folder, sorted by the bytes of the keys.
pub async fn lists_are_complete_and_sorted(storage: &Storage) {
    assert_eq!(keys(storage, "").await, [""; 0], "a new storage is empty");
    assert_eq!(
        keys(storage, "f").await,
        [""; 0],
        "a missing folder is empty"
    );
    let sorted = [
        "f/-",
        "f/.x",
        "f/0",
        "f/_",
        "f/a-b",
        "f/a.b",
        "f/a/0/1/2",
        "f/a/b",
        "f/a0",
        "f/ab",
        "f/z",
    ];
    for (size, key) in sorted.iter().enumerate().rev() {
        create(storage, key, vec![0; size]).await;
    }
    assert_eq!(
        keys(storage, "f").await,
        sorted,
        "a listing is complete and sorted"
    );
    assert_eq!(
        keys(storage, "").await,
        sorted,
        "the empty prefix means everything"
    );
    let objects = storage.list("f").await.expect("a folder can be listed");
    let sizes: Vec<u64> = objects.iter().map(|object| object.size).collect();
    assert_eq!(
        sizes,
        (0..sorted.len() as u64).collect::<Vec<_>>(),
        "a listing has the sizes"
    );
}

/// The top level lists folders and objects, without the contents of the folders.
pub async fn the_top_level_has_names(storage: &Storage) {
    let names = async || {
        storage
            .top_level()
            .await
            .expect("the top level can be listed")
    };
    assert_eq!(names().await, [""; 0], "a new storage is empty");
    for key in ["z", "f/a/b", "f/c", "a/b"] {
        create(storage, key, b"x".to_vec()).await;
    }
    assert_eq!(
        names().await,
        ["a", "f", "z"],
        "folders and objects, sorted"
    );
}

/// A prefix names a folder; it is not a prefix of names.
pub async fn lists_stay_within_their_folder(storage: &Storage) {
    for key in ["a/b/1", "a/b/c/2", "a/bc/3", "a/b.d", "ab/4", "b/a/b/5"] {
        create(storage, key, b"x".to_vec()).await;
    }
    assert_eq!(
        keys(storage, "a/b").await,
        ["a/b/1", "a/b/c/2"],
        "a prefix is a folder"
    );
    assert_eq!(
        keys(storage, "a/b/c").await,
        ["a/b/c/2"],
        "folders may be nested"
    );
    assert_eq!(
        keys(storage, "a/b/1").await,
        [""; 0],
        "an object is not a folder"
    );
    assert_eq!(
        keys(storage, "a/b/1/2").await,
        [""; 0],
        "there is nothing below an object"
    );
    assert_eq!(
        keys(storage, "a").await,
        ["a/b.d", "a/b/1", "a/b/c/2", "a/bc/3"],
        "a listing goes down into all folders"
    );
}

/// A listing can start after any key and does not contain that key.
pub async fn lists_continue_after_a_key(storage: &Storage) {
    for key in ["a/0", "s/1", "s/2-", "s/2/x", "s/3", "z/0"] {
        create(storage, key, b"x".to_vec()).await;
    }
    let table: &[(&str, &[&str])] = &[
        ("", &["s/1", "s/2-", "s/2/x", "s/3"]),
        ("a", &["s/1", "s/2-", "s/2/x", "s/3"]),
        ("s/1", &["s/2-", "s/2/x", "s/3"]),
        ("s/2", &["s/2-", "s/2/x", "s/3"]),
        ("s/2-", &["s/2/x", "s/3"]),
        ("s/2/a", &["s/2/x", "s/3"]),
        ("s/2/x", &["s/3"]),
        ("s/3", &[]),
        ("t", &[]),
    ];
    for (after, expected) in table {
        let found = storage
            .keys_after("s", after)
            .await
            .expect("a folder can be listed");
        assert_eq!(
            found, *expected,
            "a listing after {after:?} has the greater keys only"
        );
    }
}
