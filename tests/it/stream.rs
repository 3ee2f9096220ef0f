//! Backups of one byte stream.

use std::io::Read;

use br_core::engine::ls::ls;
use br_core::engine::prune::{self, PruneOptions};
use br_core::engine::restore::RestoreOptions;
use br_core::model::{EntryKind, EntryPath, FileTime, Owner};
use br_core::source::{StreamError, StreamRules, StreamSource};
use br_testkit::{TreeFixture, block_on, noise};

use crate::support::Disk;

fn source(path: &str, reader: impl Read + Send + 'static) -> StreamSource {
    let path = EntryPath::new(path.as_bytes()).unwrap();
    StreamSource::new(
        path,
        reader,
        FileTime {
            secs: 1_700_000_000,
            nanos: 5,
        },
        Owner::default(),
    )
}

#[test]
fn streams_of_every_length_are_restored() {
    let disk = Disk::new(TreeFixture::new());
    for len in [0, 1, 512, 513, 131_072, 131_073, 700 << 10, 20 << 20] {
        let content = noise(len as u64, len);
        let name = format!("db/dump-{len}.sql");
        let reader = std::io::Cursor::new(content.clone());
        let source =
            source(&name, reader).with_rules(StreamRules::default().with_allow_empty(true));
        let report = disk.backup_with(source, &disk.options()).unwrap();
        assert!(report.backup.is_complete());
        let totals = report.backup.totals;
        assert_eq!(
            (totals.entries, totals.files, totals.bytes),
            (1, 1, len as u64),
            "no folder is stored"
        );
        let options = RestoreOptions::default().with_owner(false);
        let restored = disk.restore(report.backup.id, "out", &options).unwrap();
        assert_eq!(restored.failed, []);
        let there = std::fs::read(disk.fixture.at("out").join(&name)).unwrap();
        assert!(
            there == content,
            "{len} bytes are restored into a new folder"
        );
        let path = EntryPath::new(name.as_bytes()).unwrap();
        let entry = block_on(async {
            let mut feed = ls(
                &disk.repository,
                report.backup.id,
                vec![path],
                &disk.context,
            );
            feed.next().await.unwrap().unwrap()
        });
        let EntryKind::File(file) = &entry.kind else {
            panic!("{entry:?}")
        };
        assert!(!file.torn, "a stream that ends has not changed");
        assert_eq!(file.size, len as u64);
    }
    disk.assert_sound();
}

#[test]
fn a_stream_is_read_again_each_time_and_stored_once() {
    let disk = Disk::new(TreeFixture::new());
    let content = noise(1, 3_000_000);
    for round in 0..2 {
        let reader = std::io::Cursor::new(content.clone());
        let backup = disk
            .backup_with(source("s", reader), &disk.options())
            .unwrap()
            .backup;
        assert_eq!(backup.changes.bytes_read, 3_000_000, "round {round}");
        let added = if round == 0 {
            backup.changes.bytes_added >= 3_000_000
        } else {
            backup.changes.bytes_added == 0
        };
        assert!(added, "round {round}: {:?}", backup.changes);
    }
}

/// Returns this number of bytes and then fails.
struct Breaks {
    content: std::io::Cursor<Vec<u8>>,
}

impl Breaks {
    fn after(content: &[u8]) -> Self {
        let content = std::io::Cursor::new(content.to_vec());
        Self { content }
    }
}

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.content.read(buffer)? {
            0 => Err(std::io::Error::other("the pipe broke")),
            len => Ok(len),
        }
    }
}

/// Symptom: a reader that failed made a backup with 0 entries, which became `latest`.
#[test]
fn failing_stream_makes_no_backup() {
    for len in [0, 100, 2_000_000] {
        let disk = Disk::new(TreeFixture::new());
        let good = std::io::Cursor::new(b"good".to_vec());
        let first = disk.backup_with(source("s", good), &disk.options());
        let first = first.unwrap().backup.id;
        let breaks = Breaks::after(&noise(1, len));
        let error = disk.backup_with(source("db/s", breaks), &disk.options());
        let error = error.unwrap_err();
        assert_eq!(error.kind(), br_core::ErrorKind::Io, "{error}");
        assert!(
            error.to_string().contains("db/s"),
            "the error names the stream: {error}"
        );
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("the pipe broke"), "{cause}");
        let listed = block_on(disk.repository.backups(&disk.context)).unwrap();
        let listed: Vec<_> = listed.iter().map(|backup| backup.id).collect();
        assert_eq!(listed, [first], "nothing is committed");
        assert!(disk.check().is_sound());
    }
}

