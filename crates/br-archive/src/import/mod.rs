//! Import: merges a bundle into a folder.
//!
//! [`import`] takes [`ImportOptions`] and returns an [`ImportReport`]. It inserts missing files, updates files that differ, and deletes
//! nothing; it merges tables of EMQX record by record and configurations key by key, as EMQX does. Invariant: the folder changes only after
//! the whole bundle was read and is sound, and then completely or not at all.

mod fork;
mod options;

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use br_emqx::config::{self, ConfigChange};
use br_emqx::hocon;
use br_emqx::meta::Meta;
use br_emqx::rules::{Node, Refusal, check_import, check_meta};
use br_emqx::table::{self, TableChanges};

use crate::error::{Error, Result};
use crate::export::select_config;
use crate::inspect::{Examined, Examiner, Inspection};
use crate::manifest::MANIFEST_PATH;
use crate::name::BundleName;
use crate::path::MemberPath;
use crate::progress::BundleProgress;
use crate::reader::{BundleReader, Member};
use crate::select::{META_PATH, is_config, table_name};
use crate::staging::{Existing, Staging, Target, is_reserved};

use fork::Fork;
pub use options::ImportOptions;

/// What an import changed, or would change.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportReport {
    /// The content of the bundle.
    pub inspection: Inspection,
    /// One change for every selected file, in the order of the archive.
    pub changes: Vec<Change>,
}

impl ImportReport {
    /// Number of files with this kind of change.
    #[must_use]
    pub fn count(&self, kind: ChangeKind) -> u64 {
        let changes = self.changes.iter().filter(|change| change.kind == kind);
        changes.count() as u64
    }
}

/// The change of one file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Change {
    /// Its path.
    pub path: MemberPath,
    /// How it changes.
    pub kind: ChangeKind,
    /// Its size in the bundle, in bytes.
    pub size: u64,
    /// How many records change, if it is a table that the folder already had.
    pub table: Option<TableChanges>,
    /// Which keys change, if it is a configuration that the folder already had.
    pub config: Option<Vec<ConfigChange>>,
}

impl Change {
    fn new(path: &MemberPath, kind: ChangeKind, size: u64) -> Self {
        Self {
            path: path.clone(),
            kind,
            size,
            table: None,
            config: None,
        }
    }
}

/// How a file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The folder did not have it.
    Insert,
    /// The folder had it with other content.
    Update,
    /// The folder had it with the same content.
    Unchanged,
    /// The folder's file is kept: `META.hocon` describes the node of the folder, not the imported bundle.
    Kept,
}

impl ChangeKind {
    /// One word, for text and JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
        }
    }
}

/// Merges the bundle into the folder `into`, which is created if it is missing.
///
/// # Errors
/// If the bundle is damaged, breaks a rule or is not for this folder, if something in the folder blocks it, or if the operating system
/// reports an error. The folder is then unchanged.
pub fn import(
    bundle: &Path,
    into: &Path,
    options: &ImportOptions,
    progress: &mut dyn BundleProgress,
) -> Result<ImportReport> {
    let mut reader = BundleReader::open(bundle, &options.limits)?;
    let staging = if options.dry_run {
        None
    } else {
        Some(Staging::open(into, options.id)?)
    };
    let mut import = Import {
        options,
        staging,
        target: Target::open(into)?,
        examiner: Examiner::new(),
        changes: Vec::new(),
        meta: Vec::new(),
        early: false,
    };
    while let Some(mut member) = reader.next()? {
        let path = member.path().clone();
        let taken = import.member(&mut member, progress);
        taken.map_err(|error| error.in_member(path.as_str()))?;
        if path.as_str() == META_PATH {
            import.check_node()?;
        }
    }
    import.finish(reader.name().clone(), progress)
}

struct Import<'a> {
    options: &'a ImportOptions,
    /// `None` in a dry run.
    staging: Option<Staging>,
    target: Target,
    examiner: Examiner,
    changes: Vec<Change>,
    /// The bundle's `META.hocon`.
    meta: Vec<u8>,
    /// A member before `META.hocon` was handled as EMQX's.
    early: bool,
}

