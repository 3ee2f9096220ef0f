//! Tests of the local target: entries are written exactly, and nothing is written outside of its folder.

#![expect(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use br_core::model::{Device, Entry, EntryKind, EntryPath, FileContent, FileTime, Owner, Xattr};
use br_core::source::{LocalSource, LocalSourceOptions, Source, SourceItem};
use br_core::target::{Cursor, LocalTarget, MetadataOptions, Refused, TargetError};
use rustix::fs::{CWD, Mode, OFlags, XattrFlags};

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

fn entry(at: &str, kind: EntryKind) -> Entry {
    Entry {
        path: path(at),
        kind,
        mode: 0o640,
        owner: Arc::new(Owner {
            uid: if is_root() {
                12_345
            } else {
                rustix::process::geteuid().as_raw()
            },
            gid: if is_root() {
                54_321
            } else {
                rustix::process::getegid().as_raw()
            },
            ..Owner::default()
        }),
        mtime: FileTime {
            secs: 1_234_567_890,
            nanos: 987_654_321,
        },
        ctime: FileTime::default(),
        inode: 0,
        xattrs: Vec::new(),
        link_group: None,
    }
}

fn file(at: &str) -> Entry {
    entry(at, EntryKind::File(FileContent::default()))
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr {
        name: name.into(),
        value: value.into(),
    }
}

/// As the engine does: only root sets owners.
fn options() -> MetadataOptions {
    MetadataOptions::default().with_owner(is_root())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

struct Fixture {
    dir: tempfile::TempDir,
    target: LocalTarget,
    cursor: Cursor,
}

/// A target, and a folder next to it that must stay unchanged.
fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/file"), "precious").unwrap();
    let target = LocalTarget::open(&dir.path().join("t"), true)
        .unwrap()
        .with_seed(7);
    let cursor = target.cursor();
    Fixture {
        dir,
        target,
        cursor,
    }
}

impl Fixture {
    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("t").join(path)
    }

    fn names(&self, path: &str) -> Vec<String> {
        let names = fs::read_dir(self.at(path))
            .unwrap()
            .map(|item| item.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn assert_outside_untouched(&self) {
        let outside = self.dir.path().join("outside");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"precious");
        assert_eq!(
            fs::metadata(outside.join("file")).unwrap().mode() & 0o7777,
            0o644
        );
    }
}

fn assert_metadata(at: &Path, entry: &Entry) {
    let meta = fs::symlink_metadata(at).unwrap();
    if !meta.is_symlink() {
        assert_eq!(meta.mode() & 0o7777, entry.mode, "{}", at.display());
    }
    let mtime = (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap());
    assert_eq!(
        mtime,
        (entry.mtime.secs, entry.mtime.nanos),
        "{}",
        at.display()
    );
    if is_root() {
        assert_eq!((meta.uid(), meta.gid()), (entry.owner.uid, entry.owner.gid));
    }
}

