//! The options of `mo_br`, which name a repository in pieces.
//!
//! [`MoBrArgs`] are accepted beside `--repo`, so that a command line written for that tool works as it is. Invariant: what
//! contradicts itself is refused in words; nothing that was typed is ignored.

use std::ffi::OsString;
use std::path::PathBuf;

use br_core::{Location, S3Location, Secret};
use clap::{Args, ValueEnum};

use super::args::parse_text;
use super::refuse;
use crate::error::CommandError;
use crate::values;

/// A repository, named as `mo_br` does it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of mo_br")]
pub(crate) struct MoBrArgs {
    /// Kind of place, instead of --repo: s3 or filesystem
    ///
    /// The options above can be typed as `mo_br` has them, too: with underscores, as in `--access_key_id`.
    #[arg(
        id = "mo_br_backup_dir",
        long = "backup_dir",
        alias = "backup-dir",
        global = true,
        hide_short_help = true,
        hide_possible_values = true,
        value_name = "KIND",
        value_enum
    )]
    backup_dir: Option<BackupDir>,

    /// The folder, with --backup_dir filesystem, which makes --path the same
    #[arg(
        id = "mo_br_path",
        long = "backup_path",
        alias = "backup-path",
        global = true,
        hide_short_help = true,
        value_name = "DIR"
    )]
    path: Option<PathBuf>,

    /// The bucket, with --backup_dir s3
    #[arg(
        id = "mo_br_bucket",
        long = "bucket",
        alias = "backup_bucket",
        global = true,
        hide_short_help = true,
        value_name = "NAME",
        value_parser = parse_text
    )]
    bucket: Option<String>,

    /// The folder in the bucket, with --backup_dir s3
    #[arg(
        id = "mo_br_filepath",
        long = "filepath",
        alias = "backup_filepath",
        global = true,
        hide_short_help = true,
        value_name = "FOLDER"
    )]
    filepath: Option<String>,

    /// The server is MinIO: the same as --addressing path
    #[arg(
        id = "mo_br_is_minio",
        long = "is_minio",
        aliases = ["is-minio", "backup_is_minio"],
        global = true,
        hide_short_help = true,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true
    )]
    is_minio: Option<bool>,

    /// Ignored, as MatrixOne ignores it
    #[arg(
        id = "mo_br_compression",
        long = "backup_compression",
        alias = "backup-compression",
        global = true,
        hide = true,
        value_name = "FORMAT"
    )]
    compression: Option<String>,
}

/// Kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackupDir {
    /// A bucket of S3, or of a server that speaks its protocol
    S3,
    /// A folder of this machine
    Filesystem,
}

/// A place as `mo_br` names it, for what is no repository.
#[derive(Debug, Clone)]
pub(crate) enum MoBrPlace {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket(BucketTarget),
}

/// A bucket in pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct BucketTarget {
    /// URL of the server; AWS when `None`.
    pub(crate) endpoint: Option<String>,
    /// The bucket.
    pub(crate) bucket: String,
    /// The folder in it.
    pub(crate) filepath: String,
    /// The region.
    pub(crate) region: Option<String>,
    /// A role to take.
    pub(crate) role_arn: Option<String>,
    /// The server wants the bucket in the path.
    pub(crate) is_minio: bool,
    /// A key of its own.
    pub(crate) access_key_id: Option<String>,
    /// The secret of that key.
    pub(crate) secret_access_key: Option<Secret>,
}

impl MoBrArgs {
    /// The place that these options name, if they do.
    pub(super) fn place(&self) -> Result<Option<MoBrPlace>, CommandError> {
        let Some(kind) = self.backup_dir else {
            return self.alone().map(|()| None);
        };
        match kind {
            BackupDir::Filesystem => Ok(Some(MoBrPlace::Folder(self.folder()?))),
            BackupDir::S3 => {
                self.bucket()?;
                Ok(Some(MoBrPlace::Bucket(BucketTarget {
                    bucket: self.bucket.clone().unwrap_or_default(),
                    filepath: self.filepath.clone().unwrap_or_default(),
                    is_minio: self.is_minio(),
                    ..BucketTarget::default()
                })))
            }
        }
    }

