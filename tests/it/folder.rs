//! Sources that yield a whole folder, whose entries come in any order.

use std::io::{self, Read};
use std::process::Command;

use br_core::engine::backup::{BackupReport, backup};
use br_core::engine::ls::ls;
use br_core::model::{Entry, EntryPath, FileTime, Owner, StreamRecord};
use br_core::source::{
    CombinedSource, CommandSource, CommandStream, FolderReader, MemorySource, Source, SourceItem,
    TakeEntry, Unpack,
};
use br_core::{ErrorKind, Result};
use br_testkit::{TestRepo, block_on, noise};

/// Entries in the order in which they are given: a path, the length that the entry says, and the bytes; `None` for a folder.
type Given = Vec<(String, u64, Option<Vec<u8>>)>;

struct GivenFolder(Option<Given>);

struct GivenReader(Given);

fn path(text: &str) -> EntryPath {
    text.parse().unwrap()
}

impl Source for GivenFolder {
    fn next(&mut self) -> Option<SourceItem> {
        let reader = Box::new(GivenReader(self.0.take()?));
        let folder = Entry::directory(path("data"));
        Some(SourceItem::Folder { folder, reader })
    }

    fn needs_everything(&self) -> bool {
        true
    }
}

impl FolderReader for GivenReader {
    fn read(self: Box<Self>, take: &mut TakeEntry<'_>) -> io::Result<Option<StreamRecord>> {
        for (name, len, content) in self.0 {
            match content {
                None => take(Entry::directory(path(&name)), &mut io::empty())?,
                Some(bytes) => take(Entry::file(path(&name), len), &mut &*bytes)?,
            }
        }
        Ok(Some(
            StreamRecord::new("data").with_position(Some("here".to_owned())),
        ))
    }
}

fn file(name: &str, bytes: &[u8]) -> (String, u64, Option<Vec<u8>>) {
    (name.to_owned(), bytes.len() as u64, Some(bytes.to_vec()))
}

fn back_up(repo: &TestRepo, source: impl Source + 'static, threads: usize) -> Result<BackupReport> {
    let options = TestRepo::options("host").with_threads(Some(threads));
    block_on(backup(&repo.repository, source, &options, &repo.context))
}

fn list(repo: &TestRepo, report: &BackupReport) -> Vec<String> {
    let entries = block_on(async {
        let feed = ls(
            &repo.repository,
            report.backup.id,
            Vec::new(),
            &repo.context,
        );
        feed.collect().await.unwrap()
    });
    let line = |entry: &Entry| format!("{} {}", entry.path, entry.size());
    entries.iter().map(line).collect()
}

