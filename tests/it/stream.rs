//! Backups of one byte stream.

use std::io::Read;

use br_core::engine::ls::ls;
use br_core::engine::restore::RestoreOptions;
use br_core::model::{EntryKind, EntryPath, FileTime, Owner};
use br_core::source::StreamSource;
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
fn streams_of_every_length_come_back() {
    let disk = Disk::new(TreeFixture::new());
    for len in [0, 1, 512, 513, 131_072, 131_073, 700 << 10, 20 << 20] {
        let content = noise(len as u64, len);
        let name = format!("db/dump-{len}.sql");
        let reader = std::io::Cursor::new(content.clone());
        let report = disk
            .backup_with(source(&name, reader), &disk.options())
            .unwrap();
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
            "{len} bytes come back, in a folder that had to be made"
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

#[test]
fn a_stream_that_breaks_is_no_backup_of_it() {
    struct Breaks(usize);
    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("the pipe broke"));
            }
            let len = self.0.min(buffer.len());
            self.0 -= len;
            Ok(len)
        }
    }
    let disk = Disk::new(TreeFixture::new());
    let report = disk
        .backup_with(source("s", Breaks(2_000_000)), &disk.options())
        .unwrap();
    assert!(
        !report.backup.is_complete(),
        "the backup says that it is not whole"
    );
    assert_eq!(
        report.backup.totals.files, 0,
        "half a stream is not passed off as one"
    );
}

#[test]
fn a_stream_in_short_pieces_is_cut_like_one_in_long_ones() {
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
    assert_eq!(first.tree, second.tree, "cuts depend on content alone");
}
