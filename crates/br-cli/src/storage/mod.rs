//! Where a repository lies and how the store there is used: from what was typed to what the library takes.
//!
//! [`StorageArgs`] is what can be typed, [`Place`] what came of it. Invariant: what was typed comes before what the
//! environment says; what was typed and has no effect, or contradicts itself, is refused.

mod args;
mod keys;

use std::ffi::OsString;

use br_core::{
    Addressing, ErrorKind, Location, Lookalike, NetworkOptions, S3Credentials, S3Location,
    S3Options, Secret, StorageOptions,
};

pub(crate) use self::args::{StorageArgs, parse_secret};
use crate::error::CommandError;

/// Looks a variable of the environment up, as it is.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Who uses a bucket that is no repository, where it differs from what the storage options say.
#[derive(Debug, Clone, Default)]
pub(crate) struct BucketKeys {
    /// A role to assume.
    pub(crate) role_arn: Option<String>,
    /// Requests have the bucket in the path.
    pub(crate) is_path_style: bool,
    /// A key of its own.
    pub(crate) access_key_id: Option<String>,
    /// The secret of that key.
    pub(crate) secret_access_key: Option<Secret>,
}

/// How a repository is named, for hints.
const NAMES: &str = "a path, s3://BUCKET/FOLDER, or s3://BUCKET/FOLDER?endpoint=https://HOST";

/// A place for a repository.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Where it is.
    pub(crate) location: Location,
    /// How it is used.
    pub(crate) options: StorageOptions,
}

impl Place {
    /// Finds out which place is meant. `named` is a URL or a path that was typed.
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
            return Err(CommandError::usage("no repository was named", hint));
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
        })
    }

    /// The repository that is named next to another place: the options for that one are for a bucket here only if this is one, too.
    pub(crate) fn beside(
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
            })),
            _ => Self::find(args, Some(&named), variables).map(Some),
        }
    }

    /// A bucket that is no repository. `keys` say who uses it, and how.
    pub(crate) fn of_bucket(
        args: &StorageArgs,
        bucket: &S3Location,
        keys: &BucketKeys,
        variables: Variables<'_>,
    ) -> Result<Self, CommandError> {
        let mut args = args.clone();
        args.role_arn.clone_from(&keys.role_arn);
        if keys.access_key_id.is_some() {
            // A key of its own, whatever is said of the other bucket.
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
        })
    }

    /// A folder or memory, for which no option about servers has a meaning.
    fn without_server(location: Location, args: &StorageArgs) -> Result<Self, CommandError> {
        if let Some(option) = args.typed() {
            return Err(CommandError::usage(
                format!("{option} is for repositories in S3, and {location} is none"),
                "leave it out, or name the repository as s3://BUCKET/FOLDER",
            ));
        }
        let options = StorageOptions::default();
        Ok(Self { location, options })
    }

    /// True when the store is a server.
    pub(crate) const fn is_remote(&self) -> bool {
        !matches!(self.location, Location::Local(_) | Location::Memory)
    }

    /// Says what to do when the place cannot be opened.
    pub(crate) fn explain(&self, error: br_core::Error) -> CommandError {
        let (kind, cause) = (error.kind(), std::error::Error::source(&error));
        let cause = cause.map(ToString::to_string);
        let error = CommandError::from(error).at_store(self.is_remote());
        let hint = match (&self.location, kind, cause) {
            (Location::S3(_), ErrorKind::Invalid, Some(cause)) if cause.starts_with("http ") => {
                "use https, or give --allow-http on a network where no one can read or alter what is sent"
            }
            (Location::S3(_), ErrorKind::Invalid, Some(_)) => {
                "correct the name of the repository or the storage options, which `br --help` explains"
            }
            (Location::S3(_), ErrorKind::Denied, Some(cause))
                if cause.contains("no credentials") =>
            {
                "give keys with --access-key-id and --secret-access-key-file, with --profile, or in \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            }
            (Location::S3(_), ErrorKind::RepositoryNotFound, Some(_)) => {
                "correct the name of the bucket, or make the bucket with the tools of its provider"
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
    /// A bucket that was typed in another place than `--repo`, with the endpoint and the region of the options.
    pub(crate) fn complete(
        &self,
        bucket: &S3Location,
        variables: Variables<'_>,
    ) -> Result<S3Location, CommandError> {
        with_server(bucket, self, variables)
    }

    /// The role that was typed, and whether requests were asked to have the bucket in the path.
    pub(crate) fn bucket_keys(&self) -> BucketKeys {
        BucketKeys {
            role_arn: self.role_arn.clone(),
            is_path_style: self.addressing == Some(args::AddressingArg::Path),
            ..BucketKeys::default()
        }
    }

    /// The access key that was typed or set for br, for whom it is handed on to.
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

/// Understands the location of something that is no repository.
pub(crate) fn parse_location(text: &str, option: &str) -> Result<Location, CommandError> {
    Location::parse(text).map_err(|error| match Lookalike::of(text) {
        Some(looks) if !matches!(looks, Lookalike::Url(_)) => refuse(error, looks.way_out(text)),
        _ => refuse(error, format!("correct {option}: it takes {NAMES}")),
    })
}

/// Understands a URL or a path.
fn parse(text: &str) -> Result<Location, CommandError> {
    Location::parse(text).map_err(|error| match Lookalike::of(text) {
        Some(looks) if !matches!(looks, Lookalike::Url(_)) => refuse(error, looks.way_out(text)),
        _ => {
            let hint = format!("name the repository with --repo or BR_REPOSITORY: {NAMES}");
            refuse(error, hint)
        }
    })
}

/// An error about arguments, with a hint that fits.
pub(crate) fn refuse(error: impl Into<br_core::Error>, hint: impl Into<String>) -> CommandError {
    CommandError::from(error.into()).with_hint(hint)
}

/// A variable of the environment as text.
fn text_variable(name: &str, variables: Variables<'_>) -> Result<Option<String>, CommandError> {
    let text = variables(name).filter(|text| !text.is_empty());
    let text = text.map(OsString::into_string).transpose();
    // What it holds is not shown: it may be a secret.
    text.map_err(|_| CommandError::usage(format!("{name} is not text"), format!("set {name} anew")))
}

/// The endpoint that the environment names, and what to do when it is wrong. br's own variable comes before those of AWS.
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

/// Adds endpoint and region, unless the URL has them.
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
        // The library would go without a proxy it does not know. The URL is not shown, as it may hold a password.
        let hint = "write --proxy http://HOST:PORT";
        return Err(CommandError::usage(
            "the proxy is not a URL of http or https",
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
        // The library would find none in it, and continue.
        let mark = b"-----BEGIN CERTIFICATE-----";
        if !pem.windows(mark.len()).any(|part| part == mark) {
            let message = format!("there is no certificate in {name}");
            let hint = "name a file in PEM: it holds `-----BEGIN CERTIFICATE-----`";
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
