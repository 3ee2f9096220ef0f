//! Selection of a backup from the backup list, by the text that a user types.
//!
//! [`BackupSelector`] names a backup, [`BackupFilter`] limits the backups that `latest` selects from, [`ShortIds`] assigns each backup an
//! id that is short enough to type. Invariant: the newest backup is the one that was committed last.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::{Io, LogPosition, Repository, State};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Backup, BackupId, escape, normal_path};
use crate::progress::Context;

/// How a user names a backup.
///
/// Every operation on a backup takes anything that converts into a selector: a [`BackupId`], a [`Backup`], or a selector, also by
/// reference. Text that a user types is parsed: `"latest~1".parse()`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackupSelector {
    /// The newest backup.
    Latest,
    /// The backup that is `back` places before the newest one that matches the filter.
    Newest {
        /// 0 is the newest backup, 1 the one before it.
        back: usize,
        /// The backups to select from.
        filter: BackupFilter,
    },
    /// A full id, its first digits, or at least [`BackupSelector::MIN_END`] of its last digits. Case and hyphens are ignored.
    Prefix(String),
}

impl BackupSelector {
    /// Minimum number of last digits that identify a backup.
    pub const MIN_END: usize = 4;

    /// Limits the backups that `latest` selects from. An id is searched in all backups.
    #[must_use]
    pub fn with_filter(self, filter: BackupFilter) -> Self {
        match self {
            Self::Latest => Self::Newest { back: 0, filter },
            Self::Newest { back, .. } => Self::Newest { back, filter },
            Self::Prefix(id) => Self::Prefix(id),
        }
    }

    /// True when the backup is named by its id or a part of it.
    #[must_use]
    pub const fn is_id(&self) -> bool {
        matches!(self, Self::Prefix(_))
    }
}

impl From<BackupId> for BackupSelector {
    fn from(id: BackupId) -> Self {
        Self::Prefix(id.to_string())
    }
}

impl From<&Self> for BackupSelector {
    fn from(selector: &Self) -> Self {
        selector.clone()
    }
}

impl From<&Backup> for BackupSelector {
    fn from(backup: &Backup) -> Self {
        backup.id.into()
    }
}

impl FromStr for BackupSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_id = |c: char| c == '-' || c.is_ascii_hexdigit();
        let wrong = || {
            let message = format!(
                "`{text}` is not a backup id: use an id, its first digits, `latest` or `latest~1`"
            );
            Error::invalid(message)
        };
        match text {
            "latest" => Ok(Self::Latest),
            text if text.starts_with("latest~") => {
                let back = text["latest~".len()..].parse().map_err(|_| wrong())?;
                let filter = BackupFilter::default();
                Ok(Self::Newest { back, filter })
            }
            text if !text.is_empty() && text.len() <= 36 && text.chars().all(is_id) => {
                Ok(Self::Prefix(text.to_ascii_lowercase()))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for BackupSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest | Self::Newest { back: 0, .. } => f.write_str("latest"),
            Self::Newest { back, .. } => write!(f, "latest~{back}"),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

/// Selects backups. The default matches every backup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackupFilter {
    /// Only backups of this host.
    pub host: Option<String>,
    /// Only backups of all these paths. Different spellings are equal: `./a/` is `a`.
    pub paths: Vec<Vec<u8>>,
    /// The folder that the filter's relative paths start from. A relative path also matches a path that was typed the same way in another
    /// folder.
    pub folder: Vec<u8>,
    /// Only backups with all of these tags.
    pub tags: Vec<String>,
    /// Only backups without unread entries.
    pub complete: bool,
}

impl BackupFilter {
    /// Only backups of this host.
    #[must_use]
    pub fn with_host(mut self, host: Option<String>) -> Self {
        self.host = host;
        self
    }

    /// Only backups of all these paths; relative paths start from `folder`.
    #[must_use]
    pub fn with_paths(mut self, paths: Vec<Vec<u8>>, folder: Vec<u8>) -> Self {
        self.paths = paths;
        self.folder = folder;
        self
    }

    /// Only backups with all of these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<String>) -> Self {
        self.tags = tags;
        self
    }

    /// Only backups without unread entries.
    #[must_use]
    pub const fn with_complete(mut self, complete: bool) -> Self {
        self.complete = complete;
        self
    }

    /// True when every backup matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.host.is_none() && self.paths.is_empty() && self.tags.is_empty() && !self.complete
    }

    /// True when the backup matches.
    #[must_use]
    pub fn matches(&self, backup: &Backup) -> bool {
        self.host.as_ref().is_none_or(|host| *host == backup.host)
            && self.tags.iter().all(|tag| backup.tags.contains(tag))
            && (!self.complete || backup.is_complete())
            && self.paths.iter().all(|path| self.has_path(path, backup))
    }

    fn has_path(&self, path: &[u8], backup: &Backup) -> bool {
        let typed = normal_path(path, b"");
        let full = normal_path(path, &self.folder);
        // `.` and `..` have no meaning without the folder in which they were typed.
        let has_name = typed != b"." && !typed.starts_with(b"..");
        let mut as_typed = backup.paths.iter().map(|path| normal_path(path, b""));
        let mut in_full = backup.paths.iter();
        (has_name && as_typed.any(|other| other == typed))
            || in_full.any(|path| normal_path(path, &backup.folder) == full)
    }
}

