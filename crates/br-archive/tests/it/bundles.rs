//! Written bundles can be read, by br and by other programs, and a failed write leaves nothing behind.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use br_archive::{
    Attributes, BundleName, BundleProgress, BundleReader, BundleWriter, ErrorKind, Event, Finding,
    Format, Limits, MANIFEST_PATH, NoBundleProgress, Selection, diff, export, extract, inspect,
};
use br_emqx::meta::Meta;

use crate::support::emqx::table;
use crate::support::folder::{contents, snapshot, sound};
use crate::support::{
    BASE, child, emqx_options, import_options, member, options, skip, time, write,
};

/// Names that need each kind of header, and contents around the sizes at which the format changes.
fn members() -> Vec<(String, Vec<u8>)> {
    let pattern = |len: usize| (0..len).map(|at| (at * 7 % 251) as u8).collect::<Vec<u8>>();
    vec![
        ("cluster.hocon".to_owned(), b"mqtt.a = 1\n".to_vec()),
        (
            "mnesia/emqx_psk".to_owned(),
            table("emqx_psk", &[("k", "v")]),
        ),
        ("data/empty".to_owned(), Vec::new()),
        ("data/511".to_owned(), pattern(511)),
        ("data/512".to_owned(), pattern(512)),
        ("data/513".to_owned(), pattern(513)),
        ("data/block".to_owned(), pattern(256 << 10)),
        ("data/large".to_owned(), pattern((3 << 20) + 1)),
        (
            format!("{}/{}", "d".repeat(120), "f".repeat(90)),
            pattern(9),
        ),
        (format!("long/{}", "n".repeat(255)), pattern(10)),
        (vec!["deep"; 127].join("/"), pattern(11)),
        ("names/ключ und Größe".to_owned(), pattern(12)),
        (format!("names/{}", "é".repeat(120)), pattern(13)),
        // Its last 90 bytes begin with `../`.
        (format!("names/é../{}", "n".repeat(87)), pattern(14)),
        (format!("names/é{}", ".".repeat(200)), pattern(15)),
        ("names/a b\\c:d*e?f\"g|h".to_owned(), pattern(16)),
    ]
}

fn borrowed(members: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    let members = members.iter();
    members
        .map(|(path, content)| (path.as_str(), content.as_slice()))
        .collect()
}

/// Checks that a folder has these members, and those of every bundle.
fn has_all(folder: &Path, members: &[(String, Vec<u8>)]) {
    let files = contents(folder);
    for (path, content) in members {
        assert!(files[path] == *content, "{path}");
    }
    assert!(files.contains_key("META.hocon"));
    assert_eq!(files.len(), members.len() + 2);
}

#[test]
fn written_bundle_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let members = members();
    for format in Format::ALL {
        let options = emqx_options().with_format(format, None);
        let options = options.with_origin("br 1", "a test");
        let path = write(dir.path(), options, &borrowed(&members));
        assert_eq!(
            path.file_name().unwrap().to_str().unwrap(),
            format!("{BASE}{}", format.extension())
        );
        let inspection = sound(&path);
        assert_eq!(inspection.meta, Meta::new("ee", "5.8.1"));
        assert_eq!(inspection.members[0].path.as_str(), "META.hocon");
        let last = inspection.members.last().unwrap();
        assert_eq!(last.path.as_str(), MANIFEST_PATH);
        let manifest = inspection.manifest.unwrap();
        assert_eq!((manifest.name.as_str(), manifest.time), (BASE, time()));
        assert_eq!(
            (manifest.program.as_str(), manifest.source.as_str()),
            ("br 1", "a test")
        );
        for (entry, found) in manifest.members.iter().zip(&inspection.members) {
            assert_eq!(entry.path, found.path.as_str());
            assert_eq!(
                (entry.size, entry.sha256),
                (found.header.size, found.sha256)
            );
            assert!(!entry.changed);
        }
        assert_eq!(manifest.members.len() + 1, inspection.members.len());
        let into = dir.path().join(format!("{format:?}"));
        extract(&path, &into, &import_options(), &mut NoBundleProgress).unwrap();
        has_all(&into, &members);
    }
    let [a, b] = Format::ALL.map(|format| dir.path().join(format!("{BASE}{}", format.extension())));
    let difference = diff(&a, &b, &Limits::default(), 10, &mut NoBundleProgress).unwrap();
    assert!(difference.members.is_empty(), "{:?}", difference.members);
}

