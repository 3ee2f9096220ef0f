//! Exports: the sink gets every entry in order with its verified content, or the export ends with an error that gives the reason.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use br_core::engine::export::{ExportOptions, ExportReport, export};
use br_core::engine::ls::ls;
use br_core::model::{BackupId, Entry, EntryKind, EntryPath, FileTime, Owner, Totals};
use br_core::sink::Sink;
use br_core::source::StreamSource;
use br_core::{BackupSelector, Context, Error, ErrorKind, Event, Progress, Repository, Result};
use br_testkit::{
    Behaviour, Corruption, MemorySource, TestRepo, Thing, TreeFixture, When, block_on, noise, steps,
};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::damage::{chain, source, whole};
use crate::support::Disk;

/// The entries that a sink received, shared so that the test sees them even when the export fails.
type Given = Arc<Mutex<Vec<(Entry, Vec<u8>)>>>;

/// Keeps entries, and the requested amount of their content.
struct Keep<F> {
    given: Given,
    read: F,
}

impl<F: FnMut(&Entry, &mut dyn Read) -> io::Result<Vec<u8>> + Send> Sink for Keep<F> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let bytes = (self.read)(entry, content)?;
        self.given.lock().unwrap().push((entry.clone(), bytes));
        Ok(())
    }
}

/// Exports to a sink that reads as requested.
fn export_with(
    repository: &Repository,
    id: BackupId,
    options: &ExportOptions,
    context: &Context,
    read: impl FnMut(&Entry, &mut dyn Read) -> io::Result<Vec<u8>> + Send + 'static,
) -> (Given, Result<ExportReport>) {
    let given = Given::default();
    let sink = Keep {
        given: Arc::clone(&given),
        read,
    };
    let selector = BackupSelector::Prefix(id.to_string());
    let result = block_on(export(repository, &selector, sink, options, context));
    (given, result.map(|(_, report)| report))
}

fn everything(_: &Entry, content: &mut dyn Read) -> io::Result<Vec<u8>> {
    everything_of(content)
}

