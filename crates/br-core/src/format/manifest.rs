//! The description of a backup as JSON: in manifests and in the commit log (section 7).

use std::sync::Arc;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::config::as_text;
use super::{FormatError, limits};
use crate::model::{
    Backup, BackupId, BackupKind, Changes, ChunkId, ChunkRef, Configuration, ConfigurationFile,
    ConfiguredRepository, Origin, Proof, Reason, StreamRecord, Totals, TreeRoot, Unread, escape,
    unescape,
};

/// A backup as JSON: in manifests, in the commit log and in the output of `br --json`. Raw bytes are written as text by [`escape`].
#[derive(Debug, Clone, Serialize, Deserialize)]
struct BackupV1 {
    #[serde(with = "as_text")]
    id: BackupId,
    kind: Kind,
    #[serde(with = "as_text::option", default)]
    base: Option<BackupId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<OriginV1>,
    host: String,
    user: String,
    #[serde(deserialize_with = "super::bounded::paths")]
    paths: Vec<String>,
    folder: String,
    #[serde(deserialize_with = "super::bounded::names")]
    tags: Vec<String>,
    started: Timestamp,
    finished: Timestamp,
    tree: Option<Tree>,
    entries: u64,
    files: u64,
    directories: u64,
    bytes: u64,
    files_new: u64,
    files_changed: u64,
    files_unchanged: u64,
    bytes_read: u64,
    bytes_added: u64,
    bytes_stored: u64,
    unread_count: u64,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::bounded::names"
    )]
    unread: Vec<UnreadV1>,
    program: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proven: Option<ProofV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    damaged: Option<Timestamp>,
    #[serde(
        with = "as_text::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    copy_of: Option<BackupId>,
    #[serde(
        with = "as_text::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    rewrite_of: Option<BackupId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    configuration: Option<ConfigurationV1>,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::bounded::names"
    )]
    streams: Vec<StreamV1>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StreamV1 {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_mark: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    messages: String,
}

impl From<&StreamRecord> for StreamV1 {
    fn from(record: &StreamRecord) -> Self {
        Self {
            path: escape(&record.path),
            program: record.program.clone(),
            server: record.server.clone(),
            end_mark: record.end_mark.clone(),
            position: record.position.clone(),
            compression: record.compression.clone(),
            began: record.began,
            ended: record.ended,
            messages: record.messages.clone(),
        }
    }
}

impl StreamV1 {
    fn into_record(self, path: Vec<u8>) -> StreamRecord {
        StreamRecord::new(path)
            .with_program(self.program)
            .with_server(self.server)
            .with_end_mark(self.end_mark)
            .with_position(self.position)
            .with_compression(self.compression)
            .with_times(self.began, self.ended)
            .with_messages(self.messages)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ConfigurationV1 {
    set: String,
    system: String,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::bounded::names"
    )]
    files: Vec<FileV1>,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::bounded::names"
    )]
    repositories: Vec<RepositoryV1>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FileV1 {
    path: String,
    text: String,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::bounded::names"
    )]
    removed: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RepositoryV1 {
    name: String,
    location: String,
}

impl From<&Configuration> for ConfigurationV1 {
    fn from(configuration: &Configuration) -> Self {
        let file = |file: &ConfigurationFile| FileV1 {
            path: file.path.clone(),
            text: file.text.clone(),
            removed: file.removed.clone(),
        };
        let repository = |one: &ConfiguredRepository| RepositoryV1 {
            name: one.name.clone(),
            location: one.location.clone(),
        };
        Self {
            set: configuration.set.clone(),
            system: configuration.system.clone(),
            files: configuration.files.iter().map(file).collect(),
            repositories: configuration.repositories.iter().map(repository).collect(),
        }
    }
}

