//! Abandoned multipart uploads.
//!
//! A writer that is killed during an upload leaves parts, which no listing shows but which cost money.
//! [`Uploads`] finds and aborts such uploads. Invariant: it aborts only uploads below the prefix and the
//! folder that the caller names, and only those that began before the time that the caller names.

use std::{fmt, time::SystemTime};

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use object_store::{
    Error, Result,
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpRequestBody},
};
use serde::Deserialize;

use crate::key;

/// Access to the uploads in a bucket.
pub(crate) struct Uploads {
    pub(super) client: HttpClient,
    pub(super) credentials: AwsCredentialProvider,
    /// URL of the bucket.
    pub(super) url: String,
    pub(super) region: String,
    pub(super) prefix: String,
    pub(super) is_signed: bool,
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A page of the listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: Option<String>,
    #[serde(default)]
    next_upload_id_marker: Option<String>,
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: Timestamp,
}

impl Uploads {
    /// Aborts the uploads below a folder that began before `older_than`. Returns their number.
    pub(crate) async fn sweep(&self, folder: &str, older_than: SystemTime) -> Result<usize> {
        let below = match self.prefix.as_str() {
            "" => format!("{folder}/"),
            prefix => format!("{prefix}/{folder}/"),
        };
        let older_than = Timestamp::try_from(older_than).unwrap_or(Timestamp::MIN);
        let mut swept = 0;
        let mut marker = None;
        loop {
            let page = self.list(&below, marker.as_ref()).await?;
            for upload in &page.uploads {
                let rest = upload.key.strip_prefix(&below);
                if upload.initiated < older_than && rest.is_some_and(key::is_key) {
                    self.abort(upload).await?;
                    swept += 1;
                }
            }
            let next = page.next_key_marker.zip(page.next_upload_id_marker);
            // If a server returns the same page again, this loop must end.
            if !page.is_truncated || next.is_none() || next == marker {
                return Ok(swept);
            }
            marker = next;
        }
    }

    async fn list(&self, below: &str, marker: Option<&(String, String)>) -> Result<Page> {
        let mut query = vec![("uploads", ""), ("prefix", below)];
        if let Some((key, id)) = marker {
            query.extend([("key-marker", key.as_str()), ("upload-id-marker", id)]);
        }
        let body = self.send(Method::GET, "", &query).await?;
        quick_xml::de::from_reader(&*body)
            .map_err(|error| failed(format!("the list of uploads cannot be understood: {error}")))
    }

    async fn abort(&self, upload: &Upload) -> Result<()> {
        let query = [("uploadId", upload.upload_id.as_str())];
        match self.send(Method::DELETE, &upload.key, &query).await {
            // Another process aborted the upload first.
            Err(Error::NotFound { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn request(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<object_store::client::HttpRequest> {
        // A space is %20 here and in the signature: not every server decodes a plus sign as a space.
        let pair = |(name, value): &(&str, &str)| format!("{name}={}", encoded_value(value));
        let query = query.iter().map(pair).collect::<Vec<_>>().join("&");
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{}?{query}", self.url, encoded(key)))
            .body(HttpRequestBody::empty());
        request.map_err(|error| failed(error.to_string()))
    }

    async fn send(&self, method: Method, key: &str, query: &[(&str, &str)]) -> Result<Bytes> {
        let mut request = self.request(method, key, query)?;
        if self.is_signed {
            let keys = self.credentials.get_credential().await?;
            AwsAuthorizer::new(&keys, "s3", &self.region).try_authorize(&mut request, None)?;
        }
        let answer = self.client.execute(request).await.map_err(generic)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(generic)?;
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        let source = format!("Server returned non-2xx status code: {status}: {text}");
        Err(match status {
            http::StatusCode::NOT_FOUND => Error::NotFound {
                path: key.to_owned(),
                source: source.into(),
            },
            _ => failed(source),
        })
    }
}

/// Encodes a key as the signature requires; slashes stay.
fn encoded(key: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(encode).collect()
}

/// Encodes a value in a query, including slashes.
fn encoded_value(value: &str) -> String {
    encoded(value).replace('/', "%2F")
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic {
        store: "S3",
        source: Box::new(error),
    }
}

fn failed(cause: String) -> Error {
    Error::Generic {
        store: "S3",
        source: cause.into(),
    }
}