/// Byte for byte as `erl_tar` writes it: no name and no time in the gzip header, no members for folders, `META.hocon` first, everything
/// below one top directory, and two blocks of zeros at the end.
#[test]
fn bytes_equal_those_of_emqx() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), emqx_options(), &borrowed(&members()));
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    let mut decoder = flate2::bufread::GzDecoder::new(bytes.as_slice());
    let mut plain = Vec::new();
    decoder.read_to_end(&mut plain).unwrap();
    assert!(decoder.into_inner().is_empty(), "one gzip member");
    assert_eq!(plain.len() % 512, 0);
    let (last, zeros) = plain.split_at(plain.len() - 1024);
    assert!(zeros.iter().all(|byte| *byte == 0));
    let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    assert!(!is_zero(&last[last.len() - 512..]));

    let mut archive = tar::Archive::new(plain.as_slice());
    for (number, entry) in archive.entries().unwrap().enumerate() {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        assert!(path.starts_with(BASE), "{}", path.display());
        assert_eq!(number == 0, path.ends_with("META.hocon"));
        let header = entry.header();
        assert!(header.entry_type().is_file());
        assert_eq!(&header.as_bytes()[257..265], b"ustar\x0000");
        assert_eq!(&header.as_bytes()[265..329], [0; 64]);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
    }
}

fn run(program: &str, args: &[&OsStr]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    assert!(errors.is_empty(), "{program}: {errors}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A user without `br` can extract a bundle with standard tools.
#[test]
fn other_programs_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let members = members();
    let path = write(dir.path(), emqx_options(), &borrowed(&members));
    let archive = path.as_os_str();
    run("gzip", &["-t".as_ref(), archive]).unwrap();
    let names = run("tar", &["tzf".as_ref(), archive]).unwrap();
    assert_eq!(names.lines().count(), members.len() + 2);
    assert_eq!(names.lines().next().unwrap(), format!("{BASE}/META.hocon"));
    let into = dir.path().join("tar");
    fs::create_dir(&into).unwrap();
    let arguments = ["-xzf".as_ref(), archive, "-C".as_ref(), into.as_os_str()];
    run("tar", &arguments).unwrap();
    has_all(&into.join(BASE), &members);

    let into = dir.path().join("python");
    let script = "import sys, tarfile\n\
                  t = tarfile.open(sys.argv[1])\n\
                  t.extractall(sys.argv[2], filter='data')\n";
    let arguments = ["-c".as_ref(), script.as_ref(), archive, into.as_os_str()];
    match run("python3", &arguments) {
        Some(_) => has_all(&into.join(BASE), &members),
        None => skip("there is no python3 on this machine"),
    }
}

/// The same content gives the same bytes, on any number of cores.
#[test]
fn bundles_are_reproducible() {
    let members = members();
    for format in Format::ALL {
        let bundle = |threads, mode| {
            let dir = tempfile::tempdir().unwrap();
            let options = options()
                .with_reproducible(true)
                .with_format(format, None)
                .with_threads(Some(threads));
            let mut writer = BundleWriter::create(dir.path(), options).unwrap();
            for (number, (path, content)) in members.iter().enumerate() {
                let attributes = Attributes {
                    mode,
                    mtime: number as u64 * threads as u64,
                    uid: threads as u64,
                    gid: u64::MAX,
                };
                writer
                    .add_bytes(&member(path), content, attributes)
                    .unwrap();
            }
            let report = writer.finish().unwrap();
            let bytes = fs::read(&report.path).unwrap();
            assert_eq!(report.stored_bytes, bytes.len() as u64);
            bytes
        };
        let one = bundle(1, 0o600);
        assert!(one == bundle(2, 0o644), "{format:?}");
        assert!(one == bundle(5, 0o664), "{format:?}");
    }
}

/// Times and owners that do not fit into a ustar header.
#[test]
fn attributes_beyond_ustar_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BundleWriter::create(dir.path(), options()).unwrap();
    let odd = Attributes {
        mode: u32::MAX,
        mtime: u64::MAX,
        uid: u64::MAX,
        gid: u64::MAX,
    };
    writer.add_bytes(&member("x"), b"x", odd).unwrap();
    let path = writer.finish().unwrap().path;
    sound(&path);
    let into = dir.path().join("into");
    extract(&path, &into, &import_options(), &mut NoBundleProgress).unwrap();
    assert_eq!(contents(&into)["x"], b"x");
}

