//! What `pg_basebackup` writes to its standard output: a tar archive with the data folder, and the manifest as its last member.
//!
//! [`BaseUnpack`] takes it apart. Invariant: it succeeds only if the archive has all that its manifest names, and nothing else but WAL.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use br_core::model::{Entry, EntryKind, EntryPath, FileContent, FileTime, Owner};
use br_core::source::{TakeEntry, Unpack};
use sha2::{Digest as _, Sha256};
use tar::{Archive, EntryType, Header};

use super::manifest::{self, Came, Files, MAX_LEN, Manifest, ManifestError, shown};

/// Maximum number of files. br keeps the path and the checksum of each in memory.
const MAX_FILES: usize = 2_000_000;

/// Takes the archive apart, and compares it with its manifest.
#[derive(Debug, Default)]
pub(super) struct BaseUnpack {
    files: Files,
    folders: HashSet<Box<[u8]>>,
    manifest: Option<Vec<u8>>,
    /// The owner of the first file.
    owner: Option<Arc<Owner>>,
}

impl Unpack for BaseUnpack {
    fn unpack(
        mut self: Box<Self>,
        folder: &EntryPath,
        stream: &mut dyn Read,
        take: &mut TakeEntry<'_>,
    ) -> io::Result<Option<String>> {
        let mut archive = Archive::new(stream);
        for member in archive.entries()? {
            self.member(folder, member?, take)?;
        }
        read_padding(archive.into_inner())?;
        let text = self.manifest.take().ok_or(ManifestError::Absent);
        let manifest = text.and_then(|text| Manifest::parse(&text));
        let manifest = manifest.map_err(io::Error::other)?;
        manifest.verify(&self.files).map_err(io::Error::other)?;
        Ok(Some(manifest.position()))
    }
}

impl BaseUnpack {
    fn member<R: Read>(
        &mut self,
        folder: &EntryPath,
        mut member: tar::Entry<'_, R>,
        take: &mut TakeEntry<'_>,
    ) -> io::Result<()> {
        let name = member.path_bytes().into_owned();
        // The server writes a few names with a dot before them.
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let kind = member.header().entry_type();
        let mut entry = entry(member.header(), path_below(folder, name)?)?;
        if kind == EntryType::Directory {
            if name != b"." && self.folders.insert(name.into()) {
                entry.kind = EntryKind::Directory;
                take(entry, &mut io::empty())?;
            }
            return Ok(());
        }
        if !matches!(kind, EntryType::Regular | EntryType::Continuous) {
            let text = format!("{} is neither a file nor a folder", shown(name));
            return Err(io::Error::other(text));
        }
        if self.files.len() >= MAX_FILES {
            let text = format!("there are more than {MAX_FILES} files, which br does not take");
            return Err(io::Error::other(text));
        }
        let size = member.size();
        entry.kind = EntryKind::File(FileContent {
            size,
            ..FileContent::default()
        });
        if self.files.is_empty() {
            self.root(folder, &entry, take)?;
            self.owner = Some(Arc::clone(&entry.owner));
        }
        let came = if name == manifest::NAME {
            let text = read_manifest(&mut member, size)?;
            // The program adds this member itself, with an owner that means nothing.
            if let Some(owner) = &self.owner {
                entry.owner = Arc::clone(owner);
            }
            let mut content = Hashing::new(&*text);
            take(entry, &mut content)?;
            let came = content.finish();
            self.manifest = Some(text);
            came
        } else {
            let mut content = Hashing::new(&mut member);
            take(entry, &mut content)?;
            content.finish()
        };
        self.files.insert(name.into(), came);
        Ok(())
    }

    /// The archive has no member for the data folder itself. It belongs to the owner of its files; PostgreSQL starts from no folder that others may write to.
    fn root(&self, folder: &EntryPath, first: &Entry, take: &mut TakeEntry<'_>) -> io::Result<()> {
        let may_group_read = first.mode & 0o040 != 0;
        let root = Entry {
            path: folder.clone(),
            kind: EntryKind::Directory,
            mode: if may_group_read { 0o750 } else { 0o700 },
            ..first.clone()
        };
        take(root, &mut io::empty())
    }
}

fn path_below(folder: &EntryPath, name: &[u8]) -> io::Result<EntryPath> {
    let path = [folder.as_bytes(), b"/", name].concat();
    EntryPath::new(path)
        .map_err(|error| io::Error::other(format!("the name {}: {error}", shown(name))))
}

/// An entry with the metadata of a member. Its kind is still to be set.
fn entry(header: &Header, path: EntryPath) -> io::Result<Entry> {
    let id = |id: io::Result<u64>| id.map(|id| u32::try_from(id).unwrap_or(0));
    let name = |name: Option<&[u8]>| String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
    let owner = Owner {
        uid: id(header.uid())?,
        gid: id(header.gid())?,
        user: name(header.username_bytes()),
        group: name(header.groupname_bytes()),
    };
    let time = FileTime {
        secs: i64::try_from(header.mtime()?).unwrap_or(0),
        nanos: 0,
    };
    Ok(Entry {
        path,
        kind: EntryKind::Directory,
        mode: header.mode()? & 0o777,
        owner: Arc::new(owner),
        mtime: time,
        ctime: FileTime::UNKNOWN,
        inode: 0,
        xattrs: Vec::new(),
        link_group: None,
    })
}

fn read_manifest(member: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    if size > MAX_LEN {
        return Err(io::Error::other(ManifestError::TooLong));
    }
    let mut text = Vec::new();
    member.take(MAX_LEN).read_to_end(&mut text)?;
    Ok(text)
}

/// Reads what follows the archive, so that the program can end. Programs fill up the last block.
fn read_padding(stream: &mut dyn Read) -> io::Result<()> {
    let mut buffer = [0; 8 << 10];
    loop {
        let len = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if buffer[..len].iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("something follows the archive"));
        }
    }
}

/// Passes bytes on, and hashes them.
struct Hashing<R> {
    from: R,
    sha: Sha256,
    len: u64,
}

impl<R: Read> Hashing<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            sha: Sha256::new(),
            len: 0,
        }
    }

    fn finish(self) -> Came {
        Came {
            len: self.len,
            sha256: self.sha.finalize().into(),
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buffer)?;
        self.sha.update(&buffer[..len]);
        self.len += len as u64;
        Ok(len)
    }
}