impl From<ConfigurationV1> for Configuration {
    fn from(wire: ConfigurationV1) -> Self {
        let file = |file: FileV1| ConfigurationFile::new(file.path, file.text, file.removed);
        let repository = |one: RepositoryV1| ConfiguredRepository::new(one.name, one.location);
        Self::new(wire.set, wire.system)
            .with_files(wire.files.into_iter().map(file).collect())
            .with_repositories(wire.repositories.into_iter().map(repository).collect())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProofV1 {
    time: Timestamp,
    by: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Full,
    Incremental,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tree {
    #[serde(with = "as_text")]
    node: ChunkId,
    len: u32,
    height: u8,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OriginV1 {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<String>,
}

impl From<&Origin> for OriginV1 {
    fn from(origin: &Origin) -> Self {
        Self {
            kind: origin.kind.name().to_owned(),
            version: origin.version.clone(),
            position: origin.position.clone(),
        }
    }
}

impl From<OriginV1> for Origin {
    fn from(wire: OriginV1) -> Self {
        Self::new(wire.kind.into())
            .with_version(wire.version)
            .with_position(wire.position)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct UnreadV1 {
    path: String,
    reason: String,
}

impl From<&Backup> for BackupV1 {
    fn from(backup: &Backup) -> Self {
        let Totals {
            entries,
            files,
            directories,
            bytes,
        } = backup.totals;
        let changes = backup.changes;
        let unread = |u: &Unread| UnreadV1 {
            path: escape(&u.path),
            reason: u.reason.0.clone(),
        };
        Self {
            id: backup.id,
            kind: match backup.kind {
                BackupKind::Full => Kind::Full,
                BackupKind::Incremental => Kind::Incremental,
            },
            base: backup.base,
            origin: backup.origin.as_ref().map(OriginV1::from),
            host: backup.host.clone(),
            user: backup.user.clone(),
            paths: backup.paths.iter().map(|path| escape(path)).collect(),
            folder: escape(&backup.folder),
            tags: backup.tags.clone(),
            started: backup.started,
            finished: backup.finished,
            tree: backup.tree.map(|root| Tree {
                node: root.node.id,
                len: root.node.len,
                height: root.height,
            }),
            entries,
            files,
            directories,
            bytes,
            files_new: changes.files_new,
            files_changed: changes.files_changed,
            files_unchanged: changes.files_unchanged,
            bytes_read: changes.bytes_read,
            bytes_added: changes.bytes_added,
            bytes_stored: changes.bytes_stored,
            unread_count: backup.unread_count,
            unread: backup.unread.iter().map(unread).collect(),
            program: backup.program.clone(),
            note: backup.note.clone(),
            pinned: backup.pinned,
            proven: backup.proven.as_ref().map(|proof| ProofV1 {
                time: proof.time,
                by: proof.by.name().to_owned(),
            }),
            damaged: backup.damaged,
            copy_of: backup.copy_of,
            rewrite_of: backup.rewrite_of,
            configuration: backup.configuration.as_ref().map(Into::into),
            streams: backup.streams.iter().map(StreamV1::from).collect(),
        }
    }
}

impl TryFrom<BackupV1> for Backup {
    type Error = FormatError;

    fn try_from(wire: BackupV1) -> Result<Self, FormatError> {
        let bytes = |text: &String| {
            unescape(text).ok_or(FormatError::Malformed("a path is not escaped properly"))
        };
        let tree = match wire.tree {
            Some(tree) if tree.height > limits::TREE_HEIGHT => {
                let limit = limits::TREE_HEIGHT.into();
                return Err(FormatError::Limit {
                    what: "levels of tree",
                    limit,
                });
            }
            Some(Tree { node, len, height }) => Some(TreeRoot {
                node: ChunkRef { id: node, len },
                height,
            }),
            None => None,
        };
        let streams = wire.streams.into_iter();
        let streams = streams.map(|one| bytes(&one.path).map(|path| one.into_record(path)));
        let streams = streams.collect::<Result<_, FormatError>>()?;
        let unread = |u: &UnreadV1| {
            Ok(Unread {
                path: bytes(&u.path)?,
                reason: Reason(u.reason.clone()),
            })
        };
        Ok(Self {
            id: wire.id,
            kind: match wire.kind {
                Kind::Full => BackupKind::Full,
                Kind::Incremental => BackupKind::Incremental,
            },
            base: wire.base,
            origin: wire.origin.map(Origin::from),
            host: wire.host,
            user: wire.user,
            paths: wire.paths.iter().map(bytes).collect::<Result<_, _>>()?,
            folder: bytes(&wire.folder)?,
            tags: wire.tags,
            started: wire.started,
            finished: wire.finished,
            tree,
            totals: Totals {
                entries: wire.entries,
                files: wire.files,
                directories: wire.directories,
                bytes: wire.bytes,
            },
            changes: Changes {
                files_new: wire.files_new,
                files_changed: wire.files_changed,
                files_unchanged: wire.files_unchanged,
                bytes_read: wire.bytes_read,
                bytes_added: wire.bytes_added,
                bytes_stored: wire.bytes_stored,
            },
            unread: wire
                .unread
                .iter()
                .map(unread)
                .collect::<Result<_, FormatError>>()?,
            unread_count: wire.unread_count,
            program: wire.program,
            note: wire.note,
            pinned: wire.pinned,
            proven: wire
                .proven
                .map(|proof| Proof::new(proof.time, proof.by.into())),
            damaged: wire.damaged,
            copy_of: wire.copy_of,
            rewrite_of: wire.rewrite_of,
            configuration: wire.configuration.map(Into::into),
            streams,
        })
    }
}

/// A backup, decoded from its description.
pub(super) struct Described(pub(super) Arc<Backup>);

impl<'de> Deserialize<'de> for Described {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let backup = Backup::try_from(BackupV1::deserialize(from)?).map_err(D::Error::custom)?;
        Ok(Self(Arc::new(backup)))
    }
}

/// Serialises backups as their descriptions.
pub(super) mod described {
    use super::{Arc, Backup, BackupV1, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(backup: &Backup, to: S) -> Result<S::Ok, S::Error> {
        BackupV1::from(backup).serialize(to)
    }

    pub(crate) fn serialize_list<S: Serializer>(
        backups: &[Arc<Backup>],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(backups.iter().map(|backup| BackupV1::from(&**backup)))
    }
}

pub(crate) fn backup_to_json(backup: &Backup) -> Vec<u8> {
    serde_json::to_vec(&BackupV1::from(backup)).expect("plain values become JSON")
}

pub(crate) fn backup_from_json(bytes: &[u8]) -> Result<Backup, FormatError> {
    let wire: BackupV1 = serde_json::from_slice(bytes)
        .map_err(|_| FormatError::Malformed("a field of the backup is missing or wrong"))?;
    wire.try_into()
}

/// Decodes only the id of a backup.
pub(crate) fn backup_id_from_json(bytes: &[u8]) -> Result<BackupId, FormatError> {
    #[derive(Deserialize)]
    struct OnlyId {
        #[serde(with = "as_text")]
        id: BackupId,
    }
    let wire: OnlyId = serde_json::from_slice(bytes)
        .map_err(|_| FormatError::Malformed("the id of the backup is missing or wrong"))?;
    Ok(wire.id)
}
