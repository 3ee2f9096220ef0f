//! A bundle as a sink.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;

use br_archive::{
    Attributes, BundleProgress, BundleWriter, Event, MANIFEST_PATH, MAX_MANIFEST_BYTES, META_PATH,
    MemberPath, Selection, is_config, select_config,
};
use br_core::model::{Entry, EntryKind, EntryPath};
use br_core::sink::Sink;

/// The largest configuration from which single keys can be selected, in bytes.
const MAX_CONFIG_BYTES: u64 = 64 << 20;

/// Writes the files of a backup into a bundle. Entries that a bundle cannot hold are left out, reported and
/// counted.
#[derive(Debug)]
pub struct BundleSink<P> {
    writer: BundleWriter,
    selection: Selection,
    /// Whether the entries include the bundle's own manifest.
    is_whole_bundle: bool,
    /// The bundle's own manifest, which is written last.
    manifest: Option<(MemberPath, Vec<u8>, Attributes)>,
    progress: P,
    left_out: Vec<(EntryPath, String)>,
}

impl<P: BundleProgress> BundleSink<P> {
    /// Writes the entries that `selection` accepts.
    pub const fn new(writer: BundleWriter, selection: Selection, progress: P) -> Self {
        Self {
            writer,
            selection,
            is_whole_bundle: false,
            manifest: None,
            progress,
            left_out: Vec::new(),
        }
    }

    /// Sets whether the manifest of the original bundle is written, too.
    #[must_use]
    pub fn with_whole_bundle(mut self, is_whole_bundle: bool) -> Self {
        self.is_whole_bundle = is_whole_bundle;
        self
    }

    /// Writes the last members. Returns the writer, and the entries that were left out with the reasons.
    ///
    /// # Errors
    /// As [`BundleWriter::add_bytes`].
    pub fn finish(mut self) -> br_archive::Result<(BundleWriter, Vec<(EntryPath, String)>)> {
        if let Some((path, text, attributes)) = self.manifest {
            self.writer.add_bytes(&path, &text, attributes)?;
        }
        Ok((self.writer, self.left_out))
    }

    fn leave_out(&mut self, path: &EntryPath, reason: String) {
        let raw = std::path::Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
        self.progress.event(Event::LeftOut {
            path: raw,
            reason: &reason,
        });
        self.writer.leave_out();
        self.left_out.push((path.clone(), reason));
    }

    fn file(
        &mut self,
        path: &MemberPath,
        size: u64,
        attributes: Attributes,
        content: &mut dyn Read,
    ) -> br_archive::Result<()> {
        if path.as_str() == MANIFEST_PATH {
            let text = read_whole(size, MAX_MANIFEST_BYTES, content)?;
            self.manifest = Some((path.clone(), text, attributes));
            return Ok(());
        }
        let keys = self.selection.root_keys.as_deref();
        if let Some(keys) = keys.filter(|_| is_config(path)) {
            let text = read_whole(size, MAX_CONFIG_BYTES, content)?;
            let text = select_config(&text, keys)?;
            return self.writer.add_bytes(path, &text, attributes);
        }
        self.writer.add(path, size, attributes, content)
    }
}

/// Reads a member that must be in memory.
fn read_whole(size: u64, limit: u64, content: &mut dyn Read) -> br_archive::Result<Vec<u8>> {
    if size > limit {
        let text = format!("it has more than {limit} bytes, too many to look into it");
        return Err(br_archive::Error::new(br_archive::ErrorKind::Refused, text));
    }
    let mut text = Vec::new();
    content
        .read_to_end(&mut text)
        .map_err(|error| br_archive::Error::new(br_archive::ErrorKind::Io, error.to_string()))?;
    Ok(text)
}

/// Returns the term of `br-archive` for this kind of entry.
const fn plural(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::File(_) | EntryKind::Directory => "folders",
        EntryKind::Symlink(_) => "symbolic links",
        EntryKind::Fifo => "named pipes",
        EntryKind::Socket => "sockets",
        EntryKind::CharDevice(_) | EntryKind::BlockDevice(_) => "devices",
        _ => "entries of other kinds",
    }
}

impl<P: BundleProgress + Send> Sink for BundleSink<P> {
    fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let size = match &entry.kind {
            EntryKind::Directory => return Ok(()),
            EntryKind::File(file) => file.size,
            kind => {
                let reason = format!("{} have no place in a bundle", plural(kind));
                self.leave_out(&entry.path, reason);
                return Ok(());
            }
        };
        let path = std::str::from_utf8(entry.path.as_bytes());
        let path = path.map_err(|_| br_archive::PathError::NotUtf8);
        let path = match path.and_then(MemberPath::new) {
            Ok(path) => path,
            Err(error) => {
                self.leave_out(&entry.path, error.to_string());
                return Ok(());
            }
        };
        let is_own =
            path.as_str() == META_PATH || path.as_str() == MANIFEST_PATH && !self.is_whole_bundle;
        if is_own || !self.selection.takes(&path) {
            return Ok(());
        }
        self.progress.event(Event::Member { path: &path, size });
        let attributes = Attributes {
            mode: entry.mode,
            mtime: u64::try_from(entry.mtime.secs).unwrap_or(0),
            uid: entry.owner.uid.into(),
            gid: entry.owner.gid.into(),
        };
        self.file(&path, size, attributes, content)
            .map_err(io::Error::from)?;
        if matches!(&entry.kind, EntryKind::File(file) if file.torn) {
            self.writer.mark_changed();
        }
        Ok(())
    }
}
