//! Export of folders and files as members of a bundle.
//!
//! [`export`] adds them and returns an [`ExportReport`]. Invariant: a bundle contains regular files only; everything else is left out,
//! reported, and counted in the manifest.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use br_emqx::config::{is_root, select_roots};
use br_emqx::hocon;
use br_emqx::table_sets;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::MANIFEST_PATH;
use crate::path::MemberPath;
use crate::progress::{BundleProgress, Event};
use crate::select::{META_PATH, Selection, is_config};
use crate::writer::BundleWriter;

/// The result of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Members added.
    pub members: u64,
    /// The first [`ExportReport::MAX_LEFT_OUT`] paths that were left out, with the reason.
    pub left_out: Vec<(PathBuf, String)>,
    /// Number of paths that were left out.
    pub left_out_count: u64,
}

impl ExportReport {
    /// Most paths in [`left_out`](Self::left_out); further ones are only counted.
    pub const MAX_LEFT_OUT: usize = 1_000;
}

/// Adds the file `from`, or the content of the folder `from`, to a bundle, below `into` or at the top. Skips `META.hocon` and
/// `br/manifest.json` at the top, which the writer makes itself. Sorts names, so that the same files give the same bundle.
///
/// # Errors
/// If `from` does not exist, the bundle cannot be written, a limit is reached, or the caller cancels.
pub fn export<W: Write>(
    writer: &mut BundleWriter<W>,
    from: &Path,
    into: Option<&MemberPath>,
    selection: &Selection,
    progress: &mut dyn BundleProgress,
) -> Result<ExportReport> {
    let metadata = fs::metadata(from)
        .map_err(|error| Error::io(format!("cannot look at {}", from.display()), error))?;
    let mut export = Export {
        writer,
        selection,
        progress,
        report: ExportReport::default(),
    };
    if metadata.is_dir() {
        export.folder(from, into)?;
        return Ok(export.report);
    }
    let name = from
        .file_name()
        .map(OsStr::to_os_string)
        .unwrap_or_default();
    export.entry(from, into, &name)?;
    Ok(export.report)
}

struct Export<'a, W: Write> {
    writer: &'a mut BundleWriter<W>,
    selection: &'a Selection,
    progress: &'a mut dyn BundleProgress,
    report: ExportReport,
}

impl<W: Write> Export<'_, W> {
    fn folder(&mut self, folder: &Path, into: Option<&MemberPath>) -> Result<()> {
        let names = fs::read_dir(folder).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut names = match names {
            Ok(names) => names,
            Err(error) => {
                self.leave_out(folder, &error.to_string());
                return Ok(());
            }
        };
        // Sorts tables in EMQX's order, everything else by name.
        let is_mnesia = into.is_some_and(|into| into.as_str() == "mnesia");
        names.sort_by_cached_key(|name| {
            let table = name.to_str().filter(|_| is_mnesia);
            let place = table.and_then(table_sets::export_order);
            (place.unwrap_or(usize::MAX), name.clone())
        });
        for name in names {
            self.entry(&folder.join(&name), into, &name)?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Path, into: Option<&MemberPath>, name: &OsStr) -> Result<()> {
        if self.progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        let name = name.to_str().ok_or(crate::PathError::NotUtf8);
        let path = name.and_then(|name| match into {
            Some(into) => into.join(name),
            None => MemberPath::new(name),
        });
        let path = match path {
            Ok(path) => path,
            Err(error) => {
                self.leave_out(from, &error.to_string());
                return Ok(());
            }
        };
        match self.add(from, &path) {
            Err(error) if error.kind() == ErrorKind::Io && self.writer.is_whole() => {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                self.leave_out(from, &reason.unwrap_or_else(|| error.to_string()));
                Ok(())
            }
            result => result,
        }
    }

    fn add(&mut self, from: &Path, path: &MemberPath) -> Result<()> {
        let failed = |error| Error::io(format!("cannot read {}", from.display()), error);
        let kind = fs::symlink_metadata(from).map_err(failed)?.file_type();
        if kind.is_dir() {
            return self.folder(from, Some(path));
        }
        if [META_PATH, MANIFEST_PATH].contains(&path.as_str()) || !self.selection.takes(path) {
            return Ok(());
        }
        if !kind.is_file() {
            let what = crate::platform::kind_of(kind);
            self.leave_out(from, &format!("{what} have no place in a bundle"));
            return Ok(());
        }
        let mut file = crate::platform::open_file(from).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if self.writer.is_own(from, &metadata) {
            return Ok(());
        }
        let size = metadata.len();
        self.progress.event(Event::Member { path, size });
        if let Some(keys) = self
            .selection
            .root_keys
            .as_deref()
            .filter(|_| is_config(path))
        {
            let mut text = Vec::new();
            let limit = hocon::MAX_BYTES as u64 + 1;
            file.take(limit).read_to_end(&mut text).map_err(failed)?;
            let text =
                select_config(&text, keys).map_err(|error| error.in_member(path.as_str()))?;
            let attributes = crate::platform::attributes(&metadata);
            self.writer.add_bytes(path, &text, attributes)?;
        } else {
            self.writer.add_opened(path, &mut file, &metadata)?;
        }
        self.report.members += 1;
        self.progress.event(Event::Advance { bytes: size });
        Ok(())
    }

    fn leave_out(&mut self, path: &Path, reason: &str) {
        self.progress.event(Event::LeftOut { path, reason });
        self.writer.leave_out();
        self.report.left_out_count += 1;
        if self.report.left_out.len() < ExportReport::MAX_LEFT_OUT {
            let item = (path.to_owned(), reason.to_owned());
            self.report.left_out.push(item);
        }
    }
}

/// Returns the configuration with these root keys only. Ignores a key that the configuration lacks, if EMQX has a root of that name.
///
/// # Errors
/// If it cannot be read, or EMQX has no such root key.
pub fn select_config(text: &[u8], keys: &[String]) -> Result<Vec<u8>> {
    let object = hocon::parse(text)
        .map_err(|error| Error::damaged("the configuration cannot be read").because(error))?;
    let wanted = keys
        .iter()
        .filter(|key| object.contains_key(key) || !is_root(key));
    let selected = select_roots(&object, &wanted.collect::<Vec<_>>())?;
    Ok(hocon::print(&selected).into_bytes())
}
