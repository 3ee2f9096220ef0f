//! The conformance suites of storages and folders, on S3.

use std::sync::atomic::{AtomicU64, Ordering};

use br_core::{Location, S3Location, Storage};
use br_storage::{Folder, conformance};
use br_testkit::{Endpoint, block_on, skip};

use super::{BUCKET, Bucket};

#[test]
fn bucket_passes_conformance_suite() {
    let bucket = Bucket::new();
    let next = AtomicU64::new(0);
    block_on(conformance::all(async || {
        let folder = format!("a/{}", next.fetch_add(1, Ordering::Relaxed));
        let location = S3Location::new(BUCKET, &folder).unwrap();
        let location = location.with_endpoint(&bucket.server.endpoint()).unwrap();
        Storage::open(&Location::S3(location), &bucket.options).unwrap()
    }));
}

#[test]
fn root_of_bucket_passes_conformance_suite() {
    let bucket = Bucket::new();
    let next = AtomicU64::new(0);
    block_on(conformance::all(async || {
        let name = format!("bucket-{}", next.fetch_add(1, Ordering::Relaxed));
        bucket.server.create_bucket(&name);
        let location = S3Location::new(&name, "").unwrap();
        let location = location.with_endpoint(&bucket.server.endpoint()).unwrap();
        Storage::open(&Location::S3(location), &bucket.options).unwrap()
    }));
}

#[test]
fn folder_in_bucket_passes_conformance_suite() {
    let bucket = Bucket::new();
    let next = AtomicU64::new(0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    conformance::folder(|| {
        let location = S3Location::new(BUCKET, "a").unwrap();
        let location = location.with_endpoint(&bucket.server.endpoint()).unwrap();
        let storage = Storage::open(&Location::S3(location), &bucket.options).unwrap();
        let prefix = next.fetch_add(1, Ordering::Relaxed).to_string();
        Folder::in_storage(&storage, &prefix, runtime.handle().clone()).unwrap()
    });
}

#[test]
fn the_server_of_the_environment_conforms() {
    let Some(there) = Endpoint::from_env() else {
        skip("no BR_TEST_S3_ENDPOINT; docs/testing.md explains how to start a server");
        return;
    };
    let next = AtomicU64::new(0);
    let run = std::process::id();
    block_on(conformance::all(async || {
        let folder = format!("conformance-{run}-{}", next.fetch_add(1, Ordering::Relaxed));
        Storage::open(&there.location(&folder), &there.options()).unwrap()
    }));
}

#[test]
fn many_objects_are_deleted_with_one_request() {
    let bucket = Bucket::new();
    let storage = bucket.storage();
    // The list of names is so long that it is sent in pieces.
    let keys = (0..1000).map(|number| format!("packs/ab/{number:064}"));
    let failed = block_on(storage.delete_all(keys.collect()));
    assert!(failed.is_empty(), "{:?}", failed[0]);
    assert_eq!(bucket.server.requests().len(), 1);
}
