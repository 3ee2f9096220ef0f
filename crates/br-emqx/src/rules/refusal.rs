//! Why EMQX takes no bundle, or no part of one.
//!
//! Invariant: [`Refusal::atom`] and [`Refusal::emqx_message`] are EMQX's own, so that whoever knows EMQX recognises them and
//! scripts that look for them go on to work.

use super::VersionRule;
use crate::meta::SecurityProfile;

/// Why EMQX takes no bundle, or no part of one. Its text is EMQX's, without a line break at the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Only core nodes import.
    #[error(
        "backup data import is only allowed on core EMQX nodes, but requested node '{node}' is not core"
    )]
    NotCoreNode {
        /// The node that was asked.
        node: String,
    },
    /// There is no such file.
    #[error("backup file not found")]
    NotFound,
    /// The file has not the suffix, or is not in place.
    #[error("invalid backup name: file name must have .tar.gz extension")]
    BadBackupName,
    /// The file is what EMQX 4 exports. EMQX 5 refuses its name.
    #[error("the file is JSON, as EMQX 4 exports it, and not a bundle of EMQX 5")]
    EarlierFormat,
    /// The base name would leave the directory of bundles.
    #[error("unsafe backup name")]
    UnsafeBackupName,
    /// A member is not below the directory that has the file's base name; mostly, the file was renamed.
    #[error(
        "invalid backup archive content: all files in the archive must be under <backup name> directory"
    )]
    BadArchiveDir,
    /// No `META.hocon`, or one that cannot be read, or one without edition or version.
    #[error("invalid backup archive file: missing META.hocon")]
    MissingBackupMeta,
    /// Neither `ce` nor `ee`.
    #[error("invalid backup archive content: wrong EMQX edition value in META.hocon")]
    InvalidEdition,
    /// Not two numbers with a dot between them.
    #[error("invalid backup archive content: wrong EMQX version value in META.hocon")]
    InvalidVersion,
    /// The open source edition takes no bundle of the enterprise edition.
    #[error("importing EMQX Enterprise data backup to EMQX is not allowed")]
    EeToCeBackup,
    /// The bundle is newer than the node, or older than 5.0.
    #[error(
        "[warning] Backup version \"{bundle}\" is {} EMQX version \"{node}\", import is not allowed.",
        relation(*.rule)
    )]
    UnsupportedVersion {
        /// The bundle's version.
        bundle: String,
        /// The node's version.
        node: String,
        /// The rule by which they were compared.
        rule: VersionRule,
    },
    /// A file of this name is there.
    #[error("Backup file \"{file}\" already exists")]
    AlreadyExists {
        /// The file's name.
        file: String,
    },
    /// The file cannot be read as a bundle.
    #[error("Bad backup file: {reason}")]
    BadBackupFile {
        /// Why not.
        reason: String,
    },
    /// The file is no archive; the words are those of Erlang's `erl_tar`.
    #[error("{reason}")]
    BadArchive {
        /// Why not.
        reason: String,
    },
    /// The configuration does not fit the node's schema.
    #[error("{reason}")]
    BadConfig {
        /// What does not fit.
        reason: String,
    },
    /// A hardened node takes no bundle of a node that was not. EMQX's own words for it are not known here.
    #[error(
        "importing a data backup of security profile {} to a hardened EMQX node is not allowed",
        .bundle.map_or("unknown (legacy)", SecurityProfile::name)
    )]
    SecurityProfileMismatch {
        /// The profile that the bundle says.
        bundle: Option<SecurityProfile>,
    },
    /// A table's file has another table in it.
    #[error("{{unexpected_table,{table}}}")]
    UnexpectedTable {
        /// The table in the file.
        table: String,
    },
    /// A table's attributes are not those of the node.
    #[error("{{\"Backup traversal failed\",different_table_schema}}")]
    DifferentTableSchema,
    /// A table's file has a record that is none of it.
    #[error("{{bad_backup_record,{table}}}")]
    BadBackupRecord {
        /// The table.
        table: String,
    },
    /// A table's file is no log of Erlang's `disk_log`.
    #[error("{{not_a_log_file,\"{file}\"}}")]
    NotALogFile {
        /// The file.
        file: String,
    },
    /// A table is older than the node's and cannot be brought forward.
    #[error("no_migrator")]
    NoMigrator,
    /// The node does not know where a table belongs.
    #[error("{{unknown_mria_shard,{table}}}")]
    UnknownMriaShard {
        /// The table.
        table: String,
    },
    /// Names that are no roots of the configuration.
    #[error("Invalid root keys: {}", .keys.join(", "))]
    UnknownRootKeys {
        /// The names, sorted.
        keys: Vec<String>,
    },
    /// Names that are no table sets.
    #[error("Invalid table sets: {}", .sets.join(", "))]
    BadTableSets {
        /// The names, sorted.
        sets: Vec<String>,
    },
}

impl Refusal {
    /// Returns EMQX's name of the reason.
    #[must_use]
    pub const fn atom(&self) -> &'static str {
        match self {
            Self::NotCoreNode { .. } => "not_core_node",
            Self::NotFound => "not_found",
            Self::BadBackupName | Self::EarlierFormat => "bad_backup_name",
            Self::UnsafeBackupName => "unsafe_backup_name",
            Self::BadArchiveDir => "bad_archive_dir",
            Self::MissingBackupMeta => "missing_backup_meta",
            Self::InvalidEdition => "invalid_edition",
            Self::InvalidVersion => "invalid_version",
            Self::EeToCeBackup => "ee_to_ce_backup",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::AlreadyExists { .. } => "already_exists",
            Self::BadBackupFile { .. } => "bad_backup_file",
            // EMQX has only the words of these two.
            Self::BadArchive { .. } => "bad_archive",
            Self::BadConfig { .. } => "validation_error",
            Self::SecurityProfileMismatch { .. } => "security_profile_mismatch",
            Self::UnexpectedTable { .. } => "unexpected_table",
            Self::DifferentTableSchema => "different_table_schema",
            Self::BadBackupRecord { .. } => "bad_backup_record",
            Self::NotALogFile { .. } => "not_a_log_file",
            Self::NoMigrator => "no_migrator",
            Self::UnknownMriaShard { .. } => "unknown_mria_shard",
            Self::UnknownRootKeys { .. } => "unknown_root_keys",
            Self::BadTableSets { .. } => "bad_table_sets",
        }
    }

    /// Returns what EMQX says, to the last byte: some of its messages end in a line break.
    #[must_use]
    pub fn emqx_message(&self) -> String {
        if *self == Self::EarlierFormat {
            return Self::BadBackupName.emqx_message();
        }
        let mut message = self.to_string();
        if matches!(self, Self::UnsupportedVersion { .. }) {
            message.push('\n');
        }
        message
    }
}

const fn relation(rule: VersionRule) -> &'static str {
    match rule {
        VersionRule::V5 => "newer than",
        VersionRule::V6 => "incompatible with",
    }
}
