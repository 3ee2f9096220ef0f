//! Writes a `mo_br` command line as a `br matrixone` one.

use std::ffi::{OsStr, OsString};

use br_core::{S3Location, Secret};

use super::grammar::{Kind, Line, PlaceArgs, RestoreArgs, TargetArgs, Verb};
use crate::error::CommandError;
use crate::storage::refuse;
use crate::values;

/// The command line under construction.
struct Words(Vec<OsString>);

impl Words {
    fn push(&mut self, word: impl Into<OsString>) {
        self.0.push(word.into());
    }

    /// Adds an option, with its value if there is one. Both are one word, so that a value may start with a hyphen.
    fn option(&mut self, name: &str, value: Option<impl AsRef<OsStr>>) {
        if let Some(value) = value {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            self.0.push(word);
        }
    }

    fn secret(&mut self, name: &str, value: Option<&Secret>) {
        self.option(name, value.map(Secret::reveal));
    }

    fn flag(&mut self, name: &str, is_set: bool) {
        if is_set {
            self.push(name);
        }
    }

    /// Adds positional arguments.
    fn positional(&mut self, value: Option<String>) {
        if let Some(value) = value {
            self.push("--");
            self.push(value);
        }
    }
}

impl Line {
    pub(super) fn into_arguments(self) -> Result<Vec<OsString>, CommandError> {
        let mut words = Words(vec!["br".into(), "matrixone".into()]);
        let general = self.general;
        words.flag("--json", general.json);
        words.flag("--quiet", general.quiet);
        words.flag("--verbose", general.verbose);
        words.option("--config", general.config);
        words.option("--log-file", general.log_file);
        words.option("--log-level", general.log_level);
        let meta_path = general.meta_path;
        let begin = |words: &mut Words, verb: &str| {
            words.push(verb);
            words.option("--meta-path", meta_path.as_ref());
        };
        match self.verb {
            Verb::Backup(args) => {
                begin(&mut words, "backup");
                words.option("--host", args.host);
                words.option("--port", args.port);
                words.option("--user", Some(args.user));
                words.secret("--password", args.password.as_ref());
                words.option("--backup-type", args.backup_type);
                words.option("--base-id", args.base_id);
                words.option("--parallelism", args.parallelism);
                words.option("--compression", args.place.compression.as_ref());
                args.place.write(&mut words)?;
            }
            Verb::List(args) => {
                args.place.refuse_location()?;
                begin(&mut words, "list");
                words.flag("--not-check-data", args.not_check_data);
                args.place.write(&mut words)?;
                words.positional(args.id);
            }
            Verb::Check(args) => {
                begin(&mut words, "check");
                args.place.write(&mut words)?;
                words.positional(args.id);
            }
            Verb::Restore(args) => {
                begin(&mut words, "restore");
                args.write(&mut words)?;
            }
            Verb::Delete(args) => {
                args.place.refuse_location()?;
                begin(&mut words, "delete");
                words.flag("--not-delete-data", args.not_delete_data);
                words.flag("--cascade", args.cascade);
                args.place.write(&mut words)?;
                words.positional(Some(args.id));
            }
        }
        Ok(words.0)
    }
}

/// The options for a folder or a bucket; there are two groups of them.
struct PlaceOptions<'a> {
    /// `backup_` or `restore_`, for `--backup_dir` and `--restore_dir`.
    group: &'static str,
    /// Prefix of the other options.
    prefix: &'static str,
    dir: Option<Kind>,
    path: Option<&'a OsString>,
    endpoint: Option<&'a String>,
    bucket: Option<&'a String>,
    filepath: Option<&'a String>,
    region: Option<&'a String>,
    is_minio: bool,
}

