//! Options that a server must support beyond reads and writes, and refused options.

#![expect(
    clippy::disallowed_methods,
    reason = "how long things take is what is tested"
)]

use std::time::{Duration, Instant, SystemTime};

use br_core::{
    AssumeRole, Capabilities, ErrorKind, NetworkOptions, S3Credentials, S3Encryption, S3Options,
    Secret, Storage,
};
use br_storage::Creation;
use br_testkit::s3::{Fault, Rule};
use br_testkit::{block_on, noise};

use super::{BUCKET, Bucket, source};

fn s3(bucket: &Bucket) -> S3Options {
    bucket.options.s3.clone()
}

/// An object that goes in three parts.
fn large(seed: u64) -> br_storage::Payload {
    br_storage::Payload::from(noise(seed, 40 << 20)).with_unique_key(true)
}

fn probe(bucket: &Bucket) -> Capabilities {
    block_on(bucket.storage().probe("0123")).unwrap()
}

#[test]
fn only_data_packs_go_to_the_cheap_class() {
    let mut bucket = Bucket::new();
    bucket.options = bucket
        .options
        .clone()
        .with_s3(s3(&bucket).with_storage_class(Some("STANDARD_IA".to_owned())));
    let repository = bucket.init().unwrap();
    let _ = bucket.backup(&repository, &source(1)).unwrap();
    let classes: Vec<_> = bucket
        .server
        .keys(BUCKET)
        .into_iter()
        .map(|key| {
            let class = bucket.server.attributes(BUCKET, &key).storage_class;
            (key.contains("/packs/"), class)
        })
        .collect();
    let cheap = classes
        .iter()
        .filter(|(_, class)| class.as_deref() == Some("STANDARD_IA"));
    assert_eq!(cheap.clone().count(), 1, "{classes:?}");
    assert!(cheap.clone().all(|(is_pack, _)| *is_pack));
    assert_eq!(
        classes.iter().filter(|(is_pack, _)| *is_pack).count(),
        2,
        "there is one pack of data and one of tree nodes"
    );
}

#[test]
fn encryption_option_is_sent_to_server() {
    for (encryption, expected, key) in [
        (S3Encryption::Kms, "aws:kms", None),
        (
            S3Encryption::KmsKey("abc".to_owned()),
            "aws:kms",
            Some("abc"),
        ),
    ] {
        let mut bucket = Bucket::new();
        let s3 = s3(&bucket).with_encryption(Some(encryption));
        bucket.options = bucket.options.clone().with_s3(s3);
        let _ = block_on(bucket.storage().create_new("x", vec![1].into())).unwrap();
        let attributes = bucket.server.attributes(BUCKET, "folder/x");
        assert_eq!(attributes.server_side_encryption.as_deref(), Some(expected));
        assert_eq!(attributes.kms_key.as_deref(), key);
    }
}

#[test]
fn a_role_is_assumed_and_its_keys_are_used() {
    let mut bucket = Bucket::new();
    let role =
        AssumeRole::new("arn:aws:iam::1:role/br").with_external_id(Some("ours & more".into()));
    bucket.options = bucket
        .options
        .clone()
        .with_s3(s3(&bucket).with_role(Some(role)));
    let repository = bucket.init().unwrap();
    let _ = bucket.backup(&repository, &source(1)).unwrap();
    let assumed = bucket.server.assumed_roles();
    let expected = (
        "arn:aws:iam::1:role/br".to_owned(),
        Some("ours & more".to_owned()),
    );
    assert_eq!(assumed, [expected], "the value is requested once and kept");
}

#[test]
fn keys_of_a_role_are_renewed_before_they_end() {
    let mut bucket = Bucket::new();
    bucket.server.set_role_lifetime(Duration::from_secs(60));
    let role = Some(AssumeRole::new("arn"));
    bucket.options = bucket.options.clone().with_s3(s3(&bucket).with_role(role));
    let storage = bucket.storage();
    for _ in 0..3 {
        block_on(storage.list("")).unwrap();
    }
    assert_eq!(bucket.server.assumed_roles().len(), 3);
}

#[test]
fn a_session_token_is_sent() {
    let mut bucket = Bucket::new();
    bucket.server.set_token(Some("a token"));
    let error = bucket.init().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let credentials = S3Credentials::Keys {
        access_key_id: bucket.server.access_key().to_owned(),
        secret_access_key: bucket.server.secret_key().into(),
        session_token: Some("a token".into()),
    };
    bucket.options = bucket
        .options
        .clone()
        .with_s3(s3(&bucket).with_credentials(credentials));
    bucket.init().unwrap();
}

