//! Storage options.
//!
//! [`StorageArgs`] are options of every command. Invariant: a secret from the command line is a [`Secret`] from the moment it is
//! parsed, so that no debug output and no parser message repeats it.

use std::path::PathBuf;
use std::time::Duration;

use br_core::{Addressing, NetworkStatus, Secret};
use clap::{Args, ValueEnum};

use crate::output::format;
use crate::secret::{self, BadSecret};
use crate::values::{BadValue, number};

/// More concurrent requests than this do not help.
const MAX_CONNECTIONS: usize = 256;

/// Options for the store of the repository.
///
/// They declare no conflicts or requirements for clap: it checks only one level of commands, but these options can be before
/// or after the command. [`super::StoreLocation`] checks them all together.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Storage options")]
pub(crate) struct StorageArgs {
    /// URL of the S3 server, if it is not AWS [env: BR_S3_ENDPOINT]
    ///
    /// It can also be in the URL of the repository, as in `s3://bucket/folder?endpoint=https://minio.example:9000`. If
    /// BR_S3_ENDPOINT is not set, br uses AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.
    #[arg(long, global = true, value_name = "URL", value_parser = parse_text)]
    pub(super) endpoint: Option<String>,

    /// Region of the bucket [env: BR_S3_REGION]
    ///
    /// Without this option, br uses AWS_REGION, AWS_DEFAULT_REGION, the region of the profile, or us-east-1.
    #[arg(long, global = true, value_name = "NAME", value_parser = parse_text)]
    pub(super) region: Option<String>,

    /// Take the keys from a profile in ~/.aws
    ///
    /// br reads profiles from ~/.aws/credentials and ~/.aws/config, or from the files in AWS_SHARED_CREDENTIALS_FILE and
    /// AWS_CONFIG_FILE. Without this option and without keys, br looks in the same places as the AWS tools: AWS_ACCESS_KEY_ID
    /// and AWS_SECRET_ACCESS_KEY, the profile in AWS_PROFILE, and the metadata service of the machine.
    #[arg(long, global = true, value_name = "NAME", value_parser = parse_text)]
    pub(super) profile: Option<String>,

    /// Id of the access key [env: BR_S3_ACCESS_KEY_ID]
    #[arg(
        long,
        global = true,
        value_name = "ID",
        value_parser = parse_text
    )]
    pub(super) access_key_id: Option<String>,

    /// Read the secret access key from a file [env: BR_S3_SECRET_ACCESS_KEY, the key itself]
    ///
    /// With `-`, br reads the first line of standard input. The key is one line and must not be empty. br ignores a line break
    /// at the end and a byte order mark at the start. The option takes precedence over the environment.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) secret_access_key_file: Option<PathBuf>,

    /// Secret access key; other users of this machine can see it
    ///
    /// br accepts it, but prints a warning: all users of this machine can see the arguments of commands. Use a file or the
    /// environment instead.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "KEY",
        value_parser = parse_secret
    )]
    pub(super) secret_access_key: Option<Secret>,

    /// Do not sign requests: for public buckets
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) no_sign_request: bool,

    /// Assume a role, with the given keys or profile
    ///
    /// If an endpoint is given, br requests the role from that server, otherwise from the security token service of AWS.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "ARN",
        value_parser = parse_text
    )]
    pub(super) role_arn: Option<String>,

    /// External id that the owner of the role requires
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "ID",
        value_parser = parse_text,
    )]
    pub(super) external_id: Option<String>,

    /// Where requests name the bucket: auto, path or virtual [default: auto]
    ///
    /// `path` is https://HOST/BUCKET/KEY, and `virtual` is https://BUCKET.HOST/KEY. `auto` chooses by provider: `virtual` for
    /// AWS, Aliyun OSS and Tencent COS, `path` for all others.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "STYLE",
        value_enum,
        hide_possible_values = true
    )]
    pub(super) addressing: Option<AddressingArg>,

    /// Allow http:// to other machines; anyone on the network can read and change the data
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) allow_http: bool,

    /// Trust this certificate (PEM) in addition to those of the system (can be repeated)
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub(super) ca_certificate: Vec<PathBuf>,

    /// Connect to the server through a proxy
    ///
    /// Without this option, br uses the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.
    #[arg(long, global = true, hide_short_help = true, value_name = "URL", value_parser = parse_secret)]
    pub(super) proxy: Option<Secret>,

    /// Storage class of data packs, such as STANDARD_IA
    ///
    /// All other objects, which listings and unchanged backups read, have the default class of the bucket.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "CLASS",
        value_parser = parse_text,
    )]
    pub(super) storage_class: Option<String>,

    /// Server-side encryption: kms, kms:KEY or customer-key-file:FILE
    ///
    /// `kms` uses the bucket's key in the provider's key management, `kms:KEY` another key there. With
    /// `customer-key-file:FILE`, the file holds a key of 32 bytes in base64. br sends it with every request, and nothing can be
    /// read without it. This does not protect data from the provider; a repository password does, see `br help init`.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "HOW",
        value_parser = parse_secret,
    )]
    pub(super) server_side_encryption: Option<Secret>,

    /// Maximum concurrent requests [default: 16]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", value_parser = parse_connections)]
    pub(super) connections: Option<usize>,

    /// Maximum upload rate in bytes per second, such as 5M
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "RATE",
        value_parser = parse_rate,
    )]
    pub(super) limit_upload: Option<u64>,

    /// Maximum download rate in bytes per second, such as 5M
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "RATE",
        value_parser = parse_rate,
    )]
    pub(super) limit_download: Option<u64>,

    /// How long to retry while the server fails, such as 10m [default: 3m]
    ///
    /// The time starts with the first failure after the last success. If a server has never answered, br gives up within seconds.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "TIME",
        value_parser = format::parse_duration,
    )]
    pub(super) retry_for: Option<Duration>,

    /// Send a SHA-256 with every object, as buckets with object lock require
    ///
    /// br always sends it to AWS. Some other servers refuse it; the signature of a request covers the content in any case.
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) send_checksums: bool,

    /// Reports what a server is waiting for.
    #[arg(skip)]
    pub(crate) status: NetworkStatus,
}

