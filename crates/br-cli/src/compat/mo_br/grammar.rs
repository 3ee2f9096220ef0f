//! The command line of `mo_br`: commands and options of its manual, with help.

use std::ffi::OsString;

use br_core::Secret;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::NAME;
use crate::storage::parse_secret;

/// Back up MatrixOne clusters, and check and restore their backups
///
/// br runs the commands of MatrixOne's mo_br. It keeps its catalogue in `br-matrixone.json` next to `mo_br.meta`, which it reads
/// but never changes.
#[derive(Debug, Parser)]
#[command(name = NAME, version, max_term_width = 100, subcommand_value_name = "COMMAND")]
pub(super) struct Line {
    #[command(flatten)]
    pub(super) general: GeneralArgs,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Args)]
#[command(rename_all = "snake_case", next_help_heading = "General options")]
pub(super) struct GeneralArgs {
    /// Catalogue of the backups [default: mo_br.meta]
    #[arg(long, global = true)]
    pub(super) meta_path: Option<OsString>,
    /// Ignored: br has options and environment variables
    #[arg(long, global = true)]
    pub(super) config: Option<OsString>,
    /// Ignored, unless it is `console`: messages go to stderr
    #[arg(long, global = true)]
    pub(super) log_file: Option<OsString>,
    /// No effect: use --verbose or --quiet
    #[arg(long, global = true)]
    pub(super) log_level: Option<OsString>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Print no progress, notes or summaries
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// Show full lists
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Back up a cluster
    Backup(Box<BackupArgs>),
    /// List backups
    List(ListArgs),
    /// Check backups
    Check(CheckArgs),
    /// Restore a backup
    Restore(Box<RestoreArgs>),
    /// Delete a backup
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
#[command(rename_all = "snake_case")]
pub(super) struct BackupArgs {
    /// Host of the server
    #[arg(long)]
    pub(super) host: Option<String>,
    /// Port of the server
    #[arg(long)]
    pub(super) port: Option<String>,
    /// User in the account sys, such as dump
    #[arg(long)]
    pub(super) user: String,
    /// Password of the user
    #[arg(long, value_parser = parse_secret)]
    pub(super) password: Option<Secret>,
    /// full or incremental
    #[arg(long)]
    pub(super) backup_type: Option<String>,
    /// Base of an incremental backup
    #[arg(long)]
    pub(super) base_id: Option<String>,
    /// Files that the server copies concurrently
    #[arg(long)]
    pub(super) parallelism: Option<String>,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

#[derive(Debug, Args)]
#[command(rename_all = "snake_case")]
pub(super) struct ListArgs {
    /// List only this backup
    pub(super) id: Option<String>,
    /// Do not check that its files exist
    #[arg(long)]
    pub(super) not_check_data: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Backup in the catalogue
    pub(super) id: Option<String>,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

#[derive(Debug, Args)]
#[command(rename_all = "snake_case")]
pub(super) struct DeleteArgs {
    /// Backup to delete
    pub(super) id: String,
    /// Keep the files of the backup
    #[arg(long)]
    pub(super) not_delete_data: bool,
    /// Also delete the backups that need it
    #[arg(long)]
    pub(super) cascade: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// Location of backups. The manual uses these names with and without `backup_`.
#[derive(Debug, Args)]
#[command(rename_all = "snake_case", next_help_heading = "Where the backups are")]
pub(super) struct PlaceArgs {
    /// s3 or filesystem
    #[arg(long, hide_possible_values = true)]
    pub(super) backup_dir: Option<Kind>,
    /// Folder, with --backup_dir filesystem
    #[arg(long, visible_alias = "backup_path")]
    pub(super) path: Option<OsString>,
    /// Server of the bucket
    #[arg(long, visible_alias = "backup_endpoint")]
    pub(super) endpoint: Option<String>,
    /// Id of the access key
    #[arg(long, visible_alias = "backup_access_key_id")]
    pub(super) access_key_id: Option<String>,
    /// Secret access key
    #[arg(long, visible_alias = "backup_secret_access_key", value_parser = parse_secret)]
    pub(super) secret_access_key: Option<Secret>,
    /// Bucket, with --backup_dir s3
    #[arg(long, visible_alias = "backup_bucket")]
    pub(super) bucket: Option<String>,
    /// Folder in the bucket
    #[arg(long, visible_alias = "backup_filepath")]
    pub(super) filepath: Option<String>,
    /// Region of the bucket
    #[arg(long, visible_alias = "backup_region")]
    pub(super) region: Option<String>,
    /// Role to assume
    #[arg(long, visible_alias = "backup_role_arn")]
    pub(super) role_arn: Option<String>,
    /// The server is MinIO
    #[arg(long, visible_alias = "backup_is_minio")]
    pub(super) is_minio: bool,
    /// Ignored, as in MatrixOne
    #[arg(long, visible_alias = "backup_compression")]
    pub(super) compression: Option<String>,
}

#[derive(Debug, Args)]
#[command(rename_all = "snake_case")]
pub(super) struct RestoreArgs {
    /// Backup in the catalogue
    pub(super) id: Option<String>,
    /// The same, in the spelling of later releases
    #[arg(long, conflicts_with = "id")]
    pub(super) base_id: Option<String>,
    /// tn.toml of the MatrixOne in --restore_path
    #[arg(long, requires = "restore_path")]
    pub(super) dn_config_path: Option<OsString>,
    /// Files copied concurrently
    #[arg(long)]
    pub(super) parallelism: Option<String>,
    /// No effect: br verifies every file
    #[arg(long)]
    pub(super) checksum: bool,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

/// Target of a restore.
#[derive(Debug, Args)]
#[command(rename_all = "snake_case", next_help_heading = "Where to restore to")]
pub(super) struct TargetArgs {
    /// s3 or filesystem
    #[arg(long, hide_possible_values = true)]
    pub(super) restore_dir: Option<Kind>,
    /// Folder in which MatrixOne runs
    #[arg(long)]
    pub(super) restore_path: Option<OsString>,
    /// Server of the bucket
    #[arg(long)]
    pub(super) restore_endpoint: Option<String>,
    /// Id of the access key
    #[arg(long)]
    pub(super) restore_access_key_id: Option<String>,
    /// Secret access key
    #[arg(long, value_parser = parse_secret)]
    pub(super) restore_secret_access_key: Option<Secret>,
    /// Bucket
    #[arg(long)]
    pub(super) restore_bucket: Option<String>,
    /// Folder in the bucket
    #[arg(long)]
    pub(super) restore_filepath: Option<String>,
    /// Region of the bucket
    #[arg(long)]
    pub(super) restore_region: Option<String>,
    /// Role to assume
    #[arg(long)]
    pub(super) restore_role_arn: Option<String>,
    /// The server is MinIO
    #[arg(long)]
    pub(super) restore_is_minio: bool,
    /// Ignored, as in MatrixOne
    #[arg(long)]
    pub(super) restore_compression: Option<String>,
}

/// Kind of location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A bucket in S3, or on a server with the same protocol
    S3,
    /// A local folder
    Filesystem,
}
