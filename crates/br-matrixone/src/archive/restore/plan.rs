//! Plan of a restore.
//!
//! [`RestorePlan`] lists every file with its source and destination. Invariant: a plan exists only if no file is missing.

use super::super::chain::Resolution;
use super::super::error::{Error, ErrorKind, Result};
use super::super::frame::Framing;
use super::super::hk_data::HkData;
use super::super::layout::{Archive, ArchiveBackup, HK_DATA, read_small};
use super::super::lists::read_digest;
use super::super::progress::ArchiveProgress;
use super::super::sha256::Digest;
use super::target::RestoreTarget;

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedFile {
    /// Its path below the root of the archive.
    pub from: String,
    /// Its path in the target that the user named: `mo-data/shared/<object>`.
    pub to: String,
    /// Its bytes of content.
    pub size: u64,
}

/// The files to copy, with source and destination.
#[derive(Debug)]
pub struct RestorePlan<'a> {
    pub(super) archive: &'a Archive,
    pub(super) target: RestoreTarget,
    pub(super) resolution: Resolution,
    pub(super) hk_data: Vec<u8>,
    pub(super) hk_from: String,
    pub(super) hk_is_proven: bool,
    pub(super) shared_framing: Framing,
    pub(super) local_framing: Framing,
    pub(super) warnings: Vec<String>,
}

impl<'a> RestorePlan<'a> {
    /// Plans to restore a backup. Reads lists and `hk_data`; writes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] with all missing files and the backups that should have them. Also if the list or `hk_data` is damaged, or
    /// the storage does not answer.
    pub fn new(
        archive: &'a Archive,
        backup: &ArchiveBackup,
        target: RestoreTarget,
        progress: &dyn ArchiveProgress,
    ) -> Result<Self> {
        if backup.unfinished.is_some() {
            let text = format!(
                "the backup {} is unfinished: use another one",
                backup.name()
            );
            return Err(Error::new(ErrorKind::Damaged, text));
        }
        let resolution = Resolution::of(archive, backup, progress)?;
        resolution.require_all()?;
        let hk_from = backup.path(HK_DATA);
        let folder = archive.folder();
        let digest = read_digest(folder, &hk_from)?;
        let read = read_small(folder, &hk_from, digest.map(|(_, framing)| framing))?;
        let (hk_data, hk_framing) = read
            .ok_or_else(|| Error::new(ErrorKind::Missing, "it is missing").at(hk_from.as_str()))?;
        let digest = digest
            .map(|(digest, _)| digest)
            .or_else(|| archive.noted(&hk_from));
        if digest.is_some_and(|digest| digest != Digest::of(&hk_data)) {
            return Err(Error::damaged("its SHA-256 is not the recorded one").at(hk_from));
        }
        let mut warnings = Vec::new();
        match HkData::parse(&hk_data) {
            Ok(data) => warnings.extend(data.fault().map(|fault| format!("{hk_from}: {fault}"))),
            Err(error) => return Err(error.at(hk_from)),
        }
        for conflict in &resolution.conflicts {
            warnings.push(format!(
                "{} is listed twice with different values",
                conflict.escape_debug()
            ));
        }
        Ok(Self {
            // A chain may have framed and raw files if the cluster changed: use the framing of the chosen backup's own list.
            shared_framing: target.shared.framing.unwrap_or(resolution.list.framing),
            local_framing: target.local.framing.unwrap_or(hk_framing),
            archive,
            target,
            resolution,
            hk_data,
            hk_from,
            hk_is_proven: digest.is_some(),
            warnings,
        })
    }

    /// All files, in the order of copying; `hk_data` is the last.
    pub fn files(&self) -> impl Iterator<Item = PlannedFile> + '_ {
        let files = self.resolution.files.iter().map(|file| PlannedFile {
            from: self.resolution.path(file),
            to: self.target.shared.label_of(&file.row.path),
            size: file.row.size,
        });
        files.chain(std::iter::once(PlannedFile {
            from: self.hk_from.clone(),
            to: self.target.local.label_of(super::inspect::HK_NAME),
            size: self.hk_data.len() as u64,
        }))
    }

    /// The number of files.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.resolution.files.len() as u64 + 1
    }

    /// Their bytes of content.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.resolution
            .bytes
            .saturating_add(self.hk_data.len() as u64)
    }

    /// The places of the source files.
    #[must_use]
    pub const fn resolution(&self) -> &Resolution {
        &self.resolution
    }

    /// The destination.
    #[must_use]
    pub const fn target(&self) -> &RestoreTarget {
        &self.target
    }

    /// The framing of objects in the target.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.shared_framing
    }

    /// Warnings for the user before the start of the cluster.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The content of the marker for this restore.
    pub(super) fn mark(&self) -> String {
        let mut hasher = <sha2::Sha256 as sha2::Digest>::new();
        for file in &self.resolution.files {
            let row = &file.row;
            let digest = row.digest.map(|digest| digest.to_string());
            let line = format!("{},{},{}\n", row.path, row.size, digest.unwrap_or_default());
            sha2::Digest::update(&mut hasher, line.as_bytes());
        }
        sha2::Digest::update(&mut hasher, &self.hk_data);
        let digest = Digest(sha2::Digest::finalize(hasher).into());
        format!(
            "br restore 1 {digest} {} {}\n",
            self.shared_framing, self.local_framing
        )
    }
}
