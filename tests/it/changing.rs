//! Files that change, vanish or fail while they are backed up.

use std::fs::{self, File};
use std::io::Write as _;

use br_core::engine::backup::BackupReport;
use br_core::model::EntryKind;
use br_core::source::{Details, Source, SourceItem};
use br_testkit::{Behaviour, MemorySource, TestRepo, Thing, TreeFixture, noise};

use crate::support::{Disk, TreeSource, telling};

fn assert_unread(report: &BackupReport) {
    let BackupReport { backup, .. } = report;
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let unread: Vec<_> = backup
        .unread
        .iter()
        .map(|unread| text(&unread.path))
        .collect();
    let failing = ["b gone", "c fails", "d fails late", "k unreadable"];
    assert_eq!(unread, failing, "what cannot be read is named, in order");
    assert_eq!(backup.unread_count, 4, "unreadable entries are counted");
    assert!(
        !backup.is_complete(),
        "the backup says that something is missing"
    );
    let reasons = backup.unread.iter().map(|unread| &unread.reason.0);
    assert!(
        reasons.into_iter().all(|reason| !reason.is_empty()),
        "every unreadable entry has a reason"
    );
}

#[test]
fn failing_files_do_not_affect_other_files() {
    let big = noise(2, 3_000_000);
    let source = MemorySource::new()
        .file("a good", "good")
        .odd("b gone", "x".repeat(1000), Behaviour::Vanishes)
        .odd("c fails", noise(1, 1000), Behaviour::FailsAfter(500))
        .odd(
            "d fails late",
            big.clone(),
            Behaviour::FailsAfter(2_000_000),
        )
        .odd("e shrinks", noise(3, 1000), Behaviour::Shrinks(600))
        .odd("f shrinks much", big.clone(), Behaviour::Shrinks(1_000_000))
        .odd("g becomes empty", noise(4, 1000), Behaviour::Shrinks(0))
        .odd("h grows", noise(5, 1000), Behaviour::Grows(1000))
        .odd("i grows much", big.clone(), Behaviour::Grows(2_000_000))
        .odd("j is torn", noise(6, 1000), Behaviour::Torn)
        .with("k unreadable", Thing::Unreadable)
        .file("z good", big.clone());
    let mut repo = TestRepo::new();
    let (context, told) = telling(&repo.context);
    repo.context = context;
    let report = repo.backup(&source).unwrap();
    let backup = &report.backup;
    assert_unread(&report);
    assert_eq!(
        told.failed.lock().unwrap().len(),
        4,
        "unreadable entries are reported immediately"
    );
    let warnings = told.warnings.lock().unwrap();
    assert_eq!(
        report.torn, 6,
        "files that changed are counted: {warnings:?}"
    );
    let files = repo.files(backup.id).unwrap();
    let text: Vec<_> = files.keys().cloned().collect();
    assert_eq!(text.len(), 8, "the other files are in the backup: {text:?}");
    let originals = source.files();
    assert_eq!(files["a good"], originals["a good"]);
    assert_eq!(files["z good"], originals["z good"]);
    assert_eq!(
        files["e shrinks"][..],
        noise(3, 1000)[..600],
        "the backup has the bytes that were read"
    );
    assert_eq!(files["f shrinks much"][..], big[..1_000_000]);
    assert_eq!(files["g becomes empty"].len(), 0);
    // A small file is read up to the size it had when it was opened.
    assert_eq!(files["h grows"][..1000], noise(5, 1000));
    assert_eq!(files["i grows much"][..3_000_000], big);
    for entry in repo.entries(backup.id).unwrap() {
        let EntryKind::File(file) = &entry.kind else {
            continue;
        };
        let size = files[&entry.path.to_string()].len();
        assert_eq!(
            entry.size(),
            size as u64,
            "{}: size and content agree",
            entry.path
        );
        let is_good = entry.path.to_string().ends_with("good");
        assert_eq!(file.torn, !is_good, "{}: torn files are marked", entry.path);
    }
    assert!(
        repo.check().unwrap().findings.is_empty(),
        "the repository is sound"
    );
    let honest = MemorySource::new().file("j is torn", noise(6, 1000));
    let next = repo.backup(&honest).unwrap().backup;
    assert_eq!(next.changes.bytes_read, 1000, "a torn file is read again");
    let EntryKind::File(file) = &repo.entries(next.id).unwrap()[0].kind else {
        panic!()
    };
    assert!(!file.torn, "the file is complete now");
}

/// Changes the real tree while it is walked.
struct Meddling<F> {
    source: TreeSource,
    before_open: F,
}

struct MeddlingDetails {
    details: Box<dyn Details>,
    meddle: Box<dyn FnOnce() + Send>,
}

impl<F: Fn(&str) + Clone + Send + 'static> Source for Meddling<F> {
    fn next(&mut self) -> Option<SourceItem> {
        let item = self.source.next()?;
        let SourceItem::Entry { entry, details } = item else {
            return Some(item);
        };
        let (name, meddle) = (
            String::from_utf8_lossy(entry.path.name()).into_owned(),
            self.before_open.clone(),
        );
        let details = MeddlingDetails {
            details,
            meddle: Box::new(move || meddle(&name)),
        };
        Some(SourceItem::Entry {
            entry,
            details: Box::new(details),
        })
    }

    fn can_skip_unchanged(&self) -> bool {
        self.source.can_skip_unchanged()
    }
}

impl Details for MeddlingDetails {
    fn complete(&mut self, entry: &mut br_core::model::Entry) -> std::io::Result<()> {
        self.details.complete(entry)
    }

