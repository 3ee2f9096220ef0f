//! Files that are large, or only look it.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use br_core::engine::restore::RestoreOptions;
use br_core::model::{EntryPath, FileTime, Owner};
use br_core::source::StreamSource;
use br_testkit::{Noise, TreeFixture, noise, skip, skip_slow};

use crate::support::{Disk, is_slow_wanted};

const GIB: u64 = 1 << 30;

fn has_space(at: &Path, bytes: u64) -> bool {
    let there = rustix::fs::statvfs(at).unwrap();
    there.f_bavail * there.f_frsize > bytes
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn holes_are_restored_as_holes_and_store_no_data() {
    let fixture = TreeFixture::new();
    let at = fixture.tree().join("sparse");
    let file = File::create(&at).unwrap();
    if file.set_len(5 * GIB).is_err() {
        return skip("the file system has no files of 5 GiB");
    }
    for offset in [0, 5 * GIB / 2 + 12_345, 5 * GIB - 4096] {
        file.write_all_at(&noise(offset, 4096), offset).unwrap();
    }
    drop(file);
    let blocks = fs::metadata(&at).unwrap().blocks();
    if blocks > 1000 {
        return skip("the file system has no holes");
    }
    fixture.settle();
    let disk = Disk::new(fixture);
    let start = Instant::now();
    let report = disk.backup();
    assert_eq!(
        report.backup.totals.bytes,
        5 * GIB,
        "holes count as bytes of the file"
    );
    assert!(
        report.backup.changes.bytes_read < 1 << 20,
        "holes are not read"
    );
    let size = disk.store.size();
    // One MiB of it is the reserve for a full disk.
    assert!(size < 2 << 20, "the repository has {size} bytes");
    let _ = disk.restore_all(report.backup.id, "out");
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(20),
        "5 GiB of holes took {took:?}"
    );
    disk.tree()
        .assert_same(&disk.copy("out"), "length, times and content are the same");
    let copy = disk.restored("out", "sparse");
    let copied = fs::metadata(&copy).unwrap().blocks();
    assert!(
        copied < 1000,
        "restored holes use no blocks: {copied} blocks instead of {blocks}"
    );
    let (original, copy) = (File::open(at).unwrap(), File::open(copy).unwrap());
    for offset in [0, GIB, 5 * GIB / 2, 5 * GIB / 2 + 12_345, 5 * GIB - 8192] {
        let (mut one, mut other) = (vec![1; 8192], vec![2; 8192]);
        original.read_exact_at(&mut one, offset).unwrap();
        copy.read_exact_at(&mut other, offset).unwrap();
        assert!(one == other, "the bytes at {offset} are the same");
    }
    disk.assert_sound();
}

#[test]
fn file_of_two_gibibytes_is_restored() {
    if cfg!(debug_assertions) && !is_slow_wanted() {
        return skip_slow();
    }
    let disk = Disk::new(TreeFixture::new());
    if !has_space(&disk.fixture.tree(), 5 * GIB) {
        return skip("less than 5 GiB of free space");
    }
    let (path, len) = (EntryPath::new(&b"two gibibytes"[..]).unwrap(), 2 * GIB + 3);
    let source = StreamSource::new(
        path,
        Noise::new(1).take(len),
        FileTime::default(),
        Owner::default(),
    );
    let report = disk.backup_with(source, &disk.options()).unwrap();
    assert_eq!(report.backup.totals.bytes, len);
    let options = RestoreOptions::default().with_owner(false);
    let restored = disk.restore(report.backup.id, "out", &options).unwrap();
    assert_eq!(restored.failed, []);
    let mut file = File::open(disk.fixture.at("out/two gibibytes")).unwrap();
    let (mut wanted, mut there) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut source = Noise::new(1).take(len);
    let mut left = len;
    while left > 0 {
        let now = usize::try_from(left.min(1 << 20)).unwrap();
        source.read_exact(&mut wanted[..now]).unwrap();
        file.read_exact(&mut there[..now]).unwrap();
        assert!(
            wanted[..now] == there[..now],
            "the bytes at {} are the same",
            len - left
        );
        left -= now as u64;
    }
    assert_eq!(file.read(&mut there).unwrap(), 0, "the file ends here");
}
