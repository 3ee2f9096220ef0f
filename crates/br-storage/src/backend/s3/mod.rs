//! Objects in a bucket of S3, or of a server that speaks its protocol.
//!
//! [`open`] turns a location and options into a store of `object_store`; the requests go through
//! [`super::remote`], the keys come from [`credentials`], and [`uploads`] clears away what
//! killed writers left. Invariant: nothing here depends on what a provider promises beyond the
//! protocol; what it really does is for the probe to find out.

mod assume_role;
mod credentials;
mod profile;
mod uploads;

use std::{sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, Checksum},
    path::Path,
    prefix::PrefixStore,
};
use url::{Host, Url};

pub(crate) use self::uploads::Uploads;
use super::{
    Backend,
    remote::{Connector, Link, build_client},
};
use crate::{
    error::{Error, ErrorKind, Operation, Result},
    location::S3Location,
    options::{Addressing, S3Credentials, S3Encryption, S3Options, StorageOptions},
};

/// Pauses between attempts grow up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
const MAX_RETRIES: usize = 12;

/// What is known of a bucket before the first request.
#[derive(Debug)]
struct Place<'a> {
    location: &'a S3Location,
    options: &'a StorageOptions,
    region: String,
    /// URL of the server, without the bucket.
    server: Option<Url>,
    addressing: Addressing,
}

/// Opens a bucket. No request is made.
pub(crate) fn open(location: &S3Location, options: &StorageOptions) -> Result<Backend> {
    let place = Place::new(location, options)?;
    let allow_http = place.allow_http();
    let network = &options.network;
    let client = build_client(network, allow_http, place.is_plain())
        .map_err(|error| place.refuse(format!("the connection cannot be set up: {error}")))?;
    let link = Link::new(network);
    let connector = Connector::new(client, Arc::clone(&link), network.stall_timeout);
    let store = place.store(&connector)?;
    let uploads = Uploads {
        client: connector.client(),
        credentials: Arc::clone(store.credentials()),
        url: place.bucket_url(),
        region: place.region.clone(),
        prefix: location.prefix().to_owned(),
        is_signed: options.s3.credentials != S3Credentials::Anonymous,
    };
    let store: Arc<dyn ObjectStore> = match location.prefix() {
        "" => Arc::new(store),
        prefix => {
            let prefix = Path::parse(prefix).map_err(|error| place.refuse(error.to_string()))?;
            Arc::new(PrefixStore::new(store, prefix))
        }
    };
    Ok(Backend {
        link: Some(link),
        uploads: Some(Arc::new(uploads)),
        rare_class: options.s3.storage_class.clone(),
        ..Backend::new(store)
    })
}

impl<'a> Place<'a> {
    fn new(location: &'a S3Location, options: &'a StorageOptions) -> Result<Self> {
        let server = location.endpoint().map(Url::parse).transpose();
        let mut place = Self {
            location,
            options,
            region: String::new(),
            server: server.map_err(|error| refuse(location, error.to_string()))?,
            addressing: options.s3.addressing,
        };
        if place
            .server
            .as_ref()
            .is_some_and(|url| url.scheme() == "http")
            && !place.allow_http()
        {
            return Err(place.refuse(
                "http sends everything in the clear, and this server is not on this machine: use \
                 https, or allow http explicitly",
            ));
        }
        // The client below ignores a proxy it does not understand, and goes around it.
        let proxy = options.network.proxy.as_deref().map(Url::parse);
        if proxy.is_some_and(|url| !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"))) {
            return Err(place.refuse("a proxy is named as in http://HOST:PORT"));
        }
        place.region = match location.region() {
            Some(region) => region.to_owned(),
            None => credentials::region(&options.s3.credentials).unwrap_or("us-east-1".to_owned()),
        };
        if place.addressing == Addressing::Auto {
            place.addressing = place.usual_addressing();
        }
        Ok(place)
    }

    fn refuse(&self, cause: impl Into<String>) -> Error {
        refuse(self.location, cause.into())
    }

    fn is_plain(&self) -> bool {
        let scheme = self.server.as_ref().map(Url::scheme);
        scheme == Some("http")
    }

    fn allow_http(&self) -> bool {
        let host = self.server.as_ref().and_then(Url::host);
        let is_here = match host {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        };
        self.options.network.allow_http || is_here
    }

    /// True for providers that refuse buckets in the path.
    fn is_at(&self, domains: &[&str]) -> bool {
        let host = self.server.as_ref().and_then(Url::host_str);
        domains
            .iter()
            .any(|domain| host.is_some_and(|host| host.ends_with(*domain)))
    }

    fn usual_addressing(&self) -> Addressing {
        let wants_host = self.server.is_none()
            || self.is_at(&[".aliyuncs.com", ".myqcloud.com", ".amazonaws.com"]);
        // A certificate for *.host does not cover a bucket with dots.
        if wants_host && !self.location.bucket().contains('.') {
            Addressing::VirtualHost
        } else {
            Addressing::Path
        }
    }