    fn open(
        self: Box<Self>,
        entry: &mut br_core::model::Entry,
    ) -> std::io::Result<Box<dyn br_core::source::ContentReader>> {
        (self.meddle)();
        self.details.open(entry)
    }
}

#[test]
fn real_files_that_change_between_walk_and_reading() {
    let fixture = TreeFixture::new();
    for name in [
        "becomes a folder",
        "becomes a link",
        "grows",
        "shrinks",
        "stays",
        "vanishes",
    ] {
        fixture.write(name, noise(1, 200_000));
    }
    let tree = fixture.tree();
    let disk = Disk::new(fixture);
    let before_open = move |name: &str| {
        let at = tree.join(name);
        match name {
            "becomes a folder" => {
                fs::remove_file(&at).unwrap();
                fs::create_dir(&at).unwrap();
            }
            "becomes a link" => {
                fs::remove_file(&at).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", &at).unwrap();
            }
            "grows" => File::options()
                .append(true)
                .open(&at)
                .unwrap()
                .write_all(&[7; 50_000])
                .unwrap(),
            "shrinks" => File::options()
                .write(true)
                .open(&at)
                .unwrap()
                .set_len(700)
                .unwrap(),
            "vanishes" => fs::remove_file(&at).unwrap(),
            _ => {}
        }
    };
    let source = Meddling {
        source: disk.source(),
        before_open,
    };
    let report = disk.backup_with(source, &disk.options()).unwrap();
    let unread = report.backup.unread.iter();
    let unread: Vec<_> = unread.map(|unread| unread.path.clone()).collect();
    let wanted = ["becomes a folder", "becomes a link", "vanishes"];
    let wanted = wanted.map(|name| disk.stored(name).as_bytes().to_vec());
    assert_eq!(unread, wanted, "{:?}", report.backup.unread);
    let _ = disk.restore_all(report.backup.id, "out");
    let read = |name| fs::read(disk.restored("out", name)).unwrap();
    assert_eq!(read("stays"), noise(1, 200_000));
    assert_eq!(
        read("grows"),
        [noise(1, 200_000), vec![7; 50_000]].concat(),
        "the backup has the content at the time of the open"
    );
    assert_eq!(read("shrinks"), noise(1, 700));
    disk.assert_sound();
}

/// An image of erofs with one file `f`. Its inode numbers and times do not depend on the content of the file, as with programs that build
/// reproducible images.
fn image(content: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 4096;
    const TIME: u64 = 1_500_000_000;
    let mut image = vec![0; 5 * BLOCK];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    let superblock = 1024;
    put(superblock, &0xe0f5_e1e2_u32.to_le_bytes());
    put(superblock + 12, &[12]); // 4,096 bytes a block
    put(superblock + 14, &1_u16.to_le_bytes()); // the root's inode
    put(superblock + 16, &2_u64.to_le_bytes());
    put(superblock + 24, &TIME.to_le_bytes());
    put(superblock + 36, &5_u32.to_le_bytes());
    put(superblock + 40, &1_u32.to_le_bytes()); // inodes start in block 1
    let mut inode = |number: u32, mode: u16, links: u16, size: usize, block: u32| {
        let at = BLOCK + 32 * number as usize;
        put(at + 4, &mode.to_le_bytes());
        put(at + 6, &links.to_le_bytes());
        put(at + 8, &(size as u32).to_le_bytes());
        put(at + 16, &block.to_le_bytes());
        put(at + 20, &number.to_le_bytes());
    };
    inode(1, 0o040_755, 2, 3 * 12 + 4, 2);
    inode(2, 0o100_644, 1, content.len(), 3);
    for (nth, (number, name_at, kind)) in [(1_u64, 36_u16, 2_u8), (1, 37, 2), (2, 39, 1)]
        .iter()
        .enumerate()
    {
        let at = 2 * BLOCK + 12 * nth;
        put(at, &number.to_le_bytes());
        put(at + 8, &name_at.to_le_bytes());
        put(at + 10, &[*kind]);
    }
    put(2 * BLOCK + 36, b"...f");
    put(3 * BLOCK, content);
    image
}

fn mount(image: &std::path::Path, at: &std::path::Path) -> bool {
    let mount = std::process::Command::new("mount")
        .args(["-t", "erofs", "-o", "loop,ro"])
        .args([image, at])
        .output();
    mount.is_ok_and(|output| output.status.success())
}

/// Symptom: another image was mounted at the path of the image in the last backup, and its file had the same size, times and inode. The new
/// backup had the old content, and br ended with exit code 0.
#[test]
fn a_file_of_another_image_at_the_same_path_is_read() {
    let fixture = TreeFixture::new();
    let at = fixture.tree().join("image");
    fs::create_dir(&at).unwrap();
    let images = [b"old", b"new"].map(|content| {
        let path = fixture.at(std::str::from_utf8(content).unwrap());
        fs::write(&path, image(content)).unwrap();
        path
    });
    let disk = Disk::new(fixture);
    let mut ids = Vec::new();
    for image in &images {
        if !mount(image, &at) {
            return br_testkit::skip("no right to mount an image, or no erofs");
        }
        ids.push(disk.backup().backup.id);
        let unmounted = std::process::Command::new("umount").arg(&at).status();
        assert!(unmounted.unwrap().success());
    }
    for (id, content) in ids.into_iter().zip(["old", "new"]) {
        let to = format!("out of {content}");
        let _ = disk.restore_all(id, &to);
        let there = fs::read(disk.restored(&to, "image/f")).unwrap();
        assert_eq!(there, content.as_bytes());
    }
}
