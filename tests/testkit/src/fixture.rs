//! Real trees to back up.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use tempfile::TempDir;

use crate::runtime::noise;

/// A separate folder with room for a tree, a repository and restores; removed at the end.
#[derive(Debug)]
pub struct TreeFixture {
    dir: TempDir,
}

impl Default for TreeFixture {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TreeFixture {
    fn drop(&mut self) {
        // Only root can remove the content of a read-only folder.
        if !crate::is_root() {
            let mut chmod = std::process::Command::new("chmod");
            let _ = chmod.args(["-R", "u+rwx"]).arg(self.dir.path()).status();
        }
    }
}

impl TreeFixture {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        Self { dir }
    }

    /// A small tree with every kind of entry.
    #[must_use]
    pub fn rich() -> Self {
        let fixture = Self::new();
        fixture.plain();
        fixture.odd();
        fixture.settle();
        fixture
    }

    /// The folder of the tree.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.at("tree")
    }

    /// A path next to the tree.
    #[must_use]
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the tree, and its parent folders.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let at = self.tree().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, content).unwrap();
    }

    /// Waits until time stamps are old enough for a backup to trust them.
    pub fn settle(&self) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }

    fn plain(&self) {
        self.write("empty", "");
        self.write("one byte", "x");
        self.write("inline", [7; 512]);
        self.write("just a chunk", noise(1, 513));
        self.write("small", noise(2, 131_072));
        self.write("cut", noise(3, 131_073));
        self.write("folder/large", noise(4, 3_000_000));
        self.write("folder/zeros", vec![0; 1_000_000]);
        self.write("folder/same as large", noise(4, 3_000_000));
        self.write("folder/deeper/and deeper/text", "text\n".repeat(50_000));
        self.write("folder-next", "sorts after what is in `folder`");
        fs::create_dir(self.tree().join("an empty folder")).unwrap();
        for number in 0..300 {
            self.write(&format!("many/{number:03}"), format!("content {number}"));
        }
        let mode = |path: &str, mode| {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(self.tree().join(path), permissions).unwrap();
        };
        mode("one byte", 0o4750);
        mode("inline", 0o400);
        mode("many", 0o1777);
        mode("an empty folder", 0o2711);
        mode("folder/deeper", 0o500);
    }

    fn odd(&self) {
        let tree = self.tree();
        symlink("one byte", tree.join("link")).unwrap();
        symlink("/no/where", tree.join("broken link")).unwrap();
        symlink(OsStr::from_bytes(b"\xff\xfe\n"), tree.join("odd link")).unwrap();
        symlink("folder", tree.join("link to folder")).unwrap();
        fs::hard_link(tree.join("small"), tree.join("folder/hard")).unwrap();
        fs::hard_link(tree.join("small"), tree.join("zz hard")).unwrap();
        fs::hard_link(tree.join("one byte"), tree.join("hard and short")).unwrap();
        for name in [
            &b"not utf-8 \xff\xc3"[..],
            b"a\nnew line",
            "\u{fc}n\u{ef}c\u{f6}d\u{e9}".as_bytes(),
            &[b'n'; 255],
        ] {
            fs::write(tree.join(OsStr::from_bytes(name)), name).unwrap();
        }
        let pipe = tree.join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        drop(std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap());
        if crate::is_root() {
            let device = rustix::fs::makedev(1, 3);
            let kind = FileType::CharacterDevice;
            // Not allowed in every container.
            let _ = rustix::fs::mknodat(CWD, tree.join("null"), kind, Mode::RUSR, device);
            std::os::unix::fs::lchown(tree.join("empty"), Some(12_345), Some(54_321)).unwrap();
            std::os::unix::fs::lchown(tree.join("link"), Some(1), Some(2)).unwrap();
        }
        let sparse = File::create(tree.join("sparse")).unwrap();
        sparse.set_len(10 << 20).unwrap();
        sparse.write_all_at(b"in the middle", 5 << 20).unwrap();
        File::create(tree.join("all hole"))
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        for (name, value) in [
            ("user.short", &b"v"[..]),
            ("user.long", &[9; 3000]),
            ("user.none", b""),
        ] {
            let flags = XattrFlags::empty();
            // Not every file system has attributes.
            let _ = rustix::fs::lsetxattr(tree.join("cut"), name, value, flags);
            let _ = rustix::fs::lsetxattr(tree.join("many"), name, value, flags);
        }
        set_time(&tree.join("empty"), -2_000_000_000, 123_456_789);
        set_time(&tree.join("inline"), 5_000_000_000, 1);
        set_time(&tree.join("link"), 1_000_000_000, 999_999_999);
        set_time(&tree.join("an empty folder"), 86_399, 0);
    }
}

/// Sets the time of the last change; links are not followed.
pub fn set_time(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec {
        tv_sec: secs,
        tv_nsec: nanos,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
