//! Walking real folders: order, kinds, metadata, and errors during the walk.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failure of the test"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use br_core::model::{Entry, EntryKind, EntryPath, Extent, FileTime};
use br_core::source::{
    Details, Excludes, LocalSource, LocalSourceOptions, Source, SourceError, SourceItem,
};
use rustix::fs::{CWD, Mode, OFlags, XattrFlags};

type Found = Vec<(Entry, Box<dyn Details>)>;

fn options() -> LocalSourceOptions {
    LocalSourceOptions::default()
}

/// Walks a source to its end, and checks that paths ascend.
fn collect(mut source: LocalSource) -> (Found, Vec<(EntryPath, std::io::Error)>) {
    let (mut found, mut unreadable): (Found, _) = (Vec::new(), Vec::new());
    while let Some(item) = source.next() {
        match item {
            SourceItem::Entry { entry, details } => {
                if let Some((last, _)) = found.last() {
                    assert!(
                        last.path < entry.path,
                        "{} before {}",
                        last.path,
                        entry.path
                    );
                }
                found.push((entry, details));
            }
            SourceItem::Unreadable { path, error } => unreadable.push((path, error)),
            SourceItem::Note(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (found, unreadable)
}

fn walk_with(root: &Path, options: LocalSourceOptions) -> Found {
    let source = LocalSource::new(&[root.to_owned()], options).unwrap();
    let (mut found, unreadable) = collect(source);
    assert!(unreadable.is_empty(), "{unreadable:?}");
    let root = stored(root);
    found.retain(|(entry, _)| entry.path.is_within(&root));
    found
}

fn walk(root: &Path) -> Found {
    walk_with(root, options())
}

/// The path in the backup of an absolute path.
fn stored(path: &Path) -> EntryPath {
    EntryPath::new(&path.as_os_str().as_bytes()[1..]).unwrap()
}

/// The paths below a root, as text.
fn names(root: &Path, found: &Found) -> Vec<String> {
    let root = stored(root).as_bytes().len();
    let below = found
        .iter()
        .map(|(entry, _)| &entry.path.as_bytes()[root..]);
    below
        .map(|path| {
            String::from_utf8_lossy(path)
                .trim_start_matches('/')
                .to_owned()
        })
        .collect()
}

fn find(found: &mut Found, name: &str) -> (Entry, Box<dyn Details>) {
    let at = found
        .iter()
        .position(|(entry, _)| entry.path.name() == name.as_bytes());
    found.remove(at.expect(name))
}

fn open_dir(path: impl rustix::path::Arg) -> OwnedFd {
    rustix::fs::openat(CWD, path, OFlags::DIRECTORY, Mode::empty()).unwrap()
}

fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn each_kind_comes_in_path_order_with_its_metadata() {
    let dir = tempdir();
    let root = dir.path();
    fs::create_dir(root.join("a")).unwrap();
    fs::write(root.join("a/inside"), "12345").unwrap();
    fs::write(root.join("a-b"), "").unwrap();
    fs::write(root.join("a.txt"), "x").unwrap();
    symlink("/no/where", root.join("link")).unwrap();
    rustix::fs::mknodat(
        CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        Mode::RUSR,
        0,
    )
    .unwrap();
    let _listener = UnixListener::bind(root.join("socket")).unwrap();
    fs::set_permissions(root.join("a.txt"), PermissionsExt::from_mode(0o4751)).unwrap();

    let mut found = walk(root);
    let expected = [
        "", "a", "a/inside", "a-b", "a.txt", "link", "pipe", "socket",
    ];
    assert_eq!(names(root, &found), expected);

    let (file, _) = find(&mut found, "a.txt");
    let meta = fs::metadata(root.join("a.txt")).unwrap();
    assert_eq!(
        (file.mode, file.size(), file.inode),
        (0o4751, 1, meta.ino())
    );
    assert_eq!((file.owner.uid, file.owner.gid), (meta.uid(), meta.gid()));
    let time = |secs, nanos: i64| FileTime {
        secs,
        nanos: nanos.try_into().unwrap(),
    };
    assert_eq!(file.mtime, time(meta.mtime(), meta.mtime_nsec()));
    assert_eq!(file.ctime, time(meta.ctime(), meta.ctime_nsec()));
    assert_eq!(file.link_group, None);
    let (link, _) = find(&mut found, "link");
    assert_eq!(
        link.kind,
        EntryKind::Symlink(b"/no/where".as_slice().into())
    );
    for (name, kind) in [("pipe", EntryKind::Fifo), ("socket", EntryKind::Socket)] {
        let (mut entry, mut details) = find(&mut found, name);
        details.complete(&mut entry).unwrap();
        assert_eq!(entry.kind, kind);
    }
}

#[test]
fn devices_have_their_numbers() {
    let paths = [PathBuf::from("/dev/null")];
    let (mut found, _) = collect(LocalSource::new(&paths, options()).unwrap());
    assert_eq!(found[0].0.path.as_bytes(), b"dev");
    let (null, _) = find(&mut found, "null");
    let EntryKind::CharDevice(device) = null.kind else {
        panic!("{null:?}")
    };
    assert_eq!((device.major, device.minor), (1, 3));
}

#[test]
fn names_are_bytes() {
    let dir = tempdir();
    let long = "n".repeat(255);
    for name in [
        b"\xff\xfe".as_slice(),
        b"line\nbreak",
        "ü".as_bytes(),
        long.as_bytes(),
    ] {
        fs::write(dir.path().join(OsStr::from_bytes(name)), name).unwrap();
    }
    let found = walk(dir.path());
    let names: Vec<_> = found[1..]
        .iter()
        .map(|(entry, _)| entry.path.name())
        .collect();
    assert_eq!(
        names,
        [b"line\nbreak", long.as_bytes(), "ü".as_bytes(), b"\xff\xfe"]
    );
}

#[test]
fn deep_folders_with_paths_above_path_max_are_walked() {
    let dir = tempdir();
    let part = "d".repeat(60);
    let mut at = open_dir(dir.path());
    for depth in 0..300 {
        for side in ["a", "z"] {
            let flags = OFlags::CREATE | OFlags::WRONLY;
            let mut file = File::from(rustix::fs::openat(&at, side, flags, Mode::RWXU).unwrap());
            write!(file, "{side}{depth}").unwrap();
        }
        rustix::fs::mkdirat(&at, &part, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &part, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let source = LocalSource::new(&[dir.path().to_owned()], options()).unwrap();
    let most = max_open_during(source, |entries| assert!(entries > 900, "{entries}"));
    assert!(most < 200, "{most} open files");

    let mut found = walk(dir.path());
    let (mut entry, details) = find(&mut found, "a");
    details.open(&mut entry).unwrap();
    let deepest = found
        .iter()
        .rposition(|(entry, _)| entry.path.name() == b"z")
        .unwrap();
    drop(found.split_off(deepest + 1));
    let at = found
        .iter()
        .position(|(entry, _)| entry.path.name() == b"z")
        .unwrap();
    let (mut entry, details) = found.swap_remove(at);
    assert!(entry.path.as_bytes().len() > 18_000);
    let mut text = String::new();
    details
        .open(&mut entry)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "z299");
}

/// Walks without keeping entries, and returns the maximum number of files that this process had open.
fn max_open_during(mut source: LocalSource, check: impl Fn(usize)) -> usize {
    let (mut most, mut entries) = (0, 0);
    while let Some(item) = source.next() {
        assert!(matches!(item, SourceItem::Entry { .. }), "{item:?}");
        entries += 1;
        if entries % 16 == 0 {
            most = most.max(fs::read_dir("/proc/self/fd").unwrap().count());
        }
    }
    check(entries);
    most
}

#[test]
fn a_folder_with_many_files() {
    let dir = tempdir();
    let at = open_dir(dir.path());
    for number in 0..100_000 {
        let flags = OFlags::CREATE | OFlags::WRONLY;
        rustix::fs::openat(&at, format!("f{number}"), flags, Mode::RWXU).unwrap();
    }
    assert_eq!(walk(dir.path()).len(), 100_001);
}

#[test]
fn patterns_ignore_files_and_cache_tags_exclude_entries() {
    let dir = tempdir();
    let root = dir.path();
    for folder in ["src/deep", "target/x", "cache"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in [
        "src/a.o",
        "src/keep.o",
        "src/deep/b.log",
        "src/deep/c",
        "target/x/y",
        "cache/z",
    ] {
        fs::write(root.join(file), "").unwrap();
    }
    fs::write(root.join("src/.brignore"), "*.log\n/deep/c\n").unwrap();
    fs::write(root.join("src/deep/.brignore"), "!b.log\n").unwrap();
    fs::write(
        root.join("cache/CACHEDIR.TAG"),
        "Signature: 8a477f597d28d172789f06886806bc55\n",
    )
    .unwrap();
    let anchored = format!("{}/target", root.display());
    let excludes = Excludes::parse(["*.o", "!keep.o", anchored.as_str()]).unwrap();
    let all = options().with_excludes(excludes).with_exclude_caches(true);
    let found = walk_with(root, all);
    let expected = [
        "",
        "cache",
        "cache/CACHEDIR.TAG",
        "src",
        "src/.brignore",
        "src/deep",
    ];
    let more = ["src/deep/.brignore", "src/deep/b.log", "src/keep.o"];
    assert_eq!(names(root, &found), [&expected[..], &more].concat());

    let plain = options().with_ignore_files(Vec::new());
    assert_eq!(walk_with(root, plain).len(), 15);
}

#[test]
fn root_is_walked_even_if_a_pattern_matches_it() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("target")).unwrap();
    let excludes = Excludes::parse(["target", "/tmp"]).unwrap();
    let root = dir.path().join("target");
    assert_eq!(walk_with(&root, options().with_excludes(excludes)).len(), 1);
}

#[test]
fn another_file_system_is_excluded_unless_it_was_named() {
    let dir = tempdir();
    let inner = dir.path().join("mounted");
    fs::create_dir(&inner).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&inner)
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no right to mount");
        return;
    }
    fs::write(inner.join("file"), "").unwrap();
    let one = || options().with_one_file_system(true);
    let without = walk_with(dir.path(), one());
    let both = [dir.path().to_owned(), inner.clone()];
    let (with, _) = collect(LocalSource::new(&both, one()).unwrap());
    let all = walk(dir.path());
    assert!(
        Command::new("umount")
            .arg("-l")
            .arg(&inner)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(names(dir.path(), &without), ["", "mounted"]);
    assert_eq!(with.last().unwrap().0.path, stored(&inner.join("file")));
    assert_eq!(names(dir.path(), &all), ["", "mounted", "mounted/file"]);
}

#[test]
fn hard_links_share_a_group() {
    let dir = tempdir();
    fs::write(dir.path().join("b"), "").unwrap();
    fs::hard_link(dir.path().join("b"), dir.path().join("a")).unwrap();
    fs::hard_link(dir.path().join("b"), dir.path().join("c")).unwrap();
    fs::write(dir.path().join("d"), "").unwrap();
    let found = walk(dir.path());
    let first = blake3::hash(stored(&dir.path().join("a")).as_bytes());
    let group = u64::from_le_bytes(first.as_bytes()[..8].try_into().unwrap());
    let groups: Vec<_> = found.iter().map(|(entry, _)| entry.link_group).collect();
    assert_eq!(groups, [None, Some(group), Some(group), Some(group), None]);
}

#[test]
fn root_that_is_a_link_is_followed_and_reported() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("real")).unwrap();
    fs::write(dir.path().join("real/file"), "").unwrap();
    symlink("file", dir.path().join("real/inner")).unwrap();
    let link = dir.path().join("link");
    symlink("real", &link).unwrap();
    let source = LocalSource::new(std::slice::from_ref(&link), options()).unwrap();
    assert_eq!(source.symlinked_roots(), std::slice::from_ref(&link));
    let found = walk(&link);
    assert_eq!(names(&link, &found), ["", "file", "inner"]);
    assert_eq!(found[0].0.kind, EntryKind::Directory);
    assert!(matches!(found[2].0.kind, EntryKind::Symlink(_)));

    let file_link = dir.path().join("file-link");
    symlink("real/file", &file_link).unwrap();
    let (mut entry, details) = walk(&file_link).remove(0);
    assert!(matches!(entry.kind, EntryKind::File(_)));
    details.open(&mut entry).unwrap();
}

