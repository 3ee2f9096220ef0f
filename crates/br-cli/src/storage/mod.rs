//! Where a repository is and how its store is used: translates options and environment for the library.
//!
//! [`StorageArgs`] are the options, [`StoreLocation`] is the result. Invariant: options take precedence over the environment;
//! options without effect, and options that contradict each other, are refused.

mod args;
mod keys;

use std::ffi::OsString;

use br_core::{
    Addressing, ErrorKind, Location, Lookalike, NetworkOptions, S3Credentials, S3Location,
    S3Options, Secret, StorageOptions,
};

pub(crate) use self::args::{StorageArgs, parse_secret};
use crate::config::SecretReference;
use crate::error::CommandError;

/// Looks up an environment variable, unchanged.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Credentials of a bucket that is not a repository, where they differ from the storage options.
#[derive(Debug, Clone, Default)]
pub(crate) struct BucketKeys {
    /// A role to assume.
    pub(crate) role_arn: Option<String>,
    /// Requests name the bucket in the path.
    pub(crate) is_path_style: bool,
    /// A separate access key.
    pub(crate) access_key_id: Option<String>,
    /// The secret of that key.
    pub(crate) secret_access_key: Option<Secret>,
}

/// The forms of a repository location, for hints.
const NAMES: &str = "a path, s3://BUCKET/FOLDER, or s3://BUCKET/FOLDER?endpoint=https://HOST";

/// The location of a store, and the options for it.
#[derive(Debug, Clone)]
pub(crate) struct StoreLocation {
    /// The location.
    pub(crate) location: Location,
    /// The options.
    pub(crate) options: StorageOptions,
    /// The password that a configuration file has for the repository.
    pub(crate) password: Option<SecretReference>,
}

impl StoreLocation {
    /// Finds the location. `named` is a URL or a path from the command line.
    pub(crate) fn find(
        args: &StorageArgs,
        named: Option<&str>,
        variables: Variables<'_>,
    ) -> Result<Self, CommandError> {
        let named = match named {
            Some(text) => Some(text.to_owned()),
            None => text_variable("BR_REPOSITORY", variables)?,
        };
        let Some(named) = named else {
            let hint = "name one with --repo PATH, or set BR_REPOSITORY; for backups of MatrixOne use `br matrixone` or `br mo-br`";
            return Err(CommandError::usage("no repository is named", hint));
        };
        let location = parse(&named)?;
        let Location::S3(there) = location else {
            return Self::without_server(location, args);
        };
        let there = with_server(&there, args, variables)?;
        Ok(Self {
            location: Location::S3(there),
            options: StorageOptions::default()
                .with_network(network(args)?)
                .with_s3(s3(args, variables)?),
            password: None,
        })
    }

    /// The repository named in addition to another location. The bucket options apply to it only if it is in a bucket.
    pub(crate) fn additional(
        args: &StorageArgs,
        named: Option<&str>,
        variables: Variables<'_>,
    ) -> Result<Option<Self>, CommandError> {
        let named = match named {
            Some(text) => Some(text.to_owned()),
            None => text_variable("BR_REPOSITORY", variables)?,
        };
        let Some(named) = named else { return Ok(None) };
        match parse(&named)? {
            location @ (Location::Local(_) | Location::Memory) => Ok(Some(Self {
                location,
                options: StorageOptions::default(),
                password: None,
            })),
            _ => Self::find(args, Some(&named), variables).map(Some),
        }
    }

    /// A bucket that is not a repository. `keys` are its credentials.
    pub(crate) fn of_bucket(
        args: &StorageArgs,
        bucket: &S3Location,
        keys: &BucketKeys,
        variables: Variables<'_>,
    ) -> Result<Self, CommandError> {
        let mut args = args.clone();
        args.role_arn.clone_from(&keys.role_arn);
        if keys.access_key_id.is_some() {
            // A separate key is independent of the other bucket's credentials.
            args.access_key_id.clone_from(&keys.access_key_id);
            args.secret_access_key.clone_from(&keys.secret_access_key);
            (args.secret_access_key_file, args.profile) = (None, None);
            args.no_sign_request = false;
        }
        let mut s3 = s3(&args, variables)?;
        if keys.is_path_style {
            s3 = s3.with_addressing(Addressing::Path);
        }
        Ok(Self {
            location: Location::S3(bucket.clone()),
            options: StorageOptions::default()
                .with_network(network(&args)?)
                .with_s3(s3),
            password: None,
        })
    }