fn get_xattr(at: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let len = rustix::fs::lgetxattr(at, name, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

const ACL: &[u8] =
    b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\x01\0\0\0\x04\0\x04\0\xff\xff\
    \xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";

#[test]
fn each_kind_is_written_with_exact_metadata() {
    let mut t = fixture();
    assert!(t.cursor.make_dir(&path("d")).unwrap());
    let small = Entry {
        mode: 0o4755,
        ..file("d/small")
    };
    assert!(
        t.cursor
            .write_small(&small, b"text", &options())
            .unwrap()
            .is_empty()
    );
    let new = t.cursor.create_file(&path("d/large")).unwrap();
    new.write_at(1 << 20, b"end").unwrap();
    new.write_at(0, b"begin").unwrap();
    new.set_len(2 << 20).unwrap();
    let large = Entry {
        mode: 0o400,
        ..file("d/large")
    };
    new.finish(&large, &options()).unwrap();
    let link = entry("d/link", EntryKind::Symlink(b"/no/where"[..].into()));
    let fifo = Entry {
        mode: 0o4666,
        ..entry("d/fifo", EntryKind::Fifo)
    };
    let socket = entry("d/socket", EntryKind::Socket);
    for special in [&link, &fifo, &socket] {
        let warnings = t.cursor.make_special(special, &options()).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    let folder = Entry {
        mode: 0o2710,
        ..entry("d", EntryKind::Directory)
    };
    t.cursor.set_metadata(&folder, &options()).unwrap();

    for made in [&small, &large, &link, &fifo, &socket, &folder] {
        let at = t.at(&made.path.to_string());
        assert_metadata(&at, made);
    }
    assert_eq!(fs::read(t.at("d/small")).unwrap(), b"text");
    let bytes = fs::read(t.at("d/large")).unwrap();
    assert!(bytes.len() == 2 << 20 && bytes.starts_with(b"begin"));
    assert_eq!(&bytes[1 << 20..(1 << 20) + 4], b"end\0");
    assert_eq!(
        fs::read_link(t.at("d/link")).unwrap(),
        Path::new("/no/where")
    );
    assert!(fs::metadata(t.at("d/fifo")).unwrap().file_type().is_fifo());
    assert!(
        fs::metadata(t.at("d/socket"))
            .unwrap()
            .file_type()
            .is_socket()
    );
    assert_eq!(t.names("d"), ["fifo", "large", "link", "small", "socket"]);

    let found = t.cursor.inspect(&path("d/link")).unwrap().unwrap();
    assert_eq!((found.kind, found.mtime), (link.kind, link.mtime));
    let found = t.cursor.inspect(&path("d/large")).unwrap().unwrap();
    assert_eq!((found.size(), found.mode, found.links), (2 << 20, 0o400, 1));
    for missing in ["d/none", "none/none", "d/small/x", "d/link/x"] {
        assert_eq!(t.cursor.inspect(&path(missing)).unwrap(), None, "{missing}");
    }
    assert!(t.cursor.inspect(&EntryPath::root()).unwrap().is_some());
}

#[test]
fn devices_are_created_with_their_numbers() {
    let mut t = fixture();
    let device = Device { major: 1, minor: 3 };
    let null = Entry {
        mode: 0o666,
        ..entry("null", EntryKind::CharDevice(device))
    };
    let block = Device {
        major: 250,
        minor: 70_000,
    };
    let block = entry("block", EntryKind::BlockDevice(block));
    for entry in [&null, &block] {
        match t.cursor.make_special(entry, &options()) {
            Err(TargetError::Entry { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                eprintln!("skipped: no right to make devices");
                return;
            }
            made => assert!(made.unwrap().is_empty()),
        }
        assert_metadata(&t.at(&entry.path.to_string()), entry);
        assert_eq!(
            t.cursor.inspect(&entry.path).unwrap().unwrap().kind,
            entry.kind
        );
    }
}

#[test]
fn entries_of_a_source_are_written_unchanged() {
    let mut t = fixture();
    let name = |bytes: &[u8]| EntryPath::new(bytes).unwrap();
    for bytes in [b"\xff\n".as_slice(), &[b'n'; 255]] {
        let odd = Entry {
            path: name(bytes),
            ..file("x")
        };
        t.cursor.write_small(&odd, bytes, &options()).unwrap();
    }
    let mut with_xattrs = file("xattrs");
    with_xattrs.xattrs = vec![xattr("user.a", b"1"), xattr("user.b", &[9; 700])];
    let warnings = t.cursor.write_small(&with_xattrs, b"", &options()).unwrap();
    let root = t.at("");
    let mut source = LocalSource::new(&[root], LocalSourceOptions::default()).unwrap();
    let mut seen = 0;
    while let Some(SourceItem::Entry { mut entry, details }) = source.next() {
        if !matches!(entry.kind, EntryKind::File(_)) {
            continue;
        }
        drop(details.open(&mut entry).unwrap());
        assert_eq!(
            (entry.mode, entry.mtime),
            (with_xattrs.mode, with_xattrs.mtime)
        );
        if entry.path.name() == b"xattrs" && warnings.is_empty() {
            assert_eq!(entry.xattrs, with_xattrs.xattrs);
        }
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn acls_and_modes_are_set_as_stored() {
    let mut t = fixture();
    let root = t.at("");
    // New entries must not inherit a default ACL of the target's folder.
    let set = |at: &Path, name| rustix::fs::setxattr(at, name, ACL, XattrFlags::empty());
    if set(&root, "system.posix_acl_default").is_err() {
        eprintln!("skipped: no ACLs here");
        return;
    }
    t.cursor.make_dir(&path("d")).unwrap();
    t.cursor
        .write_small(
            &Entry {
                mode: 0o666,
                ..file("plain")
            },
            b"",
            &options(),
        )
        .unwrap();
    t.cursor
        .write_small(
            &Entry {
                mode: 0o606,
                ..file("d/plain")
            },
            b"",
            &options(),
        )
        .unwrap();
    let mut with_acl = Entry {
        mode: 0o4640,
        ..file("d/acl")
    };
    with_acl.xattrs = vec![xattr("system.posix_acl_access", ACL)];
    assert!(
        t.cursor
            .write_small(&with_acl, b"", &options())
            .unwrap()
            .is_empty()
    );
    let fifo = Entry {
        mode: 0o606,
        ..entry("d/fifo", EntryKind::Fifo)
    };
    t.cursor.make_special(&fifo, &options()).unwrap();
    let folder = Entry {
        mode: 0o750,
        ..entry("d", EntryKind::Directory)
    };
    t.cursor.set_metadata(&folder, &options()).unwrap();

    assert_metadata(
        &t.at("plain"),
        &Entry {
            mode: 0o666,
            ..file("plain")
        },
    );
    assert_metadata(
        &t.at("d/plain"),
        &Entry {
            mode: 0o606,
            ..file("d/plain")
        },
    );
    assert_metadata(&t.at("d/acl"), &with_acl);
    assert_metadata(&t.at("d/fifo"), &fifo);
    assert_metadata(&t.at("d"), &folder);
    for plain in ["plain", "d/plain", "d/fifo", "d"] {
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            assert_eq!(get_xattr(&t.at(plain), name), None, "{plain} {name}");
        }
    }
    assert_eq!(
        get_xattr(&t.at("d/acl"), "system.posix_acl_access").as_deref(),
        Some(ACL)
    );
}

#[test]
fn metadata_of_existing_entries_is_corrected() {
    let mut t = fixture();
    fs::write(t.at("file"), "same").unwrap();
    fs::create_dir(t.at("dir")).unwrap();
    symlink("x", t.at("link")).unwrap();
    let has_xattrs = ["file", "dir"].iter().all(|name| {
        rustix::fs::setxattr(t.at(name), "user.old", b"1", XattrFlags::empty()).is_ok()
    });
    let mut wanted = Entry {
        mode: 0o2470,
        ..file("file")
    };
    wanted.xattrs = vec![xattr("user.new", b"2")];
    let folder = Entry {
        mode: 0o1500,
        ..entry("dir", EntryKind::Directory)
    };
    let link = entry("link", EntryKind::Symlink(b"x"[..].into()));
    let root = Entry {
        path: EntryPath::root(),
        ..folder.clone()
    };
    for entry in [&wanted, &folder, &link, &root] {
        t.cursor.set_metadata(entry, &options()).unwrap();
    }
    assert_metadata(&t.at("file"), &wanted);
    assert_metadata(&t.at("dir"), &folder);
    assert_metadata(&t.at("link"), &link);
    assert_metadata(&t.at(""), &folder);
    assert_eq!(get_xattr(&t.at("file"), "user.old"), None);
    assert_eq!(get_xattr(&t.at("dir"), "user.old"), None);
    assert_eq!(get_xattr(&t.at("file"), "user.new").is_some(), has_xattrs);
    // Without the right to read the file, the target changes it through its name.
    let blind = Entry {
        mode: 0o200,
        ..wanted.clone()
    };
    t.cursor.set_metadata(&blind, &options()).unwrap();
    t.cursor.set_metadata(&wanted, &options()).unwrap();
    assert_metadata(&t.at("file"), &wanted);

    let error = t.cursor.set_metadata(
        &Entry {
            kind: EntryKind::Fifo,
            ..wanted
        },
        &options(),
    );
    assert!(error.is_err());
    fs::set_permissions(t.at(""), PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn refused_attributes_give_warnings() {
    let mut t = fixture();
    let mut odd = file("odd");
    odd.xattrs = vec![xattr("unknown.namespace", b"")];
    let warnings = t.cursor.write_small(&odd, b"x", &options()).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].refused,
        Refused::Attribute(b"unknown.namespace".to_vec())
    );
    let text = warnings[0].to_string();
    assert_eq!(
        text,
        "cannot set the attribute `unknown.namespace` of `odd`"
    );
    assert_metadata(&t.at("odd"), &odd);
}

#[test]
fn set_user_id_bit_is_not_set_if_the_owner_is_refused() {
    let mut t = fixture();
    let mut setuid = Entry {
        mode: 0o6755,
        ..file("setuid")
    };
    setuid.owner = Arc::new(Owner {
        uid: 12_345,
        gid: 54_321,
        ..Owner::default()
    });
    // Root may set any owner, but does not if the options say so.
    let owner = MetadataOptions::default().with_owner(!is_root());
    let warnings = t.cursor.write_small(&setuid, b"", &owner).unwrap();
    let refused: Vec<_> = warnings.iter().map(|warning| &warning.refused).collect();
    if is_root() {
        assert_eq!(refused, [&Refused::SetId]);
    } else {
        assert_eq!(refused, [&Refused::Owner, &Refused::SetId]);
    }
    let mode = fs::metadata(t.at("setuid")).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o755);
}

#[test]
fn planted_links_are_not_followed() {
    let mut t = fixture();
    let outside = t.dir.path().join("outside");
    for name in ["dir", "deep", "unmade", "listed"] {
        symlink(&outside, t.at(name)).unwrap();
    }
    for name in ["file", "shared", "special"] {
        symlink(outside.join("file"), t.at(name)).unwrap();
    }
    assert!(
        t.cursor
            .write_small(&file("unmade/file"), b"evil", &options())
            .is_err()
    );
    assert!(t.cursor.create_file(&path("unmade/new")).is_err());
    assert!(t.cursor.list(&path("listed")).is_err());
    assert!(
        t.cursor
            .hard_link(&path("unmade/file"), &path("stolen"))
            .is_err()
    );
    assert!(t.cursor.set_metadata(&file("file"), &options()).is_err());
    assert!(
        t.cursor
            .set_metadata(&entry("dir", EntryKind::Directory), &options())
            .is_err()
    );
    t.cursor.remove_tree(&path("unmade/file")).unwrap();
    t.assert_outside_untouched();

    assert!(t.cursor.make_dir(&path("deep/a/b")).is_err());
    assert!(fs::symlink_metadata(t.at("deep")).unwrap().is_symlink());
    assert!(t.cursor.make_dir(&path("dir")).unwrap());
    t.cursor
        .write_small(&file("dir/file"), b"good", &options())
        .unwrap();
    t.cursor
        .write_small(&file("file"), b"good", &options())
        .unwrap();
    let shared = t.cursor.create_shared(&path("shared")).unwrap();
    shared.write_at(0, b"good").unwrap();
    shared.finish(&file("shared"), &options()).unwrap();
    t.cursor
        .make_special(&entry("special", EntryKind::Fifo), &options())
        .unwrap();
    t.cursor.remove_tree(&path("unmade")).unwrap();
    t.assert_outside_untouched();
    for name in ["dir", "dir/file", "file", "shared", "special"] {
        assert!(
            !fs::symlink_metadata(t.at(name)).unwrap().is_symlink(),
            "{name}"
        );
    }
    assert!(fs::symlink_metadata(t.at("unmade")).is_err());
    assert_metadata(&t.at("file"), &file("file"));
}

#[test]
fn link_that_replaces_a_folder_meanwhile_is_not_followed() {
    let mut t = fixture();
    t.cursor.make_dir(&path("d/e")).unwrap();
    let shared = t.cursor.create_shared(&path("d/e/shared")).unwrap();
    let mut others = Vec::new();
    for number in 0..100 {
        others.push(
            t.cursor
                .create_shared(&path(&format!("d/e/{number}")))
                .unwrap(),
        );
    }
    t.cursor.inspect(&EntryPath::root()).unwrap();
    fs::rename(t.at("d/e"), t.at("moved")).unwrap();
    symlink(t.dir.path().join("outside"), t.at("d/e")).unwrap();
    assert!(shared.write_at(0, b"evil").is_err());
    assert!(
        t.cursor
            .write_small(&file("d/e/file"), b"evil", &options())
            .is_err()
    );
    drop((shared, others));
    t.assert_outside_untouched();
}

#[test]
fn target_that_is_a_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for name in ["link", "link/", "dangling"] {
        let error = LocalTarget::open(&dir.path().join(name), true).unwrap_err();
        assert!(
            matches!(error, TargetError::RootIsLink(_)),
            "{name}: {error:?}"
        );
    }
    let error = LocalTarget::open(&dir.path().join("file"), true).unwrap_err();
    assert!(matches!(error, TargetError::RootIsNoFolder(_)));
    let missing = dir.path().join("a/b");
    assert!(matches!(
        LocalTarget::open(&missing, false),
        Err(TargetError::Root { .. })
    ));
    assert!(LocalTarget::open(&missing, true).is_ok() && missing.is_dir());
}

#[test]
fn obstacles_are_replaced_unless_they_are_full_folders() {
    let mut t = fixture();
    fs::write(t.at("folder"), "a file").unwrap();
    fs::create_dir(t.at("empty")).unwrap();
    fs::create_dir(t.at("full")).unwrap();
    fs::write(t.at("full/x"), "").unwrap();
    assert!(t.cursor.make_dir(&path("folder/sub")).is_err());
    assert!(t.cursor.make_dir(&path("folder")).unwrap());
    assert!(!t.cursor.make_dir(&path("folder")).unwrap());
    t.cursor
        .write_small(&file("empty"), b"now a file", &options())
        .unwrap();
    assert_eq!(fs::read(t.at("empty")).unwrap(), b"now a file");
    let error = t
        .cursor
        .write_small(&file("full"), b"", &options())
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot write the file `full`");
    let TargetError::Entry { source, .. } = error else {
        panic!()
    };
    assert_eq!(source.kind(), std::io::ErrorKind::DirectoryNotEmpty);
    assert_eq!(t.names(""), ["empty", "folder", "full"]);
    assert!(t.cursor.write_small(&file(""), b"", &options()).is_err());
}

#[test]
fn unfinished_files_are_removed() {
    let mut t = fixture();
    let new = t.cursor.create_file(&path("new")).unwrap();
    new.write_at(0, b"half").unwrap();
    let shared = t.cursor.create_shared(&path("shared")).unwrap();
    shared.write_at(5, b"half").unwrap();
    let names = t.names("");
    assert!(
        names.len() == 2 && names.iter().all(|name| name.starts_with(".br-")),
        "{names:?}"
    );
    drop((new, shared));
    assert!(t.names("").is_empty());
}

#[test]
fn taken_temporary_name_is_skipped() {
    let mut t = fixture();
    let outside = t.dir.path().join("outside/file");
    symlink(&outside, t.at(".br-0000000000000007")).unwrap();
    t.cursor
        .write_small(&file("x"), b"good", &options())
        .unwrap();
    assert_eq!(t.names(""), [".br-0000000000000007", "x"]);
    t.assert_outside_untouched();
}

#[test]
fn several_threads_write_thousands_of_shared_files() {
    let mut t = fixture();
    t.cursor.make_dir(&path("d")).unwrap();
    let open_before = fs::read_dir("/proc/self/fd").unwrap().count();
    let files: Vec<_> = (0..2_000)
        .map(|number| {
            t.cursor
                .create_shared(&path(&format!("d/{number}")))
                .unwrap()
        })
        .collect();
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < open_before + 200, "{open}");
    std::thread::scope(|scope| {
        for part in 0..4_u64 {
            let files = &files;
            scope.spawn(move || {
                for file in files {
                    file.write_at(part * 3, &[b'a' + part as u8; 3]).unwrap();
                }
            });
        }
    });
    for (number, shared) in files.iter().enumerate() {
        let entry = file(&format!("d/{number}"));
        shared.finish(&entry, &options()).unwrap();
        assert!(shared.finish(&entry, &options()).is_err());
    }
    drop(files);
    assert_eq!(t.names("d").len(), 2_000);
    assert_eq!(fs::read(t.at("d/1999")).unwrap(), b"aaabbbcccddd");
    assert_metadata(&t.at("d/0"), &file("d/0"));
}

#[test]
fn hard_links_share_an_inode() {
    let mut t = fixture();
    t.cursor.make_dir(&path("d")).unwrap();
    t.cursor
        .write_small(&file("first"), b"x", &options())
        .unwrap();
    fs::write(t.at("d/second"), "old").unwrap();
    for _ in 0..2 {
        t.cursor
            .hard_link(&path("first"), &path("d/second"))
            .unwrap();
        assert_eq!(t.names("d"), ["second"]);
    }
    let inode = |name| fs::metadata(t.at(name)).unwrap().ino();
    assert_eq!(inode("first"), inode("d/second"));
    assert_metadata(&t.at("d/second"), &file("d/second"));
}

#[test]
fn paths_above_path_max_are_restored() {
    let mut t = fixture();
    let part = "p".repeat(200);
    let long = vec![part.as_str(); 100].join("/");
    assert!(t.cursor.make_dir(&path(&long)).unwrap());
    let at = format!("{long}/file");
    let mut fresh = t.target.cursor();
    fresh.write_small(&file(&at), b"deep", &options()).unwrap();
    assert_eq!(
        fresh.inspect(&path(&at)).unwrap().unwrap().mtime,
        file(&at).mtime
    );
    let shared = fresh
        .create_shared(&path(&format!("{long}/shared")))
        .unwrap();
    shared.finish(&file(&at), &options()).unwrap();
    assert_eq!(
        fresh.list(&path(&long)).unwrap(),
        [b"file".to_vec(), b"shared".to_vec()]
    );
    let folder = Entry {
        mode: 0o750,
        ..entry(&long, EntryKind::Directory)
    };
    fresh.set_metadata(&folder, &options()).unwrap();
    fresh.remove_tree(&path(&part)).unwrap();
    assert!(t.names("").is_empty());
}

#[test]
fn deleting_follows_no_link_and_no_mount() {
    let mut t = fixture();
    fs::create_dir_all(t.at("tree/a/b")).unwrap();
    fs::write(t.at("tree/a/file"), "").unwrap();
    symlink(t.dir.path().join("outside"), t.at("tree/a/link")).unwrap();
    let mut at: OwnedFd =
        rustix::fs::openat(CWD, t.at("tree"), OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..200 {
        for name in ["1", "deep", "2"] {
            rustix::fs::mkdirat(&at, name, Mode::RWXU).unwrap();
        }
        at = rustix::fs::openat(&at, "deep", OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    // A cursor notices that a folder it has used no longer exists.
    let mut other = t.target.cursor();
    other.inspect(&path("tree/a/file")).unwrap();
    t.cursor.remove_tree(&path("tree")).unwrap();
    t.cursor.remove_tree(&path("tree")).unwrap();
    assert!(t.names("").is_empty());
    t.assert_outside_untouched();
    t.cursor.make_dir(&path("tree/a")).unwrap();
    other
        .write_small(&file("tree/a/file"), b"", &options())
        .unwrap();
    assert!(t.cursor.remove_tree(&EntryPath::root()).is_err());

    let inner = t.at("tree/mounted");
    fs::create_dir(&inner).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&inner)
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no right to mount");
        return;
    }
    fs::write(inner.join("kept"), "").unwrap();
    let removed = t.cursor.remove_tree(&path("tree"));
    let kept = inner.join("kept").exists();
    assert!(
        Command::new("umount")
            .arg("-l")
            .arg(&inner)
            .status()
            .unwrap()
            .success()
    );
    assert!(removed.is_err() && kept);
}

#[test]
fn times_before_1970_and_after_2038_are_set() {
    let mut t = fixture();
    for secs in [-2_000_000_000, 5_000_000_000] {
        let far = Entry {
            mtime: FileTime {
                secs,
                nanos: 999_999_999,
            },
            ..file("far")
        };
        t.cursor.write_small(&far, b"", &options()).unwrap();
        if fs::metadata(t.at("far")).unwrap().mtime() == secs {
            assert_metadata(&t.at("far"), &far);
        } else {
            eprintln!("skipped: the file system cannot hold {secs}");
        }
    }
}

#[test]
fn messages_escape_control_characters_in_names() {
    let mut t = fixture();
    let odd = EntryPath::new(b"no\n/such".as_slice()).unwrap();
    let error = t.cursor.create_file(&odd).unwrap_err();
    assert_eq!(error.to_string(), "cannot make the file `no\\x0a/such`");
}

#[test]
fn only_links_that_existed_before_are_followed() {
    let t = fixture();
    let outside = t.dir.path().join("outside");
    fs::create_dir_all(t.at("real/deep")).unwrap();
    fs::create_dir_all(t.at("usr/lib")).unwrap();
    symlink("real", t.at("link")).unwrap();
    symlink("/usr/lib", t.at("from the top")).unwrap();
    symlink(&outside, t.at("out")).unwrap();
    symlink("../outside", t.at("up")).unwrap();
    symlink("../usr", t.at("real/deep/up")).unwrap();
    symlink("real/none", t.at("dangling")).unwrap();
    let mut target = LocalTarget::open(&t.at(""), false).unwrap();
    for (at, is_followed) in [
        ("link", true),
        ("link/deep/up", false),
        ("from the top", true),
        ("out", false),
        ("up", false),
        ("dangling", false),
        ("real", false),
        ("none", false),
    ] {
        assert_eq!(target.follow(&path(at)).unwrap(), is_followed, "{at}");
        assert_eq!(target.follows(&path(at)), is_followed, "{at}");
    }
    let real = t.at("").canonicalize().unwrap();
    let place = |at| target.real_path(&path(at)).unwrap();
    assert_eq!(place("link/deep/x"), real.join("real/deep/x"));
    assert_eq!(place("linked/x"), real.join("linked/x"));
    let mut cursor = target.cursor();
    cursor.inspect(&path("real")).unwrap();
    cursor.make_dir(&path("link/new/folder")).unwrap();
    cursor
        .write_small(&file("link/new/file"), b"good", &options())
        .unwrap();
    cursor
        .write_small(&file("from the top/file"), b"good", &options())
        .unwrap();
    assert_eq!(fs::read(t.at("real/new/file")).unwrap(), b"good");
    assert_eq!(fs::read(t.at("usr/lib/file")).unwrap(), b"good");
    let folder = Entry {
        mode: 0o751,
        ..entry("link", EntryKind::Directory)
    };
    cursor.set_metadata(&folder, &options()).unwrap();
    assert_metadata(&t.at("real"), &folder);
    // A link that the restore makes is not followed.
    let planted = entry(
        "planted",
        EntryKind::Symlink(outside.as_os_str().as_encoded_bytes().into()),
    );
    cursor.make_special(&planted, &options()).unwrap();
    assert!(cursor.make_dir(&path("planted/x")).is_err());
    assert!(
        cursor
            .write_small(&file("planted/file"), b"evil", &options())
            .is_err()
    );
    assert!(
        cursor
            .write_small(&file("out/file"), b"evil", &options())
            .is_err()
    );
    t.assert_outside_untouched();
}

#[test]
fn unfinished_files_of_killed_restore_are_removed_and_of_running_one_kept() {
    let t = fixture();
    fs::create_dir(t.at("d")).unwrap();
    let root = [EntryPath::root()];
    let living = t.target.clone().with_seed(0x1234_5678_0000_0000);
    assert_eq!(living.begin(&root), 0);
    let mut cursor = living.cursor();
    let unfinished = cursor.create_file(&path("d/file")).unwrap();
    assert_eq!(t.names("d"), [".br-1234567800000000"]);
    fs::write(t.at(".br-aaaabbbb-restore"), "d\0d\0none\0../outside\0").unwrap();
    for name in [
        "d/.br-aaaabbbb00000001",
        "d/.br-aaaabbbb0000000",
        "d/.br-aaaabbbc00000001",
        ".br-aaaabbbb00000002",
    ] {
        fs::write(t.at(name), "").unwrap();
    }
    symlink("d", t.at(".br-bbbbbbbb-restore")).unwrap();

    let next = LocalTarget::open(&t.at(""), false).unwrap();
    assert_eq!(next.begin(&root), 1);
    next.end();
    assert_eq!(
        t.names("d"),
        [
            ".br-1234567800000000",
            ".br-aaaabbbb0000000",
            ".br-aaaabbbc00000001"
        ]
    );
    unfinished.finish(&file("d/file"), &options()).unwrap();
    living.end();
    assert_eq!(
        t.names(""),
        [
            ".br-aaaabbbb-restore",
            ".br-aaaabbbb00000002",
            ".br-bbbbbbbb-restore",
            "d"
        ],
        "a record that names something else stays"
    );
    t.assert_outside_untouched();
}