/// Symptom: `false | br backup --stdin` made an empty backup, which became `latest`.
#[test]
fn an_empty_stream_and_a_dump_that_is_cut_off_make_no_backup() {
    let disk = Disk::new(TreeFixture::new());
    let dump = "-- MySQL dump 10.13  Distrib 8.0.36\nINSERT INTO t VALUES (1);\n";
    for (content, is_empty) in [("", true), (dump, false)] {
        let stream = source("shop.sql", std::io::Cursor::new(content));
        let error = disk.backup_with(stream, &disk.options()).unwrap_err();
        assert_eq!(error.kind(), br_core::ErrorKind::Io, "{error}");
        let cause = std::error::Error::source(&error).unwrap();
        let cause = cause.downcast_ref::<std::io::Error>().unwrap().get_ref();
        let cause = cause.unwrap().downcast_ref::<StreamError>().unwrap();
        assert_eq!(*cause == StreamError::Empty, is_empty, "{cause}");
    }
    let listed = block_on(disk.repository.backups(&disk.context)).unwrap();
    assert!(listed.is_empty());
    let complete = format!("{dump}-- Dump completed on 2026-11-29  1:02:03\n");
    let stream = source("shop.sql", std::io::Cursor::new(complete));
    let backup = disk.backup_with(stream, &disk.options()).unwrap().backup;
    let mark = backup.streams[0].end_mark.as_deref();
    assert_eq!(mark, Some("-- Dump completed"));
}

/// Symptom: three interrupted runs of one stream left 87, 175, 264 MB. Cause: without a journal a run did not know what the run
/// before had stored.
#[test]
fn interrupted_runs_without_a_journal_store_everything_once() {
    let disk = Disk::new(TreeFixture::new());
    let content = noise(1, 70 << 20);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let breaks = Breaks::after(&content[..60 << 20]);
        let failed = disk.backup_with(source("s", breaks), &disk.options());
        failed.unwrap_err();
        sizes.push(disk.store.size());
    }
    assert!(sizes[0] > 40 << 20, "packs are stored: {sizes:?}");
    // When a run dies, its last data is not in a pack yet; each run stores it in a separate pack.
    assert!(
        sizes[2] < sizes[0] + (25 << 20),
        "packs are stored once: {sizes:?}"
    );
    let reader = std::io::Cursor::new(content.clone());
    let report = disk.backup_with(source("s", reader), &disk.options());
    let report = report.unwrap();
    assert!(report.packs_resumed >= 3, "{}", report.packs_resumed);
    let added = report.backup.changes.bytes_added;
    assert!(
        added < 15 << 20,
        "only the remaining bytes are added: {added}"
    );
    let prune = |grace| {
        let options = PruneOptions::default().with_grace(grace);
        block_on(async {
            let plan = prune::plan(&disk.repository, &options, &disk.context).await?;
            prune::prune(&disk.repository, &plan, &disk.context).await
        })
    };
    let _ = prune(std::time::Duration::ZERO).unwrap();
    disk.assert_sound();
    let size = disk.store.size();
    assert!(
        size < 72 << 20,
        "a prune removes the leftover packs: {size}"
    );
    let options = RestoreOptions::default().with_owner(false);
    let _ = disk.restore(report.backup.id, "out", &options).unwrap();
    assert!(std::fs::read(disk.fixture.at("out/s")).unwrap() == content);
}

/// Packs of a backup that still runs elsewhere look like leftovers. Both backups use them, and both are complete.
#[test]
fn packs_of_a_running_backup_are_used_by_another_one() {
    let disk = Disk::new(TreeFixture::new());
    let content = noise(1, 40 << 20);
    let (to_first, from_test) = std::sync::mpsc::channel::<()>();
    struct Waits {
        content: std::io::Cursor<Vec<u8>>,
        until: std::sync::mpsc::Receiver<()>,
    }
    impl Read for Waits {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = self.content.read(buffer)?;
            if len == 0 {
                let _ = self.until.recv_timeout(std::time::Duration::from_secs(600));
            }
            Ok(len)
        }
    }
    let waits = Waits {
        content: std::io::Cursor::new(content.clone()),
        until: from_test,
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| disk.backup_with(source("s", waits), &disk.options()));
        // The first pack is stored; on a server it has at least 24 MiB.
        let packs = || disk.store.size() > 16 << 20;
        while !packs() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let reader = std::io::Cursor::new(content.clone());
        let second = disk.backup_with(source("s", reader), &disk.options());
        let second = second.unwrap();
        assert!(second.packs_resumed > 0);
        to_first.send(()).unwrap();
        let first = first.join().unwrap().unwrap();
        disk.assert_sound();
        let _ = block_on(async {
            let options = PruneOptions::default().with_grace(std::time::Duration::ZERO);
            let plan = prune::plan(&disk.repository, &options, &disk.context).await?;
            prune::prune(&disk.repository, &plan, &disk.context).await
        })
        .unwrap();
        disk.assert_sound();
        let options = RestoreOptions::default().with_owner(false);
        for (id, to) in [(first.backup.id, "first"), (second.backup.id, "second")] {
            let _ = disk.restore(id, to, &options).unwrap();
            assert!(std::fs::read(disk.fixture.at(to).join("s")).unwrap() == content);
        }
    });
}

#[test]
fn stream_chunks_do_not_depend_on_read_sizes() {
    struct Short<R>(R);
    impl<R: Read> Read for Short<R> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = buffer.len().min(4093);
            self.0.read(&mut buffer[..len])
        }
    }
    let disk = Disk::new(TreeFixture::new());
    let content = noise(3, 5_000_000);
    let whole = std::io::Cursor::new(content.clone());
    let first = disk
        .backup_with(source("s", whole), &disk.options())
        .unwrap()
        .backup;
    let short = Short(std::io::Cursor::new(content));
    let second = disk
        .backup_with(source("s", short), &disk.options())
        .unwrap()
        .backup;
    assert_eq!(first.tree, second.tree, "cuts depend only on the content");
}