#[test]
fn overlapping_roots_are_walked_once_and_colliding_ones_refused() {
    let dir = tempdir();
    let root = dir.path();
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir(root.join("other")).unwrap();
    fs::write(root.join("a/b/file"), "").unwrap();
    symlink("other", root.join("a-link")).unwrap();
    symlink("../other", root.join("a/link")).unwrap();
    fs::write(root.join("other/x"), "").unwrap();
    let new = |paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
        LocalSource::new(&paths, options())
    };
    let once = collect(new(&["a", "a/b", "a", "./a/../a"]).unwrap()).0;
    let alone = collect(new(&["a"]).unwrap()).0;
    assert_eq!(once.len(), alone.len());
    let two = collect(new(&["other", "a/b"]).unwrap()).0;
    let below: Vec<_> = two.iter().map(|(entry, _)| entry.path.name()).collect();
    assert!(
        below.ends_with(&[b"a", b"b", b"file", b"other", b"x"]),
        "{below:?}"
    );
    assert!(matches!(
        new(&["a", "a/link/x"]),
        Err(SourceError::BehindLink { .. })
    ));
    assert!(matches!(new(&["missing"]), Err(SourceError::Path { .. })));
    assert!(matches!(new(&[]), Err(SourceError::NoPath)));

    let clash = [PathBuf::from("."), PathBuf::from("/etc")];
    assert!(matches!(
        LocalSource::new(&clash, options()),
        Err(SourceError::Conflict { .. })
    ));
    // The tests run in the crate's folder.
    let clash = [
        PathBuf::from("src"),
        PathBuf::from("../br-core"),
        PathBuf::from(".."),
    ];
    assert!(matches!(
        LocalSource::new(&clash, options()),
        Err(SourceError::Conflict { .. })
    ));
    let twice = [PathBuf::from("src"), PathBuf::from("../br-core/src")];
    assert!(LocalSource::new(&twice, options()).is_ok());
}

