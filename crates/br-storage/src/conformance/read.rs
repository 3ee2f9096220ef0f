//! Checks of reads.

use bytes::Bytes;

use super::{NO_LIMIT, create, read};
use crate::{ErrorKind, Storage};

/// A read returns the whole range, or an error if the object is too short.
pub async fn ranges_are_exact(storage: &Storage) {
    create(storage, "digits", b"0123456789".to_vec()).await;
    for (range, expected) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (9..10, "9"),
        (3..6, "345"),
    ] {
        let bytes = storage.get_range("digits", range).await;
        assert_eq!(
            bytes.ok().as_deref(),
            Some(expected.as_bytes()),
            "a range is exact"
        );
    }
    for start in [0, 5, 10] {
        let bytes = storage.get_range("digits", start..start).await;
        assert_eq!(
            bytes.ok(),
            Some(Bytes::new()),
            "an empty range within an object is empty"
        );
    }
    for range in [
        0..11,
        9..11,
        10..11,
        11..11,
        11..12,
        1000..1001,
        0..u64::MAX,
    ] {
        let kind = storage
            .get_range("digits", range.clone())
            .await
            .map_err(|error| error.kind());
        let truncated = Err(ErrorKind::Truncated);
        assert_eq!(
            kind, truncated,
            "a range beyond the end is never shortened: {range:?}"
        );
    }
    let backwards = std::ops::Range { start: 6, end: 3 };
    let kind = storage
        .get_range("digits", backwards)
        .await
        .map_err(|error| error.kind());
    assert_eq!(
        kind,
        Err(ErrorKind::Invalid),
        "a range which ends before it begins is refused"
    );
}

/// Reading the end of an object also returns its size.
pub async fn suffixes_tell_the_size(storage: &Storage) {
    create(storage, "digits", b"0123456789".to_vec()).await;
    for (len, expected) in [
        (0, ""),
        (1, "9"),
        (4, "6789"),
        (10, "0123456789"),
        (11, "0123456789"),
    ] {
        let (bytes, size) = storage
            .get_suffix("digits", len)
            .await
            .expect("an object has an end");
        assert_eq!(
            bytes, expected,
            "the end has the requested length, or is the whole object"
        );
        assert_eq!(size, 10, "the size is that of the whole object");
    }
}

/// An object larger than the reader's limit is refused.
pub async fn too_large_objects_are_refused(storage: &Storage) {
    create(storage, "digits", b"0123456789".to_vec()).await;
    for limit in [10, 11, u64::MAX] {
        assert!(
            storage.get("digits", limit).await.is_ok(),
            "the limit itself is within the limit"
        );
    }
    for limit in [0, 9] {
        let kind = storage
            .get("digits", limit)
            .await
            .map_err(|error| error.kind());
        assert_eq!(
            kind,
            Err(ErrorKind::TooLarge),
            "an object beyond the limit is refused"
        );
    }
}

/// Every way to read a missing object returns `NotFound`.
pub async fn missing_objects_are_not_found(storage: &Storage) {
    create(storage, "there/is", b"something".to_vec()).await;
    for key in [
        "missing",
        "there/is-not",
        "there/is/not",
        "not/there/either",
    ] {
        let found = [
            storage.get(key, NO_LIMIT).await.err(),
            storage.get_range(key, 0..1).await.err(),
            storage.get_range(key, 0..0).await.err(),
            storage.get_suffix(key, 1).await.err(),
            storage.get_suffix(key, 0).await.err(),
            storage.size(key).await.err(),
        ];
        for error in found {
            let error = error.expect("a missing object cannot be read");
            assert_eq!(
                error.kind(),
                ErrorKind::NotFound,
                "a missing object is not found: {error}"
            );
            assert_eq!(error.key(), Some(key), "an error names its key");
        }
    }
}

/// A folder can neither be read nor deleted as if it were an object.
pub async fn folders_are_not_objects(storage: &Storage) {
    create(storage, "folder/inner/object", b"x".to_vec()).await;
    for key in ["folder", "folder/inner"] {
        let kind = storage
            .get(key, NO_LIMIT)
            .await
            .map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::NotFound), "a folder is not an object");
        let kind = storage.size(key).await.map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::NotFound), "a folder has no size");
        assert!(
            storage.delete(key).await.is_ok(),
            "deleting an object with the name of a folder succeeds"
        );
    }
    assert_eq!(
        read(storage, "folder/inner/object").await,
        "x",
        "objects in a folder stay"
    );
}