#[test]
fn existing_files_are_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), options(), &[]);
    let there = fs::read(&path).unwrap();
    let fixed = || options().with_next_free(false);
    let error = BundleWriter::create(dir.path(), fixed()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    let text = format!("Backup file \"{}\" already exists", path.display());
    assert_eq!(error.to_string(), text);
    // A name that the caller set is not replaced by the next free one.
    let name = BundleName::of_file(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let named = options().with_name(name, b"edition = br\nversion = x\n".to_vec(), 7);
    let error = BundleWriter::create(dir.path(), named).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    // Otherwise the writer uses the next free millisecond: here the second one, because the first is the name of a dangling link.
    let link = path.with_file_name(
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace(".678", ".679"),
    );
    symlink("nothing", &link).unwrap();
    let next = write(dir.path(), options(), &[]);
    assert!(next.to_str().unwrap().contains(".680"));
    assert_eq!(fs::read(&path).unwrap(), there);
    assert!(link.is_symlink());
    // Another process creates a file of that name during the write.
    let elsewhere = tempfile::tempdir().unwrap();
    let writer = BundleWriter::create(elsewhere.path(), options()).unwrap();
    let target = writer.target().to_owned();
    fs::write(&target, "mine").unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(contents(elsewhere.path()).len(), 1);
    assert_eq!(fs::read(&target).unwrap(), b"mine");
}

/// In EMQX, two exports in the same millisecond write into one file.
#[test]
fn bundles_of_one_millisecond_get_different_names() {
    let dir = tempfile::tempdir().unwrap();
    let threads: Vec<_> = (0..20)
        .map(|thread| {
            let dir = dir.path().to_owned();
            std::thread::spawn(move || {
                let write_one = |number| {
                    let text = format!("{thread} {number}");
                    let options = options().with_threads(Some(1));
                    (write(&dir, options, &[("x", text.as_bytes())]), text)
                };
                (0..3).map(write_one).collect::<Vec<_>>()
            })
        })
        .collect();
    let written = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap());
    let written: Vec<_> = written.collect();
    let names: BTreeSet<_> = written.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(names.len(), 60);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 60);
    for (path, text) in written {
        let mut reader = BundleReader::open(&path, &Limits::default()).unwrap();
        reader.next().unwrap();
        let content = reader.next().unwrap().unwrap().read_whole(100).unwrap();
        assert_eq!(content, text.as_bytes());
        sound(&path);
    }
}

/// Fails after some bytes.
struct Failing(usize);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.0.min(buffer.len());
        if len == 0 {
            return Err(io::Error::other("the disk is gone"));
        }
        self.0 -= len;
        Ok(len)
    }
}

