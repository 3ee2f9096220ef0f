//! Writer of bundles.
//!
//! [`BundleWriter`] adds members in order, [`BundleOptions`] configure it. Invariant: a bundle in a folder appears under its name only when
//! it is complete and, with `sync`, on disk; until then it is `.<name>.part`, which is removed when the writer is dropped. Nothing is ever
//! overwritten.

mod file;
mod options;
mod publish;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use br_emqx::meta::Meta;
use sha2::{Digest as _, Sha256};

use crate::compress::Compressor;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::manifest::{MANIFEST_PATH, MAX_MANIFEST_BYTES, Manifest, ManifestMember};
use crate::name::{BundleName, BundleTime};
use crate::names::Names;
use crate::path::MemberPath;
use crate::select::META_PATH;
use crate::tar::{MemberKind, TarHeader, TarWriter};

use file::BundleFile;
pub use options::BundleOptions;
use publish::Hashing;

/// Size of the buffer for content.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;

/// The metadata of a file in its tar header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits.
    pub mode: u32,
    /// Last change, in seconds since 1970.
    pub mtime: u64,
    /// Number of the owner.
    pub uid: u64,
    /// Number of the group.
    pub gid: u64,
}

impl Attributes {
    /// The attributes of a file without an owner.
    #[must_use]
    pub const fn plain(mtime: u64) -> Self {
        Self {
            mode: 0o644,
            mtime,
            uid: 0,
            gid: 0,
        }
    }
}

/// The result of writing a bundle.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WriteReport {
    /// The bundle's name.
    pub name: BundleName,
    /// Its path; empty for a bundle that was written to a writer of the caller.
    pub path: PathBuf,
    /// Number of its members.
    pub members: u64,
    /// Bytes of all members.
    pub bytes: u64,
    /// Bytes of the file.
    pub stored_bytes: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// Members that changed while they were read.
    pub changed: Vec<MemberPath>,
}

/// Writes one bundle: to a file ([`create`](BundleWriter::create)), or to any writer ([`new`](BundleWriter::new)).
#[derive(Debug)]
pub struct BundleWriter<W: Write = File> {
    tar: TarWriter<Compressor<Hashing<W>>>,
    /// The file that `create` made; `None` for a writer of the caller.
    file: Option<BundleFile>,
    name: BundleName,
    time: BundleTime,
    options: BundleOptions,
    names: Names,
    manifest: Vec<ManifestMember>,
    left_out: u64,
    bytes: u64,
    buffer: Vec<u8>,
    failed: bool,
}

impl<W: Write> BundleWriter<W> {
    /// Begins a bundle that is written to `to`, and writes its `META.hocon`. Its name is that of the options, or of their prefix and
    /// time. The options `next_free` and `sync` have no effect.
    ///
    /// # Errors
    /// If an option is wrong, or `to` reports an error.
    pub fn new(to: W, options: BundleOptions) -> Result<Self> {
        let time = options.time;
        let name = options.name(time)?;
        Self::begin_bundle(to, None, name, time, options)
    }

    fn begin_bundle(
        to: W,
        file: Option<BundleFile>,
        name: BundleName,
        time: BundleTime,
        options: BundleOptions,
    ) -> Result<Self> {
        let cores = thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let level = options.checked_level()?;
        let threads = options.threads.unwrap_or(cores).clamp(1, 64);
        let to = Hashing::new(to);
        let compressor = Compressor::new(to, options.format, level, threads);
        let compressor = compressor.map_err(|error| Error::io("cannot compress", error))?;
        let meta = match &options.meta_text {
            Some(text) => text.clone(),
            None => options.meta.to_hocon().into_bytes(),
        };
        let mut writer = Self {
            tar: TarWriter::new(compressor),
            file,
            name,
            time,
            options,
            names: Names::default(),
            manifest: Vec::new(),
            left_out: 0,
            bytes: 0,
            buffer: vec![0; BUFFER_BYTES],
            failed: false,
        };
        let mtime = writer.options.meta_mtime;
        let attributes = Attributes::plain(mtime.unwrap_or_else(|| time.unix_seconds()));
        writer.write(&own_path(META_PATH)?, &meta, attributes)?;
        Ok(writer)
    }

    /// The bundle's name.
    #[must_use]
    pub const fn name(&self) -> &BundleName {
        &self.name
    }

    /// Adds a member from memory.
    ///
    /// # Errors
    /// As [`BundleWriter::add`].
    pub fn add_bytes(
        &mut self,
        path: &MemberPath,
        content: &[u8],
        attributes: Attributes,
    ) -> Result<()> {
        self.check(path)?;
        self.write(path, content, attributes)
    }