    /// A folder or memory; refuses options that only a server has.
    fn without_server(location: Location, args: &StorageArgs) -> Result<Self, CommandError> {
        if let Some(option) = args.typed() {
            return Err(CommandError::usage(
                format!("{option} is for repositories in S3, but {location} is not in S3"),
                "leave it out, or name the repository as s3://BUCKET/FOLDER",
            ));
        }
        Ok(Self {
            location,
            options: StorageOptions::default(),
            password: None,
        })
    }

    /// True when a configuration file says that the repository has no password.
    pub(crate) fn has_no_password(&self) -> bool {
        self.password == Some(SecretReference::None)
    }

    /// True when the store is a server.
    pub(crate) const fn is_remote(&self) -> bool {
        !matches!(self.location, Location::Local(_) | Location::Memory)
    }

    /// Explains why the store cannot be opened.
    pub(crate) fn explain(&self, error: br_core::Error) -> CommandError {
        let (kind, cause) = (error.kind(), error.causes().into_iter().next());
        let error = CommandError::from(error).at_store(self.is_remote());
        let hint = match (&self.location, kind, cause) {
            (Location::S3(_), ErrorKind::Invalid, Some(cause)) if cause.starts_with("http ") => {
                "use https, or give --allow-http on a network where no one can read or change the data"
            }
            (Location::S3(_), ErrorKind::Invalid, Some(_)) => {
                "correct the location of the repository or the storage options; `br help storage` explains them"
            }
            (Location::S3(_), ErrorKind::Denied, Some(cause))
                if cause.contains("no credentials") =>
            {
                "give keys with --access-key-id and --secret-access-key-file, with --profile, or in \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            (Location::S3(_), ErrorKind::RepositoryNotFound, Some(_)) => {
                "correct the name of the bucket, or create the bucket with the tools of its provider"
            }
            (Location::Local(_), ErrorKind::Invalid, Some(_)) => {
                "name a folder with --repo or BR_REPOSITORY"
            }
            _ => return error,
        };
        error.with_hint(hint)
    }
}

impl StorageArgs {
    /// A bucket from an option other than `--repo`, with the endpoint and the region of the storage options.
    pub(crate) fn complete(
        &self,
        bucket: &S3Location,
        variables: Variables<'_>,
    ) -> Result<S3Location, CommandError> {
        with_server(bucket, self, variables)
    }

    /// The role on the command line, and whether requests must name the bucket in the path.
    pub(crate) fn bucket_keys(&self) -> BucketKeys {
        BucketKeys {
            role_arn: self.role_arn.clone(),
            is_path_style: self.addressing == Some(args::AddressingArg::Path),
            ..BucketKeys::default()
        }
    }

    /// The access key from the command line or br's environment, to pass on to a server.
    pub(crate) fn typed_keys(
        &self,
        variables: Variables<'_>,
    ) -> Result<Option<(Secret, Secret)>, CommandError> {
        match keys::credentials(self, variables)? {
            S3Credentials::Keys {
                access_key_id,
                secret_access_key,
                ..
            } => Ok(Some((Secret::from(access_key_id), secret_access_key))),
            _ => Ok(None),
        }
    }
}

/// Parses the location of something that is not a repository.
pub(crate) fn parse_location(text: &str, option: &str) -> Result<Location, CommandError> {
    Location::parse(text).map_err(|error| match Lookalike::of(text) {
        Some(looks) if !matches!(looks, Lookalike::Url(_)) => refuse(error, looks.way_out(text)),
        _ => refuse(error, format!("correct {option}: it takes {NAMES}")),
    })
}

/// Parses a URL or a path.
fn parse(text: &str) -> Result<Location, CommandError> {
    Location::parse(text).map_err(|error| match Lookalike::of(text) {
        Some(looks) if !matches!(looks, Lookalike::Url(_)) => refuse(error, looks.way_out(text)),
        _ => {
            let hint = format!("give the repository with --repo or BR_REPOSITORY: {NAMES}");
            refuse(error, hint)
        }
    })
}

/// A usage error with a hint.
pub(crate) fn refuse(error: impl Into<br_core::Error>, hint: impl Into<String>) -> CommandError {
    CommandError::from(error.into()).with_hint(hint)
}

/// An environment variable as text.
fn text_variable(name: &str, variables: Variables<'_>) -> Result<Option<String>, CommandError> {
    let text = variables(name).filter(|text| !text.is_empty());
    let text = text.map(OsString::into_string).transpose();
    // The error does not show the value: it may be a secret.
    text.map_err(|_| {
        CommandError::usage(
            format!("{name} is not valid UTF-8"),
            format!("correct {name}"),
        )
    })
}