    /// The URL that keys are appended to, without a slash at its end.
    fn bucket_url(&self) -> String {
        let bucket = self.location.bucket();
        let server = match &self.server {
            Some(server) => server.as_str().trim_end_matches('/').to_owned(),
            None => format!("https://s3.{}.amazonaws.com", self.region),
        };
        match (self.addressing, server.split_once("://")) {
            (Addressing::VirtualHost, Some((scheme, host))) => {
                format!("{scheme}://{bucket}.{host}")
            }
            _ => format!("{server}/{bucket}"),
        }
    }

    fn store(&self, connector: &Connector) -> Result<object_store::aws::AmazonS3> {
        let S3Options {
            credentials,
            encryption,
            checksum,
            ..
        } = &self.options.s3;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(self.location.bucket())
            .with_region(&self.region)
            .with_allow_http(self.allow_http())
            .with_retry(self.retries())
            // The store's own rule for the bucket in the URL is applied here already.
            .with_virtual_hosted_style_request(true)
            .with_endpoint(self.bucket_url())
            .with_disable_bulk_delete(self.is_at(&[".aliyuncs.com", ".myqcloud.com"]))
            .with_http_connector(connector.clone());
        builder = match credentials {
            S3Credentials::Anonymous => builder
                .with_skip_signature(true)
                .with_credentials(credentials::nobody()),
            _ => builder.with_credentials(credentials::provider(self, connector)?),
        };
        builder = match encryption {
            None => builder,
            Some(S3Encryption::Kms) => {
                let key = "aws_server_side_encryption".parse();
                let key =
                    key.map_err(|error: object_store::Error| self.refuse(error.to_string()))?;
                builder.with_config(key, "aws:kms")
            }
            Some(S3Encryption::KmsKey(key)) => builder.with_sse_kms_encryption(key),
            Some(S3Encryption::CustomerKey(key)) => builder.with_ssec_encryption(key.reveal()),
        };
        let is_aws = self.server.is_none() || self.is_at(&[".amazonaws.com"]);
        if checksum.unwrap_or(is_aws) {
            builder = builder.with_checksum_algorithm(Checksum::SHA256);
        }
        builder
            .build()
            .map_err(|error| self.refuse(error.to_string()))
    }

    fn retries(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                max_backoff: MAX_BACKOFF,
                ..BackoffConfig::default()
            },
            max_retries: MAX_RETRIES,
            retry_timeout: self.options.network.retry_for,
        }
    }
}

fn refuse(location: &S3Location, cause: String) -> Error {
    let place = location.to_string();
    Error::new(ErrorKind::Invalid, Operation::Open, None, &place, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::NetworkOptions;

    fn url(location: &str, options: &StorageOptions) -> Result<String> {
        let crate::Location::S3(location) = crate::Location::parse(location)? else {
            unreachable!("every location here is in S3");
        };
        let location = match location.region() {
            None => location.with_region("eu-west-1"),
            Some(_) => location,
        };
        Place::new(&location, options).map(|place| place.bucket_url())
    }

    #[test]
    fn the_bucket_stands_where_the_provider_wants_it() {
        let options = StorageOptions::default();
        for (location, expected) in [
            ("s3://bucket/x", "https://bucket.s3.eu-west-1.amazonaws.com"),
            (
                "s3://my.bucket",
                "https://s3.eu-west-1.amazonaws.com/my.bucket",
            ),
            (
                "s3://bucket?endpoint=http://127.0.0.1:9000",
                "http://127.0.0.1:9000/bucket",
            ),
            (
                "s3:https://minio.example/bucket",
                "https://minio.example/bucket",
            ),
            (
                "s3:https://oss-cn-hangzhou.aliyuncs.com/bucket",
                "https://bucket.oss-cn-hangzhou.aliyuncs.com",
            ),
        ] {
            assert_eq!(url(location, &options).unwrap(), expected);
        }
        let s3 = S3Options::default().with_addressing(Addressing::VirtualHost);
        let options = options.with_s3(s3);
        let there = url("s3:https://minio.example:9000/bucket", &options).unwrap();
        assert_eq!(there, "https://bucket.minio.example:9000");
    }

    #[test]
    fn http_is_for_this_machine_unless_it_is_allowed() {
        let options = StorageOptions::default();
        for host in ["127.0.0.1:9000", "localhost", "[::1]:80", "s3.localhost"] {
            assert!(
                url(&format!("s3:http://{host}/bucket"), &options).is_ok(),
                "{host}"
            );
        }
        for host in ["10.0.0.1:9000", "minio.example", "localhost.example"] {
            let error = url(&format!("s3:http://{host}/bucket"), &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{host}");
        }
        let options = options.with_network(NetworkOptions::default().with_allow_http(true));
        assert!(url("s3:http://10.0.0.1:9000/bucket", &options).is_ok());
    }
}