/// An incomplete bundle is never visible: `.<name>.part` is removed in every case.
#[test]
fn an_unfinished_bundle_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let options = || options().with_format(format, None);
        let create = || BundleWriter::create(dir.path(), options()).unwrap();
        let attributes = Attributes::plain(0);
        let mut writer = create();
        let part = format!(".{}.part", writer.name().file_name());
        assert!(dir.path().join(&part).exists());
        writer
            .add_bytes(&member("x"), &[7; 1 << 20], attributes)
            .unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "dropped");

        let mut writer = create();
        let mut source = Failing(1 << 20);
        let error = writer
            .add(&member("x"), 2 << 20, attributes, &mut source)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.member(), Some("x"));
        assert!(!writer.is_whole());
        assert!(writer.finish().is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "failed");

        let mut writer = create();
        writer.add_bytes(&member("x"), b"", attributes).unwrap();
        for (path, kind) in [
            ("x", ErrorKind::Refused),
            ("x/y", ErrorKind::Refused),
            ("META.hocon", ErrorKind::Invalid),
            (MANIFEST_PATH, ErrorKind::Invalid),
        ] {
            let error = writer
                .add_bytes(&member(path), b"", attributes)
                .unwrap_err();
            assert_eq!(error.kind(), kind, "{path}");
            assert_eq!(error.member(), Some(path));
        }
        // A refused name does not stop the writer.
        let path = writer.finish().unwrap().path;
        sound(&path);
        fs::remove_file(path).unwrap();
    }
    for level in [10, 99] {
        let options = options().with_format(Format::TarGz, Some(level));
        let error = BundleWriter::create(dir.path(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Fills the given folder until the disk is full.
#[test]
fn child_without_space() {
    let Some(dir) = child::told() else { return };
    let dir = Path::new(&dir);
    // Each content is different, and none can be compressed.
    let content = |number: u64| {
        let mut noise = number + 1;
        let mut next = || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise
        };
        let bytes = (0..1 << 17).flat_map(|_| next().to_le_bytes());
        bytes.collect::<Vec<u8>>()
    };
    for (format, megabytes) in [
        (Format::TarGz, 20),
        (Format::TarZst, 20),
        // Here only the end does not fit.
        (Format::TarGz, 2),
        (Format::TarZst, 2),
    ] {
        for finish in [true, false] {
            let options = options().with_format(format, None);
            let mut writer = BundleWriter::create(dir, options).unwrap();
            let mut failed = None;
            for number in 0..megabytes {
                let path = member(&number.to_string());
                let added = writer.add_bytes(&path, &content(number), Attributes::plain(0));
                failed = failed.or(added.err());
            }
            if finish {
                let error = failed.or(writer.finish().err()).unwrap();
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                let source = std::error::Error::source(&error).unwrap();
                let source = source.downcast_ref::<io::Error>().unwrap();
                assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{source}");
            } else {
                drop(writer);
            }
            assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
        }
    }
    println!("no space, no harm");
}

/// On a full disk the export fails with the operating system's error, nothing panics, and no file is left.
#[test]
fn full_disk_fails_and_leaves_nothing() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can make a small file system");
    }
    let dir = tempfile::tempdir().unwrap();
    // In a separate mount namespace, the file system is removed with the process.
    let script = "mount -t tmpfs -o size=1536k tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "bundles::child_without_space", "--nocapture"])
        .env("BR_ARCHIVE_TEST_CHILD", dir.path())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let out = String::from_utf8_lossy(&output.stdout);
            assert!(out.contains("no space, no harm"), "{out}");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(!errors.contains("panicked"), "{errors}");
        }
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            // Skip only if the child reports that it cannot mount a file system; a panic may end it with a signal.
            let cannot = output.status.code() == Some(77) || errors.starts_with("unshare:");
            assert!(cannot, "{}: {errors}", output.status);
            skip(&format!("file systems cannot be made here: {errors}"));
        }
        Err(error) => skip(&format!("there is no unshare: {error}")),
    }
}

const GIB: u64 = 1 << 30;

/// Bundles a file of 3 GiB, and reads a part of it.
#[test]
fn child_with_a_large_file() {
    let Some(dir) = child::told() else { return };
    let dir = Path::new(&dir);
    let from = dir.join("sparse");
    File::create(&from).unwrap().set_len(3 * GIB).unwrap();
    let options = options()
        .with_format(Format::TarGz, Some(1))
        .with_threads(Some(2));
    let mut writer = BundleWriter::create(dir, options).unwrap();
    assert!(writer.add_file(&member("sparse"), &from).unwrap());
    let path = writer.finish().unwrap().path;
    let mut reader = BundleReader::open(&path, &Limits::default()).unwrap();
    reader.next().unwrap();
    let mut member = reader.next().unwrap().unwrap();
    assert_eq!(member.header().size, 3 * GIB);
    let read = io::copy(&mut (&mut member).take(GIB / 2), &mut io::sink());
    assert_eq!(read.unwrap(), GIB / 2);
    child::tell_memory();
}

/// Only a few blocks are in memory. And the reader accepts a written bundle whose content compresses a thousandfold.
#[test]
fn large_files_take_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().to_str().unwrap();
    let (mib, _) = child::memory_of("bundles::child_with_a_large_file", told);
    println!("3 GiB: {mib} MiB");
    assert!(mib <= 40, "{mib} MiB");
}

