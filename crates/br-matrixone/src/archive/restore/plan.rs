//! What a restore will do.
//!
//! [`RestorePlan`] names every file with where it comes from and where it goes. Invariant: a plan is there only when nothing is missing.

use super::super::chain::Resolution;
use super::super::error::{Error, ErrorKind, Result};
use super::super::frame::Framing;
use super::super::hk_data::HkData;
use super::super::layout::{Archive, ArchiveBackup, HK_DATA, read_small};
use super::super::lists::read_digest;
use super::super::progress::Progress;
use super::super::sha256::Digest;
use super::target::RestoreTarget;

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedFile {
    /// Where it is, below the root of the archive.
    pub from: String,
    /// Where it goes, as the user named the target: `mo-data/shared/<object>`.
    pub to: String,
    /// Its bytes of content.
    pub size: u64,
}

/// What goes where.
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
    /// [`ErrorKind::Missing`] with all files that are missing and who should have them, when the list or `hk_data` is damaged, and when the
    /// storage does not answer.
    pub fn new(
        archive: &'a Archive,
        backup: &ArchiveBackup,
        target: RestoreTarget,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if backup.unfinished.is_some() {
            let text = format!(
                "the backup {} is unfinished: take another one",
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
            return Err(
                Error::damaged("its SHA-256 is another one than was written down").at(hk_from),
            );
        }
        let mut warnings = Vec::new();
        match HkData::parse(&hk_data) {
            Ok(data) => warnings.extend(data.fault().map(|fault| format!("{hk_from}: {fault}"))),
            Err(error) => return Err(error.at(hk_from)),
        }
        for conflict in &resolution.conflicts {
            warnings.push(format!(
                "{} is listed twice and differently",
                conflict.escape_debug()
            ));
        }
        Ok(Self {
            // A chain may have files of both kinds, when the cluster changed: the list is of the chosen backup itself.
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

    /// All files, in the order in which they are begun; `hk_data` is the last.
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

    /// How many files there are.
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

    /// Where the bytes are.
    #[must_use]
    pub const fn resolution(&self) -> &Resolution {
        &self.resolution
    }

    /// Where they go.
    #[must_use]
    pub const fn target(&self) -> &RestoreTarget {
        &self.target
    }

    /// Whether objects will lie in frames.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.shared_framing
    }

    /// What the user should know before the cluster is started.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What marks the target of this very restore.
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
