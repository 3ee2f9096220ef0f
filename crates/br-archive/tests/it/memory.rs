//! Bundles that would use too much memory, disk or time are refused early. Each reader runs in a separate process, so that its memory can
//! be measured.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use br_archive::{ErrorKind, Limits, NoBundleProgress, extract, inspect};
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, FlushCompress};

use crate::support::raw::{Head, Tar, gzip};
use crate::support::{BASE, child, import_options};

/// Most memory that a child may use, in MiB, unless a test says otherwise.
const MAX_MIB: u64 = 40;

#[expect(clippy::disallowed_methods, reason = "tests measure")]
fn now() -> Instant {
    Instant::now()
}

/// Reads the given bundle in two ways; both must be refused.
#[test]
fn child_that_is_refused() {
    let Some(path) = child::told() else { return };
    let path = Path::new(&path);
    let error = inspect(path, &Limits::default(), None, &mut NoBundleProgress).unwrap_err();
    println!("refused: {error}");
    assert!(matches!(
        error.kind(),
        ErrorKind::Refused | ErrorKind::Damaged
    ));
    let into = path.with_extension("into");
    // Skip the extraction of a million files, which would be slow.
    if !path.parent().unwrap().ends_with("members") {
        extract(path, &into, &import_options(), &mut NoBundleProgress).unwrap_err();
    }
    assert!(!into.exists());
    child::tell_memory();
}

#[expect(clippy::print_stdout, reason = "the parent test reads it")]
fn refused(path: &Path, what: &str, max_mib: u64, text: &str) {
    let begin = now();
    let test = "memory::child_that_is_refused";
    let (mib, out) = child::memory_of(test, path.to_str().unwrap());
    assert!(out.contains(text), "{what}: {out}");
    let took = begin.elapsed();
    println!("{what}: {mib} MiB, {} ms", took.as_millis());
    assert!(mib <= max_mib, "{what}: {mib} MiB");
    assert!(took < Duration::from_secs(30), "{what}: {took:?}");
    fs::remove_file(path).unwrap();
}

/// A MiB of zeros as deflate: blocks that can be repeated.
fn zeros() -> Vec<u8> {
    let mut compress = flate2::Compress::new(Compression::new(6), false);
    let mut out = Vec::with_capacity(1 << 16);
    compress
        .compress_vec(&vec![0; 1 << 20], &mut out, FlushCompress::Full)
        .unwrap();
    assert_eq!(compress.total_in(), 1 << 20);
    out
}

/// A gzip member that begins with `start` and continues with 10 GiB of zeros. It has no end, because no reader gets there.
fn bomb(start: &[u8]) -> Vec<u8> {
    let mut out = gzip(b"")[..10].to_vec();
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(start).unwrap();
    encoder.flush().unwrap();
    out.extend(encoder.get_ref());
    let zeros = zeros();
    for _ in 0..10 << 10 {
        out.extend(&zeros);
    }
    out
}

/// 10 GiB compressed to 10 MiB: in the tar, in one member, in many gzip members, in zstd, with a size from a PAX header, and after the end
/// of the archive.
#[test]
fn decompression_bombs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("{BASE}.tar.gz"));
    let huge = 10_u64 << 30;
    let ratio = "one compressed byte becomes more than 250 bytes";
    let member = Tar::with_meta().raw(
        Head::new(format!("{BASE}/zeros"), 0).with(124, b"\x80\0\0\0\0\0\0\x02\x80\0\0\0"),
        "",
    );
    let pax = Tar::with_meta()
        .pax(&[(b"size", huge.to_string().as_bytes())])
        .raw(Head::new(format!("{BASE}/zeros"), 0), "");
    let table = Tar::with_meta()
        .pax(&[(b"size", huge.to_string().as_bytes())])
        .raw(Head::new(format!("{BASE}/mnesia/emqx_psk"), 0), "");
    for (what, start) in [
        ("one member", member.0),
        ("a size from PAX", pax.0),
        ("a table", table.0),
        ("zeros after the end", Tar::with_meta().end()),
        ("nothing but zeros", Vec::new()),
    ] {
        fs::write(&path, bomb(&start)).unwrap();
        refused(&path, what, MAX_MIB, ratio);
    }
    let start = Tar::with_meta()
        .pax(&[(b"size", huge.to_string().as_bytes())])
        .raw(Head::new(format!("{BASE}/zeros"), 0), "");
    let many = gzip(&vec![0; 1 << 20]).repeat(10 << 10);
    fs::write(&path, [gzip(&start.0), many].concat()).unwrap();
    refused(&path, "many gzip members", MAX_MIB, ratio);
    let frame = zstd::encode_all([0; 1 << 20].as_slice(), 3).unwrap();
    let begin = zstd::encode_all(start.0.as_slice(), 3).unwrap();
    let path = dir.path().join(format!("{BASE}.tar.zst"));
    fs::write(&path, [begin.clone(), frame.repeat(10 << 10)].concat()).unwrap();
    refused(&path, "zstd", MAX_MIB, ratio);
    // A frame can request a window of 2 GiB.
    let mut wide = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3];
    wide.extend([0x02, 0x00, 0x20, 0]);
    fs::write(&path, [begin, wide].concat()).unwrap();
    refused(&path, "a window of 2 GiB", MAX_MIB, "altered");
}

/// A million members without content, in 4 MiB of gzip.
#[test]
fn million_members_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("members")).unwrap();
    let path = dir.path().join(format!("members/{BASE}.tar.gz"));
    let file = BufWriter::new(File::create(&path).unwrap());
    let mut encoder = GzEncoder::new(file, Compression::new(1));
    encoder.write_all(&Tar::with_meta().0).unwrap();
    let head = Head::new(format!("{BASE}/n0000000"), 0);
    let sum = head.clone().sum();
    let digits = BASE.len() + 2;
    for number in 0..300_000 {
        let number = format!("{number:07}");
        let mut block = sum;
        block[digits..digits + 7].copy_from_slice(number.as_bytes());
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                u32::from(if (148..156).contains(&at) {
                    b' '
                } else {
                    *byte
                })
            })
            .sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        encoder.write_all(&block).unwrap();
    }
    encoder.finish().unwrap();
    refused(&path, "300,000 members", 160, "more than 250000 members");
}

/// Each member brings a hundred folders with names of thousands of bytes: they use a thousand times more memory than bytes in the archive.
#[test]
fn deep_folders_use_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("members")).unwrap();
    let path = dir.path().join(format!("members/{BASE}.tar.gz"));
    let file = BufWriter::new(File::create(&path).unwrap());
    let mut encoder = GzEncoder::new(file, Compression::new(1));
    encoder.write_all(&Tar::with_meta().0).unwrap();
    let deep = vec!["n".repeat(31); 120].join("/");
    for number in 0..10_000 {
        let tar = Tar::new().file(&format!("{number}/{deep}"), "");
        encoder.write_all(&tar.0).unwrap();
    }
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap();
    refused(&path, "deep folders", 200, "too long altogether");
}