/// The writer makes no bundle that the reader would refuse as a bomb: it pads gzip, and fails with zstd, which it cannot pad.
#[test]
fn highly_compressible_bundles_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("sparse");
    File::create(&from).unwrap().set_len(GIB / 8).unwrap();
    let bundle = |format, ratio| {
        let limits = Limits::default().with_ratio(ratio);
        let options = options().with_format(format, Some(1)).with_limits(limits);
        let mut writer = BundleWriter::create(dir.path(), options)?;
        writer.add_file(&member("sparse"), &from)?;
        writer.finish().map(|report| report.path)
    };
    sound(&bundle(Format::TarGz, 250).unwrap());
    let error = bundle(Format::TarZst, 250).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let error = bundle(Format::TarGz, 100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let path = bundle(Format::TarZst, u64::MAX).unwrap();
    let unlimited = Limits::default().with_ratio(u64::MAX);
    inspect(&path, &unlimited, None, &mut NoBundleProgress).unwrap();
}

/// Symptom: the writer padded a stream that ended early with zeros, and `inspect` reported the bundle as sound.
#[test]
fn stream_of_wrong_length_is_refused() {
    for (content, words) in [
        (&b"a"[..], "ended after 1 of 3 bytes"),
        (b"", "ended after 0 of 3 bytes"),
        (b"abcd", "more than the 3 bytes"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = BundleWriter::create(dir.path(), options()).unwrap();
        let mut from = content;
        let added = writer.add(&member("s"), 3, Attributes::plain(0), &mut from);
        let error = added.unwrap_err();
        assert_eq!((error.kind(), error.member()), (ErrorKind::Io, Some("s")));
        assert!(error.to_string().contains(words), "{error}");
        assert!(!writer.is_whole() && writer.finish().is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

/// A read that a signal interrupts is retried.
#[test]
fn interrupted_and_short_reads_are_retried() {
    struct Interrupted(bool);
    impl Read for Interrupted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = !self.0;
            if self.0 {
                Err(io::ErrorKind::Interrupted.into())
            } else {
                buffer[0] = 1;
                Ok(1)
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut writer = BundleWriter::create(dir.path(), options()).unwrap();
    let attributes = Attributes::plain(0);
    let path = member("whole");
    writer.add(&path, 3, attributes, &mut &b"abc"[..]).unwrap();
    let mut interrupted = Interrupted(false).take(3);
    let path = member("interrupted");
    writer.add(&path, 3, attributes, &mut interrupted).unwrap();
    let report = writer.finish().unwrap();
    let into = dir.path().join("into");
    extract(
        &report.path,
        &into,
        &import_options(),
        &mut NoBundleProgress,
    )
    .unwrap();
    let files = contents(&into);
    assert_eq!(files["whole"], b"abc");
    assert_eq!(files["interrupted"], [1, 1, 1]);

    // The same for the reader: the size of the reads does not matter.
    struct Trickle<R>(R, bool);
    impl<R: Read> Read for Trickle<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                Err(io::ErrorKind::Interrupted.into())
            } else {
                self.0.read(&mut buffer[..1])
            }
        }
    }
    for format in Format::ALL {
        let options = options().with_format(format, None);
        let path = write(dir.path(), options, &[("x", b"content")]);
        let name = BundleName::of_file(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let from = Trickle(File::open(&path).unwrap(), false);
        let mut reader = BundleReader::new(name, from, &Limits::default()).unwrap();
        let mut count = 0;
        while reader.next().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 3);
    }
}

/// A failing disk gives an I/O error, not the error for a damaged bundle.
#[test]
fn failing_disk_gives_io_error() {
    let dir = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let options = options().with_format(format, None);
        let path = write(dir.path(), options, &[("x", &[7; 5000])]);
        let name = BundleName::of_file(path.file_name().unwrap().to_str().unwrap()).unwrap();
        for kind in [
            io::ErrorKind::Other,
            io::ErrorKind::InvalidData,
            io::ErrorKind::UnexpectedEof,
        ] {
            struct Broken(io::ErrorKind);
            impl Read for Broken {
                fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                    Err(io::Error::new(self.0, "the disk is gone"))
                }
            }
            for len in [0, 3, 100] {
                let start = File::open(&path).unwrap().take(len);
                let from = start.chain(Broken(kind));
                let limits = Limits::default();
                let mut reader = BundleReader::new(name.clone(), from, &limits).unwrap();
                let error = loop {
                    match reader.next() {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("taken"),
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.kind(), ErrorKind::Io, "{format:?} {len}: {error}");
            }
        }
    }
}

/// Runs an action when a member starts.
struct At<'a>(&'a str, &'a dyn Fn());

impl BundleProgress for At<'_> {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Member { path, .. } = event
            && path.as_str() == self.0
        {
            self.1();
        }
    }
}

