//! A folder in a bucket: the server refuses requests, is stopped, or loses a response.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use br_storage::{Creation, Error, ErrorKind, Folder};
use br_testkit::s3::{Fault, Rule};
use tokio::runtime::Runtime;

use super::{BUCKET, Bucket};

fn folder(bucket: &Bucket, runtime: &Runtime) -> Folder {
    Folder::in_storage(&bucket.storage(), "a B", runtime.handle().clone()).unwrap()
}

fn write(folder: &Folder, bytes: &[u8]) -> Result<Creation, Error> {
    let mut writer = folder.create("C/d", bytes.len() as u64)?;
    writer.write_all(bytes).unwrap();
    writer.finish()
}

/// The error of each operation.
fn errors(folder: &Folder) -> Vec<Error> {
    let failed = [
        folder
            .list("")
            .and_then(|mut files| files.next().transpose())
            .map(drop),
        folder.contents("", 9).map(drop),
        folder.size("C/d").map(drop),
        folder.open("C/d").map(drop),
        folder.open_range("C/d", 1..2).map(drop),
        folder.read("C/d", 9).map(drop),
        write(folder, b"x").map(drop),
        folder.delete("C/d"),
    ];
    failed.into_iter().filter_map(Result::err).collect()
}

#[test]
fn refusals_of_server_have_error_kind() {
    let bucket = Bucket::new();
    let runtime = Runtime::new().unwrap();
    let folder = folder(&bucket, &runtime);
    for (code, name, kind) in [
        (403, "AccessDenied", ErrorKind::Denied),
        (403, "ExpiredToken", ErrorKind::Denied),
        (404, "NoSuchBucket", ErrorKind::LocationNotFound),
        (507, "XMinioStorageFull", ErrorKind::Full),
    ] {
        bucket.server.clear_faults();
        bucket
            .server
            .inject(Rule::always(Fault::Status { code, name }));
        let errors = errors(&folder);
        let is_missing = kind == ErrorKind::LocationNotFound;
        // In a missing bucket there is nothing to delete.
        assert_eq!(errors.len(), if is_missing { 7 } else { 8 }, "{name}");
        for error in errors {
            // The answer to the request for a size has no body, so it names no code.
            let is_size = is_missing && error.kind() == ErrorKind::NotFound;
            assert!(error.kind() == kind || is_size, "{name}: {error:?}");
        }
    }
}

#[test]
fn stopped_server_is_reported_as_unavailable() {
    let mut bucket = Bucket::new();
    let network = bucket.options.network.clone();
    let network = network.with_retry_for(Duration::from_millis(300));
    bucket.options = bucket.options.clone().with_network(network);
    let runtime = Runtime::new().unwrap();
    let folder = folder(&bucket, &runtime);
    bucket.server.stop();
    let errors = errors(&folder);
    assert_eq!(errors.len(), 8);
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

#[test]
fn write_with_lost_response_is_reported_as_created() {
    for fault in [
        Fault::DropAfter,
        Fault::StatusAfter {
            code: 500,
            name: "InternalError",
        },
    ] {
        let bucket = Bucket::new();
        let runtime = Runtime::new().unwrap();
        let folder = folder(&bucket, &runtime);
        bucket.server.inject(Rule::once(fault).method("PUT"));
        assert_eq!(write(&folder, b"bytes").unwrap(), Creation::Created);
        assert_eq!(folder.read("C/d", 9).unwrap(), b"bytes");
        assert_eq!(write(&folder, b"other").unwrap(), Creation::AlreadyExists);
    }
}

#[test]
fn interrupted_read_of_file_is_retried_or_fails() {
    let bucket = Bucket::new();
    let runtime = Runtime::new().unwrap();
    let folder = folder(&bucket, &runtime);
    let bytes = vec![7; 1 << 20];
    assert_eq!(write(&folder, &bytes).unwrap(), Creation::Created);
    bucket
        .server
        .inject(Rule::once(Fault::CutBody(100_000)).method("GET"));
    let mut read = Vec::new();
    match folder.open("C/d").unwrap().read_to_end(&mut read) {
        Ok(_) => assert!(read == bytes),
        Err(error) => {
            let error = error.downcast::<Error>().unwrap();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
    }
}

#[test]
fn upload_is_aborted_when_writer_is_dropped() {
    let bucket = Bucket::new();
    let runtime = Runtime::new().unwrap();
    let folder = folder(&bucket, &runtime);
    let mut writer = folder.create("large", 20 << 20).unwrap();
    writer.write_all(&vec![7; 20 << 20]).unwrap();
    assert_eq!(bucket.server.uploads().len(), 1);
    drop(writer);
    assert!(bucket.server.uploads().is_empty());
    assert!(bucket.server.keys(BUCKET).is_empty());
}
