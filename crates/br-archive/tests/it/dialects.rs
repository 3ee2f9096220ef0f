//! Bundles that other programs wrote or repacked, in every dialect of tar and every compression.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use br_archive::{NoBundleProgress, extract};

use crate::support::folder::{contents, sound};
use crate::support::raw::{Head, Tar, gzip, record, store};
use crate::support::{BASE, META, import_options, skip};

/// The contents of the bundle's files.
fn read(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    sound(bundle);
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    extract(bundle, &into, &import_options(), &mut NoBundleProgress).unwrap();
    contents(&into)
}

fn read_bytes(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    read(&store(dir.path(), bytes))
}

fn read_tar(tar: Tar) -> BTreeMap<String, Vec<u8>> {
    read_bytes(&gzip(&tar.end()))
}

/// A folder to pack into a bundle. `long` adds long names, for dialects that support them.
fn files(root: &Path, long: bool) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([
        ("META.hocon".to_owned(), META.into()),
        ("cluster.hocon".to_owned(), b"a = 1\n".to_vec()),
        ("data/empty".to_owned(), Vec::new()),
        ("data/large".to_owned(), vec![7; 100_000]),
        ("data/x".to_owned(), b"x".to_vec()),
    ]);
    if long {
        files.insert("data/ключ".into(), b"cyrillic".to_vec());
        files.insert(format!("data/{}", "n".repeat(200)), b"long".to_vec());
        let deep = vec!["d".repeat(50); 8].join("/");
        files.insert(format!("{deep}/x"), b"deep".to_vec());
    }
    for (path, content) in &files {
        let path = root.join(BASE).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    files
}

/// GNU tar writes folders as members, owner names, and records of 10 KiB.
#[test]
fn bundles_of_gnu_tar_are_read() {
    for (format, long) in [
        ("v7", false),
        ("oldgnu", true),
        ("gnu", true),
        ("ustar", false),
        ("posix", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), long);
        let bundle = dir.path().join(format!("{BASE}.tar.gz"));
        let status = Command::new("tar")
            .args(["--format", format, "-czf"])
            .arg(&bundle)
            .arg("-C")
            .args([dir.path().as_os_str(), BASE.as_ref()])
            .env("LC_ALL", "C.UTF-8")
            .status()
            .unwrap();
        assert!(status.success());
        assert!(read(&bundle) == files, "{format}");
    }
}

#[test]
fn bundles_of_python_are_read() {
    let script = "import sys, tarfile\n\
                  f = {'ustar': tarfile.USTAR_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'pax': tarfile.PAX_FORMAT}\n\
                  with tarfile.open(sys.argv[1], 'w:gz', format=f[sys.argv[2]]) as t:\n\
                  \x20   t.add(sys.argv[3], arcname=sys.argv[4])\n";
    for (format, long) in [("ustar", false), ("gnu", true), ("pax", true)] {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), long);
        let bundle = dir.path().join(format!("{BASE}.tar.gz"));
        let status = Command::new("python3")
            .args(["-c", script])
            .arg(&bundle)
            .arg(format)
            .arg(dir.path().join(BASE))
            .arg(BASE)
            .status();
        match status {
            Ok(status) => assert!(status.success()),
            Err(_) => return skip("there is no python3 on this machine"),
        }
        assert!(read(&bundle) == files, "{format}");
    }
}

fn expected() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("META.hocon".to_owned(), META.into()),
        ("x".to_owned(), b"content".to_vec()),
    ])
}

fn simple() -> Tar {
    Tar::with_meta().file("x", "content")
}

/// The first bytes, not the name, show the compression. EMQX does the same for plain tar.
#[test]
fn every_compression_is_detected() {
    let tar = simple().end();
    let gz = gzip(&tar);
    for (what, bytes) in [
        ("gzip", gz.clone()),
        ("plain", tar.clone()),
        ("zstd", zstd::encode_all(tar.as_slice(), 3).unwrap()),
        (
            "gzip members",
            tar.chunks(100).flat_map(gzip).collect::<Vec<_>>(),
        ),
        (
            "empty gzip members",
            [gzip(b""), gz.clone(), gzip(b"")].concat(),
        ),
        ("zeros after gzip", [gz.as_slice(), &[0; 300_000]].concat()),
        (
            "zstd frames",
            tar.chunks(100)
                .flat_map(|chunk| zstd::encode_all(chunk, 3).unwrap())
                .collect(),
        ),
        (
            "a zstd frame to skip",
            [
                zstd::encode_all(tar.as_slice(), 19).unwrap(),
                vec![0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2],
            ]
            .concat(),
        ),
    ] {
        assert_eq!(read_bytes(&bytes), expected(), "{what}");
    }
    let mut named = flate2::GzBuilder::new()
        .filename("a name")
        .comment("a comment")
        .extra(vec![7; 1000])
        .mtime(1_700_000_000)
        .write(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut named, &tar).unwrap();
    assert_eq!(read_bytes(&named.finish().unwrap()), expected());
    // With the other extension.
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join(format!("{BASE}.tar.zst"));
    fs::write(&path, &gz).unwrap();
    assert_eq!(read(&path), expected());
}

#[test]
fn every_end_marker_is_accepted() {
    for zeros in [512, 1024, 9 * 512, 10_240, 1 << 20] {
        let bytes = [simple().0, vec![0; zeros]].concat();
        assert_eq!(read_bytes(&gzip(&bytes)), expected(), "{zeros}");
    }
    let mut padded = simple().end();
    padded.resize(padded.len().next_multiple_of(10_240), 0);
    assert_eq!(read_bytes(&padded), expected());
}