impl fmt::Display for BackupFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.host.as_ref().map(|host| format!("host `{host}`")));
        let paths = self.paths.iter();
        parts.extend(paths.map(|path| format!("path `{}`", escape(path))));
        parts.extend(self.tags.iter().map(|tag| format!("tag `{tag}`")));
        parts.extend(self.complete.then(|| "complete".to_owned()));
        f.write_str(&parts.join(", "))
    }
}

/// The shortest usable id of each backup: the last eight digits of its id, or more if several backups have the same last digits.
///
/// An id starts with a time, which backups of the same night share; its last digits are random.
#[derive(Debug, Clone, Default)]
pub struct ShortIds(HashMap<BackupId, String>);

impl ShortIds {
    /// Number of digits of a short id, unless more are needed.
    pub const LEN: usize = 8;

    /// Creates short ids for these backups, which must be all backups of a repository.
    pub fn new(ids: impl IntoIterator<Item = BackupId>) -> Self {
        let mut all: Vec<(BackupId, String)> =
            ids.into_iter().map(|id| (id, digits_of(id))).collect();
        // Sorted by reversed digits, so ids with the longest common endings are adjacent.
        all.sort_unstable_by(|(_, a), (_, b)| a.bytes().rev().cmp(b.bytes().rev()));
        let mut starts: Vec<&str> = all.iter().map(|(_, digits)| digits.as_str()).collect();
        starts.sort_unstable();
        let common = |a: &str, b: &str| {
            let pairs = a.bytes().rev().zip(b.bytes().rev());
            pairs.take_while(|(a, b)| a == b).count()
        };
        let short = |at: usize| {
            let (id, digits) = &all[at];
            let before = at.checked_sub(1).map(|before| &all[before]);
            let others = before.into_iter().chain(all.get(at + 1));
            let shared = others.map(|(_, other)| common(digits, other)).max();
            let mut len = Self::LEN.max(shared.unwrap_or(0) + 1).min(digits.len());
            // The last digits of one id may be the first digits of another.
            while len < digits.len() && is_start_of_other(&starts, digits, len) {
                len += 1;
            }
            (*id, digits[digits.len() - len..].to_owned())
        };
        Self((0..all.len()).map(short).collect())
    }

    /// The short id; the full id for any other backup.
    #[must_use]
    pub fn get(&self, id: BackupId) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }
}

fn is_start_of_other(starts: &[&str], digits: &str, len: usize) -> bool {
    let end = &digits[digits.len() - len..];
    let from = starts.partition_point(|other| *other < end);
    let alike = starts[from..].iter().take_while(|o| o.starts_with(end));
    alike.into_iter().any(|other| *other != digits)
}

/// The 32 digits of an id.
fn digits_of(id: BackupId) -> String {
    id.0.simple().to_string()
}

impl State {
    /// Finds the backup that the user selected.
    pub(crate) fn find(&self, selector: &BackupSelector) -> Result<&Backup> {
        match selector {
            BackupSelector::Latest => self.newest(0, &BackupFilter::default()),
            BackupSelector::Newest { back, filter } => self.newest(*back, filter),
            BackupSelector::Prefix(text) => self.by_part(text),
        }
    }

    fn newest(&self, back: usize, filter: &BackupFilter) -> Result<&Backup> {
        let fitting = || self.backups.values().rev().filter(|b| filter.matches(b));
        fitting().nth(back).ok_or_else(|| {
            let of = if filter.is_empty() {
                String::new()
            } else {
                format!(" that fits {filter}")
            };
            let message = match (self.backups.is_empty(), fitting().count()) {
                (true, _) => "the repository has no backup yet".to_owned(),
                (false, 0) => format!("the repository has no backup{of}"),
                (false, 1) => format!("there is no latest~{back}: there is one backup{of}"),
                (false, n) => format!("there is no latest~{back}: there are {n} backups{of}"),
            };
            Error::new(ErrorKind::NoBackup, message)
        })
    }