impl PlaceOptions<'_> {
    /// The location for `br`: a path or a URL. `None` if these options name no location.
    fn location(&self) -> Result<Option<OsString>, CommandError> {
        let (group, prefix) = (self.group, self.prefix);
        let kind = match (self.dir, self.bucket, self.path) {
            (Some(kind), _, _) => kind,
            (None, Some(_), _) => Kind::S3,
            (None, None, Some(_)) => Kind::Filesystem,
            (None, None, None) if self.filepath.is_some() || self.is_minio => Kind::S3,
            (None, None, None) => return Ok(None),
        };
        let belongs = |option: &str, wanted: &str, hint: String| {
            let message = format!("--{prefix}{option} is for --{group}dir {wanted}");
            Err(CommandError::usage(message, hint))
        };
        match kind {
            Kind::Filesystem => {
                let typed = [
                    ("bucket", self.bucket.is_some()),
                    ("filepath", self.filepath.is_some()),
                    ("is_minio", self.is_minio),
                    ("endpoint", self.endpoint.is_some()),
                    ("region", self.region.is_some()),
                ];
                if let Some((option, _)) = typed.into_iter().find(|(_, typed)| *typed) {
                    let hint = format!(
                        "name the folder only with --{prefix}path, or give --{group}dir s3"
                    );
                    return belongs(option, "s3", hint);
                }
                self.folder().map(Some)
            }
            Kind::S3 if self.path.is_some() => {
                let hint = format!("name the folder in the bucket with --{prefix}filepath");
                belongs("path", "filesystem", hint)
            }
            Kind::S3 => self.url().map(|url| Some(url.into())),
        }
    }

    fn folder(&self) -> Result<OsString, CommandError> {
        let (group, prefix) = (self.group, self.prefix);
        let Some(path) = self.path else {
            return Err(CommandError::usage(
                format!("--{group}dir filesystem needs --{prefix}path"),
                format!("name the folder, as in --{prefix}path /srv/backup"),
            ));
        };
        match values::refuse_lookalike(path) {
            None => Ok(path.clone()),
            Some(bad) => Err(CommandError::usage(
                format!("--{prefix}path is not the path of a folder: {bad}"),
                bad.hint,
            )),
        }
    }

    fn url(&self) -> Result<String, CommandError> {
        let (group, prefix) = (self.group, self.prefix);
        let Some(bucket) = self.bucket.map(|bucket| bucket.trim_end_matches('/')) else {
            return Err(CommandError::usage(
                format!("--{group}dir s3 needs a bucket"),
                format!(
                    "name it with --{prefix}bucket, and the folder in it with --{prefix}filepath"
                ),
            ));
        };
        if let Some((name, folder)) = bucket.split_once('/') {
            return Err(CommandError::usage(
                format!("{bucket} is not the name of a bucket: it contains a slash"),
                format!(
                    "name the folder separately: --{prefix}bucket {name} --{prefix}filepath {folder}"
                ),
            ));
        }
        let folder = self.filepath.map(String::as_str).unwrap_or_default();
        let mut location = S3Location::new(bucket, folder).map_err(|error| {
            refuse(
                error,
                format!("correct --{prefix}bucket and --{prefix}filepath"),
            )
        })?;
        if let Some(endpoint) = self.endpoint {
            location = location
                .with_endpoint(endpoint)
                .map_err(|error| refuse(error, format!("correct --{prefix}endpoint")))?;
        }
        if let Some(region) = self.region {
            location = location.with_region(region);
        }
        Ok(location.to_string())
    }
}

impl PlaceArgs {
    const fn place(&self) -> PlaceOptions<'_> {
        PlaceOptions {
            group: "backup_",
            prefix: "",
            dir: self.backup_dir,
            path: self.path.as_ref(),
            endpoint: self.endpoint.as_ref(),
            bucket: self.bucket.as_ref(),
            filepath: self.filepath.as_ref(),
            region: self.region.as_ref(),
            is_minio: self.is_minio,
        }
    }

    /// Refuses a location for a command that takes it from the catalogue.
    fn refuse_location(&self) -> Result<(), CommandError> {
        match self.place().location()? {
            None => Ok(()),
            Some(_) => Err(CommandError::usage(
                "the catalogue has the location of the backup, but --backup_dir or its options name another one",
                "leave out --backup_dir and its options; --meta_path names another catalogue",
            )),
        }
    }

    fn write(&self, words: &mut Words) -> Result<(), CommandError> {
        match self.place().location()? {
            Some(location) => words.option("--location", Some(location)),
            None => {
                words.option("--endpoint", self.endpoint.as_ref());
                words.option("--region", self.region.as_ref());
            }
        }
        words.option("--access-key-id", self.access_key_id.as_ref());
        words.secret("--secret-access-key", self.secret_access_key.as_ref());
        words.option("--role-arn", self.role_arn.as_ref());
        words.option("--addressing", self.is_minio.then_some("path"));
        Ok(())
    }
}

impl TargetArgs {
    const fn place(&self) -> PlaceOptions<'_> {
        PlaceOptions {
            group: "restore_",
            prefix: "restore_",
            dir: self.restore_dir,
            path: self.restore_path.as_ref(),
            endpoint: self.restore_endpoint.as_ref(),
            bucket: self.restore_bucket.as_ref(),
            filepath: self.restore_filepath.as_ref(),
            region: self.restore_region.as_ref(),
            is_minio: self.restore_is_minio,
        }
    }
}

impl RestoreArgs {
    fn write(self, words: &mut Words) -> Result<(), CommandError> {
        let target = self.target;
        let Some(location) = target.place().location()? else {
            return Err(CommandError::usage(
                "no target to restore to is given",
                "name the folder in which MatrixOne runs with --restore_path, or give --restore_bucket",
            ));
        };
        self.place.write(words)?;
        words.option("--target", Some(location));
        words.option("--target-access-key-id", target.restore_access_key_id);
        let secret = target.restore_secret_access_key;
        words.secret("--target-secret-access-key", secret.as_ref());
        words.option("--target-role-arn", target.restore_role_arn);
        let style = target.restore_is_minio.then_some("path");
        words.option("--target-addressing", style);
        words.option("--tn-config", self.dn_config_path);
        words.option("--parallelism", self.parallelism);
        words.positional(self.id.or(self.base_id));
        Ok(())
    }
}