#[test]
fn v7() {
    // No magic, folders marked by a trailing slash, spaces around numbers.
    let old = |name: &str, size: u64| {
        Head::new(format!("{BASE}/{name}"), size)
            .with(257, &[0; 8])
            .with(156, b"\0")
            .with(100, b"   644 \0")
            .with(108, b"     0 \0")
            .with(124, format!("{size:11o} ").as_bytes())
    };
    let tar = Tar::new()
        .raw(old("", 0), "")
        .raw(old("META.hocon", META.len() as u64), META)
        .raw(old("d/", 0), "")
        .raw(old("x", 7), "content");
    assert_eq!(read_tar(tar), expected());
}

/// Numbers as bsdtar and libarchive write them: octal with a space at the end, and a checksum of six digits, NUL and space, and similar
/// forms.
#[test]
fn numbers_end_in_many_ways() {
    let name = format!("{BASE}/x");
    for (field, what) in [
        (b"00000000007 ".as_slice(), "a space"),
        (b"00000000007\0", "a NUL"),
        (b"          7 ", "spaces before"),
        (b"7\0\0\0\0\0\0\0\0\0\0\0", "NULs"),
        (b"000000000007", "nothing"),
        (b"\x80\0\0\0\0\0\0\0\0\0\0\x07", "in binary"),
    ] {
        let head = Head::new(&name, 0).with(124, field);
        let tar = Tar::with_meta().raw(head, "content");
        assert_eq!(read_tar(tar), expected(), "{what}");
    }
    // A checksum of seven digits, and one over signed bytes.
    let head = Head::new(&name, 7);
    let mut block = head.clone().sum();
    let digits = block[148..154].to_vec();
    block[148..156].copy_from_slice(&[b"0", digits.as_slice(), b"\0"].concat());
    let mut tar = Tar::with_meta();
    tar.0.extend(block);
    tar.0.extend(b"content");
    tar.0.resize(tar.0.len().next_multiple_of(512), 0);
    assert_eq!(read_tar(tar), expected());
    let mut block = head.with(265, "ключ".as_bytes()).with(148, b"        ").0;
    let sum: i32 = block.iter().map(|byte| i32::from(byte.cast_signed())).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = Tar::with_meta();
    tar.0.extend(block);
    tar.0.extend(b"content");
    tar.0.resize(tar.0.len().next_multiple_of(512), 0);
    assert_eq!(read_tar(tar), expected());
}

#[test]
fn extended_headers_are_read() {
    let long = format!("{}/{}", "d".repeat(150), "n".repeat(150));
    let name = format!("{BASE}/{long}");
    let is_read = |tar: Tar, what: &str| {
        let files = read_tar(tar);
        assert_eq!(files[&long], b"content", "{what}");
    };
    let head = || Head::new("short", 7);
    let meta = Tar::with_meta;
    is_read(
        meta().long_name(name.as_bytes()).raw(head(), "content"),
        "GNU",
    );
    let link = Head::new("././@LongLink", 300).kind(b'K');
    is_read(
        meta()
            .raw(link, [b'l'; 300])
            .long_name(name.as_bytes())
            .raw(head(), "content"),
        "GNU with a long link",
    );
    let path: (&[u8], &[u8]) = (b"path", name.as_bytes());
    is_read(meta().pax(&[path]).raw(head(), "content"), "PAX");
    is_read(
        meta()
            .pax(&[
                (b"size", b"7"),
                (b"mtime", b"1700000000.123456789"),
                (b"uid", b"4294967296"),
                (b"uname", "ключ".as_bytes()),
                (b"LIBARCHIVE.xattr.x", &[b'v'; 50_000]),
                (b"comment", b"a\nb=c\nd"),
                path,
            ])
            .raw(Head::new("short", 0), "content"),
        "a size and more",
    );
    is_read(
        meta()
            .pax(&[(b"mtime", b"-1.5"), (b"atime", b"")])
            .pax(&[path])
            .raw(head(), "content"),
        "two",
    );
    let global = record(b"comment", b"made by git");
    let global = |tar: Tar| {
        tar.raw(
            Head::new("pax_global_header", global.len() as u64).kind(b'g'),
            &global,
        )
    };
    is_read(
        global(global(Tar::new()).file("META.hocon", META))
            .pax(&[path])
            .raw(head(), "content"),
        "global headers",
    );
    // Prefix and name of ustar.
    let tar = meta().raw(Head::new("x", 7).with(345, BASE.as_bytes()), "content");
    assert_eq!(read_tar(tar), expected());
}

/// Other programs may put `META.hocon` in another place, and may list the top directory or not.
#[test]
fn members_in_any_order_are_accepted() {
    let folder = |tar: Tar, name: &str| tar.raw(Head::new(name, 0).kind(b'5'), "");
    let tar = folder(Tar::new(), BASE).file("x", "content");
    let tar = folder(tar, &format!("{BASE}/")).file("META.hocon", META);
    assert_eq!(read_tar(tar), expected());
    let tar = Tar::new().file("d/x", "content");
    let tar = folder(tar, &format!("{BASE}/d/")).file("META.hocon", META);
    assert_eq!(read_tar(folder(tar, &format!("{BASE}/e"))).len(), 2);
    // A folder with a size, but without content.
    let sized = Head::new(format!("{BASE}/d/"), 4096).kind(b'5');
    let tar = Tar::with_meta().raw(sized, "").file("x", "content");
    assert_eq!(read_tar(tar), expected());
    let contiguous = Head::new(format!("{BASE}/x"), 7).kind(b'7');
    let tar = Tar::with_meta().raw(contiguous, "content");
    assert_eq!(read_tar(tar), expected());
}