/// A file that shrinks or grows during the read gives a member of the original size, and the manifest records the change. A bundle with a
/// member padded with zeros is not sound, and is not imported.
#[test]
fn files_that_change_are_marked() {
    for (what, change) in [
        (
            "shrinks",
            &(|path: &Path| {
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(10).unwrap();
            }) as &dyn Fn(&Path),
        ),
        ("grows", &|path: &Path| {
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"more").unwrap();
        }),
        ("goes away", &|path: &Path| {
            fs::remove_file(path).unwrap();
        }),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("a"), [7; 1000]).unwrap();
        fs::write(from.join("b"), [8; 1000]).unwrap();
        let mut writer = BundleWriter::create(&dir.path().join("to"), options()).unwrap();
        let path = from.join("a");
        let change = || change(&path);
        let mut at = At("a", &change);
        export(&mut writer, &from, None, &Selection::default(), &mut at).unwrap();
        let report = writer.finish().unwrap();
        let limits = Limits::default();
        let inspection = inspect(&report.path, &limits, None, &mut NoBundleProgress).unwrap();
        let texts = |findings: &[Finding]| -> Vec<_> {
            findings
                .iter()
                .map(|finding| finding.text.clone())
                .collect()
        };
        let (problems, warnings) = (texts(&inspection.problems), texts(&inspection.warnings));
        assert_eq!(
            problems.len(),
            usize::from(what == "shrinks"),
            "{problems:?}"
        );
        assert_eq!(warnings.len(), usize::from(what == "grows"), "{warnings:?}");
        let into = dir.path().join("into");
        let taken = extract(
            &report.path,
            &into,
            &import_options(),
            &mut NoBundleProgress,
        );
        assert_eq!(taken.is_ok(), what != "shrinks", "{what}");
        let changed = usize::from(what != "goes away");
        assert_eq!(report.changed.len(), changed, "{what}");
        let manifest = inspection.manifest.unwrap();
        let marked = manifest.members.iter().filter(|member| member.changed);
        assert_eq!(marked.count(), changed, "{what}");
        assert_eq!(inspection.members[1].header.size, 1000, "{what}");
    }
}

/// A bundle contains files only. Everything else is reported and counted.
#[test]
fn everything_except_files_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir_all(from.join("sub/empty")).unwrap();
    fs::write(from.join("sub/file"), "x").unwrap();
    fs::write(from.join("META.hocon"), "the bundle has its own").unwrap();
    symlink("/etc/passwd", from.join("link")).unwrap();
    symlink("sub", from.join("folder-link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        from.join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
    let odd = |name: &[u8]| from.join(OsStr::from_bytes(name));
    for name in [b"not \xff UTF-8".as_slice(), b"line\nbreak", b"\x1b[31m"] {
        fs::write(odd(name), "x").unwrap();
    }
    let mut deep = from.clone();
    for _ in 0..130 {
        deep.push("deep");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "x").unwrap();
    let mut writer = BundleWriter::create(&dir.path().join("to"), options()).unwrap();
    let report = export(
        &mut writer,
        &from,
        None,
        &Selection::default(),
        &mut NoBundleProgress,
    )
    .unwrap();
    drop(socket);
    assert_eq!(report.members, 1);
    let mut reasons: Vec<_> = report
        .left_out
        .iter()
        .map(|(_, why)| why.as_str())
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "named pipes have no place in a bundle",
            "sockets have no place in a bundle",
            "symbolic links have no place in a bundle",
            "symbolic links have no place in a bundle",
            "the path has a control character",
            "the path has a control character",
            "the path is not valid UTF-8",
            "the path is too long",
        ]
    );
    let path = writer.finish().unwrap().path;
    let inspection = sound(&path);
    assert_eq!(inspection.manifest.unwrap().left_out, 8);
    let names: Vec<_> = inspection.members.iter().map(|m| m.path.as_str()).collect();
    assert_eq!(names, ["META.hocon", "sub/file", MANIFEST_PATH]);
}

