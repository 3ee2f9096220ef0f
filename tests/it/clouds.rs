//! Behaviour that only Azure's server can get wrong; runs against the server in the environment.
//!
//! Not compiled without the feature `azure`; `docs/clouds.md` explains how to run it.

use std::sync::atomic::{AtomicU64, Ordering};

use br_core::engine::backup::backup;
use br_core::engine::check::{CheckOptions, ReadData, check};
use br_core::{
    BucketLocation, ErrorKind, InitOptions, Location, Repository, S3Options, Storage,
    StorageOptions,
};
use br_storage::{Creation, Payload, conformance};
use br_testkit::{MemorySource, TestRepo, block_on, noise, skip};

/// A separate folder in the container of the environment.
fn folder(name: &str) -> Option<Location> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Ok(container) = std::env::var("BR_TEST_AZURE_CONTAINER") else {
        skip("no BR_TEST_AZURE_CONTAINER; docs/clouds.md explains how to start a server");
        return None;
    };
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = format!("{name}-{}-{next}", std::process::id());
    let location = BucketLocation::new(&container, &folder).unwrap();
    Some(Location::Azure(location))
}

fn open(location: &Location) -> Storage {
    block_on(async { Storage::open(location, &StorageOptions::default()) }).unwrap()
}

#[test]
fn a_container_conforms() {
    if folder("conformance").is_none() {
        return;
    }
    block_on(conformance::all(async || {
        let location = folder("conformance").unwrap();
        Storage::open(&location, &StorageOptions::default()).unwrap()
    }));
}

#[test]
fn container_supports_several_writers() {
    let Some(location) = folder("probe") else {
        return;
    };
    let found = block_on(open(&location).probe("0123")).unwrap();
    assert!(
        found.exclusive_create && found.ranges && found.fresh_lists && found.deletes,
        "{found:?}"
    );
}

#[test]
fn large_object_is_uploaded_in_blocks_and_to_named_tier() {
    let Some(location) = folder("large") else {
        return;
    };
    let s3 = S3Options::default().with_storage_class(Some("Cool".to_owned()));
    let options = StorageOptions::default().with_s3(s3);
    let storage = block_on(async { Storage::open(&location, &options) }).unwrap();
    let content = noise(1, 40 << 20);
    for _ in 0..2 {
        let payload = Payload::from(content.clone()).with_rare_reads(true);
        let payload = payload.with_unique_key(true);
        let created = block_on(storage.create_new("packs/large", payload)).unwrap();
        assert_eq!(
            created,
            Creation::Created,
            "an existing object is reported as existing"
        );
        let sent = storage.traffic().unwrap().bytes_sent >> 20;
        assert_eq!(sent, 40, "the object is sent once");
    }
    let traffic = storage.traffic().unwrap();
    assert!(
        traffic.requests >= 5,
        "one check and three parts are sent: {traffic:?}"
    );
    let len = content.len() as u64;
    assert_eq!(block_on(storage.get("packs/large", len)).unwrap(), content);
    let (end, size) = block_on(storage.get_suffix("packs/large", 1000)).unwrap();
    assert_eq!((&end[..], size), (&content[content.len() - 1000..], len));
}

#[test]
fn repository_in_container_works() {
    let Some(location) = folder("repository") else {
        return;
    };
    let context = br_testkit::context(1);
    let init = InitOptions::default();
    let repository = block_on(Repository::init(&location, &init, &context)).unwrap();
    let again = block_on(Repository::init(&location, &init, &context));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::RepositoryExists);
    let mut source = MemorySource::default();
    for number in 0..20 {
        source = source.file(&format!("folder/{number}"), noise(number, 100_000));
    }
    let host = TestRepo::options("host");
    let _ = block_on(backup(&repository, source.clone(), &host, &context)).unwrap();
    let _ = block_on(backup(&repository, source, &host, &context)).unwrap();
    let defaults = StorageOptions::default();
    let repository = block_on(Repository::open(&location, &defaults, None)).unwrap();
    let options = CheckOptions::default().with_data(ReadData::All);
    let report = block_on(check(&repository, &options, &context)).unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert_eq!(block_on(repository.backups(&context)).unwrap().len(), 2);
}

#[test]
fn a_missing_container_is_named_as_such() {
    if folder("missing").is_none() {
        return;
    }
    let location = Location::parse("az://br-there-is-none/folder").unwrap();
    let error = block_on(open(&location).list("")).unwrap_err();
    assert_eq!(error.kind(), br_storage::ErrorKind::LocationNotFound);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("make it first"), "{cause}");
}