    fn by_part(&self, text: &str) -> Result<&Backup> {
        let part = text.replace('-', "").to_ascii_lowercase();
        let has_end = part.len() >= BackupSelector::MIN_END;
        let is_part_of = |id: BackupId| {
            let digits = digits_of(id);
            let has_start = !part.is_empty() && digits.starts_with(&part);
            has_start || (has_end && digits.ends_with(&part))
        };
        let all = || self.backups.values().rev();
        let mut fitting: Vec<&Backup> = all().filter(|backup| is_part_of(backup.id)).collect();
        if fitting.is_empty() {
            // A copy is also found by the id that it has in the repository it was copied from.
            let copies = all().filter(|backup| backup.copy_of.is_some_and(is_part_of));
            fitting = copies.collect();
        }
        match fitting.as_slice() {
            [] => Err(unknown(&text)),
            [backup] => Ok(backup),
            [one, other, more @ ..] => {
                let short = ShortIds::new(self.backups.values().map(|backup| backup.id));
                let (one, other) = (short.get(one.id), short.get(other.id));
                let more = match more.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let message = format!("`{text}` fits several backups: {one}, {other}{more}");
                Err(Error::new(ErrorKind::AmbiguousId, message))
            }
        }
    }
}

fn unknown(id: &dyn fmt::Display) -> Error {
    Error::new(
        ErrorKind::BackupNotFound,
        format!("there is no backup `{id}`"),
    )
}

impl Repository {
    /// Lists all backups in the order in which they were committed, the oldest first.
    ///
    /// Requests: those for the commit log. With a cache one LIST and one GET; without one a LIST and at most 64 small GETs, up to
    /// the last checkpoint.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn backups(&self, context: &Context) -> Result<Vec<Backup>> {
        let position = self.position(context).await?;
        Ok(position.state.backups.into_values().collect())
    }

    /// Finds one backup and reads its manifest, so that, unlike [`Repository::find`], the result names the unread entries, and has the configuration files.
    ///
    /// Requests: as [`Repository::backups`], and one for the manifest.
    ///
    /// # Errors
    /// As [`Repository::find`], and when the manifest is missing or damaged.
    pub async fn describe(
        &self,
        selector: impl Into<BackupSelector>,
        context: &Context,
    ) -> Result<Backup> {
        let selector = selector.into();
        let work = move |io: &Io| {
            let (position, _) = LogPosition::read_or_rebuild(io)?;
            let listed = position.state.find(&selector)?;
            let (manifest, _) = io.read_manifest(listed.id)?;
            // The log has what changed since the manifest was written, such as tags, and how many bytes the manifest itself added.
            Ok(listed.clone().with_parts_of(manifest))
        };
        self.run(context, work).await
    }

    /// Finds one backup in the backup list. Requests: as [`Repository::backups`].
    ///
    /// # Errors
    /// [`ErrorKind::NoBackup`] when the repository has no backup or none matches the filter,
    /// [`ErrorKind::BackupNotFound`] when no backup has the id, [`ErrorKind::AmbiguousId`] when several match it.
    pub async fn find(
        &self,
        selector: impl Into<BackupSelector>,
        context: &Context,
    ) -> Result<Backup> {
        let selector = selector.into();
        self.position(context).await?.state.find(&selector).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str]) -> Vec<BackupId> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn short_ids_are_the_random_end_and_longer_where_ends_are_alike() {
        let ids = ids(&[
            "01a1f839-0000-7000-8000-0000deadbeef",
            "01a1f839-0000-7000-8000-000011111111",
            "01a1f839-0000-7000-8000-000a11111111",
            // Its last digits are the first digits of all of them.
            "01a1f839-0000-7000-8000-500001a1f839",
        ]);
        let short = ShortIds::new(ids.iter().copied());
        let shown: Vec<_> = ids.iter().map(|id| short.get(*id)).collect();
        assert_eq!(
            shown,
            ["deadbeef", "011111111", "a11111111", "001a1f839"].map(str::to_owned)
        );
        assert_eq!(ShortIds::default().get(ids[0]), ids[0].to_string());
    }

    #[test]
    fn selectors_round_trip() {
        for text in ["latest", "latest~1", "deadbeef", "01a1f839-0000"] {
            assert_eq!(text.parse::<BackupSelector>().unwrap().to_string(), text);
        }
        for bad in ["latest~", "latest~-1", "latest~x", "latest-1", "later"] {
            assert!(bad.parse::<BackupSelector>().is_err(), "{bad}");
        }
    }
}