    /// The server wants the bucket in the path.
    pub(super) fn is_minio(&self) -> bool {
        self.is_minio == Some(true)
    }

    /// Where the repository lies, if these options name it. `named` is true when something else does as well.
    pub(super) fn location(&self, named: bool) -> Result<Option<Location>, CommandError> {
        let Some(kind) = self.backup_dir else {
            return self.alone().map(|()| None);
        };
        if named {
            return Err(CommandError::usage(
                "the repository is named twice: by --backup_dir and by a URL or a path",
                "leave one of them out",
            ));
        }
        match kind {
            BackupDir::S3 => self.bucket().map(Location::S3).map(Some),
            BackupDir::Filesystem => self.folder().map(Location::Local).map(Some),
        }
    }

    /// Without `--backup_dir` nothing else makes sense.
    fn alone(&self) -> Result<(), CommandError> {
        let (message, hint) = match self.first_typed() {
            None => return Ok(()),
            Some("--path") => (
                "--path without --backup_dir filesystem",
                "add --backup_dir filesystem, or name the repository with --repo DIR",
            ),
            Some("--is_minio") => (
                "--is_minio without --backup_dir s3",
                "add --backup_dir s3 and --bucket, or give --addressing path",
            ),
            Some("--backup_compression") => (
                "--backup_compression without --backup_dir s3",
                "leave it out: it has no meaning",
            ),
            Some("--filepath") => (
                "--filepath without --backup_dir s3",
                "add --backup_dir s3 and --bucket, or name the repository with --repo s3://BUCKET/FOLDER",
            ),
            Some(_) => (
                "--bucket without --backup_dir s3",
                "add --backup_dir s3, or name the repository with --repo s3://BUCKET/FOLDER",
            ),
        };
        Err(CommandError::usage(message, hint))
    }

    /// The first option but `--backup_dir`.
    fn first_typed(&self) -> Option<&'static str> {
        let typed = [
            ("--bucket", self.bucket.is_some()),
            ("--filepath", self.filepath.is_some()),
            ("--is_minio", self.is_minio.is_some()),
            ("--backup_compression", self.compression.is_some()),
            ("--path", self.path.is_some()),
        ];
        let found = typed.into_iter().find(|(_, typed)| *typed);
        found.map(|(name, _)| name)
    }

    fn bucket(&self) -> Result<S3Location, CommandError> {
        if self.path.is_some() {
            return Err(CommandError::usage(
                "--path is for --backup_dir filesystem",
                "name the folder in the bucket with --filepath",
            ));
        }
        let Some(bucket) = &self.bucket else {
            return Err(CommandError::usage(
                "--backup_dir s3 needs a bucket",
                "name it with --bucket, and the folder in it with --filepath",
            ));
        };
        if let Some((name, folder)) = bucket.trim_end_matches('/').split_once('/') {
            return Err(CommandError::usage(
                format!("{bucket} is not the name of a bucket: it holds a slash"),
                format!("name the folder apart: --bucket {name} --filepath {folder}"),
            ));
        }
        let folder = self.filepath.as_deref().unwrap_or_default();
        S3Location::new(bucket.trim_end_matches('/'), folder)
            .map_err(|error| refuse(error, "correct --bucket and --filepath"))
    }

    fn folder(&self) -> Result<PathBuf, CommandError> {
        match self.first_typed() {
            Some("--path") | None => {}
            Some(name) => {
                return Err(CommandError::usage(
                    format!("{name} is for --backup_dir s3"),
                    "name the folder with --path alone, or give --backup_dir s3",
                ));
            }
        }
        let path = self
            .path
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        let path = path.ok_or_else(|| {
            let hint = "name the folder of the repository, as in --path /srv/backup";
            CommandError::usage("--backup_dir filesystem needs --path", hint)
        })?;
        match values::refuse_lookalike(path.as_os_str()) {
            None => Ok(path),
            Some(bad) => Err(CommandError::usage(
                format!("--path is not the path of a folder: {bad}"),
                bad.hint,
            )),
        }
    }
}

