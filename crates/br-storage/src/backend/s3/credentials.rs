//! Credentials.
//!
//! [`provider`] finds keys where the options say or where AWS's own tools would look, and assumes a role with
//! them if one is configured. Invariant: keys are passed to the signer only.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use object_store::{
    BackoffConfig, CredentialProvider, RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider},
};

use super::{BucketAddress, assume_role, profile::Profile};
use crate::{
    backend::remote::Connector,
    error::Result,
    options::{AssumeRole, S3Credentials},
};

/// The time limit for a metadata service. It responds quickly or does not exist.
const METADATA_TIME: Duration = Duration::from_secs(4);

/// Empty keys, for requests that are not signed.
pub(super) fn unsigned() -> AwsCredentialProvider {
    keys(String::new(), String::new(), None)
}

fn keys(key_id: String, secret_key: String, token: Option<String>) -> AwsCredentialProvider {
    Arc::new(StaticCredentialProvider::new(AwsCredential {
        key_id,
        secret_key,
        token,
    }))
}

/// The region that the environment or the profile names.
pub(super) fn region(credentials: &S3Credentials) -> Option<String> {
    let profile = match credentials {
        S3Credentials::Profile(name) => Profile::load(Some(name)).ok().flatten(),
        S3Credentials::Ambient => Profile::load(None).ok().flatten(),
        _ => None,
    };
    let named = || variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    named().or_else(|| profile?.region)
}

/// Finds the keys, and assumes the role.
pub(super) fn provider(
    address: &BucketAddress<'_>,
    connector: &Connector,
) -> Result<AwsCredentialProvider> {
    let s3 = &address.options.s3;
    let (base, role) = match &s3.credentials {
        S3Credentials::Keys {
            access_key_id,
            secret_access_key,
            session_token,
        } => {
            let token = session_token
                .as_ref()
                .map(|token| token.reveal().to_owned());
            let secret = secret_access_key.reveal().to_owned();
            (keys(access_key_id.clone(), secret, token), None)
        }
        S3Credentials::Anonymous => (unsigned(), None),
        S3Credentials::Profile(name) => from_profile(address, &named_profile(address, name)?)?,
        S3Credentials::Ambient => match from_environment().map_err(|text| address.refuse(text))? {
            Some(keys) => (keys, None),
            None => match variable("AWS_PROFILE") {
                // If the named profile does not exist, br must not use other credentials.
                Some(name) => from_profile(address, &named_profile(address, &name)?)?,
                None => match Profile::load(None).map_err(|error| address.refuse(error))? {
                    Some(profile) if !profile.is_empty() => from_profile(address, &profile)?,
                    _ => (from_metadata(address)?, None),
                },
            },
        },
    };
    Ok(match s3.role.as_ref().or(role.as_ref()) {
        Some(role) => assume_role::provider(address, role, base, connector),
        None => base,
    })
}

fn from_environment() -> Result<Option<AwsCredentialProvider>, &'static str> {
    let pair = (
        variable("AWS_ACCESS_KEY_ID"),
        variable("AWS_SECRET_ACCESS_KEY"),
    );
    match pair {
        (Some(id), Some(secret)) => Ok(Some(keys(id, secret, variable("AWS_SESSION_TOKEN")))),
        (None, None) => Ok(None),
        (Some(_), None) => Err("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"),
        (None, Some(_)) => Err("AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not"),
    }
}

fn named_profile(address: &BucketAddress<'_>, name: &str) -> Result<Profile> {
    let profile = Profile::load(Some(name)).map_err(|error| address.refuse(error))?;
    profile.ok_or_else(|| {
        address.refuse(format!(
            "there is no profile {name:?} in the credentials and config files of AWS"
        ))
    })
}

type Found = (AwsCredentialProvider, Option<AssumeRole>);

fn from_profile(address: &BucketAddress<'_>, profile: &Profile) -> Result<Found> {
    let role = profile.role.clone().map(|arn| {
        let role = AssumeRole::new(arn);
        role.with_external_id(profile.external_id.clone())
    });
    let holder = match &profile.source {
        Some(source) => Some(named_profile(address, source)?),
        None => None,
    };
    match &holder.as_ref().unwrap_or(profile).keys {
        Some((id, secret, token)) => {
            let token = token.as_ref().map(|token| token.reveal().to_owned());
            Ok((keys(id.clone(), secret.reveal().to_owned(), token), role))
        }
        None if profile.role.is_some() && holder.is_none() => Ok((from_metadata(address)?, role)),
        None => Err(address.refuse(format!(
            "profile {:?} holds no access key; single sign-on and credential processes are not \
             supported: export the keys to the environment",
            profile.name
        ))),
    }
}

/// Keys of a web identity, or of the metadata service of a container or an instance.
fn from_metadata(address: &BucketAddress<'_>) -> Result<AwsCredentialProvider> {
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 1,
        retry_timeout: METADATA_TIME,
    };
    let built = AmazonS3Builder::from_env()
        .with_bucket_name(address.location.bucket())
        .with_region(&address.region)
        .with_retry(retry)
        .build();
    let built = built.map_err(|error| address.refuse(error.to_string()))?;
    Ok(Arc::new(Metadata {
        inner: Arc::clone(built.credentials()),
        has_answered: AtomicBool::new(false),
    }))
}

/// A provider that asks the metadata service. Most machines have none; then its error says where br looked
/// for credentials.
#[derive(Debug)]
struct Metadata {
    inner: AwsCredentialProvider,
    has_answered: AtomicBool,
}

#[async_trait]
impl CredentialProvider for Metadata {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let keys = self.inner.get_credential().await;
        self.has_answered.fetch_or(keys.is_ok(), Ordering::Relaxed);
        keys.map_err(|error| {
            if self.has_answered.load(Ordering::Relaxed) {
                error
            } else {
                object_store::Error::Unauthenticated {
                    path: String::new(),
                    source: "no credentials were found: there are none in the options, in \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in a profile of AWS, nor does \
                     a metadata service answer"
                        .into(),
                }
            }
        })
    }
}

/// Returns an environment variable; `None` if it is unset or empty.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