#[test]
fn entries_in_any_order_are_one_folder() {
    for threads in [1, 3] {
        let repo = TestRepo::new();
        let large = noise(5, 3_000_000);
        let given = |large: &[u8]| {
            vec![
                file("data/z", b"last"),
                (String::from("data/b"), 0, None),
                file("data/b/large", large),
                file("data/b/empty", b""),
                file("data/b-c", &noise(6, 200_000)),
                file("data/a", &noise(7, 4_000)),
            ]
        };
        let others = || Box::new(MemorySource::new([("c", "x"), ("data-too", "y")]).unwrap());
        let source = |large: &[u8]| {
            let folder = GivenFolder(Some(given(large)));
            CombinedSource::new(vec![Box::new(folder), others()])
        };
        let first = back_up(&repo, source(&large), threads).unwrap();
        assert!(first.backup.is_complete());
        let expected = [
            "c 1",
            "data 0",
            "data/a 4000",
            "data/b 0",
            "data/b/empty 0",
            "data/b/large 3000000",
            "data/b-c 200000",
            "data/z 4",
            "data-too 1",
        ];
        assert_eq!(list(&repo, &first), expected);
        let [record] = &*first.backup.streams else {
            panic!("{:?}", first.backup.streams)
        };
        assert_eq!(record.position.as_deref(), Some("here"));
        // A changed page is stored as a difference.
        let mut changed = large.clone();
        changed[1_500_000] ^= 1;
        let second = back_up(&repo, source(&changed), threads).unwrap().backup;
        let changes = &second.changes;
        assert_eq!(
            (changes.files_new, changes.files_changed),
            (0, 1),
            "{changes:?}"
        );
        assert!(changes.bytes_stored < 20_000, "{changes:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_to_its_end_is_not_in_the_backup() {
    let (small, large) = (noise(1, 100), noise(2, 1_000_000));
    let short = |bytes: &[u8]| {
        (
            String::from("data/a"),
            bytes.len() as u64 + 1,
            Some(bytes.to_vec()),
        )
    };
    let long = |bytes: &[u8]| {
        (
            String::from("data/a"),
            bytes.len() as u64 - 1,
            Some(bytes.to_vec()),
        )
    };
    for (last, reason) in [
        (short(&small), "data/a has 100 bytes instead of 101"),
        (short(&large), "data/a has 1000000 bytes"),
        (long(&small), "data/a has 100 bytes instead of 99"),
        (long(&large), "data/a has 1000000 bytes"),
        (file("data/z", b""), "data/z occurs twice"),
        (file("data", b""), "data is not below data"),
        (file("other", b""), "other is not below data"),
        (file("data-too", b""), "data-too is not below data"),
    ] {
        let repo = TestRepo::new();
        let given = || GivenFolder(Some(vec![file("data/z", b"z"), last.clone()]));
        let error = back_up(&repo, given(), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(reason), "{cause}");
        assert!(
            block_on(repo.repository.backups(&repo.context))
                .unwrap()
                .is_empty()
        );
        // Next to other sources, the backup has these.
        let others = Box::new(MemorySource::new([("x", "x")]).unwrap());
        let both = CombinedSource::new(vec![others, Box::new(given())]);
        let partial = back_up(&repo, both, 2).unwrap();
        assert_eq!(list(&repo, &partial), ["x 1"]);
        let [unread] = &*partial.backup.unread else {
            panic!("{:?}", partial.backup.unread)
        };
        assert_eq!(&*unread.path, b"data");
        assert!(partial.backup.streams.is_empty());
    }
}

/// Each line of the stream is a file; a line `bad` is an error.
struct Lines;

impl Unpack for Lines {
    fn unpack(
        self: Box<Self>,
        folder: &EntryPath,
        stream: &mut dyn Read,
        take: &mut TakeEntry<'_>,
    ) -> io::Result<Option<String>> {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        for line in text.lines() {
            if line == "bad" {
                return Err(io::Error::other("a bad line"));
            }
            let path = folder.join(line.as_bytes()).unwrap();
            take(Entry::file(path, line.len() as u64), &mut line.as_bytes())?;
        }
        Ok(Some(format!("{} lines", text.lines().count())))
    }
}

#[test]
fn the_output_of_a_program_is_taken_apart() {
    let run = |repo: &TestRepo, script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let stream = CommandStream::new(path("data"), command).with_unpack(Box::new(Lines));
        let (time, owner) = (FileTime::default(), Owner::default());
        let cancel = repo.context.cancel.clone();
        back_up(
            repo,
            CommandSource::new(vec![stream], time, owner, cancel),
            2,
        )
    };
    let repo = TestRepo::new();
    let report = run(&repo, "printf 'b\\na\\n'; echo hello >&2").unwrap();
    assert_eq!(list(&repo, &report), ["data 0", "data/a 1", "data/b 1"]);
    let record = &report.backup.streams[0];
    assert_eq!(record.position.as_deref(), Some("2 lines"));
    assert_eq!(
        (record.program.as_deref(), &*record.messages),
        (Some("sh"), "hello\n")
    );
    for (script, reason) in [
        (
            "printf 'a\\n'; echo lost >&2; exit 3",
            "sh failed with exit code 3: lost",
        ),
        // The program is the cause.
        ("printf 'bad\\n'; exit 4", "sh failed with exit code 4"),
        (
            "printf 'bad\\n'",
            "the output of sh is not accepted: a bad line",
        ),
        ("true", "it is empty"),
        ("/no/such/program", "failed with exit code 127"),
    ] {
        let repo = TestRepo::new();
        let error = run(&repo, script).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(reason), "{script}: {cause}");
        assert!(
            block_on(repo.repository.backups(&repo.context))
                .unwrap()
                .is_empty()
        );
    }
}
