//! Options of the writer.

use super::Meta;
use crate::error::{Error, Result};
use crate::inspect::OWN_EDITION;
use crate::limits::Limits;
use crate::name::{BundleName, BundleTime, Format};
use crate::select::Selection;

/// Options for writing a bundle.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BundleOptions {
    /// The prefix of the name.
    pub prefix: String,
    /// The time of the bundle: the rest of the name.
    pub time: BundleTime,
    /// The whole name instead, for a bundle that already had one.
    pub name: Option<BundleName>,
    /// Use the next free millisecond if the name exists, instead of failing.
    pub next_free: bool,
    /// How it is compressed.
    pub format: Format,
    /// Level of gzip (0 to 9, default 6) or zstd (1 to 19, default 3).
    pub level: Option<u32>,
    /// Number of compression threads; the number of cores if `None`.
    pub threads: Option<usize>,
    /// The content of `META.hocon`.
    pub meta: Meta,
    /// The exact bytes of `META.hocon` instead, for a bundle that already had one.
    pub meta_text: Option<Vec<u8>>,
    /// Modification time of `META.hocon` in seconds since 1970; the time of the bundle when `None`.
    pub meta_mtime: Option<u64>,
    /// The program that makes it, with its version, for the manifest.
    pub program: String,
    /// A description of the source, for the manifest.
    pub source: String,
    /// The selection that the user requested, for the manifest.
    pub selection: Selection,
    /// Write `br/manifest.json`.
    pub manifest: bool,
    /// Leave out metadata that differs between machines: all members have the bundle's time, no owner, and mode 644 or 755.
    pub reproducible: bool,
    /// Wait until the bundle is on disk.
    pub sync: bool,
    /// The limits of the readers.
    pub limits: Limits,
}

impl BundleOptions {
    /// The defaults: `br-export-<time>.tar.gz`, with a manifest, on disk when `finish` returns.
    #[must_use]
    pub fn new(time: BundleTime, meta: Meta) -> Self {
        Self {
            prefix: BundleName::PREFIX.to_owned(),
            time,
            name: None,
            next_free: true,
            format: Format::TarGz,
            level: None,
            threads: None,
            meta,
            meta_text: None,
            meta_mtime: None,
            program: concat!("br-archive ", env!("CARGO_PKG_VERSION")).to_owned(),
            source: String::new(),
            selection: Selection::default(),
            manifest: true,
            reproducible: false,
            sync: true,
            limits: Limits::default(),
        }
    }

    /// The defaults for content other than EMQX's: as [`BundleOptions::new`], with the edition `br` and the version of this library in
    /// `META.hocon`.
    #[must_use]
    pub fn generic(time: BundleTime) -> Self {
        Self::new(time, Meta::new(OWN_EDITION, env!("CARGO_PKG_VERSION")))
    }

    /// Sets the prefix of the name.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Writes a bundle that already existed: with its name and format, the bytes and the modification time (seconds since 1970) of its
    /// `META.hocon`, and no manifest except the one among its members.
    #[must_use]
    pub fn with_name(mut self, name: BundleName, meta_text: Vec<u8>, meta_mtime: u64) -> Self {
        self.format = name.format();
        self.name = Some(name);
        self.meta_text = Some(meta_text);
        self.meta_mtime = Some(meta_mtime);
        self.manifest = false;
        self
    }

    /// Sets whether to use a later name if this one exists.
    #[must_use]
    pub const fn with_next_free(mut self, next_free: bool) -> Self {
        self.next_free = next_free;
        self
    }

    /// Sets format and level.
    #[must_use]
    pub const fn with_format(mut self, format: Format, level: Option<u32>) -> Self {
        self.format = format;
        self.level = level;
        self
    }

    /// Sets the number of compression threads.
    #[must_use]
    pub const fn with_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// Sets program and source for the manifest.
    #[must_use]
    pub fn with_origin(mut self, program: impl Into<String>, source: impl Into<String>) -> Self {
        self.program = program.into();
        self.source = source.into();
        self
    }

    /// Sets the selection for the manifest.
    #[must_use]
    pub fn with_selection(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// Sets whether to write a manifest.
    #[must_use]
    pub const fn with_manifest(mut self, manifest: bool) -> Self {
        self.manifest = manifest;
        self
    }

    /// Sets whether the same content gives the same bytes on every machine.
    #[must_use]
    pub const fn with_reproducible(mut self, reproducible: bool) -> Self {
        self.reproducible = reproducible;
        self
    }

    /// Sets whether to wait for the disk.
    #[must_use]
    pub const fn with_sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn name(&self, time: BundleTime) -> Result<BundleName> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => BundleName::new(&self.prefix, time, self.format)
                .map_err(|error| Error::invalid(error.to_string())),
        }
    }

    /// The level, checked.
    pub(super) fn checked_level(&self) -> Result<u32> {
        let (default, allowed) = match self.format {
            Format::TarGz => (6, 0..=9),
            Format::TarZst => (3, 1..=19),
        };
        let level = self.level.unwrap_or(default);
        if allowed.contains(&level) {
            Ok(level)
        } else {
            Err(Error::invalid(format!(
                "the level {level} is not from {} to {}",
                allowed.start(),
                allowed.end()
            )))
        }
    }
}
