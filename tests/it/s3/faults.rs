//! Faults of the network and of the server: an operation succeeds or returns a clear error, and the repository stays correct.

#![expect(
    clippy::disallowed_methods,
    reason = "how long things take is what is tested"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use br_core::engine::backup::{BackupReport, Base, backup};
use br_core::engine::restore::{RestoreOptions, restore};
use br_core::{BackupSelector, ErrorKind, Repository, Result};
use br_storage::{NetworkStatus, WaitCause};
use br_testkit::s3::{Fault, Rule};
use br_testkit::{TestRepo, block_on};

use super::{Bucket, source};

/// Transient faults: a retry succeeds.
const PASSING: &[(&str, Fault)] = &[
    (
        "503",
        Fault::Status {
            code: 503,
            name: "SlowDown",
        },
    ),
    (
        "500",
        Fault::Status {
            code: 500,
            name: "InternalError",
        },
    ),
    (
        "429",
        Fault::Status {
            code: 429,
            name: "TooManyRequests",
        },
    ),
    (
        "503 after the effect",
        Fault::StatusAfter {
            code: 503,
            name: "SlowDown",
        },
    ),
    (
        "500 after the effect",
        Fault::StatusAfter {
            code: 500,
            name: "InternalError",
        },
    ),
    ("a connection closed before the effect", Fault::DropBefore),
    ("a lost answer", Fault::DropAfter),
    ("a delay", Fault::Delay(Duration::from_millis(20))),
    (
        "a slow body",
        Fault::SlowBody {
            chunk: 700,
            pause: Duration::from_millis(1),
        },
    ),
];

/// Creates a repository with one backup and returns the number of requests of the next one.
fn prepared() -> (Bucket, u64) {
    let bucket = Bucket::new();
    let repository = bucket.init().unwrap();
    let _ = bucket.backup(&repository, &source(1)).unwrap();
    bucket.server.fork_bucket(super::BUCKET, "saved");
    bucket.server.reset_requests();
    let repository = bucket.open().unwrap();
    let _ = bucket.backup(&repository, &source(2)).unwrap();
    let requests = bucket.server.requests().len() as u64;
    (bucket, requests)
}

fn set_back(bucket: &Bucket) {
    bucket.server.clear_faults();
    for key in bucket.server.keys(super::BUCKET) {
        bucket.server.set_object(super::BUCKET, &key, None);
    }
    bucket.server.fork_bucket("saved", super::BUCKET);
}

#[test]
fn backup_survives_transient_server_errors() {
    let (bucket, requests) = prepared();
    assert!(requests >= 6, "{requests} requests");
    for (name, fault) in PASSING {
        for n in 0..requests {
            set_back(&bucket);
            bucket.server.inject(Rule::once(*fault).after(n));
            let repository = bucket.open();
            let report = repository.and_then(|repository| bucket.backup(&repository, &source(2)));
            let _ = report.unwrap_or_else(|error| panic!("{name} at request {n}: {error}"));
            bucket.assert_sound(2, &format!("{name} at request {n}"));
        }
    }
}

#[test]
fn conflicting_write_is_retried() {
    let (bucket, _) = prepared();
    for n in 0..5 {
        set_back(&bucket);
        let conflict = Fault::Status {
            code: 409,
            name: "ConditionalRequestConflict",
        };
        bucket
            .server
            .inject(Rule::once(conflict).method("PUT").after(n));
        let repository = bucket.open().unwrap();
        let _ = bucket.backup(&repository, &source(2)).unwrap();
        bucket.assert_sound(2, &format!("409 at write {n}"));
    }
}

#[test]
fn data_altered_in_transfer_is_detected() {
    let (bucket, requests) = prepared();
    for n in 0..requests {
        for at in [0, 9, 40, 200] {
            for fault in [Fault::FlipByte(at), Fault::CutBody(at)] {
                set_back(&bucket);
                bucket
                    .server
                    .inject(Rule::once(fault).method("GET").after(n));
                let what = format!("{fault:?} at request {n}");
                let repository = bucket.open();
                let result =
                    repository.and_then(|repository| bucket.backup(&repository, &source(2)));
                // An altered key in a listing names no object. Checksums show that other data was altered.
                let backups = if result.is_ok() { 2 } else { 1 };
                bucket.assert_sound(backups, &what);
            }
        }
    }
}