impl StorageArgs {
    /// The same options with the keys of a profile.
    pub(crate) fn with_profile(&self, profile: Option<&str>) -> Self {
        let mut args = self.clone();
        if let Some(profile) = profile {
            args.profile = Some(profile.to_owned());
            (args.access_key_id, args.secret_access_key) = (None, None);
            args.secret_access_key_file = None;
            args.no_sign_request = false;
        }
        args
    }

    /// The same options, and for those that are not given the values of `file`. `is_set` says whether the environment has a variable.
    pub(crate) fn or(&self, file: Self, is_set: impl Fn(&str) -> bool) -> Self {
        let mut args = self.clone();
        let has_key = args.access_key_id.is_some()
            || args.secret_access_key.is_some()
            || args.secret_access_key_file.is_some()
            || args.profile.is_some()
            || args.no_sign_request
            || is_set("BR_S3_ACCESS_KEY_ID")
            || is_set("BR_S3_SECRET_ACCESS_KEY");
        if !has_key {
            args.access_key_id = file.access_key_id;
            args.secret_access_key = file.secret_access_key;
            args.profile = file.profile;
            args.no_sign_request = file.no_sign_request;
        }
        if !is_set("BR_S3_ENDPOINT") {
            args.endpoint = args.endpoint.or(file.endpoint);
        }
        if !is_set("BR_S3_REGION") {
            args.region = args.region.or(file.region);
        }
        if args.role_arn.is_none() {
            args.role_arn = file.role_arn;
            args.external_id = args.external_id.or(file.external_id);
        }
        args.addressing = args.addressing.or(file.addressing);
        args.allow_http |= file.allow_http;
        if args.ca_certificate.is_empty() {
            args.ca_certificate = file.ca_certificate;
        }
        args.proxy = args.proxy.or(file.proxy);
        args.storage_class = args.storage_class.or(file.storage_class);
        args.server_side_encryption = args.server_side_encryption.or(file.server_side_encryption);
        args.connections = args.connections.or(file.connections);
        args.limit_upload = args.limit_upload.or(file.limit_upload);
        args.limit_download = args.limit_download.or(file.limit_download);
        args.retry_for = args.retry_for.or(file.retry_for);
        args.send_checksums |= file.send_checksums;
        args
    }

    /// The same options with this secret access key.
    pub(crate) fn with_secret_access_key(mut self, key: Secret) -> Self {
        self.secret_access_key = Some(key);
        self
    }

