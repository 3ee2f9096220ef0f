//! Temporary keys of a role.
//!
//! [`provider`] exchanges keys for the temporary keys of a role with the operation `AssumeRole` of the
//! security token service, which `object_store` does not support, and renews them before they expire.
//! Invariant: at most one exchange runs at a time, whatever the number of requests that need keys.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use object_store::{
    CredentialProvider, Error,
    aws::{AwsAuthorizer, AwsCredential, AwsCredentialProvider},
    client::{HttpClient, HttpRequestBody},
};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::BucketAddress;
use crate::{backend::remote::Connector, options::AssumeRole};

/// How long before they expire keys are renewed.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// Attempts to get keys, and the first pause between them.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The requested lifetime of the keys in seconds. Every role allows it.
const DURATION: &str = "3600";

/// Makes a provider of a role's keys.
pub(super) fn provider(
    address: &BucketAddress<'_>,
    role: &AssumeRole,
    base: AwsCredentialProvider,
    connector: &Connector,
) -> AwsCredentialProvider {
    let own = address
        .server
        .url
        .as_ref()
        .map(|server| server.as_str().to_owned())
        .filter(|_| !address.is_at(&[".amazonaws.com"]));
    let aws = || format!("https://sts.{}.amazonaws.com/", address.region);
    let url = role.endpoint.clone().or(own).unwrap_or_else(aws);
    Arc::new(Role {
        base,
        client: connector.for_tokens().client(),
        url,
        region: address.region.clone(),
        role: role.clone(),
        current: Mutex::new(None),
    })
}

struct Role {
    base: AwsCredentialProvider,
    client: HttpClient,
    url: String,
    region: String,
    role: AssumeRole,
    current: Mutex<Option<(Arc<AwsCredential>, Timestamp)>>,
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Role")
            .field("arn", &self.role.arn)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for Role {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut current = self.current.lock().await;
        if let Some((keys, end)) = &*current
            && *end > now() + MARGIN
        {
            return Ok(Arc::clone(keys));
        }
        let traded = self.trade_with_retries().await;
        let (keys, end) = match (traded, &*current) {
            (Ok(traded), _) => traded,
            // The current keys are valid for a few more minutes, and the next request tries again.
            (Err(_), Some((keys, end))) if *end > now() => return Ok(Arc::clone(keys)),
            (Err(error), _) => return Err(error),
        };
        let keys = Arc::new(keys);
        *current = Some((Arc::clone(&keys), end));
        Ok(keys)
    }
}

/// The part of the response that is used.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "AssumeRoleResult")]
    result: AnswerResult,
}

#[derive(Deserialize)]
struct AnswerResult {
    #[serde(rename = "Credentials")]
    keys: AnswerKeys,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AnswerKeys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: Timestamp,
}

impl Role {
    fn form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "AssumeRole")
            .append_pair("Version", "2011-06-15")
            .append_pair("DurationSeconds", DURATION)
            .append_pair("RoleArn", &self.role.arn)
            .append_pair("RoleSessionName", &self.role.session_name);
        if let Some(id) = &self.role.external_id {
            form.append_pair("ExternalId", id);
        }
        form.finish()
    }

    async fn trade_with_retries(&self) -> object_store::Result<(AwsCredential, Timestamp)> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.trade().await {
                Err(Error::Generic { .. }) => tokio::time::sleep(pause).await,
                result => return result,
            }
            pause *= 3;
        }
        self.trade().await
    }

    async fn trade(&self) -> object_store::Result<(AwsCredential, Timestamp)> {
        let base = self.base.get_credential().await?;
        let request = http::Request::post(&self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(HttpRequestBody::from(self.form()));
        let mut request = request.map_err(|error| failed(error.to_string()))?;
        AwsAuthorizer::new(&base, "sts", &self.region).try_authorize(&mut request, None)?;
        let answer = self.client.execute(request).await;
        let answer = answer.map_err(|error| Error::Generic {
            store: "STS",
            source: Box::new(error),
        })?;
        let status = answer.status();
        let body = answer
            .into_body()
            .bytes()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let body = String::from_utf8_lossy(&body);
        if !status.is_success() {
            // The text of `object_store`, so that `ServerError` can parse it.
            let text = format!("Server returned non-2xx status code: {status}: {body}");
            return Err(failed(text));
        }
        let answer: Answer = quick_xml::de::from_str(&body).map_err(|_| {
            failed("the response of the security token service cannot be parsed".to_owned())
        })?;
        let AnswerKeys {
            access_key_id: key_id,
            secret_access_key: secret_key,
            session_token,
            expiration,
        } = answer.result.keys;
        let token = Some(session_token);
        Ok((
            AwsCredential {
                key_id,
                secret_key,
                token,
            },
            expiration,
        ))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "keys expire by the wall clock, which signatures use as well"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

fn failed(cause: String) -> Error {
    Error::Generic {
        store: "STS",
        source: cause.into(),
    }
}