#[test]
fn restore_returns_stored_data_or_reports_missing_files() {
    let bucket = Bucket::new();
    let repository = bucket.init().unwrap();
    let _ = bucket.backup(&repository, &source(1)).unwrap();
    for n in 0..12 {
        for fault in [
            Fault::FlipByte(100),
            Fault::CutBody(100),
            Fault::DropAfter,
            PASSING[0].1,
        ] {
            bucket.server.clear_faults();
            bucket
                .server
                .inject(Rule::once(fault).method("GET").after(n));
            let dir = tempfile::tempdir().unwrap();
            let options = RestoreOptions::default().with_owner(false);
            let restored = bucket.open().and_then(|repository| {
                let latest = BackupSelector::Latest;
                let to = dir.path().to_path_buf();
                block_on(restore(&repository, &latest, to, &options, &bucket.context))
            });
            let Ok(report) = restored else { continue };
            for (path, content) in source(1).files() {
                match std::fs::read(dir.path().join(&path)) {
                    Ok(bytes) => assert!(bytes == content, "{fault:?} at {n}: {path}"),
                    Err(_) => assert!(!report.failed.is_empty(), "{fault:?} at {n}: {path}"),
                }
            }
        }
    }
}

#[test]
fn hanging_request_times_out_and_is_retried() {
    let (bucket, _) = prepared();
    for method in ["GET", "PUT"] {
        set_back(&bucket);
        bucket.server.inject(Rule::once(Fault::Hang).method(method));
        let start = Instant::now();
        let repository = bucket.open().unwrap();
        let _ = bucket.backup(&repository, &source(2)).unwrap();
        let time = start.elapsed();
        assert!(
            time >= Duration::from_secs(2) && time < Duration::from_secs(15),
            "{time:?}"
        );
        bucket.assert_sound(2, method);
    }
}

#[test]
fn slow_connection_is_not_failure() {
    let bucket = Bucket::new();
    let storage = bucket.storage();
    let bytes = br_testkit::noise(1, 300_000);
    let created = block_on(storage.create_new("slow", bytes.clone().into())).unwrap();
    assert_eq!(created, br_storage::Creation::Created);
    // Six seconds in total, with a timeout of two seconds: some bytes arrive all the time.
    let slow = Fault::SlowBody {
        chunk: 50_000,
        pause: Duration::from_secs(1),
    };
    bucket.server.inject(Rule::once(slow).method("GET"));
    let start = Instant::now();
    assert!(block_on(storage.get("slow", 300_000)).unwrap() == bytes);
    assert!(start.elapsed() > Duration::from_secs(3));
}

#[test]
fn expired_credentials_are_clear_error() {
    let (bucket, requests) = prepared();
    for n in 1..requests {
        set_back(&bucket);
        bucket.server.renew_credentials();
        let repository = bucket.open().unwrap();
        let seen = std::sync::atomic::AtomicU64::new(0);
        bucket.server.hook(move |_| {
            let count = seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            (count >= n).then_some(Fault::Status {
                code: 400,
                name: "ExpiredToken",
            })
        });
        match bucket.backup(&repository, &source(2)) {
            Ok(_) => bucket.assert_sound(2, "it was done before"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
                let cause = error.causes().join(": ");
                assert!(cause.contains("expired"), "{cause}");
                bucket.assert_sound(1, "expired");
            }
        }
    }
}

#[test]
fn overloaded_server_gets_fewer_requests() {
    let bucket = Bucket::new();
    let storage = bucket.storage();
    let busy = Fault::Status {
        code: 503,
        name: "SlowDown",
    };
    bucket.server.inject(Rule::always(busy).times(30));
    let writes = (0..40).map(|n| {
        let storage = storage.clone();
        async move {
            storage
                .create_new(&format!("many/{n}"), vec![n].into())
                .await
        }
    });
    let results = block_on(futures::future::join_all(writes));
    assert!(results.iter().all(Result::is_ok), "every write succeeds");
    let traffic = storage.traffic().unwrap();
    assert_eq!(traffic.slowed, 30);
    assert_eq!(block_on(storage.list("many")).unwrap().len(), 40);
}

#[test]
fn stale_listings_lose_no_backup() {
    let bucket = Bucket::new();
    let repository = bucket.init().unwrap();
    let _ = bucket.backup(&repository, &source(1)).unwrap();
    bucket.server.stale_lists(true);
    // The stale listing shows one log entry, but there are two: a writer that relies on the listing finds its number in use.
    let _ = bucket.backup(&repository, &source(2)).unwrap();
    let third = bucket.backup(&bucket.open().unwrap(), &source(3));
    bucket.server.stale_lists(false);
    assert!(third.is_err(), "a listing that hides an entry is an error");
    bucket.assert_sound(2, "stale");
}

#[test]
fn truncated_response_does_not_block() {
    let mut bucket = Bucket::new();
    let network = bucket.options.network.clone().with_connections(1);
    bucket.options = bucket.options.clone().with_network(network);
    let storage = bucket.storage();
    let bytes = br_testkit::noise(1, 1_000_000);
    let _ = block_on(storage.create_new("x", bytes.clone().into())).unwrap();
    for fault in [Fault::CutBody(500_000), Fault::CutBody(0), Fault::DropAfter] {
        bucket.server.inject(Rule::once(fault).method("GET"));
        let read = async {
            let time = Duration::from_secs(10);
            tokio::time::timeout(time, storage.get("x", 1_000_000)).await
        };
        let read = block_on(read).expect("the status does not count waits for its own limits");
        assert!(read.unwrap() == bytes, "{fault:?}");
    }
}