    /// The first option on the command line that only a server has.
    pub(crate) fn typed(&self) -> Option<&'static str> {
        let typed = [
            ("--endpoint", self.endpoint.is_some()),
            ("--region", self.region.is_some()),
            ("--profile", self.profile.is_some()),
            ("--access-key-id", self.access_key_id.is_some()),
            (
                "--secret-access-key-file",
                self.secret_access_key_file.is_some(),
            ),
            ("--secret-access-key", self.secret_access_key.is_some()),
            ("--no-sign-request", self.no_sign_request),
            ("--role-arn", self.role_arn.is_some()),
            ("--external-id", self.external_id.is_some()),
            ("--addressing", self.addressing.is_some()),
            ("--allow-http", self.allow_http),
            ("--ca-certificate", !self.ca_certificate.is_empty()),
            ("--proxy", self.proxy.is_some()),
            ("--storage-class", self.storage_class.is_some()),
            (
                "--server-side-encryption",
                self.server_side_encryption.is_some(),
            ),
            ("--connections", self.connections.is_some()),
            ("--limit-upload", self.limit_upload.is_some()),
            ("--limit-download", self.limit_download.is_some()),
            ("--retry-for", self.retry_for.is_some()),
            ("--send-checksums", self.send_checksums),
        ];
        typed
            .into_iter()
            .find(|(_, typed)| *typed)
            .map(|(name, _)| name)
    }

    /// Files with secrets on the command line, and the options that name them.
    pub(crate) fn secret_files(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let key = self.secret_access_key_file.clone();
        let how = self.server_side_encryption.as_ref().map(Secret::reveal);
        let customer = how.and_then(|how| how.strip_prefix("customer-key-file:"));
        let key = key.map(|file| ("--secret-access-key-file", file));
        let customer = customer.map(|file| ("--server-side-encryption", PathBuf::from(file)));
        key.into_iter().chain(customer)
    }

    /// Secrets on the command line, and safer alternatives.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let key = self.secret_access_key.as_ref().map(|_| {
            let better = "use --secret-access-key-file, BR_S3_SECRET_ACCESS_KEY or a profile";
            ("--secret-access-key", better)
        });
        let proxy = self.proxy.as_ref().filter(|url| has_password(url.reveal()));
        let proxy = proxy.map(|_| ("the password in --proxy", "set HTTPS_PROXY instead"));
        key.into_iter().chain(proxy)
    }
}

/// Where a URL names the bucket, as an option value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AddressingArg {
    /// As the provider requires
    Auto,
    /// https://host/bucket/key
    Path,
    /// https://bucket.host/key
    Virtual,
}

impl From<AddressingArg> for Addressing {
    fn from(arg: AddressingArg) -> Self {
        match arg {
            AddressingArg::Auto => Self::Auto,
            AddressingArg::Path => Self::Path,
            AddressingArg::Virtual => Self::VirtualHost,
        }
    }
}

/// Accepts any text but an empty one: most likely a variable is not set.
pub(super) fn parse_text(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("it is empty"),
        text => Ok(text.to_owned()),
    }
}

/// Reads a secret; an error never repeats it.
pub(crate) fn parse_secret(text: &str) -> Result<Secret, BadSecret> {
    secret::Secret::of_argument(text)?.to_text()
}

fn parse_connections(text: &str) -> Result<usize, BadValue> {
    number(
        1..=MAX_CONNECTIONS,
        "the number of concurrent requests",
        "--connections 16",
    )(text)
}

/// Reads a rate in bytes per second: `5M`, `500K`, `1.5MiB/s`.
fn parse_rate(text: &str) -> Result<u64, String> {
    let size = format::parse_size(text.strip_suffix("/s").unwrap_or(text));
    match size {
        Ok(rate @ 1..) => Ok(rate),
        _ => Err(format!(
            "`{text}` is not a rate: write bytes per second, such as 500K or 5M"
        )),
    }
}

/// True for a URL such as `http://user:password@host`.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    host.rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_parsed_as_size_per_second() {
        for (text, rate) in [
            ("5M", 5 << 20),
            ("500K", 500 << 10),
            ("1MB/s", 1_000_000),
            ("4096", 4096),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["0", "", "fast", "-1", "5M/h"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn password_in_proxy_url_is_detected() {
        for (url, expected) in [
            ("http://proxy:3128", false),
            ("http://user@proxy:3128", false),
            ("http://user:secret@proxy:3128", true),
            ("user:secret@proxy", true),
            ("http://proxy/a:b@c", false),
        ] {
            assert_eq!(has_password(url), expected, "{url}");
        }
    }
}