impl Import<'_> {
    fn member(&mut self, member: &mut Member<'_>, progress: &mut dyn BundleProgress) -> Result<()> {
        let path = member.path().clone();
        if is_reserved(&path) {
            return Err(Error::refused("this name is reserved for a running import"));
        }
        if member.is_directory() {
            return self.directory(&path);
        }
        let of_bundle = [META_PATH, MANIFEST_PATH].contains(&path.as_str());
        if of_bundle || !self.options.selection.takes(&path) {
            let examined = self.examiner.examine(member, None, false, progress)?;
            if let (META_PATH, Examined::Document(bytes)) = (path.as_str(), examined) {
                self.meta = bytes;
            }
            return Ok(());
        }
        let is_config = is_config(&path);
        if self.examiner.may_be_emqx() && (is_config || table_name(&path).is_some()) {
            self.early |= self.meta.is_empty();
            return if is_config {
                self.config(&path, member, progress)
            } else {
                self.table(&path, member, progress)
            };
        }
        self.file(&path, member, progress)
    }

    fn directory(&mut self, path: &MemberPath) -> Result<()> {
        let taken = self.options.selection.takes(path);
        match self.target.existing(path)? {
            Existing::File(_) => Err(Error::invalid("in the target this is a file")),
            Existing::Nothing if taken => match &mut self.staging {
                Some(staging) => staging.create_dir(path),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Imports any file, and compares it with the existing one during the read.
    fn file(
        &mut self,
        path: &MemberPath,
        member: &mut Member<'_>,
        progress: &mut dyn BundleProgress,
    ) -> Result<()> {
        let old = self.existing(path)?;
        let header = member.header().clone();
        let new = match &mut self.staging {
            Some(staging) => Some(staging.create(path, header.mode)?),
            None => None,
        };
        let mut fork = Fork::new(new, old);
        self.examiner
            .examine(member, Some(&mut fork), true, progress)?;
        let kind = fork.kind()?;
        if let Some(file) = &fork.new {
            set_time(file, header.mtime)?;
        }
        self.discard_unchanged(path, kind)?;
        self.changes.push(Change::new(path, kind, header.size));
        Ok(())
    }

    /// Imports a table: merges its records into the existing ones.
    fn table(
        &mut self,
        path: &MemberPath,
        member: &mut Member<'_>,
        progress: &mut dyn BundleProgress,
    ) -> Result<()> {
        let old = self.existing(path)?;
        let header = member.header().clone();
        let mut incoming = self.scratch(header.mode)?;
        let examined = self
            .examiner
            .examine(member, Some(&mut incoming), true, progress)?;
        if !matches!(examined, Examined::Table(true)) {
            // `finish` refuses the whole bundle and lists all problems.
            return Ok(());
        }
        let Some(old) = old else {
            if let Some(staging) = &mut self.staging {
                set_time(&incoming, header.mtime)?;
                staging.place(path)?;
            }
            let change = Change::new(path, ChangeKind::Insert, header.size);
            self.changes.push(change);
            return Ok(());
        };
        incoming.rewind().map_err(failed_scratch)?;
        let name = path.file_name();
        let changes = match &mut self.staging {
            Some(staging) => {
                let merged = staging.create(path, header.mode)?;
                table::merge(name, old, incoming, BufWriter::new(merged))
            }
            None => table::compare(name, old, incoming, 0),
        };
        let changes = changes.map_err(merge_failed)?;
        let kind = match changes.inserted + changes.updated {
            0 => ChangeKind::Unchanged,
            _ => ChangeKind::Update,
        };
        self.discard_unchanged(path, kind)?;
        let mut change = Change::new(path, kind, header.size);
        change.table = Some(changes);
        self.changes.push(change);
        Ok(())
    }

    /// Imports a configuration: merges its keys into the existing ones.
    fn config(
        &mut self,
        path: &MemberPath,
        member: &mut Member<'_>,
        progress: &mut dyn BundleProgress,
    ) -> Result<()> {
        let old = self.existing(path)?;
        let header = member.header().clone();
        let examined = self.examiner.examine(member, None, true, progress)?;
        let Examined::Document(mut bytes) = examined else {
            return Ok(());
        };
        if let Some(keys) = &self.options.selection.root_keys {
            bytes = select_config(&bytes, keys)?;
        }
        let Ok(incoming) = hocon::parse(&bytes) else {
            // `finish` refuses the bundle, as with tables.
            return Ok(());
        };
        let (mut kind, mut changes) = (ChangeKind::Insert, None);
        if let Some(mut old) = old {
            let mut text = Vec::new();
            let read = old.read_to_end(&mut text);
            read.map_err(|error| Error::io("cannot read the target", error))?;
            let base = hocon::parse(&text).map_err(|error| {
                let text = "the configuration in the target cannot be read";
                Error::invalid(text).because(error)
            })?;
            let (merged, merges) = config::merge(&base, &incoming);
            kind = if merges.iter().any(is_change) {
                ChangeKind::Update
            } else {
                ChangeKind::Unchanged
            };
            bytes = hocon::print(&merged).into_bytes();
            changes = Some(merges);
        }
        if let Some(staging) = self
            .staging
            .as_mut()
            .filter(|_| kind != ChangeKind::Unchanged)
        {
            let mut file = staging.create(path, header.mode)?;
            file.write_all(&bytes).map_err(failed_scratch)?;
        }
        let mut change = Change::new(path, kind, header.size);
        change.config = changes;
        self.changes.push(change);
        Ok(())
    }

    /// Checks whether the bundle may be imported, and publishes the staging folder.
    fn finish(mut self, name: BundleName, progress: &dyn BundleProgress) -> Result<ImportReport> {
        let inspection = std::mem::take(&mut self.examiner).finish(name, None)?;
        if let Some(error) = inspection.error() {
            return Err(error);
        }
        inspection.require(&self.options.selection)?;
        if inspection.is_emqx {
            self.meta()?;
        } else {
            self.plain()?;
        }
        if progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        if let Some(staging) = self.staging {
            staging.publish(self.options.sync)?;
        }
        Ok(ImportReport {
            inspection,
            changes: self.changes,
        })
    }

    /// Checks a bundle that is not EMQX's. It must not change EMQX's tables and configuration: as plain files they would be replaced
    /// without a merge.
    fn plain(&self) -> Result<()> {
        if self.early {
            let text = "it must come before the tables and configurations, because it says how to import them";
            return Err(Error::refused(text).in_member(META_PATH));
        }
        Ok(())
    }

    /// Checks whether the node accepts the bundle, before the other checks.
    fn check_node(&mut self) -> Result<()> {
        let mut node = self.options.node.clone();
        if node.is_none()
            && let Existing::File(mut file) = self.target.existing(&meta_path()?)?
        {
            node = folder_node(&mut file)?.map(|(node, _)| node);
        }
        match (self.examiner.meta(), &node) {
            (Some(meta), Some(node)) => Ok(check_import(meta, node)?),
            _ => Ok(()),
        }
    }

    /// Handles `META.hocon`. The folder's own file names its node, and is kept.
    fn meta(&mut self) -> Result<()> {
        let path = meta_path()?;
        let mut kind = ChangeKind::Insert;
        if let Some(mut file) = self.existing(&path)? {
            let Some((_, text)) = folder_node(&mut file)? else {
                let text = "in the target this says that the folder is not EMQX's";
                return Err(Error::invalid(text).in_member(META_PATH));
            };
            kind = if text == self.meta {
                ChangeKind::Unchanged
            } else {
                ChangeKind::Kept
            };
        }
        if let Some(staging) = self.staging.as_mut().filter(|_| kind == ChangeKind::Insert) {
            let mut file = staging.create(&path, 0o644)?;
            file.write_all(&self.meta).map_err(failed_scratch)?;
        }
        let size = self.meta.len() as u64;
        self.changes.push(Change::new(&path, kind, size));
        Ok(())
    }

    /// Discards an unchanged file, so that it is not swapped in.
    fn discard_unchanged(&self, path: &MemberPath, kind: ChangeKind) -> Result<()> {
        match &self.staging {
            Some(staging) if kind == ChangeKind::Unchanged => staging.discard(path),
            _ => Ok(()),
        }
    }

    /// The existing file, if there is one.
    fn existing(&mut self, path: &MemberPath) -> Result<Option<File>> {
        match self.target.existing(path)? {
            Existing::Nothing => Ok(None),
            Existing::File(file) => Ok(Some(file)),
            Existing::Directory => Err(Error::invalid("in the target this is a folder")),
        }
    }

    fn scratch(&self, mode: u32) -> Result<File> {
        match &self.staging {
            Some(staging) => staging.scratch(mode),
            None => tempfile::tempfile().map_err(failed_scratch),
        }
    }
}

fn meta_path() -> Result<MemberPath> {
    MemberPath::new(META_PATH).map_err(|error| Error::refused(error.to_string()))
}

/// The node whose folder has this `META.hocon`, and its text; `None` if the folder is not EMQX's.
fn folder_node(file: &mut File) -> Result<Option<(Node, Vec<u8>)>> {
    let mut text = Vec::new();
    let read = file.read_to_end(&mut text);
    read.map_err(|error| Error::io("cannot read the target", error))?;
    let Some(there) = Meta::parse(&text).ok().filter(Meta::is_emqx) else {
        return Ok(None);
    };
    let (edition, version) = check_meta(&there)?;
    Ok(Some((Node::new(edition, version), text)))
}

fn is_change(change: &ConfigChange) -> bool {
    use config::ChangeKind::{Inserted, Updated};
    matches!(change.kind, Inserted | Updated)
}

fn merge_failed(error: table::MergeError) -> Error {
    let refusal = matches!(error, table::MergeError::DifferentSchema { .. });
    if refusal {
        Error::from(Refusal::DifferentTableSchema).because(error)
    } else {
        Error::invalid("the table cannot be merged into the one that is there").because(error)
    }
}

fn failed_scratch(error: io::Error) -> Error {
    Error::io("cannot write what is imported", error)
}

/// Sets a file's time to the time in the bundle.
pub(crate) fn set_time(file: &File, mtime: u64) -> Result<()> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(mtime));
    // Ignores a time that this system cannot represent.
    let Some(time) = time else { return Ok(()) };
    file.set_modified(time).map_err(failed_scratch)
}