fn everything_of(content: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn taken(given: &Given) -> Vec<(Entry, Vec<u8>)> {
    std::mem::take(&mut given.lock().unwrap())
}

fn export_disk(disk: &Disk, id: BackupId, paths: Vec<EntryPath>) -> Vec<(Entry, Vec<u8>)> {
    let options = ExportOptions::default().with_paths(paths);
    let (given, report) = export_with(&disk.repository, id, &options, &disk.context, everything);
    let given = taken(&given);
    let totals = report.unwrap().totals;
    let files = given
        .iter()
        .filter(|(entry, _)| matches!(entry.kind, EntryKind::File(_)));
    let bytes: usize = given.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(
        (totals.entries, totals.files, totals.bytes),
        (given.len() as u64, files.count() as u64, bytes as u64),
        "the report counts the entries that the sink got"
    );
    given
}

fn files(given: &[(Entry, Vec<u8>)]) -> BTreeMap<String, Bytes> {
    let is_file = |entry: &Entry| matches!(entry.kind, EntryKind::File(_));
    let files = given.iter().filter(|(entry, _)| is_file(entry));
    files
        .map(|(entry, bytes)| (entry.path.to_string(), bytes.clone().into()))
        .collect()
}

fn list(disk: &Disk, id: BackupId) -> Vec<Entry> {
    block_on(async {
        let mut feed = ls(&disk.repository, id, Vec::new(), &disk.context);
        let mut all = Vec::new();
        while let Some(entry) = feed.next().await {
            all.push(entry.unwrap());
        }
        all
    })
}

#[test]
fn every_kind_of_entry_comes_with_its_content() {
    for make in [Disk::new, Disk::encrypted] {
        let disk = make(TreeFixture::rich());
        let backup = disk.backup().backup;
        let given = export_disk(&disk, backup.id, Vec::new());
        let entries: Vec<_> = given.iter().map(|(entry, _)| entry.clone()).collect();
        assert_eq!(
            entries,
            list(&disk, backup.id),
            "the export has the listed entries in the same order"
        );
        assert!(entries.is_sorted_by(|one, next| one.path < next.path));
        let tree = disk.tree();
        let root = disk.stored("");
        let mut seen = 0;
        for (entry, bytes) in &given {
            let Some(below) = entry.path.as_bytes().strip_prefix(root.as_bytes()) else {
                continue;
            };
            let item = &tree.items[below.strip_prefix(b"/").unwrap_or(below)];
            match item.content {
                Some(hash) => assert_eq!(blake3::hash(bytes), hash, "{}", entry.path),
                None => assert_eq!(bytes, b"", "{} is no file", entry.path),
            }
            assert_eq!(
                bytes.len() as u64,
                item.size,
                "{}: holes are zeros",
                entry.path
            );
            seen += 1;
        }
        assert_eq!(seen, tree.items.len(), "nothing is missing");
        let links = ["folder/hard", "small", "zz hard"].map(|name| disk.stored(name));
        let groups: Vec<_> = given
            .iter()
            .filter(|(entry, _)| links.contains(&entry.path))
            .map(|(entry, bytes)| (entry.link_group.unwrap(), bytes.len()))
            .collect();
        assert_eq!(
            groups,
            [(groups[0].0, 131_072); 3],
            "each name has the content"
        );
    }
}

#[test]
fn almost_empty_sparse_file_needs_no_digest() {
    const LEN: u64 = 300 << 20;
    let fixture = TreeFixture::new();
    let file = File::create(fixture.tree().join("sparse")).unwrap();
    file.set_len(LEN).unwrap();
    file.write_all_at(&noise(1, 200_000), LEN / 2).unwrap();
    fixture.settle();
    let disk = Disk::new(fixture);
    let id = disk.backup().backup.id;
    let read = |_: &Entry, content: &mut dyn Read| {
        let (mut len, mut found, mut buffer) = (0, Vec::new(), vec![1; 1 << 20]);
        loop {
            let more = content.read(&mut buffer)?;
            if more == 0 {
                return Ok([len.to_string().as_bytes(), b" ", &found].concat());
            }
            let is_data = |byte: &u8| *byte != 0;
            len += more;
            found.extend(buffer[..more].iter().copied().filter(is_data));
        }
    };
    let options = ExportOptions::default().with_paths(vec![disk.stored("sparse")]);
    let (given, report) = export_with(&disk.repository, id, &options, &disk.context, read);
    assert_eq!(report.unwrap().totals.bytes, LEN);
    let mut data = noise(1, 200_000);
    data.retain(|byte| *byte != 0);
    let expected = [LEN.to_string().as_bytes(), b" ", &data].concat();
    assert!(
        taken(&given)[0].1 == expected,
        "the file has its data, and zeros elsewhere"
    );
}

#[test]
fn export_contains_only_selected_paths() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    let all = export_disk(&disk, id, Vec::new());
    for paths in [
        &["folder/large"][..],
        &["folder/deeper"],
        &["many", "link"],
        &["zz hard", "folder/deeper", "folder", "folder"],
    ] {
        let paths: Vec<_> = paths.iter().map(|path| disk.stored(path)).collect();
        let is_wanted = |entry: &Entry| paths.iter().any(|path| entry.path.is_within(path));
        let wanted: Vec<_> = all.iter().filter(|(entry, _)| is_wanted(entry)).collect();
        let given = export_disk(&disk, id, paths.clone());
        assert!(
            given.iter().eq(wanted),
            "{paths:?}, without folders above, once, in order"
        );
    }
}

#[test]
fn unknown_path_is_error_before_first_entry() {
    let disk = Disk::new(TreeFixture::rich());
    let id = disk.backup().backup.id;
    let paths = vec![disk.stored("many/001"), disk.stored("many/no such")];
    let options = ExportOptions::default().with_paths(paths);
    let (given, report) = export_with(&disk.repository, id, &options, &disk.context, everything);
    let error = report.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PathNotFound, "{error}");
    assert!(
        error.to_string().contains("many/no such"),
        "the error names the path: {error}"
    );
    assert_eq!(taken(&given), [], "the sink got no entry");

    let unknown = BackupId(uuid::Uuid::nil());
    let all = ExportOptions::default();
    let (_, report) = export_with(&disk.repository, unknown, &all, &disk.context, everything);
    assert_eq!(report.unwrap_err().kind(), ErrorKind::BackupNotFound);
}