/// Flags that may have a value, with hyphens.
const OPTIONAL: [&str; 3] = ["--is-minio", "--backup-is-minio", "--restore-is-minio"];
/// Flags without one, to which scripts give one nevertheless.
const PLAIN: [&str; 3] = ["--not-check-data", "--not-delete-data", "--checksum"];

/// What becomes of a word that is such a flag with a value, or the value behind one: `Some(None)` when it goes.
fn plain_flag<'a>(word: &'a str, before: &mut Vec<OsString>) -> Option<Option<&'a str>> {
    let is_plain = |name: &str| PLAIN.contains(&&*name.replace('_', "-"));
    match (word.split_once('='), word) {
        (Some((name, "true")), _) if is_plain(name) => Some(Some(name)),
        (Some((name, "false")), _) if is_plain(name) => Some(None),
        (None, "true" | "false") => {
            before
                .last()
                .filter(|last| last.to_str().is_some_and(is_plain))?;
            if word == "false" {
                before.pop();
            }
            Some(None)
        }
        _ => None,
    }
}

/// Rewrites what the parser cannot tell apart by itself.
///
/// `--is_minio true` is `--is_minio=true`: the option may stand alone, and what follows it may be a path to back up. And
/// with `--backup_dir` among the arguments `--path` is `--backup_path`: without it `br list` means something else by it.
pub(crate) fn translate(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut rest: Vec<_> = arguments.collect();
    let end = rest.iter().position(|argument| argument == "--");
    let behind = rest.split_off(end.unwrap_or(rest.len()));
    let is_backup_dir = |argument: &OsString| {
        let name = argument.to_str().unwrap_or_default();
        let name = name.split('=').next().unwrap_or_default();
        matches!(name, "--backup_dir" | "--backup-dir")
    };
    let is_mo_br = rest.iter().any(is_backup_dir);
    let mut out: Vec<OsString> = Vec::with_capacity(rest.len() + behind.len());
    for argument in rest {
        let text = argument.to_str();
        if let Some(text) = text
            && let Some(word) = plain_flag(text, &mut out)
        {
            out.extend(word.map(OsString::from));
            continue;
        }
        let flag = out.last_mut().filter(|last| {
            let name = last.to_str().unwrap_or_default().replace('_', "-");
            OPTIONAL.contains(&&*name)
        });
        match (text, flag) {
            (Some("true" | "false"), Some(flag)) => {
                flag.push("=");
                flag.push(argument);
            }
            (Some("--path"), _) if is_mo_br => out.push("--backup_path".into()),
            (Some(text), _) if is_mo_br && text.starts_with("--path=") => {
                out.push(text.replacen("--path", "--backup_path", 1).into());
            }
            _ => out.push(argument),
        }
    }
    out.extend(behind);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_mean_what_mo_br_means_by_them() {
        for (text, expected) in [
            ("--is_minio true docs", "--is_minio=true docs"),
            ("--backup_is_minio false", "--backup_is_minio=false"),
            ("--is_minio docs", "--is_minio docs"),
            ("--is_minio", "--is_minio"),
            ("--restore_is_minio true ID", "--restore_is_minio=true ID"),
            ("--not_delete_data true ID", "--not_delete_data ID"),
            ("--not_delete_data=false ID", "ID"),
            ("--not_check_data false ID", "ID"),
            ("-- --is_minio true", "-- --is_minio true"),
            ("true --is_minio=true true", "true --is_minio=true true"),
            ("list --path a", "list --path a"),
            (
                "list --path a --backup_dir filesystem",
                "list --backup_path a --backup_dir filesystem",
            ),
            (
                "--path=a --backup_dir=filesystem",
                "--backup_path=a --backup_dir=filesystem",
            ),
            (
                "list --path a -- --backup_dir",
                "list --path a -- --backup_dir",
            ),
        ] {
            let out = translate(text.split(' ').map(OsString::from));
            let out: Vec<_> = out.iter().map(|text| text.to_str().unwrap()).collect();
            assert_eq!(out.join(" "), expected);
        }
    }
}
