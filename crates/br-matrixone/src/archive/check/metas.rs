//! The small files of a backup: `mo_meta`, `backup_meta`, `config/`, `hakeeper/hk_data`, `tae/tae_sum`, `<id>.meta`.
//!
//! Invariant: each is read once, compared with the digest next to it, and parsed, in the order of the original tool.

use super::super::error::{Error, ErrorKind, Result};
use super::super::files;
use super::super::frame::Framing;
use super::super::frame::unframe;
use super::super::hk_data::HkData;
use super::super::layout::{BACKUP_META, HK_DATA, MO_META, TAE_SUM};
use super::super::limits::Limits;
use super::super::lists::read_digest;
use super::super::mo_meta::MoMeta;
use super::super::problem::ProblemKind;
use super::super::sha256::Digest;
use super::super::tae_sum::TaeSum;
use super::{Check, CheckLevel, describe, kind_of};

impl Check<'_> {
    /// Checks all of them, and returns the content of `tae_sum`.
    pub(super) fn metas(&self) -> Result<Option<TaeSum>> {
        if let Some(id) = self
            .backup
            .id
            .as_ref()
            .filter(|_| self.backup.meta.is_some())
        {
            let path = format!("{id}.meta");
            self.root_file(&path)?;
        }
        self.small(BACKUP_META, false, |_| Ok(()))?;
        let meta = self.small(MO_META, true, MoMeta::parse)?;
        self.small(HK_DATA, true, |bytes| match HkData::parse(bytes)?.fault() {
            Some(fault) => Err(Error::damaged(fault)),
            None => Ok(()),
        })?;
        let sum = self.small(TAE_SUM, true, TaeSum::parse)?;
        for config in meta.unwrap_or_default().configs {
            self.small(&format!("config/{}", config.file), true, |_| Ok(()))?;
        }
        Ok(sum)
    }

    /// Checks the catalogue line in the root.
    fn root_file(&self, path: &str) -> Result<()> {
        let bytes = match files::read(self.archive.folder(), path, Limits::SMALL_BYTES) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => return self.unreadable(path, error),
        };
        self.compare(path, &bytes).map(drop)
    }

    /// Checks one file, and returns the result of `parse`.
    fn small<T>(
        &self,
        file: &str,
        is_required: bool,
        parse: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.progress.is_cancelled() {
            return Err(Error::cancelled());
        }
        let path = self.backup.path(file);
        let bytes = match files::read(self.archive.folder(), &path, Limits::SMALL_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if !is_required => return Ok(None),
            Ok(None) => {
                self.problem(path, ProblemKind::Missing, "it is missing");
                self.checked(file, false);
                return Ok(None);
            }
            Err(error) => {
                self.unreadable(&path, error)?;
                self.checked(file, false);
                return Ok(None);
            }
        };
        let content = self.compare(&path, &bytes)?;
        let parsed = content.and_then(|content| match parse(&content) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problem(path.as_str(), ProblemKind::Format, error.to_string());
                None
            }
        });
        self.checked(file, parsed.is_some());
        Ok(parsed)
    }

    fn unreadable(&self, path: &str, error: Error) -> Result<()> {
        match error.kind() {
            ErrorKind::Cancelled => Err(error),
            _ => {
                self.problem(path, kind_of(&error), describe(&error));
                Ok(())
            }
        }
    }

    /// Removes frames, and compares with the digest next to it; returns the content unless it is damaged.
    fn compare(&self, path: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let beside = match read_digest(self.archive.folder(), path) {
            Ok(beside) => beside,
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let at = error.path().unwrap_or(path).to_owned();
                self.unreadable(&at, error)?;
                None
            }
            Err(error) => return Err(error),
        };
        let framing = beside.map_or_else(|| Framing::sniff(bytes), |(_, framing)| framing);
        let content = match framing {
            Framing::Raw => Ok(bytes.to_owned()),
            Framing::Framed => unframe(bytes),
        };
        let content = match content {
            Ok(content) => content,
            Err(error) => {
                self.problem(path, ProblemKind::Frame, error.message());
                return Ok(None);
            }
        };
        self.found(|found| found.read_bytes = found.read_bytes.saturating_add(bytes.len() as u64));
        let digest = Digest::of(&content);
        let beside = beside.map(|(expected, _)| (expected, "in the file next to it"));
        let noted = || Some((self.archive.noted(path)?, "recorded when it was made"));
        match beside.or_else(noted) {
            Some((expected, as_what)) if expected != digest => {
                let text = format!("its SHA-256 is {digest}, not {expected} as {as_what}");
                self.problem(path, ProblemKind::Digest, text);
                return Ok(None);
            }
            Some(_) => self.found(|found| found.proven += 1),
            None if self.options.level == CheckLevel::Full => {
                self.found(|found| found.count_unproven(path, digest));
            }
            None => {}
        }
        Ok(Some(content))
    }
}