/// The endpoint from the environment, and the hint if it is wrong. br's own variable takes precedence over those of AWS.
fn endpoint_variable(
    variables: Variables<'_>,
) -> Result<Option<(String, &'static str)>, CommandError> {
    let ignored = variables("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    let ignores_aws = ignored.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    for (name, hint) in [
        ("BR_S3_ENDPOINT", "correct BR_S3_ENDPOINT"),
        ("AWS_ENDPOINT_URL_S3", "correct AWS_ENDPOINT_URL_S3"),
        ("AWS_ENDPOINT_URL", "correct AWS_ENDPOINT_URL"),
    ] {
        if name.starts_with("AWS") && ignores_aws {
            continue;
        }
        if let Some(endpoint) = text_variable(name, variables)? {
            return Ok(Some((endpoint, hint)));
        }
    }
    Ok(None)
}

/// Adds endpoint and region to a location whose URL does not have them.
fn with_server(
    there: &S3Location,
    args: &StorageArgs,
    variables: Variables<'_>,
) -> Result<S3Location, CommandError> {
    let twice = |option: &str, what: &str| {
        let message = format!("{option} and the URL of the repository name different {what}");
        Err(CommandError::usage(message, "leave one of them out"))
    };
    let mut out = there.clone();
    let endpoint = match (&args.endpoint, there.endpoint()) {
        (Some(endpoint), _) => Some((endpoint.clone(), "correct --endpoint")),
        (None, Some(_)) => None,
        (None, None) => endpoint_variable(variables)?,
    };
    if let Some((endpoint, hint)) = endpoint {
        out = out
            .with_endpoint(&endpoint)
            .map_err(|error| refuse(error, hint))?;
    }
    if there.endpoint().is_some() && *there != out {
        return twice("--endpoint", "servers");
    }
    match (&args.region, there.region()) {
        (Some(region), Some(named)) if region != named => return twice("--region", "regions"),
        (Some(region), _) => out = out.with_region(region),
        (None, Some(_)) => {}
        (None, None) => {
            if let Some(region) = text_variable("BR_S3_REGION", variables)? {
                out = out.with_region(region);
            }
        }
    }
    Ok(out)
}

fn network(args: &StorageArgs) -> Result<NetworkOptions, CommandError> {
    let proxy = args.proxy.as_ref().map(|url| url.reveal().to_owned());
    let is_web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    if proxy.as_ref().is_some_and(|url| !is_web(url)) {
        // The library ignores a proxy that it does not know. Do not show the URL: it may hold a password.
        let hint = "write --proxy http://HOST:PORT";
        return Err(CommandError::usage(
            "the URL of the proxy must start with http:// or https://",
            hint,
        ));
    }
    let mut network = NetworkOptions::default()
        .with_upload_limit(args.limit_upload)
        .with_download_limit(args.limit_download)
        .with_proxy(proxy)
        .with_allow_http(args.allow_http)
        .with_status(args.status.clone());
    if let Some(time) = args.retry_for {
        network = network.with_retry_for(time);
    }
    if let Some(connections) = args.connections {
        network = network.with_connections(connections);
    }
    for file in &args.ca_certificate {
        let name = file.display();
        let pem = std::fs::read(file).map_err(|error| {
            let message = format!("cannot read the certificate {name}");
            CommandError::usage(message, "check --ca-certificate").because(&error)
        })?;
        // The library would find no certificate in it, and continue.
        let mark = b"-----BEGIN CERTIFICATE-----";
        if !pem.windows(mark.len()).any(|part| part == mark) {
            let message = format!("{name} contains no certificate");
            let hint = "name a PEM file: it contains `-----BEGIN CERTIFICATE-----`";
            return Err(CommandError::usage(message, hint));
        }
        network = network.with_ca_certificate(pem);
    }
    Ok(network)
}

fn s3(args: &StorageArgs, variables: Variables<'_>) -> Result<S3Options, CommandError> {
    let addressing = args.addressing.map(Addressing::from).unwrap_or_default();
    Ok(S3Options::default()
        .with_credentials(keys::credentials(args, variables)?)
        .with_role(keys::role(args))
        .with_addressing(addressing)
        .with_storage_class(args.storage_class.clone())
        .with_checksum(args.send_checksums.then_some(true))
        .with_encryption(keys::encryption(args)?))
}

#[cfg(test)]
mod tests;