#[test]
fn unworkable_options_are_refused_with_message() {
    let bucket = Bucket::new();
    let mut wrong = Bucket::new();
    wrong.options = wrong
        .options
        .clone()
        .with_s3(S3Options::default().with_keys("who", Secret::from("hunter2")));
    let error = wrong.init().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let text = format!("{error:?} {error}");
    assert!(!text.contains("hunter2"), "{text}");

    let error = bucket.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RepositoryNotFound, "{error}");

    let empty = br_testkit::s3::S3Server::start();
    let mut elsewhere = Bucket::new();
    elsewhere.server = empty;
    for error in [elsewhere.init().unwrap_err(), elsewhere.open().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::RepositoryNotFound, "{error}");
        let cause = error.causes().join(": ");
        assert!(cause.contains("bucket"), "{cause}");
    }
}

#[test]
fn unreachable_server_fails_within_seconds() {
    let bucket = Bucket::new();
    let location = bucket.location();
    let options = bucket.options.clone();
    drop(bucket);
    let start = Instant::now();
    let opened = block_on(br_core::Repository::open(&location, &options, None));
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(start.elapsed() < Duration::from_secs(15));
    let cause = error.causes().join(": ");
    assert!(
        cause.contains("refused") && cause.contains("4 attempts"),
        "{cause}"
    );
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[test]
fn large_objects_are_uploaded_in_concurrent_parts() {
    let bucket = Bucket::new();
    let storage = bucket.storage();
    let bytes = noise(1, 40 << 20);
    let write = || block_on(storage.create_new("large", large(1))).unwrap();
    bucket.server.set_latency(Duration::from_millis(300));
    assert_eq!(write(), Creation::Created);
    assert!(
        bucket.server.max_concurrent() >= 3,
        "{} requests at the same time",
        bucket.server.max_concurrent()
    );
    bucket.server.set_latency(Duration::ZERO);
    assert_eq!(
        write(),
        Creation::Created,
        "the same bytes are the same object"
    );
    let other = block_on(storage.create_new("large", large(2))).unwrap();
    assert_eq!(other, Creation::AlreadyExists);
    assert!(bucket.server.object(BUCKET, "folder/large").unwrap() == bytes);
    assert_eq!(bucket.server.uploads(), []);
}

#[test]
fn multipart_upload_survives_transient_errors() {
    for (what, fault) in [
        (
            "503",
            Fault::Status {
                code: 503,
                name: "SlowDown",
            },
        ),
        (
            "503 after",
            Fault::StatusAfter {
                code: 503,
                name: "SlowDown",
            },
        ),
        ("lost answer", Fault::DropAfter),
        ("dropped", Fault::DropBefore),
    ] {
        // Begin, three parts, end.
        for n in 0..6 {
            let bucket = Bucket::new();
            let bytes = noise(1, 40 << 20);
            bucket.server.inject(Rule::once(fault).after(n));
            let created = block_on(bucket.storage().create_new("large", large(1)));
            assert_eq!(created.unwrap(), Creation::Created, "{what} at {n}");
            assert!(bucket.server.object(BUCKET, "folder/large").unwrap() == bytes);
        }
    }
}

#[test]
fn abandoned_multipart_uploads_are_removed() {
    let bucket = Bucket::new();
    let never = Rule::always(Fault::Status {
        code: 403,
        name: "AccessDenied",
    });
    bucket.server.inject(never.matching("partNumber"));
    bucket.server.inject(
        Rule::always(Fault::Status {
            code: 403,
            name: "AccessDenied",
        })
        .method("DELETE"),
    );
    let storage = bucket.storage();
    let error = block_on(storage.create_new("packs/large", large(1))).unwrap_err();
    assert_eq!(error.kind(), br_storage::ErrorKind::Denied);
    let other = block_on(storage.create_new("others/large", large(2)));
    assert!(other.is_err());
    bucket.server.clear_faults();
    assert_eq!(
        bucket.server.uploads().len(),
        2,
        "the uploads could not be aborted"
    );
    let hour = Duration::from_secs(3600);
    let before = SystemTime::now() - hour;
    assert_eq!(
        block_on(storage.sweep_staging("packs", before)).unwrap(),
        0,
        "an upload that is too young is not aborted"
    );
    bucket.server.set_upload_age(2 * hour);
    assert_eq!(block_on(storage.sweep_staging("packs", before)).unwrap(), 1);
    let left = (BUCKET.to_owned(), "folder/others/large".to_owned());
    assert_eq!(
        bucket.server.uploads(),
        [left],
        "an upload of another program is not aborted"
    );
}

#[test]
fn init_detects_store_that_overwrites() {
    for refuses in [false, true] {
        let bucket = Bucket::new();
        if refuses {
            bucket.server.refuse_conditions(true);
        } else {
            bucket.server.ignore_conditions(true);
        }
        assert!(!probe(&bucket).exclusive_create);
        let repository = bucket.init().unwrap();
        assert!(!repository.config().store.exclusive_create);
        // One writer at a time can use the store, also through another handle.
        for seed in 1..4 {
            let repository = bucket.open().unwrap();
            let (context, told) = crate::support::telling(&bucket.context);
            let options = br_testkit::TestRepo::options("host");
            let backup =
                br_core::engine::backup::backup(&repository, source(seed), &options, &context);
            let _ = block_on(backup).unwrap();
            let warnings = told.warnings.lock().unwrap();
            assert!(
                warnings.iter().any(|text| text.contains("no other br")),
                "{warnings:?}"
            );
        }
        bucket.assert_sound(3, "one after the other");
        assert!(bucket.init().is_err(), "the object is not created twice");
        bucket.assert_sound(3, "init did not change the repository");
    }
}

#[test]
fn conforming_store_passes_probe_and_probe_leaves_no_objects() {
    let bucket = Bucket::new();
    let found = probe(&bucket);
    assert!(found.exclusive_create && found.ranges && found.fresh_lists && found.deletes);
    assert_eq!(bucket.server.keys(BUCKET), [""; 0]);
    let speed = block_on(bucket.storage().measure("0123", 3, 100_000)).unwrap();
    assert!(speed.write_rate > 0.0 && speed.read_rate > 0.0);
    assert_eq!(bucket.server.keys(BUCKET), [""; 0]);
    bucket.server.ignore_ranges(true);
    assert!(!probe(&bucket).ranges);
    let error = bucket.init().unwrap_err();
    assert!(error.to_string().contains("parts of objects"), "{error}");
    bucket.server.ignore_ranges(false);
    bucket.server.stale_lists(true);
    assert!(!probe(&bucket).fresh_lists);
}

#[test]
fn transfer_rates_are_limited() {
    let mut bucket = Bucket::new();
    let network = NetworkOptions::default()
        .with_upload_limit(Some(200_000))
        .with_download_limit(Some(400_000));
    bucket.options = bucket.options.clone().with_network(network);
    let storage = bucket.storage();
    let start = Instant::now();
    let _ = block_on(storage.create_new("x", noise(1, 400_000).into())).unwrap();
    let up = start.elapsed().as_secs_f64();
    assert!((1.6..30.0).contains(&up), "400 kB at 200 kB/s took {up} s");
    let start = Instant::now();
    block_on(storage.get("x", 400_000)).unwrap();
    let down = start.elapsed().as_secs_f64();
    assert!(
        (0.95..30.0).contains(&down),
        "400 kB at 400 kB/s took {down} s"
    );
}

#[test]
fn concurrent_connections_are_limited() {
    let mut bucket = Bucket::new();
    let network = NetworkOptions::default().with_connections(3);
    bucket.options = bucket.options.clone().with_network(network);
    bucket.server.set_latency(Duration::from_millis(10));
    let storage: Storage = bucket.storage();
    let reads = (0..20).map(|_| storage.list(""));
    for read in block_on(futures::future::join_all(reads)) {
        read.unwrap();
    }
    assert_eq!(bucket.server.max_concurrent(), 3);
}

#[test]
fn unsigned_requests_are_refused() {
    // The server checks signatures: it refuses an unsigned request, and does not crash.
    let mut bucket = Bucket::new();
    bucket.init().unwrap();
    let s3 = s3(&bucket).with_credentials(S3Credentials::Anonymous);
    bucket.options = bucket.options.clone().with_s3(s3);
    let error = bucket.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[test]
fn probe_does_not_touch_other_objects() {
    let bucket = Bucket::new();
    let others = ["probe/results.csv", "probe/a/b"].map(|key| format!("folder/{key}"));
    for key in &others {
        let content = bytes::Bytes::from_static(b"precious");
        bucket.server.set_object(BUCKET, key, Some(content));
    }
    assert!(probe(&bucket).exclusive_create);
    let error = bucket.init().unwrap_err();
    assert!(error.to_string().contains("neither empty"), "{error}");
    let mut left = bucket.server.keys(BUCKET);
    left.sort();
    assert_eq!(left, ["folder/probe/a/b", "folder/probe/results.csv"]);
}

#[test]
fn lost_response_does_not_fail_probe_of_conforming_store() {
    for fault in [
        Fault::DropAfter,
        Fault::StatusAfter {
            code: 503,
            name: "SlowDown",
        },
    ] {
        for n in 0..8 {
            let bucket = Bucket::new();
            bucket
                .server
                .inject(Rule::once(fault).after(n).method("PUT"));
            assert!(probe(&bucket).exclusive_create, "{fault:?} at write {n}");
        }
    }
}
