//! Why EMQX refuses a bundle, or a part of one.
//!
//! Invariant: [`Refusal::atom`] and [`Refusal::emqx_message`] are EMQX's own texts, so that users recognise them and scripts that look for
//! them still work.

use super::VersionRule;
use crate::meta::SecurityProfile;

/// Why EMQX refuses a bundle, or a part of one. Its text is EMQX's, without a line break at the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Only core nodes import.
    #[error(
        "backup data import is only allowed on core EMQX nodes, but requested node '{node}' is not core"
    )]
    NotCoreNode {
        /// The requested node.
        node: String,
    },
    /// The file does not exist.
    #[error("backup file not found")]
    NotFound,
    /// The file lacks the suffix, or is not in the directory of bundles.
    #[error("invalid backup name: file name must have .tar.gz extension")]
    BadBackupName,
    /// The file is an export of EMQX 4. EMQX 5 refuses its name.
    #[error("the file is JSON, as EMQX 4 exports it, and not a bundle of EMQX 5")]
    EarlierFormat,
    /// The base name would leave the directory of bundles.
    #[error("unsafe backup name")]
    UnsafeBackupName,
    /// A member is not below the directory with the file's base name; usually because the file was renamed.
    #[error(
        "invalid backup archive content: all files in the archive must be under <backup name> directory"
    )]
    BadArchiveDir,
    /// `META.hocon` is missing, cannot be read, or lacks edition or version.
    #[error("invalid backup archive file: missing META.hocon")]
    MissingBackupMeta,
    /// Neither `ce` nor `ee`.
    #[error("invalid backup archive content: wrong EMQX edition value in META.hocon")]
    InvalidEdition,
    /// Not two numbers with a dot between them.
    #[error("invalid backup archive content: wrong EMQX version value in META.hocon")]
    InvalidVersion,
    /// The open source edition refuses bundles of the enterprise edition.
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
        /// The rule that compared them.
        rule: VersionRule,
    },
    /// A file of this name exists.
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
    /// The file is not an archive; the text is that of Erlang's `erl_tar`.
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
    /// A hardened node refuses a bundle of a node that is not hardened. EMQX's own text for it is not known.
    #[error(
        "importing a data backup of security profile {} to a hardened EMQX node is not allowed",
        .bundle.map_or("unknown (legacy)", SecurityProfile::name)
    )]
    SecurityProfileMismatch {
        /// The profile in the bundle.
        bundle: Option<SecurityProfile>,
    },
    /// A table's file contains another table.
    #[error("{{unexpected_table,{table}}}")]
    UnexpectedTable {
        /// The table in the file.
        table: String,
    },
    /// A table's attributes are not those of the node.
    #[error("{{\"Backup traversal failed\",different_table_schema}}")]
    DifferentTableSchema,
    /// A table's file contains a record of another table.
    #[error("{{bad_backup_record,{table}}}")]
    BadBackupRecord {
        /// The table.
        table: String,
    },
    /// A table's file is not a log of Erlang's `disk_log`.
    #[error("{{not_a_log_file,\"{file}\"}}")]
    NotALogFile {
        /// The file.
        file: String,
    },
    /// A table is older than the node's and cannot be migrated.
    #[error("no_migrator")]
    NoMigrator,
    /// The node does not know the shard of a table.
    #[error("{{unknown_mria_shard,{table}}}")]
    UnknownMriaShard {
        /// The table.
        table: String,
    },
    /// Names that are not roots of the configuration.
    #[error("Invalid root keys: {}", .keys.join(", "))]
    UnknownRootKeys {
        /// The names, sorted.
        keys: Vec<String>,
    },
    /// Names that are not table sets.
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
            // For these two, EMQX has only a text.
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

    /// Returns the exact message of EMQX: some of its messages end in a line break.
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
