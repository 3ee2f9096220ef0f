//! Reader of bundles.
//!
//! [`BundleReader`] yields the [`Member`]s in order. Invariant: each path stays inside the target folder, occurs once, and is within the
//! [`Limits`]; after the last member the whole file was read and its checksums were right.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use br_emqx::rules::Refusal;

use crate::compress::{ReadAhead, decompress};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::name::{BundleName, Format};
use crate::names::Names;
use crate::path::MemberPath;
use crate::select::META_PATH;
use crate::tar::{MemberKind, TarHeader, TarReader};

/// The first bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads one bundle from front to back.
#[derive(Debug)]
pub struct BundleReader {
    tar: TarReader<ReadAhead>,
    name: BundleName,
    limits: Limits,
    names: Names,
    bytes: u64,
    /// The first header, read to learn the name.
    first: Option<TarHeader>,
}

/// A member of a bundle. Reading from it gives its content.
#[derive(Debug)]
pub struct Member<'a> {
    path: MemberPath,
    header: TarHeader,
    tar: &'a mut TarReader<ReadAhead>,
}

impl BundleReader {
    /// Opens a bundle. The top directory must have the same base name as the file.
    ///
    /// # Errors
    /// If the file does not exist, or its name is not that of a bundle.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let name = bundle_name(path).map_err(|error| {
            if is_emqx4_export(path) {
                Error::from(Refusal::EarlierFormat).because(error)
            } else {
                error
            }
        })?;
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::from(Refusal::NotFound).because(error),
            _ => Error::io(format!("cannot open {}", path.display()), error),
        })?;
        Self::new(name, file, limits)
    }

    /// Reads a bundle of that name from a stream. Detects the compression of the stream.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(
        name: BundleName,
        from: impl Read + Send + 'static,
        limits: &Limits,
    ) -> Result<Self> {
        Ok(Self {
            tar: TarReader::new(decompress(from, limits)?),
            name,
            limits: *limits,
            names: Names::default(),
            bytes: 0,
            first: None,
        })
    }

    /// Reads a bundle from a stream whose name is not known: the name is that of the top directory. So a renamed bundle is not noticed.
    ///
    /// # Errors
    /// If the stream cannot be read, does not begin with a bundle, or no thread can be started.
    pub fn unnamed(mut from: impl Read + Send + 'static, limits: &Limits) -> Result<Self> {
        let mut start = Vec::new();
        let magic = ZSTD_MAGIC.len() as u64;
        from.by_ref()
            .take(magic)
            .read_to_end(&mut start)
            .map_err(Error::input)?;
        let format = if start == ZSTD_MAGIC {
            Format::TarZst
        } else {
            Format::TarGz
        };
        let mut tar = TarReader::new(decompress(Cursor::new(start).chain(from), limits)?);
        let first = tar.next()?.ok_or(Refusal::MissingBackupMeta)?;
        let top = first.name.split('/').next().unwrap_or_default();
        let name = BundleName::of_file(&format!("{top}{}", format.extension()));
        let name = name.map_err(|error| Error::from(Refusal::BadArchiveDir).because(error))?;
        Ok(Self {
            tar,
            name,
            limits: *limits,
            names: Names::default(),
            bytes: 0,
            first: Some(first),
        })
    }

    /// The bundle's name.
    #[must_use]
    pub const fn name(&self) -> &BundleName {
        &self.name
    }

    /// Moves to the next member; `None` after the last.
    ///
    /// # Errors
    /// If the bundle is damaged or breaks a rule.
    #[expect(
        clippy::should_implement_trait,
        reason = "a member borrows from the reader, which no iterator allows"
    )]
    pub fn next(&mut self) -> Result<Option<Member<'_>>> {
        loop {
            let header = match self.first.take() {
                Some(header) => Some(header),
                None => self.tar.next()?,
            };
            let Some(header) = header else {
                return if self.names.has_file(META_PATH) {
                    Ok(None)
                } else {
                    Err(Refusal::MissingBackupMeta.into())
                };
            };
            let path = self.admit(&header);
            let path = path.map_err(|error| error.in_member(&header.name))?;
            let Some(path) = path else { continue };
            return Ok(Some(Member {
                path,
                header,
                tar: &mut self.tar,
            }));
        }
    }

    /// Checks whether a member may be in a bundle; `None` for the top directory itself.
    fn admit(&mut self, header: &TarHeader) -> Result<Option<MemberPath>> {
        let base = self.name.directory();
        let rest = header.name.strip_prefix(base);
        let path = match rest.map(|rest| rest.strip_prefix('/').ok_or(rest)) {
            Some(Ok(path)) => path,
            Some(Err("")) if header.kind == MemberKind::Directory => return Ok(None),
            _ => return Err(Refusal::BadArchiveDir.into()),
        };
        let path = MemberPath::new(path).map_err(|error| Error::refused(error.to_string()))?;
        self.names.add(&path, header.kind, &self.limits)?;
        self.bytes = self.bytes.saturating_add(header.size);
        let Limits {
            member_bytes,
            total_bytes,
            ..
        } = self.limits;
        if header.size > member_bytes {
            let text = format!("it has {} bytes, more than {member_bytes}", header.size);
            return Err(Error::refused(text));
        }
        if self.bytes > total_bytes {
            let text = format!("the bundle has more than {total_bytes} bytes");
            return Err(Error::refused(text));
        }
        Ok(Some(path))
    }
}

/// True if a file is an export of EMQX 4, which is a JSON object.
fn is_emqx4_export(path: &Path) -> bool {
    let mut start = [0; 64];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    let start = &start[..read.unwrap_or(0)];
    let is_json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    is_json && start.trim_ascii_start().starts_with(b"{")
}

/// The bundle's name, from the name of its file. Errors use EMQX's texts.
fn bundle_name(path: &Path) -> Result<BundleName> {
    let file_name = path.file_name().and_then(std::ffi::OsStr::to_str);
    let file_name = file_name.ok_or(Refusal::UnsafeBackupName)?;
    if file_name == "ns.tar.gz" {
        return Err(Refusal::UnsafeBackupName.into());
    }
    match BundleName::of_file(file_name) {
        Ok(name) => Ok(name),
        Err(_) if Format::split(file_name).is_some() => Err(Refusal::UnsafeBackupName.into()),
        Err(_) => Err(Refusal::BadBackupName.into()),
    }
}

impl Member<'_> {
    /// Its path below the top directory.
    #[must_use]
    pub const fn path(&self) -> &MemberPath {
        &self.path
    }

    /// Its tar header.
    #[must_use]
    pub const fn header(&self) -> &TarHeader {
        &self.header
    }

    /// True for directories.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.header.kind, MemberKind::Directory)
    }

    /// Reads the whole content, of at most `limit` bytes.
    ///
    /// # Errors
    /// If it has more, or the bundle is damaged.
    pub fn read_whole(&mut self, limit: u64) -> Result<Vec<u8>> {
        if self.header.size > limit {
            let text = format!("it has {} bytes, more than {limit}", self.header.size);
            return Err(Error::refused(text).in_member(self.path.as_str()));
        }
        let mut out = Vec::new();
        self.read_to_end(&mut out).map_err(Error::read)?;
        Ok(out)
    }
}

impl Read for Member<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tar.read(buffer)
    }
}