/// Stores 200 KB that are new.
fn full_backup(repository: &Repository, bucket: &Bucket) -> Result<BackupReport> {
    let options = TestRepo::options("host").with_base(Base::None);
    block_on(backup(repository, source(2), &options, &bucket.context))
}

/// The cost of a constant refusal: the retry time and the last attempt.
#[test]
fn constant_503_fails_after_retry_time() {
    let mut bucket = Bucket::new();
    let repository = bucket.init().unwrap();
    let _ = bucket.backup(&repository, &source(1)).unwrap();
    let status = NetworkStatus::default();
    // An attempt to write a pack of 200 KB takes about half a second.
    let network = bucket.options.network.clone();
    let network = network
        .with_upload_limit(Some(400_000))
        .with_retry_for(Duration::from_secs(2))
        .with_status(status.clone());
    bucket.options = bucket.options.clone().with_network(network);
    let repository = bucket.open().unwrap();
    let busy = Fault::Status {
        code: 503,
        name: "SlowDown",
    };
    let rule = Rule::always(busy).method("PUT").matching("/packs/");
    bucket.server.inject(rule);
    let seen = Arc::new(Mutex::new(None));
    let watch = {
        let (status, seen) = (status.clone(), Arc::clone(&seen));
        std::thread::spawn(move || {
            while Arc::strong_count(&seen) > 1 {
                if let Some(waiting) = status.waiting() {
                    *seen.lock().unwrap() = Some(waiting);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let start = Instant::now();
    let error = full_backup(&repository, &bucket).unwrap_err();
    let time = start.elapsed();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let cause = error.causes().join(": ");
    assert!(cause.contains("503 SlowDown"), "{cause}");
    assert!(cause.contains("tried again for 2 s"), "{cause}");
    assert!(time >= Duration::from_secs(2), "{time:?}");
    assert!(time < Duration::from_secs(6), "{time:?}");
    let waiting = seen.lock().unwrap().take().unwrap();
    assert_eq!(waiting.cause, WaitCause::Answer(503));
    drop(seen);
    watch.join().unwrap();
    bucket.assert_sound(1, "refused");
}

/// The retry time counts for the whole server: requests that fail after that time are not retried.
#[test]
fn concurrent_reads_from_dead_server_share_retry_time() {
    let mut bucket = Bucket::new();
    let network = bucket.options.network.clone();
    let network = network
        .with_retry_for(Duration::from_secs(2))
        .with_connections(1);
    bucket.options = bucket.options.clone().with_network(network);
    let storage = bucket.storage();
    let created = block_on(storage.create_new("x", vec![1; 100].into())).unwrap();
    assert_eq!(created, br_storage::Creation::Created);
    bucket.server.stop();
    let start = Instant::now();
    for _ in 0..20 {
        let error = block_on(storage.get("x", 100)).unwrap_err();
        assert_eq!(error.kind(), br_storage::ErrorKind::Unavailable, "{error}");
    }
    let time = start.elapsed();
    assert!(time >= Duration::from_secs(2), "{time:?}");
    assert!(time < Duration::from_secs(5), "{time:?}");
    bucket.server.start_again();
    assert_eq!(block_on(storage.get("x", 100)).unwrap(), vec![1; 100]);
}

#[test]
fn server_restart_does_not_fail_backup() {
    let mut bucket = Bucket::new();
    let repository = bucket.init().unwrap();
    let _ = bucket.backup(&repository, &source(1)).unwrap();
    let network = bucket.options.network.clone();
    let network = network.with_upload_limit(Some(200_000));
    bucket.options = bucket.options.clone().with_network(network);
    let slow = crate::support::is_slow_wanted();
    let outage = Duration::from_secs(if slow { 30 } else { 3 });
    if slow {
        let network = bucket.options.network.clone();
        let network = network.with_retry_for(Duration::from_secs(180));
        bucket.options = bucket.options.clone().with_network(network);
    }
    let repository = bucket.open().unwrap();
    let options = TestRepo::options("host").with_base(Base::None);
    let context = bucket.context.clone();
    let running = std::thread::spawn(move || {
        block_on(backup(&repository, source(2), &options, &context)).map(drop)
    });
    std::thread::sleep(Duration::from_millis(300));
    bucket.server.stop();
    std::thread::sleep(outage);
    assert!(
        !running.is_finished(),
        "the status says that br waits for the server"
    );
    bucket.server.start_again();
    running.join().unwrap().unwrap();
    bucket.assert_sound(2, "started again");
}