    /// Adds a member from a stream, which must have exactly `size` bytes.
    ///
    /// # Errors
    /// If the name exists or is reserved for the bundle itself, a limit is reached, the content cannot be read or has another length (the
    /// member and the bundle are then incomplete: drop the writer), or the bundle cannot be written.
    pub fn add(
        &mut self,
        path: &MemberPath,
        size: u64,
        attributes: Attributes,
        content: &mut dyn Read,
    ) -> Result<()> {
        self.check(path)?;
        self.begin(path, size, attributes)?;
        let (sha256, end) = self.copy(path, size, content)?;
        let text = match end {
            End::There => {
                self.end(path, size, sha256, end);
                return Ok(());
            }
            End::Early(len) => format!("it ended after {len} of {size} bytes"),
            End::Late => format!("it has more than the {size} bytes that were announced"),
        };
        self.failed = true;
        Err(Error::new(ErrorKind::Io, text).in_member(path.as_str()))
    }

    /// Records that the source of the last member changed, so that its content may mix two states.
    pub fn mark_changed(&mut self) {
        if let Some(member) = self.manifest.last_mut() {
            member.changed = true;
        }
    }

    /// Adds the file at `from`, which must be a regular file; symbolic links are not followed. Returns false if the file changed during the
    /// read, and records this in the manifest. If it got shorter, zeros fill the member, and readers report the bundle as unsound; appended
    /// bytes are ignored.
    ///
    /// # Errors
    /// As [`BundleWriter::add`].
    pub fn add_file(&mut self, path: &MemberPath, from: &Path) -> Result<bool> {
        self.check(path)?;
        let opened = crate::platform::open_file(from);
        let opened = opened.and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        let (mut file, metadata) =
            opened.map_err(|error| Error::io(format!("cannot read {}", from.display()), error))?;
        if !metadata.is_file() {
            let text = format!("{} is not a regular file", from.display());
            return Err(Error::invalid(text));
        }
        self.add_opened(path, &mut file, &metadata)
    }

    /// Adds an open file.
    pub(crate) fn add_opened(
        &mut self,
        path: &MemberPath,
        file: &mut File,
        metadata: &fs::Metadata,
    ) -> Result<bool> {
        let (size, attributes) = (metadata.len(), crate::platform::attributes(metadata));
        self.check(path)?;
        self.begin(path, size, attributes)?;
        let (sha256, end) = self.copy(path, size, file)?;
        self.end(path, size, sha256, end);
        let changed = match file.metadata() {
            Ok(now) => {
                now.len() != metadata.len() || now.modified().ok() != metadata.modified().ok()
            }
            Err(_) => true,
        };
        if changed {
            self.mark_changed();
        }
        Ok(end == End::There && !changed)
    }

    /// True for the file that the bundle is written to, which may be in the exported folder.
    pub(crate) fn is_own(&self, from: &Path, metadata: &fs::Metadata) -> bool {
        self.file
            .as_ref()
            .is_some_and(|file| file.is(from, metadata))
    }