#[test]
fn the_current_folder_is_the_root_of_the_backup() {
    let (found, _) = collect(LocalSource::new(&[PathBuf::from("src/..")], options()).unwrap());
    assert!(found[0].0.path.is_root());
    let has = |path: &[u8]| found.iter().any(|(entry, _)| entry.path.as_bytes() == path);
    assert!(has(b"src") && has(b"src/source/mod.rs"));
    let (mut entry, mut details) = found.into_iter().next().unwrap();
    details.complete(&mut entry).unwrap();
}

#[test]
fn holes_are_not_read() {
    const MIB: u64 = 1 << 20;
    let dir = tempdir();
    let path = dir.path().join("sparse");
    let file = File::create(&path).unwrap();
    for (offset, byte) in [(0, b'a'), (300 * MIB, b'b'), (1023 * MIB, b'c')] {
        rustix::io::pwrite(&file, &vec![byte; MIB as usize], offset).unwrap();
    }
    file.sync_all().unwrap();
    if file.metadata().unwrap().blocks() * 512 > 10 * MIB {
        eprintln!("skipped: the file system has no holes");
        return;
    }
    let (mut entry, details) = find(&mut walk(dir.path()), "sparse");
    let mut reader = details.open(&mut entry).unwrap();
    let EntryKind::File(content) = &entry.kind else {
        panic!()
    };
    assert_eq!(content.size, 1024 * MIB);
    let hole = |from, to| Extent {
        offset: from * MIB,
        len: (to - from) * MIB,
    };
    assert_eq!(content.holes, [hole(1, 300), hole(301, 1023)]);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    let islands = [b'a', b'b', b'c']
        .map(|byte| vec![byte; MIB as usize])
        .concat();
    assert!(bytes == islands && reader.finish().unwrap());
}

