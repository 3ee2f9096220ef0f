//! A bundle as a source.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use br_archive::{
    BundleProgress, ErrorKind, ImportOptions, InspectedMember, Inspection, MemberPath, TarHeader,
    extract,
};
use br_core::model::{Entry, EntryKind, EntryPath, FileContent, FileTime, Owner};
use br_core::source::{ContentReader, Details, Source, SourceItem};
use tempfile::TempDir;

/// The members of a bundle, unpacked into a temporary folder: a backup reads them in another order than the
/// archive, and only after they were validated.
#[derive(Debug)]
pub struct BundleSource {
    /// Sorted by path, the order of a backup.
    entries: std::collections::btree_map::IntoIter<EntryPath, Option<InspectedMember>>,
    spool: Arc<Spool>,
    /// The time for folders, for which bundles hold little metadata.
    time: FileTime,
}

/// The folder is removed after its last file was read.
#[derive(Debug)]
struct Spool {
    _folder: TempDir,
    members: PathBuf,
}

impl BundleSource {
    /// Reads a whole bundle and unpacks it below the folder `spool`, such as the system's folder for
    /// temporary files.
    ///
    /// # Errors
    /// If the bundle is damaged or breaks a rule, or the system reports an error.
    pub fn open(
        bundle: &Path,
        spool: &Path,
        options: &ImportOptions,
        progress: &mut dyn BundleProgress,
    ) -> br_archive::Result<(Self, Inspection)> {
        let folder = tempfile::Builder::new()
            .prefix("br-bundle-")
            .tempdir_in(spool);
        let folder = folder.map_err(|error| {
            let text = format!("cannot make a folder in {}: {error}", spool.display());
            br_archive::Error::new(ErrorKind::Io, text)
        })?;
        let members = folder.path().join("members");
        let options = options.clone().with_sync(false);
        let inspection = extract(bundle, &members, &options, progress)?;
        let mut entries = BTreeMap::new();
        for member in &inspection.members {
            if !options.selection.takes(&member.path) {
                continue;
            }
            for parent in member.path.parents() {
                entries.entry(entry_path(parent)?).or_insert(None);
            }
            entries.insert(entry_path(member.path.as_str())?, Some(member.clone()));
        }
        let newest = inspection.members.iter().map(|member| member.header.mtime);
        let source = Self {
            entries: entries.into_iter(),
            spool: Arc::new(Spool {
                _folder: folder,
                members,
            }),
            time: file_time(newest.max().unwrap_or(0)),
        };
        Ok((source, inspection))
    }
}

/// Converts a path of a bundle to a path of a backup.
fn entry_path(path: &str) -> br_archive::Result<EntryPath> {
    EntryPath::new(path.as_bytes().to_vec())
        .map_err(|error| br_archive::Error::new(ErrorKind::Refused, format!("{path}: {error}")))
}

fn file_time(secs: u64) -> FileTime {
    FileTime {
        secs: i64::try_from(secs).unwrap_or(0),
        nanos: 0,
    }
}

impl Source for BundleSource {
    fn next(&mut self) -> Option<SourceItem> {
        let (path, member) = self.entries.next()?;
        let (kind, header, from) = match member {
            None => (EntryKind::Directory, None, None),
            Some(InspectedMember { path, header, .. }) => {
                let content = FileContent {
                    size: header.size,
                    ..FileContent::default()
                };
                (EntryKind::File(content), Some(header), Some(path))
            }
        };
        let time = header
            .as_ref()
            .map_or(self.time, |header| file_time(header.mtime));
        let entry = Entry {
            path,
            kind,
            mode: header.as_ref().map_or(0o755, |header| header.mode),
            owner: Arc::new(header.as_ref().map(owner).unwrap_or_default()),
            mtime: time,
            ctime: time,
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        };
        let details = Box::new(SpooledMember {
            spool: Arc::clone(&self.spool),
            path: from,
        });
        Some(SourceItem::Entry { entry, details })
    }

    /// An incomplete backup could not be restored.
    fn needs_everything(&self) -> bool {
        true
    }
}

fn owner(header: &TarHeader) -> Owner {
    Owner {
        uid: u32::try_from(header.uid).unwrap_or(0),
        gid: u32::try_from(header.gid).unwrap_or(0),
        user: header.user.clone(),
        group: header.group.clone(),
    }
}

/// Access to one unpacked member.
struct SpooledMember {
    spool: Arc<Spool>,
    /// `None` for folders.
    path: Option<MemberPath>,
}

impl Details for SpooledMember {
    fn complete(&mut self, _entry: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, entry: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        let path = self.path.as_ref().map_or("", MemberPath::as_str);
        let file = File::open(self.spool.members.join(path))?;
        // If only some keys of a configuration were selected, the file is shorter than its member.
        if let EntryKind::File(content) = &mut entry.kind {
            content.size = file.metadata()?.len();
        }
        let spool = Arc::clone(&self.spool);
        Ok(Box::new(SpooledContent {
            file,
            _spool: spool,
        }))
    }
}

struct SpooledContent {
    file: File,
    _spool: Arc<Spool>,
}

impl Read for SpooledContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl ContentReader for SpooledContent {
    /// Always unchanged: no other program writes to the folder.
    fn finish(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}