#[test]
fn folder_without_entry_can_be_selected() {
    let disk = Disk::new(TreeFixture::new());
    let path = EntryPath::new("db/dump.sql".as_bytes()).unwrap();
    let content = io::Cursor::new(noise(1, 300_000));
    let stream = StreamSource::new(path, content, FileTime::default(), Owner::default());
    let id = disk.backup_with(stream, &disk.options()).unwrap().backup.id;
    let folder = EntryPath::new("db".as_bytes()).unwrap();
    let given = export_disk(&disk, id, vec![folder]);
    let expected = BTreeMap::from([("db/dump.sql".to_owned(), noise(1, 300_000).into())]);
    assert_eq!(files(&given), expected);
}

#[test]
fn scattered_chunks_are_exported_in_order() {
    let repo = TestRepo::encrypted();
    let content = |number: u64, round: u64| noise(number << 8 | round, 600 + number as usize * 7);
    let mut source = MemorySource::new();
    for round in 0..6 {
        let mut put = |path: &str, bytes: Vec<u8>| {
            let time = 1_500_000_000 + round as i64;
            source.insert(path, Thing::File(bytes.into()), time, Behaviour::Honest);
        };
        // Later backups store changed chunks in other packs. Some of these chunks equal existing ones.
        for number in (0..2_000).filter(|number| round == 0 || number % 11 == round) {
            let bytes = content(number % 1_500, round);
            put(&format!("{:02}/{number:04}", number % 7), bytes);
        }
        put("large", noise(round / 3, 9_000_000));
        let _ = repo.backup(&source).unwrap();
    }
    let id = repo.backups().unwrap().last().unwrap().id;
    let all = ExportOptions::default();
    let (given, report) = export_with(&repo.repository, id, &all, &repo.context, everything);
    assert_eq!(report.unwrap().totals.files, 2_001);
    assert!(
        files(&taken(&given)) == source.files(),
        "the repository is unchanged"
    );
}

/// Counts bytes and entries of the events.
#[derive(Default)]
struct Sums(Mutex<[Totals; 2]>);

impl Progress for Sums {
    fn event(&self, event: Event<'_>) {
        let (at, bytes, entries) = match event {
            Event::Expect { bytes, entries } => (0, bytes, entries),
            Event::Advance { bytes, entries } => (1, bytes, entries),
            _ => return,
        };
        let sums = &mut self.0.lock().unwrap()[at];
        sums.bytes += bytes;
        sums.entries += entries;
    }
}

#[test]
fn content_may_be_left_unread() {
    let repo = TestRepo::new();
    let mut source = MemorySource::new().file("first", noise(1, 40_000_000));
    for number in 0..100 {
        source = source.file(&format!("more/{number:02}"), noise(number, 1_000));
    }
    source = source.file("zz", noise(2, 3_000_000));
    let id = repo.backup(&source).unwrap().backup.id;
    let all = ExportOptions::default();
    let expected = source.files();
    // Nothing, the start, a little more than a chunk, everything but the end.
    for limit in [0, 1, 100_000, 999, 2_999_999] {
        let sums = Arc::new(Sums::default());
        let context = Context {
            progress: Arc::clone(&sums) as _,
            ..repo.context.clone()
        };
        let mut number = 0;
        let read = move |_: &Entry, content: &mut dyn Read| {
            number += 1;
            let limit = if number % 2 == 1 { limit } else { u64::MAX };
            everything_of(&mut content.take(limit))
        };
        repo.faults.reset();
        let (given, report) = export_with(&repo.repository, id, &all, &context, read);
        let _ = report.unwrap();
        let given = taken(&given);
        assert_eq!(given.len(), expected.len());
        for (nth, (entry, bytes)) in given.iter().enumerate() {
            let whole = &expected[&entry.path.to_string()];
            let len = if nth % 2 == 0 {
                whole.len().min(limit as usize)
            } else {
                whole.len()
            };
            assert!(*bytes == whole[..len], "{} up to {limit}", entry.path);
        }
        let [expect, advance] = *sums.0.lock().unwrap();
        assert_eq!(expect, advance, "progress reaches the total");
    }
}