#[test]
fn file_of_one_hole_has_no_data() {
    let dir = tempdir();
    File::create(dir.path().join("hole"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let (mut entry, details) = find(&mut walk(dir.path()), "hole");
    let mut bytes = Vec::new();
    details
        .open(&mut entry)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    let EntryKind::File(content) = &entry.kind else {
        panic!()
    };
    assert_eq!(
        (bytes.len(), content.holes.len(), content.data_len()),
        (0, 1, 0)
    );
}

#[test]
fn attributes_and_acls_are_read_sorted() {
    let dir = tempdir();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
    };
    // user::rw- user:1:r-- group::r-- mask::r-- other::---
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x01\0\0\0\x04\0\x04\0\xff\xff\
        \xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";
    let large = vec![7; 2_000];
    if set(&path, "user.z", &large).is_err() || set(&path, "user.a", b"").is_err() {
        eprintln!("skipped: no extended attributes here");
        return;
    }
    let has_acl = set(&path, "system.posix_acl_access", acl).is_ok();
    set(dir.path(), "user.folder", b"1").unwrap();
    let mut found = walk(dir.path());
    let (mut entry, details) = find(&mut found, "file");
    details.open(&mut entry).unwrap();
    let names: Vec<_> = entry.xattrs.iter().map(|x| x.name.as_slice()).collect();
    let expected: [&[u8]; 3] = [b"system.posix_acl_access", b"user.a", b"user.z"];
    assert_eq!(names, expected[usize::from(!has_acl)..]);
    assert_eq!(entry.xattrs.last().unwrap().value, large);

    let (mut folder, mut details) = found.remove(0);
    details.complete(&mut folder).unwrap();
    assert_eq!(folder.xattrs[0].name, b"user.folder");
    symlink("file", dir.path().join("link")).unwrap();
    let (mut link, mut details) = find(&mut walk(dir.path()), "link");
    let trusted = set(&dir.path().join("link"), "trusted.link", b"own").is_ok();
    details.complete(&mut link).unwrap();
    assert_eq!(link.xattrs.len(), usize::from(trusted), "{:?}", link.xattrs);
}

#[test]
fn times_before_1970_and_after_2038_are_read() {
    let dir = tempdir();
    for (name, secs) in [("before", -2_000_000_000), ("after", 5_000_000_000)] {
        let path = dir.path().join(name);
        fs::write(&path, "").unwrap();
        let time = rustix::fs::Timespec {
            tv_sec: secs,
            tv_nsec: 123_456_789,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(CWD, &path, &times, rustix::fs::AtFlags::empty()).unwrap();
        if fs::metadata(&path).unwrap().mtime() != secs {
            eprintln!("skipped: the file system cannot hold {secs}");
            continue;
        }
        let (entry, _) = find(&mut walk(dir.path()), name);
        assert_eq!(
            entry.mtime,
            FileTime {
                secs,
                nanos: 123_456_789
            }
        );
    }
}

#[test]
fn files_that_change_after_the_walk_are_reported() {
    let dir = tempdir();
    for name in [
        "grows", "shrinks", "touched", "same", "gone", "pipe", "link",
    ] {
        fs::write(dir.path().join(name), [b'x'; 1000]).unwrap();
    }
    let mut found = walk(dir.path());
    let append = |name: &str| {
        let mut file = File::options()
            .append(true)
            .open(dir.path().join(name))
            .unwrap();
        file.write_all(&[b'y'; 500]).unwrap();
    };
    let mut read = |name: &str, change: &dyn Fn()| {
        let (mut entry, details) = find(&mut found, name);
        let mut reader = details.open(&mut entry).unwrap();
        change();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        (entry.size(), bytes.len(), reader.finish().unwrap())
    };
    append("grows");
    assert_eq!(read("grows", &|| append("grows")), (1500, 1500, false));
    let shrink = || {
        File::options()
            .write(true)
            .open(dir.path().join("shrinks"))
            .unwrap()
    };
    assert_eq!(
        read("shrinks", &|| shrink().set_len(10).unwrap()),
        (1000, 10, false)
    );
    let touch = || fs::write(dir.path().join("touched"), [b'z'; 1000]).unwrap();
    assert_eq!(read("touched", &touch), (1000, 1000, false));
    assert_eq!(read("same", &|| {}), (1000, 1000, true));

    for name in ["gone", "pipe", "link"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    symlink("same", dir.path().join("link")).unwrap();
    for (name, reason) in [
        ("gone", "No such file"),
        ("pipe", "no longer"),
        ("link", "no longer"),
    ] {
        let (mut entry, details) = find(&mut found, name);
        let error = details.open(&mut entry).err().unwrap();
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
}

#[test]
fn entry_that_vanishes_during_the_walk_is_skipped() {
    let dir = tempdir();
    for name in ["a", "b", "c"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("file"), "").unwrap();
    }
    let mut source = LocalSource::new(&[dir.path().to_owned()], options()).unwrap();
    let mut seen = Vec::new();
    while let Some(item) = source.next() {
        let SourceItem::Entry { entry, .. } = item else {
            panic!("{item:?}")
        };
        if entry.path.name() == b"a" {
            fs::remove_dir_all(dir.path().join("a")).unwrap();
            fs::remove_dir_all(dir.path().join("b")).unwrap();
        }
        seen.push(entry.path);
    }
    let last = |name: &str| stored(&dir.path().join(name));
    assert!(seen.ends_with(&[stored(dir.path()), last("a"), last("c"), last("c/file")]));
}

#[test]
fn folder_without_read_permission_is_entry_and_unreadable() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let dir = tempdir();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o0)).unwrap();
    fs::set_permissions(dir.path().join("file"), PermissionsExt::from_mode(0o0)).unwrap();
    let source = LocalSource::new(&[dir.path().to_owned()], options()).unwrap();
    let (mut found, unreadable) = collect(source);
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(unreadable.len(), 1);
    assert_eq!(unreadable[0].0, stored(&closed));
    assert!(found.iter().any(|(entry, _)| entry.path == stored(&closed)));
    let (mut entry, details) = find(&mut found, "file");
    let error = details.open(&mut entry).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn folder_replaced_by_link_is_unreadable() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("folder")).unwrap();
    let mut source = LocalSource::new(&[dir.path().to_owned()], options()).unwrap();
    let mut unreadable = Vec::new();
    while let Some(item) = source.next() {
        match item {
            SourceItem::Entry { entry, .. } if entry.path.name() == b"folder" => {
                fs::remove_dir(dir.path().join("folder")).unwrap();
                symlink("/etc", dir.path().join("folder")).unwrap();
            }
            SourceItem::Entry { .. } => {}
            SourceItem::Unreadable { path, .. } => unreadable.push(path),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(unreadable, [stored(&dir.path().join("folder"))]);
}

/// What a source reports in addition to entries.
#[derive(Debug, Default)]
struct Told {
    names: Vec<String>,
    unreadable: Vec<String>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

fn told(paths: &[PathBuf], options: LocalSourceOptions) -> Told {
    let mut source = LocalSource::new(paths, options).unwrap();
    let mut told = Told::default();
    while let Some(item) = source.next() {
        match item {
            SourceItem::Entry { entry, .. } => {
                let name = String::from_utf8_lossy(entry.path.name()).into_owned();
                told.names.push(name);
            }
            SourceItem::Unreadable { path, error } => {
                told.unreadable.push(format!("{path}: {error}"));
            }
            SourceItem::Warning(warning) => told.warnings.push(warning.to_string()),
            SourceItem::Note(note) => told.notes.push(note.to_string()),
            other => panic!("{other:?}"),
        }
    }
    told
}

/// Symptom: with one mistyped path among several, br made no backup.
#[test]
fn a_missing_path_among_others_is_unreadable_and_the_others_are_walked() {
    let dir = tempdir();
    fs::create_dir(dir.path().join("there")).unwrap();
    fs::write(dir.path().join("there/file"), "").unwrap();
    let paths = ["nope", "there", "there/file/below"].map(|name| dir.path().join(name));
    let told = told(&paths, options());
    assert!(
        told.names
            .ends_with(&["there".to_owned(), "file".to_owned()])
    );
    assert_eq!(told.unreadable.len(), 2, "{:?}", told.unreadable);
    let missing = &told.unreadable[0];
    assert!(
        missing.contains("nope") && missing.contains("No such file"),
        "{missing}"
    );
    let all = ["nope", "neither"].map(|name| dir.path().join(name));
    let error = LocalSource::new(&all, options()).unwrap_err();
    assert!(matches!(error, SourceError::Path { .. }), "{error}");
    let empty = [dir.path().join("there"), PathBuf::new()];
    assert!(LocalSource::new(&empty, options()).is_err());
}

#[test]
fn relative_patterns_match_below_absolute_paths() {
    let dir = tempdir();
    for file in ["src/a/x", "src/b", "deep/src/a/y", "top", "deep/top"] {
        let at = dir.path().join(file);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, "").unwrap();
    }
    let walked = |patterns: &[&str]| {
        let excludes = Excludes::parse(patterns).unwrap();
        let options = options()
            .with_excludes(excludes)
            .with_folder(Some(dir.path().to_owned()));
        names(dir.path(), &walk_notes(dir.path(), options).0)
    };
    assert_eq!(
        walked(&["src/a"]),
        ["", "deep", "deep/src", "deep/top", "src", "src/b", "top"]
    );
    assert_eq!(
        walked(&["./top", "./src"]),
        [
            "",
            "deep",
            "deep/src",
            "deep/src/a",
            "deep/src/a/y",
            "deep/top"
        ]
    );
}

/// As [`walk_with`], with the notes.
fn walk_notes(root: &Path, options: LocalSourceOptions) -> (Found, Vec<String>) {
    let mut source = LocalSource::new(&[root.to_owned()], options).unwrap();
    let (mut found, mut notes) = (Found::new(), Vec::new());
    let root = stored(root);
    while let Some(item) = source.next() {
        match item {
            SourceItem::Entry { entry, details } if entry.path.is_within(&root) => {
                found.push((entry, details));
            }
            SourceItem::Entry { .. } => {}
            SourceItem::Note(note) => notes.push(note.to_string()),
            other => panic!("{other:?}"),
        }
    }
    (found, notes)
}

#[test]
fn a_pattern_that_matched_nothing_is_noted_at_the_end() {
    let dir = tempdir();
    fs::write(dir.path().join("a.o"), "").unwrap();
    let excludes = Excludes::parse(["*.o", "cache/", "!keep"]).unwrap();
    let (_, notes) = walk_notes(dir.path(), options().with_excludes(excludes));
    let expected = [
        "the pattern `cache/` excluded nothing",
        "the pattern `!keep` re-included nothing",
    ];
    assert_eq!(notes, expected);
}

/// Symptom: a backup lost the attributes of `chattr` without a message.
#[test]
fn attributes_of_chattr_are_reported_in_one_line() {
    let dir = tempdir();
    for name in ["a", "b", "c"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let chattr = |attribute: &str, name: &str| {
        let mut command = Command::new("chattr");
        command.arg(attribute).arg(dir.path().join(name));
        command.status().is_ok_and(|status| status.success())
    };
    let notes = || walk_notes(dir.path(), options()).1;
    assert_eq!(notes(), [""; 0]);
    if !chattr("+d", "b") {
        eprintln!("skipped: no chattr, or a file system without its attributes");
        return;
    }
    let b = stored(&dir.path().join("b"));
    let one = format!("{b} has attributes of chattr (+d), which a backup does not keep");
    assert_eq!(notes(), [one]);
    if !chattr("+i", "c") {
        eprintln!("skipped: only root sets the attribute +i");
        return;
    }
    let two = format!(
        "2 files and folders have attributes of chattr (+d, +i), which a backup does not keep; the first is {b}"
    );
    let told = notes();
    assert!(chattr("-i", "c"));
    assert_eq!(told, [two]);
}

/// Symptom: br cut an ignore file of more than 1 MiB in the middle of a line. So `/data/tmp` became `/data`, and the folder was missing
/// from the backup.
#[test]
fn ignore_file_is_used_completely_or_reported() {
    let dir = tempdir();
    let write = |path: &str, content: &[u8]| {
        let at = dir.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, content).unwrap();
    };
    let mut long = vec![b'#'; 1 << 20];
    long.splice((1 << 20) - 6.., *b"\n/data/tmp\n");
    write("long/.brignore", &long);
    write("long/data/file", b"");
    write("bad/.brignore", b"*.o\n[z\n");
    write("bad/x.o", b"");
    write("link/patterns", b"*");
    symlink("patterns", dir.path().join("link/.brignore")).unwrap();
    write("latin/.brignore", b"caf\xe9\n");
    fs::write(
        dir.path().join("latin").join(OsStr::from_bytes(b"caf\xe9")),
        "",
    )
    .unwrap();
    let told = told(&[dir.path().to_owned()], options());
    let has = |name: &str| told.names.iter().any(|other| other == name);
    assert!(
        has("data") && has("file") && has("patterns"),
        "{:?}",
        told.names
    );
    assert!(!has("x.o") && !told.names.iter().any(|name| name.starts_with("caf")));
    assert_eq!(told.unreadable.len(), 1, "{:?}", told.unreadable);
    assert!(told.unreadable[0].contains("long/.brignore: its patterns are not used"));
    assert_eq!(told.warnings.len(), 2, "{:?}", told.warnings);
    let warned = told.warnings.join("\n");
    assert!(
        warned.contains("line 2 of") && warned.contains("link/.brignore is not a regular file")
    );
}

/// The system lists at most 64 KiB of attribute names. Symptom: a file with more of them was missing from the backup.
#[test]
fn a_file_whose_attributes_cannot_be_listed_keeps_its_content() {
    let dir = tempdir();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(dir.path())
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no right to mount");
        return;
    }
    fs::write(dir.path().join("file"), "content").unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    for name in ["file", "folder"] {
        for number in 0..600 {
            let attribute = format!("trusted.{}{number}", "a".repeat(180));
            let path = dir.path().join(name);
            rustix::fs::setxattr(&path, &attribute, b"", XattrFlags::empty()).unwrap();
        }
    }
    let mut found = walk(dir.path());
    let (mut file, details) = find(&mut found, "file");
    let mut reader = details.open(&mut file).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let is_same = reader.finish().unwrap();
    let reason = reader.incomplete();
    drop(reader);
    let (mut folder, mut details) = find(&mut found, "folder");
    let completed = details.complete(&mut folder);
    let missing = details.incomplete();
    drop((details, found));
    let unmounted = Command::new("umount").arg("-l").arg(dir.path()).status();
    assert!(unmounted.unwrap().success());
    assert!(text == "content" && is_same);
    assert!(reason.unwrap().contains("cannot be listed"));
    completed.unwrap();
    assert!(missing.unwrap().contains("cannot be listed"));
}

