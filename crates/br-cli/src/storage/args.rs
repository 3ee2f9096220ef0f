//! What can be typed about a store.
//!
//! [`StorageArgs`] are options of every command. Invariant: whatever was typed as a secret is a [`Secret`] from the moment
//! it is read, so that no debug output and no message of the parser repeats it.

use std::path::PathBuf;
use std::time::Duration;

use br_core::{Addressing, NetworkStatus, Secret};
use clap::{Args, ValueEnum};

use crate::output::format;
use crate::secret::{self, BadSecret};
use crate::values::{BadValue, number};

/// More requests at once than this do not help.
const MAX_CONNECTIONS: usize = 256;

/// Options about the store of the repository.
///
/// None of them names another as its requirement or its contradiction: clap looks at one level of commands at a time, and
/// these may be before the command or behind it. [`super::Place`] checks them all together.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Storage options")]
pub(crate) struct StorageArgs {
    /// URL of the S3 server, if it is not AWS [env: BR_S3_ENDPOINT]
    ///
    /// It can also be in the URL of the repository, as in `s3://bucket/folder?endpoint=https://minio.example:9000`. After
    /// BR_S3_ENDPOINT the variables of AWS are asked, AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL.
    #[arg(long, global = true, value_name = "URL", value_parser = parse_text)]
    pub(super) endpoint: Option<String>,

    /// Region of the bucket [env: BR_S3_REGION]
    ///
    /// Without it AWS_REGION, AWS_DEFAULT_REGION and the profile are asked, and then it is us-east-1.
    #[arg(long, global = true, value_name = "NAME", value_parser = parse_text)]
    pub(super) region: Option<String>,

    /// Take the keys from a profile in ~/.aws
    ///
    /// The profiles are in ~/.aws/credentials and ~/.aws/config, or in the files that AWS_SHARED_CREDENTIALS_FILE and
    /// AWS_CONFIG_FILE name. Without this option and without keys br looks where the tools of AWS look: in
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the profile that AWS_PROFILE names, and at the metadata service
    /// of the machine.
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
    /// With `-` it is the first line of standard input. The key is one line that is not empty; a line end and a byte order
    /// mark are not part of it. The option comes before the environment.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) secret_access_key_file: Option<PathBuf>,

    /// The secret access key; others on this machine can see it
    ///
    /// It works, and br warns of it: everybody on this machine sees what commands are run with. Use a file or the
    /// environment.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "KEY",
        value_parser = parse_secret
    )]
    pub(super) secret_access_key: Option<Secret>,

    /// Do not sign requests: for buckets that everybody may use
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) no_sign_request: bool,

    /// Assume a role, with the keys or the profile given
    ///
    /// The security token service that is asked is the server's own if there is an endpoint, and else that of AWS.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "ARN",
        value_parser = parse_text
    )]
    pub(super) role_arn: Option<String>,

    /// What the owner of the role demands to be told
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "ID",
        value_parser = parse_text,
    )]
    pub(super) external_id: Option<String>,

    /// Where a request names the bucket: auto, path or virtual [default: auto]
    ///
    /// `path` is https://HOST/BUCKET/KEY, `virtual` is https://BUCKET.HOST/KEY, and `auto` is what the provider is known to
    /// want: `virtual` for AWS, Aliyun OSS and Tencent COS, `path` for all others.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "STYLE",
        value_enum,
        hide_possible_values = true
    )]
    pub(super) addressing: Option<AddressingArg>,

    /// Allow http:// beyond this machine: everybody on the way can read and alter what is sent
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) allow_http: bool,

    /// Trust a certificate (PEM) next to those of the system (can be repeated)
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub(super) ca_certificate: Vec<PathBuf>,

    /// Reach the server through a proxy
    ///
    /// Without it the variables HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY count.
    #[arg(long, global = true, hide_short_help = true, value_name = "URL", value_parser = parse_secret)]
    pub(super) proxy: Option<Secret>,

    /// Storage class of the packs of data, such as STANDARD_IA
    ///
    /// Everything that a listing or an unchanged backup reads has the default class of the bucket.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "CLASS",
        value_parser = parse_text,
    )]
    pub(super) storage_class: Option<String>,

    /// Have the server encrypt: kms, kms:KEY or customer-key-file:FILE
    ///
    /// `kms` is the key of the bucket in the provider's key management, `kms:KEY` another one there. The file of
    /// `customer-key-file:FILE` holds a key of 32 bytes in base64, which is sent with every request and is needed to
    /// read anything again. Neither protects from the provider; a password does, see `br help init`.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "HOW",
        value_parser = parse_secret,
    )]
    pub(super) server_side_encryption: Option<Secret>,

    /// Requests under way at once [default: 16]
    #[arg(long, global = true, hide_short_help = true, value_name = "N", value_parser = parse_connections)]
    pub(super) connections: Option<usize>,

    /// Limit uploads to this many bytes per second, such as 5M
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "RATE",
        value_parser = parse_rate,
    )]
    pub(super) limit_upload: Option<u64>,

    /// Limit downloads to this many bytes per second, such as 5M
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "RATE",
        value_parser = parse_rate,
    )]
    pub(super) limit_download: Option<u64>,

    /// Keep retrying this long while the server fails, such as 10m [default: 3m]
    ///
    /// The time begins with the first failure after the last success. A server that never answered is given up within seconds.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "TIME",
        value_parser = format::parse_duration,
    )]
    pub(super) retry_for: Option<Duration>,

    /// Send a SHA-256 with every object, as buckets with object lock want it
    ///
    /// AWS always gets one. Not every other server accepts it; the signature covers the bytes anyway.
    #[arg(long, global = true, hide_short_help = true)]
    pub(super) send_checksums: bool,

    /// Tells what a server keeps waiting for.
    #[arg(skip)]
    pub(crate) status: NetworkStatus,
}

impl StorageArgs {
    /// What was typed that only a store on a server has.
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

    /// Files with secrets that were typed, and the options that name them.
    pub(crate) fn secret_files(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let key = self.secret_access_key_file.clone();
        let how = self.server_side_encryption.as_ref().map(Secret::reveal);
        let customer = how.and_then(|how| how.strip_prefix("customer-key-file:"));
        let key = key.map(|file| ("--secret-access-key-file", file));
        let customer = customer.map(|file| ("--server-side-encryption", PathBuf::from(file)));
        key.into_iter().chain(customer)
    }

    /// Options with a secret that was typed, and where it would not be seen.
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

/// Where the bucket is in a URL, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AddressingArg {
    /// As the provider wants it
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

/// Takes any text but the empty one, which is most likely a variable that is not set.
pub(super) fn parse_text(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("it is empty"),
        text => Ok(text.to_owned()),
    }
}

/// Takes a text that is not repeated, whatever is wrong with it.
pub(crate) fn parse_secret(text: &str) -> Result<Secret, BadSecret> {
    secret::Secret::of_argument(text)?.to_text()
}

fn parse_connections(text: &str) -> Result<usize, BadValue> {
    number(
        1..=MAX_CONNECTIONS,
        "the number of requests at once",
        "--connections 16",
    )(text)
}

/// Reads bytes in a second as people write them: `5M`, `500K`, `1.5MiB/s`.
fn parse_rate(text: &str) -> Result<u64, String> {
    let size = format::parse_size(text.strip_suffix("/s").unwrap_or(text));
    match size {
        Ok(rate @ 1..) => Ok(rate),
        _ => Err(format!(
            "`{text}` is not a rate: write bytes in a second, like 500K or 5M"
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
    fn rates_are_written_as_sizes() {
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
    fn passwords_of_proxies_are_noticed() {
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
