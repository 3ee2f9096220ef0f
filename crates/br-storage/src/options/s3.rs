//! Options for S3.

use crate::secret::Secret;

/// How a bucket is accessed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct S3Options {
    /// The credentials of the requests.
    pub credentials: S3Credentials,
    /// A role to assume with those credentials.
    pub role: Option<AssumeRole>,
    /// How the bucket is named in a request.
    pub addressing: Addressing,
    /// The storage class of objects that are rarely read (see
    /// [`Payload::with_rare_reads`](crate::Payload::with_rare_reads)), such as `STANDARD_IA`. All other
    /// objects have the default class of the bucket. In Google Cloud Storage it is the storage class, such as
    /// `NEARLINE`; in Azure it is the access tier, such as `Cool`.
    pub storage_class: Option<String>,
    /// Encryption by the server.
    pub encryption: Option<S3Encryption>,
    /// Whether a checksum is sent with every object. Buckets with object lock require one. By default only
    /// AWS gets one, because not every other server accepts it. The signature covers the bytes in any case.
    pub checksum: Option<bool>,
}

/// The credentials of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum S3Credentials {
    /// The credentials that AWS's own tools would find: the variables `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, the profile that `AWS_PROFILE` names (or `default`)
    /// in `~/.aws/credentials` and `~/.aws/config`, a web identity token, and the metadata service of a
    /// container or an instance, in this order.
    #[default]
    Ambient,
    /// A profile in `~/.aws/credentials` and `~/.aws/config`.
    Profile(String),
    /// An access key.
    Keys {
        /// The id of the access key, which is not secret.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: Secret,
        /// The token of temporary keys.
        session_token: Option<Secret>,
    },
    /// None: requests are not signed.
    Anonymous,
}

/// A role to assume through the security token service (STS).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssumeRole {
    /// The role's ARN.
    pub arn: String,
    /// The external id that the owner of the role requires.
    pub external_id: Option<String>,
    /// A name for the session, which the owner's log shows.
    pub session_name: String,
    /// URL of the service. The default is the endpoint if one is set, and otherwise the service of AWS in the
    /// region.
    pub endpoint: Option<String>,
}

/// How the bucket is named in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addressing {
    /// As the provider requires, judged by the name of its host: in the host name for AWS, Aliyun OSS and
    /// Tencent COS, and in the path for other endpoints.
    #[default]
    Auto,
    /// `https://endpoint/bucket/key`.
    Path,
    /// `https://bucket.endpoint/key`.
    VirtualHost,
}

/// Encryption by the server. It protects against theft of the provider's disks, but not against the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum S3Encryption {
    /// With the bucket's default key at the provider (`SSE-KMS`).
    Kms,
    /// With a key in the provider's key management (`SSE-KMS`).
    KmsKey(String),
    /// With a key that every request contains (`SSE-C`): 32 bytes in base64.
    CustomerKey(Secret),
}

impl S3Options {
    /// Sets the credentials.
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

    /// Sets the role to assume.
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
    /// Makes a role without an external id.
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            external_id: None,
            session_name: "br".to_owned(),
            endpoint: None,
        }
    }

    /// Sets the external id that the owner of the role requires.
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