#[test]
fn a_large_file_that_is_left_unread_is_not_fetched() {
    let repo = TestRepo::new();
    let source = MemorySource::new()
        .file("large", noise(1, 120_000_000))
        .file("small", noise(2, 5_000));
    let id = repo.backup(&source).unwrap().backup.id;
    let count = |read: fn(&Entry, &mut dyn Read) -> io::Result<Vec<u8>>| {
        repo.faults.reset();
        let all = ExportOptions::default();
        let (given, report) = export_with(&repo.repository, id, &all, &repo.context, read);
        let _ = report.unwrap();
        let given = taken(&given);
        assert!(given[1].1 == noise(2, 5_000), "later files are exported");
        repo.faults.count()
    };
    let whole = count(everything);
    let skipped = count(|entry, content| match entry.size() {
        5_000 => everything_of(content),
        _ => Ok(Vec::new()),
    });
    assert!(
        skipped < whole * 3 / 4,
        "{skipped} requests instead of {whole}"
    );
}

#[test]
fn adjacent_chunks_need_few_requests() {
    let repo = TestRepo::new();
    let mut source = MemorySource::new();
    for number in 0..3_000 {
        source = source.file(&format!("{number:04}"), noise(number, 2_000));
    }
    let id = repo.backup(&source).unwrap().backup.id;
    repo.faults.reset();
    let all = ExportOptions::default();
    let (given, report) = export_with(&repo.repository, id, &all, &repo.context, everything);
    let _ = report.unwrap();
    assert_eq!(taken(&given).len(), 3_000);
    let requests = repo.faults.count();
    assert!(requests < 20, "{requests} requests for 3,000 files in 6 MB");
}

#[test]
fn an_error_of_the_sink_ends_the_export() {
    let repo = TestRepo::new();
    let id = repo.backup(&source()).unwrap().backup.id;
    for (kind, expected) in [
        (io::ErrorKind::StorageFull, ErrorKind::Full),
        (io::ErrorKind::PermissionDenied, ErrorKind::Denied),
        (io::ErrorKind::BrokenPipe, ErrorKind::Io),
    ] {
        let read = move |entry: &Entry, content: &mut dyn Read| match entry.path.name() {
            b"large" => Err(io::Error::new(kind, "no more of it")),
            _ => everything_of(content),
        };
        let all = ExportOptions::default();
        let (given, report) = export_with(&repo.repository, id, &all, &repo.context, read);
        let error = report.unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
        assert!(error.to_string().contains("large"), "{error}");
        let cause = std::error::Error::source(&error).unwrap();
        let cause = cause.downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.kind(), kind, "the cause is kept");
        assert_eq!(taken(&given).len(), 3, "nothing comes after it");
    }
}

fn assert_is_damage(error: &Error) {
    let kind = error.kind();
    assert_eq!(kind, ErrorKind::Damaged, "{}", chain(error));
}

