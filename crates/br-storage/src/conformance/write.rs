//! Checks of writes.

use bytes::Bytes;
use futures::future::join_all;

use super::{NO_LIMIT, create, keys, read};
use crate::{Creation, ErrorKind, Payload, Storage};

/// An object holds the bytes it was created with, however they were split into pieces.
pub async fn created_objects_are_read_back(storage: &Storage) {
    create(storage, "config", b"one".to_vec()).await;
    let pieces = vec![
        Bytes::from_static(b"tw"),
        Bytes::new(),
        Bytes::from_static(b"o!"),
    ];
    create(storage, "packs/ab/abcd", pieces).await;
    assert_eq!(
        read(storage, "config").await,
        "one",
        "an object holds its bytes"
    );
    assert_eq!(
        read(storage, "packs/ab/abcd").await,
        "two!",
        "pieces are joined in order"
    );
    assert_eq!(
        storage.size("packs/ab/abcd").await.ok(),
        Some(4),
        "the size is that of all pieces"
    );
}

/// A second write of a key is refused and leaves the object unchanged.
pub async fn create_is_exclusive(storage: &Storage) {
    create(storage, "locks/one", b"first".to_vec()).await;
    for payload in [&b"second"[..], b"firsu", b"first and more", b"firs", b""] {
        let creation = storage
            .create_new("locks/one", payload.to_vec().into())
            .await;
        assert_eq!(
            creation.ok(),
            Some(Creation::AlreadyExists),
            "a key that has other bytes is reported as taken"
        );
    }
    let again = storage
        .create_new("locks/one", b"first".to_vec().into())
        .await;
    assert_eq!(
        again.ok(),
        Some(Creation::Created),
        "a write that is repeated, as after a lost answer, succeeds"
    );
    assert_eq!(
        read(storage, "locks/one").await,
        "first",
        "an object is never replaced"
    );
    storage
        .delete("locks/one")
        .await
        .expect("an object can be deleted");
    create(storage, "locks/one", b"third".to_vec()).await;
    assert_eq!(
        read(storage, "locks/one").await,
        "third",
        "a deleted key is free again"
    );
}

/// Exactly one of many writers of a key succeeds, and the object has exactly its bytes.
pub async fn concurrent_creates_have_one_winner(storage: &Storage) {
    const WRITERS: u8 = 32;
    let payload = |writer: u8| vec![writer; 64 * 1024 + usize::from(writer)];
    let writes = (0..WRITERS).map(|writer| storage.create_new("race/a/b", payload(writer).into()));
    let results = join_all(writes).await;
    let mut winners = Vec::new();
    for (writer, result) in (0..WRITERS).zip(results) {
        match result.expect("losing a race is not an error") {
            Creation::Created => winners.push(writer),
            Creation::AlreadyExists => {}
        }
    }
    assert_eq!(
        winners.len(),
        1,
        "exactly one of many writers wins, not {winners:?}"
    );
    assert_eq!(
        read(storage, "race/a/b").await,
        payload(winners[0]),
        "the winner's bytes stay"
    );
    assert_eq!(
        keys(storage, "race").await,
        ["race/a/b"],
        "the losers leave nothing behind"
    );
}

/// An object may be empty.
pub async fn empty_objects_are_objects(storage: &Storage) {
    create(storage, "empty", Payload::default()).await;
    assert_eq!(
        read(storage, "empty").await,
        "",
        "an empty object reads as empty"
    );
    assert_eq!(
        storage.get("empty", 0).await.ok(),
        Some(Bytes::new()),
        "an empty object is below every limit"
    );
    assert_eq!(
        storage.size("empty").await.ok(),
        Some(0),
        "an empty object has a size"
    );
    for len in [0, 1, 100] {
        let suffix = storage.get_suffix("empty", len).await.ok();
        assert_eq!(
            suffix,
            Some((Bytes::new(), 0)),
            "an empty object has an empty end"
        );
    }
    assert_eq!(
        storage.get_range("empty", 0..0).await.ok(),
        Some(Bytes::new()),
        "an empty range of an empty object is within it"
    );
    let creation = storage.create_new("empty", b"x".to_vec().into()).await;
    assert_eq!(
        creation.ok(),
        Some(Creation::AlreadyExists),
        "an empty object takes its key"
    );
}

/// An object of many megabytes and many pieces is stored completely.
pub async fn large_objects_are_whole(storage: &Storage) {
    const PIECE: u32 = 64 * 1024;
    const PIECES: u32 = 640;
    let piece = |number: u32| {
        let mut bytes = vec![number.to_le_bytes()[0]; PIECE as usize];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Bytes::from(bytes)
    };
    let pieces: Vec<Bytes> = (0..PIECES).map(piece).collect();
    create(storage, "packs/00/large", pieces).await;
    let size = u64::from(PIECE) * u64::from(PIECES);
    assert_eq!(
        storage.size("packs/00/large").await.ok(),
        Some(size),
        "a large object is complete"
    );
    let bytes = read(storage, "packs/00/large").await;
    assert_eq!(
        bytes.len() as u64,
        size,
        "a large object is read completely"
    );
    for (number, found) in (0..PIECES).zip(bytes.chunks(PIECE as usize)) {
        assert!(
            found == piece(number),
            "piece {number} of a large object is in its place"
        );
    }
    let start = u64::from(PIECE) * 500;
    let range = storage
        .get_range("packs/00/large", start..start + u64::from(PIECE))
        .await;
    assert!(
        range.ok() == Some(piece(500)),
        "a range of a large object is exact"
    );
}

/// Every method refuses a key that would have to be encoded or resolved.
pub async fn invalid_keys_are_refused(storage: &Storage) {
    let long = "k".repeat(513);
    for key in [
        "", "/a", "a/", "a//b", "..", "a/../b", "A", "a b", "a%41", "a#1", "ü", "a\0", &long,
    ] {
        let mut errors = vec![
            storage.create_new(key, Payload::default()).await.err(),
            storage.get(key, NO_LIMIT).await.err(),
            storage.get_range(key, 0..1).await.err(),
            storage.get_suffix(key, 1).await.err(),
            storage.size(key).await.err(),
            storage.delete(key).await.err(),
        ];
        // As a prefix or a start key, the empty text means everything.
        if !key.is_empty() {
            errors.push(storage.list(key).await.err());
            errors.push(storage.keys_after("a", key).await.err());
        }
        for error in errors {
            let kind = error.map(|error| error.kind());
            assert_eq!(
                kind,
                Some(ErrorKind::Invalid),
                "an invalid key is refused: {key:?}"
            );
        }
    }
    assert_eq!(
        keys(storage, "").await,
        [""; 0],
        "a refused key leaves nothing behind"
    );
}
