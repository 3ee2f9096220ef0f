//! The content of a real folder, in a form that can be compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `file`, `folder`, `link`, `fifo`, `socket`, `char` or `block`.
    pub kind: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change: seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Length of a file.
    pub size: u64,
    /// Target of a link.
    pub target: Vec<u8>,
    /// Device number.
    pub device: u64,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// First path of the inode, when it has several.
    pub linked_to: Option<Vec<u8>>,
    /// BLAKE3 of the content.
    pub content: Option<blake3::Hash>,
}

/// Everything below a folder, and the folder itself under the empty path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The entries by path.
    pub items: BTreeMap<Vec<u8>, Item>,
}

impl Snapshot {
    /// Describes a folder. Paths of any length are followed.
    ///
    /// # Panics
    /// When an entry cannot be examined.
    #[must_use]
    pub fn of(folder: impl AsRef<Path>) -> Self {
        let mut walk = Walk::default();
        walk.item(folder.as_ref(), b"");
        Self { items: walk.items }
    }

    /// Removes a path and everything below it.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        let below = [path.as_bytes(), b"/"].concat();
        self.items
            .retain(|other, _| other != path.as_bytes() && !other.starts_with(&below));
        self
    }

    /// Removes the times of a folder, which change when an entry is created or deleted in it.
    #[must_use]
    pub fn without_time(mut self, path: &str) -> Self {
        if let Some(item) = self.items.get_mut(path.as_bytes()) {
            item.mtime = (0, 0);
        }
        self
    }

    /// The paths, as text.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let text = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
        self.items.keys().map(text).collect()
    }

    /// The differences, one per line; empty if there are none.
    #[must_use]
    pub fn differences(&self, other: &Self) -> String {
        let mut text = String::new();
        // The start of a long path is sufficient.
        let name = |path: &[u8]| {
            let path = String::from_utf8_lossy(path).into_owned();
            path.chars().take(200).collect::<String>()
        };
        for (path, item) in &self.items {
            match other.items.get(path) {
                None => writeln!(text, "{} is missing", name(path)).unwrap(),
                Some(there) if there != item => {
                    writeln!(text, "{}: {item:?}\n  became {there:?}", name(path)).unwrap();
                }
                Some(_) => {}
            }
        }
        for path in other
            .items
            .keys()
            .filter(|path| !self.items.contains_key(*path))
        {
            writeln!(text, "{} is there and should not be", name(path)).unwrap();
        }
        text
    }

    /// Asserts that two folders are the same.
    ///
    /// # Panics
    /// When they are not.
    pub fn assert_same(&self, other: &Self, what: &str) {
        let differences = self.differences(other);
        assert!(differences.is_empty(), "{what}:\n{differences}");
    }
}

#[derive(Default)]
struct Walk {
    items: BTreeMap<Vec<u8>, Item>,
    inodes: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Walk {
    fn item(&mut self, at: &Path, path: &[u8]) {
        let meta = fs::symlink_metadata(at).unwrap();
        let kind = meta.file_type();
        let mut item = Item {
            kind: kind_name(&kind),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            size: if kind.is_file() { meta.len() } else { 0 },
            target: Vec::new(),
            device: meta.rdev(),
            xattrs: xattrs(at),
            linked_to: None,
            content: None,
        };
        if kind.is_symlink() {
            item.target = fs::read_link(at).unwrap().as_os_str().as_bytes().to_vec();
            // The permission bits of a link depend on the system.
            item.mode = 0;
        }
        if kind.is_file() {
            item.content = Some(hash(at, meta.len()).unwrap());
        }
        if !kind.is_dir() && meta.nlink() > 1 {
            let first = self
                .inodes
                .entry((meta.dev(), meta.ino()))
                .or_insert_with(|| path.to_vec());
            item.linked_to = Some(first.clone());
        }
        self.items.insert(path.to_vec(), item);
        if kind.is_dir() {
            self.below(at, path);
        }
    }

    fn below(&mut self, at: &Path, path: &[u8]) {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let flags = i32::try_from(flags.bits()).unwrap();
        let dir = File::options()
            .read(true)
            .custom_flags(flags)
            .open(at)
            .unwrap();
        // Relative to the open folder, so that a path of any length can be walked.
        let here = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        let names = fs::read_dir(&here)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        for name in names {
            let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
            self.item(
                &here.join(&name),
                &[path, separator, name.as_bytes()].concat(),
            );
        }
    }
}

fn kind_name(kind: &fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_file() => "file",
        kind if kind.is_dir() => "folder",
        kind if kind.is_symlink() => "link",
        kind if kind.is_fifo() => "fifo",
        kind if kind.is_socket() => "socket",
        kind if kind.is_char_device() => "char",
        _ => "block",
    }
}

/// Hashes a file. Of a very long file, which is sparse, hashes only the length and both ends.
fn hash(at: &Path, len: u64) -> io::Result<blake3::Hash> {
    const WHOLE: u64 = 64 << 20;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(at)?.take(WHOLE))?;
    if len > WHOLE {
        let mut file = File::open(at)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(-(1 << 20)))?;
        hasher.update_reader(file)?;
    }
    Ok(hasher.finalize())
}

fn xattrs(at: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let len = rustix::fs::llistxattr(at, &mut names[..]).unwrap_or(0);
    let names = names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let len = rustix::fs::lgetxattr(at, OsStr::from_bytes(name), &mut value[..]).unwrap_or(0);
        value.truncate(len);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}