#[test]
fn damaged_data_is_reported_and_not_exported() {
    let path = |name: &str| EntryPath::new(name.as_bytes()).unwrap();
    for encrypted in [false, true] {
        let whole = whole(encrypted);
        let (id, expected) = whole.backups.last().unwrap();
        let mut named = 0;
        for key in whole.repo.keys() {
            if !key.starts_with("packs/") {
                continue;
            }
            for at in [20, 90, 128, 200] {
                let copy = whole.repo.fork(at.into());
                copy.set_object(&key, Corruption::Flip(at).apply(&copy.object(&key)));
                let all = ExportOptions::default();
                let (given, report) =
                    export_with(&copy.repository, *id, &all, &copy.context, everything);
                for (file, bytes) in files(&taken(&given)) {
                    assert!(bytes == expected[&file], "{key}: {file} is correct");
                }
                let Err(error) = report else { continue };
                assert_is_damage(&error);
                let files = expected
                    .keys()
                    .filter(|file| error.to_string().contains(*file));
                named += files.count();
                // Data in other packs can still be exported.
                let inline = ExportOptions::default().with_paths(vec![path("d/inline")]);
                let (_, report) =
                    export_with(&copy.repository, *id, &inline, &copy.context, everything);
                if let Err(error) = report {
                    assert_is_damage(&error);
                }
            }
        }
        assert!(named > 3, "{named} errors name a file");
    }
}

#[test]
fn export_fails_if_sink_ignores_damage() {
    let repo = TestRepo::new();
    let source = MemorySource::new().file("file", noise(1, 5_000_000));
    let id = repo.backup(&source).unwrap().backup.id;
    let largest = repo.sizes().into_iter().max_by_key(|(_, size)| *size);
    let key = largest.unwrap().0;
    repo.set_object(&key, Corruption::Flip(128).apply(&repo.object(&key)));
    let all = ExportOptions::default();
    let read = |_: &Entry, content: &mut dyn Read| {
        let mut bytes = Vec::new();
        let error = content.read_to_end(&mut bytes).unwrap_err();
        assert!(bytes.len() < 5_000_000 && noise(1, 5_000_000).starts_with(&bytes));
        let again = content.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.to_string(), again.to_string(), "later reads fail too");
        Ok(bytes)
    };
    let (_, report) = export_with(&repo.repository, id, &all, &repo.context, read);
    let error = report.unwrap_err();
    assert_is_damage(&error);
    assert!(error.to_string().contains("file"), "{error}");
    let (given, report) = export_with(&repo.repository, id, &all, &repo.context, |_, _| {
        Ok(Vec::new())
    });
    let _ = report.unwrap();
    assert_eq!(taken(&given).len(), 1, "unread content is not verified");
}

#[test]
fn unavailable_store_is_not_reported_as_damage() {
    let repo = TestRepo::encrypted();
    let _ = repo.backup(&source()).unwrap();
    let id = repo.backups().unwrap()[0].id;
    for n in steps(0..) {
        let one = repo.fork(100 + n);
        one.faults.fail_once(n, When::Before);
        let all = ExportOptions::default();
        let (given, report) = export_with(&one.repository, id, &all, &one.context, everything);
        match report {
            Ok(_) => assert!(files(&taken(&given)) == source().files(), "{n}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{n}: {error}"),
        }
        if one.faults.count() <= n {
            assert!(n > 3, "at least one operation failed");
            return;
        }
    }
}

#[test]
fn export_can_be_cancelled_at_any_point() {
    let repo = TestRepo::new();
    let mut source = MemorySource::new().file("large", noise(1, 30_000_000));
    for number in 0..2_000 {
        source = source.file(&format!("small/{number:04}"), noise(number, 700));
    }
    source = source.with("zz", Thing::Link(b"small".to_vec()));
    let id = repo.backup(&source).unwrap().backup.id;
    for when in ["large", "small/0001", "small/1999", "zz"] {
        let mut context = repo.context.clone();
        context.cancel = CancellationToken::new();
        let cancel = context.cancel.clone();
        let read = move |entry: &Entry, content: &mut dyn Read| {
            let mut first = [0; 100];
            let len = content.read(&mut first)?;
            if entry.path.to_string() == when {
                cancel.cancel();
            }
            let mut bytes = first[..len].to_vec();
            content.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let all = ExportOptions::default();
        let (given, report) = export_with(&repo.repository, id, &all, &context, read);
        let error = report.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{when}: {error}");
        let given = taken(&given);
        let is_taken = |(entry, _): &(Entry, _)| entry.path.to_string() == when;
        assert!(!given.iter().any(is_taken), "the sink did not take {when}");
    }
}
