//! The catalog: which backups there are, and finding one by what a person types.

use std::fmt;
use std::str::FromStr;

use super::{Io, LogPosition, Repository, State};
use crate::error::{Error, Result};
use crate::model::{Backup, BackupId};
use crate::progress::Context;

/// How a person names a backup: its id, the start of its id, or `latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupSelector {
    /// The newest backup.
    Latest,
    /// An id, or the start of one.
    Prefix(String),
}

impl FromStr for BackupSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_id = |c: char| c == '-' || c.is_ascii_hexdigit();
        match text {
            "latest" => Ok(Self::Latest),
            text if !text.is_empty() && text.len() <= 36 && text.chars().all(is_id) => {
                Ok(Self::Prefix(text.to_ascii_lowercase()))
            }
            _ => Err(Error::invalid(format!("`{text}` is not a backup id"))),
        }
    }
}

impl fmt::Display for BackupSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

impl State {
    /// The backup with this id.
    pub(crate) fn get(&self, id: BackupId) -> Result<&Backup> {
        let backup = self.backups.get(&id);
        backup.ok_or_else(|| Error::invalid(format!("there is no backup `{id}`")))
    }

    /// Finds the backup that a person means.
    pub(crate) fn find(&self, selector: &BackupSelector) -> Result<&Backup> {
        let prefix = match selector {
            BackupSelector::Latest => {
                let latest = self.backups.values().max_by_key(|backup| backup.finished);
                return latest.ok_or_else(|| Error::invalid("the repository has no backup yet"));
            }
            BackupSelector::Prefix(prefix) => prefix,
        };
        let mut matching = self
            .backups
            .values()
            .filter(|backup| backup.id.to_string().starts_with(prefix));
        match (matching.next(), matching.next()) {
            (Some(backup), None) => Ok(backup),
            (None, _) => Err(Error::invalid(format!("there is no backup `{prefix}`"))),
            (Some(one), Some(other)) => {
                let more = if matching.next().is_some() {
                    " and others"
                } else {
                    ""
                };
                let message = format!("`{prefix}` is ambiguous: {}, {}{more}", one.id, other.id);
                Err(Error::invalid(message))
            }
        }
    }
}

impl Repository {
    /// Lists all backups, oldest first.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn backups(&self, context: &Context) -> Result<Vec<Backup>> {
        let position = self.position(context).await?;
        let mut backups: Vec<_> = position.state.backups.into_values().collect();
        backups.sort_by_key(|backup| (backup.started, backup.id));
        Ok(backups)
    }

    /// Finds one backup and reads its manifest: unlike [`Repository::find`] this tells what could not be read.
    ///
    /// # Errors
    /// As [`Repository::find`], and when the manifest is missing or damaged.
    pub async fn describe(&self, selector: &BackupSelector, context: &Context) -> Result<Backup> {
        let selector = selector.clone();
        let work = move |io: &Io| {
            let id = LogPosition::read(io)?.state.find(&selector)?.id;
            Ok(io.read_manifest(id)?.0)
        };
        self.run(context, work).await
    }

    /// Finds one backup, as the catalog has it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when none or several match.
    pub async fn find(&self, selector: &BackupSelector, context: &Context) -> Result<Backup> {
        self.position(context).await?.state.find(selector).cloned()
    }
}
