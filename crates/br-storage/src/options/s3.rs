//! Options for S3.

use crate::secret::Secret;

/// How a bucket is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct S3Options {
    /// Who is asking.
    pub credentials: S3Credentials,
    /// A role to be assumed with those credentials.
    pub role: Option<AssumeRole>,
    /// How the bucket is named in a request.
    pub addressing: Addressing,
    /// Storage class of objects that are read rarely (see
    /// [`Payload::with_rare_reads`](crate::Payload::with_rare_reads)), such as `STANDARD_IA`;
    /// everything else has the default class of the bucket. It is also the storage class in Google
    /// Cloud Storage, such as `NEARLINE`, and the access tier in Azure, such as `Cool`.
    pub storage_class: Option<String>,
    /// Encryption by the server.
    pub encryption: Option<S3Encryption>,
    /// Send a checksum with every object, which buckets with object lock demand; by default only
    /// AWS gets one, as not every other server accepts it. The signature covers the bytes anyway.
    pub checksum: Option<bool>,
}

/// Who is asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum S3Credentials {
    /// What AWS' own tools would find: the variables `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, the profile that `AWS_PROFILE` names (or
    /// `default`) in `~/.aws/credentials` and `~/.aws/config`, a web identity token, and the
    /// metadata service of a container or an instance, in this order.
    #[default]
    Ambient,
    /// A profile in `~/.aws/credentials` and `~/.aws/config`.
    Profile(String),
    /// Keys.
    Keys {
        /// The id of the access key, which is not secret.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: Secret,
        /// The token of temporary keys.
        session_token: Option<Secret>,
    },
    /// Nobody: requests are not signed.
    Anonymous,
}

/// A role to be assumed by way of the security token service (STS).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssumeRole {
    /// The role's ARN.
    pub arn: String,
    /// What the owner of the role demands to be told.
    pub external_id: Option<String>,
    /// A name for the session, shown in the owner's log.
    pub session_name: String,
    /// URL of the service; by default the endpoint if there is one, and else that of AWS in the
    /// region.
    pub endpoint: Option<String>,
}

/// How the bucket is named in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addressing {
    /// As the provider wants it, as far as its name tells: in the path for an endpoint, in the
    /// host's name for AWS, Aliyun OSS and Tencent COS.
    #[default]
    Auto,
    /// `https://endpoint/bucket/key`.
    Path,
    /// `https://bucket.endpoint/key`.
    VirtualHost,
}

/// Encryption by the server. It protects from who steals a disk from the provider, not from the
/// provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum S3Encryption {
    /// With keys of the provider (`SSE-KMS` with the bucket's default key).
    Kms,
    /// With a key in the provider's key management (`SSE-KMS`).
    KmsKey(String),
    /// With a key that is sent along with every request (`SSE-C`): 32 bytes in base64.
    CustomerKey(Secret),
}

impl S3Options {
    /// Sets who is asking.
    #[must_use]
    pub fn with_credentials(mut self, credentials: S3Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Uses an access key.
    #[must_use]
    pub fn with_keys(
        self,
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<Secret>,
    ) -> Self {
        self.with_credentials(S3Credentials::Keys {
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            session_token: None,
        })
    }

    /// Sets a role to be assumed.
    #[must_use]
    pub fn with_role(mut self, role: Option<AssumeRole>) -> Self {
        self.role = role;
        self
    }

    /// Sets how the bucket is named in a request.
    #[must_use]
    pub fn with_addressing(mut self, addressing: Addressing) -> Self {
        self.addressing = addressing;
        self
    }

    /// Sets the storage class of objects that are read rarely.
    #[must_use]
    pub fn with_storage_class(mut self, class: Option<String>) -> Self {
        self.storage_class = class;
        self
    }

    /// Sets how the server encrypts.
    #[must_use]
    pub fn with_encryption(mut self, encryption: Option<S3Encryption>) -> Self {
        self.encryption = encryption;
        self
    }

    /// Sets whether a checksum is sent with every object.
    #[must_use]
    pub fn with_checksum(mut self, checksum: Option<bool>) -> Self {
        self.checksum = checksum;
        self
    }
}

impl AssumeRole {
    /// A role without an external id.
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            external_id: None,
            session_name: "br".to_owned(),
            endpoint: None,
        }
    }

    /// Sets what the owner of the role demands to be told.
    #[must_use]
    pub fn with_external_id(mut self, id: Option<String>) -> Self {
        self.external_id = id;
        self
    }

    /// Sets the URL of the service.
    #[must_use]
    pub fn with_endpoint(mut self, url: Option<String>) -> Self {
        self.endpoint = url;
        self
    }
}