/// A bundle that is written into the exported folder does not contain itself.
#[test]
fn bundle_does_not_contain_itself() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), "x").unwrap();
    let mut writer = BundleWriter::create(dir.path(), options()).unwrap();
    let all = Selection::default();
    let report = export(&mut writer, dir.path(), None, &all, &mut NoBundleProgress).unwrap();
    assert_eq!((report.members, report.left_out_count), (1, 0));
    let written = writer.finish().unwrap();
    assert!(written.changed.is_empty());
    assert_eq!(sound(&written.path).members.len(), 3);
}

#[test]
fn a_selection_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    for (path, content) in [
        ("cluster.hocon", b"mqtt.a = 1\nlog.b = 2\n".as_slice()),
        ("mnesia/emqx_psk", &table("emqx_psk", &[])),
        ("mnesia/emqx_banned", &table("emqx_banned", &[])),
        ("data/a", b"a"),
        ("data/b/c", b"c"),
        ("database", b"d"),
    ] {
        let path = from.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let names = |selection: Selection| {
        let into = dir.path().join("to");
        let options = emqx_options().with_selection(selection.clone());
        let mut writer = BundleWriter::create(&into, options).unwrap();
        export(&mut writer, &from, None, &selection, &mut NoBundleProgress).unwrap();
        let path = writer.finish().unwrap().path;
        let inspection = sound(&path);
        assert_eq!(inspection.manifest.unwrap().selection, selection);
        let out = dir.path().join("out");
        extract(&path, &out, &import_options(), &mut NoBundleProgress).unwrap();
        let mut files = contents(&out);
        fs::remove_dir_all(out).unwrap();
        files.retain(|path, _| !["META.hocon", MANIFEST_PATH].contains(&path.as_str()));
        let config = files.get("cluster.hocon").cloned().unwrap_or_default();
        let names: Vec<_> = files.into_keys().collect();
        (names.join(" "), String::from_utf8(config).unwrap())
    };
    let all = Selection::default();
    let paths = |paths: &[&str]| {
        all.clone()
            .with_paths(paths.iter().map(|p| member(p)).collect())
    };
    assert_eq!(names(paths(&["data"])).0, "data/a data/b/c");
    assert_eq!(
        names(paths(&["data/b/c", "database"])).0,
        "data/b/c database"
    );
    let sets = all.clone().with_table_sets(Some(vec!["psk".into()]));
    assert_eq!(
        names(sets).0,
        "cluster.hocon data/a data/b/c database mnesia/emqx_psk"
    );
    let keys = paths(&["cluster.hocon"]).with_root_keys(Some(vec!["log".into()]));
    let (found, config) = names(keys);
    assert_eq!(found, "cluster.hocon");
    assert!(config.contains('2') && !config.contains("mqtt"), "{config}");
    let unknown = all.clone().with_root_keys(Some(vec!["nonsense".into()]));
    let mut writer = BundleWriter::create(dir.path(), emqx_options()).unwrap();
    let error = export(&mut writer, &from, None, &unknown, &mut NoBundleProgress).unwrap_err();
    assert_eq!(error.member(), Some("cluster.hocon"), "{error}");
}

/// A bundle may contain secrets: only its owner can read it, during the write and afterwards.
#[test]
fn bundles_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let writer = BundleWriter::create(dir.path(), options()).unwrap();
    let all_private = || {
        let all = snapshot(dir.path());
        assert_eq!(all.len(), 1);
        all.values().all(|(mode, _)| mode & 0o077 == 0)
    };
    assert!(all_private());
    let path = writer.finish().unwrap().path;
    assert!(all_private());
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