    /// False once a member could not be completely read or written: the bundle is then incomplete.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        !self.failed
    }

    /// Counts a file that was left out.
    pub const fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// Writes the manifest and the end of the bundle, and returns the writer. The path in the report is empty.
    ///
    /// # Errors
    /// If a member is incomplete, or the writer reports an error. What was written is then not a bundle.
    pub fn finish_writer(self) -> Result<(W, WriteReport)> {
        let (out, report, _) = self.complete()?;
        Ok((out, report))
    }

    /// Writes the rest of the bundle and flushes it.
    fn complete(mut self) -> Result<(W, WriteReport, Option<BundleFile>)> {
        if self.failed {
            return Err(Error::invalid(
                "a member is incomplete, and so is the bundle",
            ));
        }
        if self.options.manifest {
            self.write_manifest()?;
        }
        let file = self.file;
        let failed = |error| failed_write(file.as_ref(), error);
        let finished = self.tar.finish().and_then(Compressor::finish);
        let mut out = finished.map_err(failed)?;
        out.flush().map_err(failed)?;
        let changed = self.manifest.iter().filter(|member| member.changed);
        let changed = changed.filter_map(|member| MemberPath::new(&member.path).ok());
        let report = WriteReport {
            members: self.names.members(),
            bytes: self.bytes,
            stored_bytes: out.bytes,
            sha256: out.sha.finalize().into(),
            changed: changed.collect(),
            path: file
                .as_ref()
                .map_or_else(PathBuf::new, |file| file.target.clone()),
            name: self.name,
        };
        let allowed = report
            .stored_bytes
            .saturating_mul(self.options.limits.ratio);
        if report.bytes > Limits::RATIO_FROM.max(allowed) {
            let text = "the bundle compresses so well that readers would take it for a bomb";
            return Err(Error::refused(text));
        }
        Ok((out.to, report, file))
    }

    fn write_manifest(&mut self) -> Result<()> {
        let manifest = Manifest {
            name: self.name.directory().to_owned(),
            time: self.time,
            program: self.options.program.clone(),
            source: self.options.source.clone(),
            selection: self.options.selection.clone(),
            left_out: self.left_out,
            members: std::mem::take(&mut self.manifest),
        };
        let json = manifest.to_json();
        if json.len() as u64 > MAX_MANIFEST_BYTES {
            let text = format!("the manifest would have more than {MAX_MANIFEST_BYTES} bytes");
            return Err(Error::refused(text).in_member(MANIFEST_PATH));
        }
        self.manifest = manifest.members;
        let attributes = Attributes::plain(self.time.unix_seconds());
        self.begin(&own_path(MANIFEST_PATH)?, json.len() as u64, attributes)?;
        let written = self.tar.content().write_all(&json);
        written.map_err(|error| self.write_error(error))?;
        self.bytes += json.len() as u64;
        Ok(())
    }

    /// Refuses names that are reserved for the bundle itself, and members over a limit.
    fn check(&self, path: &MemberPath) -> Result<()> {
        if [META_PATH, MANIFEST_PATH].contains(&path.as_str()) && self.options.manifest
            || path.as_str() == META_PATH
        {
            let text = "this name is reserved for the bundle itself";
            return Err(Error::invalid(text).in_member(path.as_str()));
        }
        Ok(())
    }

    fn write(&mut self, path: &MemberPath, content: &[u8], attributes: Attributes) -> Result<()> {
        let size = content.len() as u64;
        self.begin(path, size, attributes)?;
        let written = self.tar.content().write_all(content);
        written.map_err(|error| self.write_error(error))?;
        self.end(path, size, Sha256::digest(content).into(), End::There);
        Ok(())
    }

    fn begin(&mut self, path: &MemberPath, size: u64, attributes: Attributes) -> Result<()> {
        let limits = self.options.limits;
        self.names.add(path, MemberKind::File, &limits)?;
        if size > limits.member_bytes || self.bytes.saturating_add(size) > limits.total_bytes {
            let text = "the bundle would have more bytes than its limit";
            return Err(Error::refused(text).in_member(path.as_str()));
        }
        let normal = |mode: u32| if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        let attributes = if self.options.reproducible {
            Attributes {
                mode: normal(attributes.mode),
                ..Attributes::plain(self.time.unix_seconds())
            }
        } else {
            attributes
        };
        let header = TarHeader {
            name: format!("{}/{path}", self.name.directory()),
            kind: MemberKind::File,
            size,
            mode: attributes.mode,
            mtime: attributes.mtime,
            uid: attributes.uid,
            gid: attributes.gid,
            user: String::new(),
            group: String::new(),
        };
        let begun = self.tar.begin(&header);
        begun.map_err(|error| self.write_error(error))
    }

    fn end(&mut self, path: &MemberPath, size: u64, sha256: [u8; 32], end: End) {
        self.bytes += size;
        self.manifest.push(ManifestMember {
            path: path.as_str().to_owned(),
            size,
            sha256,
            changed: end != End::There,
            padded: matches!(end, End::Early(_)),
        });
    }

    /// Copies exactly `size` bytes, and returns where the stream ended.
    fn copy(
        &mut self,
        path: &MemberPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<([u8; 32], End)> {
        let mut sha = Sha256::new();
        let (mut left, mut early) = (size, None);
        while left > 0 {
            let len = usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
            let buffer = self.buffer.get_mut(..len).unwrap_or_default();
            let n = match early {
                Some(_) => {
                    buffer.fill(0);
                    len
                }
                None => read(content, buffer).map_err(|error| {
                    self.failed = true;
                    match error.downcast::<Error>() {
                        Ok(error) => error,
                        Err(error) => Error::io("cannot read it", error).in_member(path.as_str()),
                    }
                })?,
            };
            if n == 0 {
                early = Some(size - left);
            }
            let bytes = buffer.get(..n).unwrap_or_default();
            sha.update(bytes);
            let written = self.tar.content().write_all(bytes);
            written.map_err(|error| self.write_error(error))?;
            left -= n as u64;
        }
        let end = match early {
            Some(len) => End::Early(len),
            None if matches!(read(content, &mut [0]), Ok(0)) => End::There,
            None => End::Late,
        };
        Ok((sha.finalize().into(), end))
    }

    fn write_error(&mut self, error: io::Error) -> Error {
        self.failed = true;
        failed_write(self.file.as_ref(), error)
    }
}

/// Where a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// After exactly `size` bytes.
    There,
    /// After this number of bytes, too early.
    Early(u64),
    /// Later than `size` bytes.
    Late,
}

/// Reads, and retries when a signal interrupts it.
fn read(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn failed_write(file: Option<&BundleFile>, error: io::Error) -> Error {
    match file {
        Some(file) => publish::failed_write(&file.target, error),
        None => Error::io("cannot write the bundle", error),
    }
}

fn own_path(path: &str) -> Result<MemberPath> {
    MemberPath::new(path).map_err(|error| Error::invalid(error.to_string()))
}