/// Reads a file of the kernel. Returns the announced size, the bytes that were read, and whether the file changed.
fn read_whole(path: &str) -> (u64, Vec<u8>, bool, bool) {
    let paths = [PathBuf::from(path)];
    let (mut found, _) = collect(LocalSource::new(&paths, options()).unwrap());
    let (mut entry, details) = found.pop().unwrap();
    let mut reader = details.open(&mut entry).unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    let is_same = reader.finish().unwrap();
    (entry.size(), bytes, is_same, reader.is_size_reliable())
}

/// Symptom: br stored files of `/proc` as empty without a message, and reported files of `/sys` as changed.
#[test]
fn files_of_the_kernel_are_read_completely_for_any_announced_size() {
    let (size, bytes, is_same, is_reliable) = read_whole("/proc/version");
    assert_eq!(bytes, fs::read("/proc/version").unwrap());
    assert!(size == 0 && !bytes.is_empty() && is_same && !is_reliable);
    let sys = "/sys/kernel/mm/transparent_hugepage/enabled";
    if !Path::new(sys).exists() {
        eprintln!("skipped: no {sys}");
        return;
    }
    let (size, bytes, is_same, is_reliable) = read_whole(sys);
    assert_eq!(bytes, fs::read(sys).unwrap());
    assert!(size == 4096 && bytes.len() < 4096);
    assert_eq!((is_same, is_reliable), (true, false));
    let dir = tempdir();
    let at = dir.path().join("empty");
    fs::write(&at, "").unwrap();
    let (size, bytes, is_same, is_reliable) = read_whole(at.to_str().unwrap());
    assert!(size == 0 && bytes.is_empty() && is_same && is_reliable);
}
