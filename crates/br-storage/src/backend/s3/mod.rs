//! Objects in a bucket of S3, or of a server with its protocol.
//!
//! [`open`] makes a store of `object_store` from a location and options. Requests go through
//! [`super::remote`], keys come from [`credentials`], [`uploads`] aborts the uploads of killed writers, and
//! [`locks`] reads and extends the retention of objects.
//! Invariant: this code relies on nothing that a provider promises beyond the protocol; the probe finds out
//! what the server really does.

mod assume_role;
mod credentials;
mod locks;
mod profile;
mod requests;
mod uploads;

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, Checksum};
use url::Url;

use self::requests::Requests;
pub(crate) use self::{locks::Locks, uploads::Uploads};
use super::{
    Backend,
    remote::{Connector, Server},
};
use crate::{
    error::{Error, Result},
    location::S3Location,
    options::{Addressing, S3Credentials, S3Encryption, S3Options, StorageOptions},
};

/// The address of a bucket.
#[derive(Debug)]
struct BucketAddress<'a> {
    location: &'a S3Location,
    options: &'a StorageOptions,
    region: String,
    /// The server; its URL does not contain the bucket.
    server: Server<'a>,
    addressing: Addressing,
}

/// Opens a bucket. Sends no request.
pub(crate) fn open(location: &S3Location, options: &StorageOptions) -> Result<Backend> {
    let address = BucketAddress::new(location, options)?;
    let (link, connector) = address.server.connect()?;
    let store = address.store(&connector)?;
    let requests = Arc::new(Requests {
        client: connector.client(),
        credentials: Arc::clone(store.credentials()),
        url: address.bucket_url(),
        region: address.region.clone(),
        prefix: location.prefix().to_owned(),
        is_signed: options.s3.credentials != S3Credentials::Anonymous,
    });
    let uploads = Uploads {
        requests: Arc::clone(&requests),
    };
    let store = address.server.in_folder(store, location.prefix())?;
    Ok(Backend {
        link: Some(link),
        uploads: Some(Arc::new(uploads)),
        locks: Some(Arc::new(Locks { requests })),
        rare_class: options.s3.storage_class.clone(),
        ..Backend::new(store)
    })
}

impl<'a> BucketAddress<'a> {
    fn new(location: &'a S3Location, options: &'a StorageOptions) -> Result<Self> {
        let mut address = Self {
            location,
            options,
            region: String::new(),
            server: Server::new(location.to_string(), location.endpoint(), &options.network)?,
            addressing: options.s3.addressing,
        };
        address.region = match location.region() {
            Some(region) => region.to_owned(),
            None => credentials::region(&options.s3.credentials).unwrap_or("us-east-1".to_owned()),
        };
        if address.addressing == Addressing::Auto {
            address.addressing = address.usual_addressing();
        }
        Ok(address)
    }

    fn refuse(&self, cause: impl Into<String>) -> Error {
        self.server.refuse(cause)
    }

    /// Returns whether the server's host is below one of the domains.
    fn is_at(&self, domains: &[&str]) -> bool {
        let host = self.server.url.as_ref().and_then(Url::host_str);
        domains
            .iter()
            .any(|domain| host.is_some_and(|host| host.ends_with(*domain)))
    }

    fn usual_addressing(&self) -> Addressing {
        let wants_host = self.server.url.is_none()
            || self.is_at(&[".aliyuncs.com", ".myqcloud.com", ".amazonaws.com"]);
        // A certificate for *.host does not cover a bucket with dots.
        if wants_host && !self.location.bucket().contains('.') {
            Addressing::VirtualHost
        } else {
            Addressing::Path
        }
    }

    /// The URL to which keys are appended, without a trailing slash.
    fn bucket_url(&self) -> String {
        let bucket = self.location.bucket();
        let server = match &self.server.url {
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
            .with_allow_http(self.server.allow_http())
            .with_retry(self.server.retries())
            // `bucket_url` has applied the addressing already, so the store must not apply its own rule.
            .with_virtual_hosted_style_request(true)
            .with_endpoint(self.bucket_url())
            .with_disable_bulk_delete(self.is_at(&[".aliyuncs.com", ".myqcloud.com"]))
            .with_http_connector(connector.clone());
        builder = match credentials {
            S3Credentials::Anonymous => builder
                .with_skip_signature(true)
                .with_credentials(credentials::unsigned()),
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
        let is_aws = self.server.url.is_none() || self.is_at(&[".amazonaws.com"]);
        if checksum.unwrap_or(is_aws) {
            builder = builder.with_checksum_algorithm(Checksum::SHA256);
        }
        builder
            .build()
            .map_err(|error| self.refuse(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(location: &str, options: &StorageOptions) -> Result<String> {
        let crate::Location::S3(location) = crate::Location::parse(location)? else {
            unreachable!("every location here is in S3");
        };
        let location = match location.region() {
            None => location.with_region("eu-west-1"),
            Some(_) => location,
        };
        BucketAddress::new(&location, options).map(|address| address.bucket_url())
    }

    #[test]
    fn bucket_is_in_host_or_path_as_provider_requires() {
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
}
