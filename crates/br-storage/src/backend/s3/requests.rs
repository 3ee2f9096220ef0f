//! Requests to a bucket that `object_store` does not offer.
//!
//! [`Requests`] signs and sends them, through the same client as all other requests. Invariant: the text of an
//! error has the form that `object_store` uses, so that [`crate::server_error`] understands it.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Method;
use md5::{Digest as _, Md5};
use object_store::{
    Error, Result,
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpRequest, HttpRequestBody},
};

/// Sends requests to a bucket.
pub(crate) struct Requests {
    pub(super) client: HttpClient,
    pub(super) credentials: AwsCredentialProvider,
    /// URL of the bucket.
    pub(super) url: String,
    pub(super) region: String,
    pub(super) prefix: String,
    pub(super) is_signed: bool,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Requests {
    /// Returns the key in the bucket of an object or a folder below the location.
    pub(super) fn key(&self, key: &str) -> String {
        match self.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    /// Sends a request without a body. Returns the body of the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Bytes> {
        let request = http::Request::builder()
            .method(method)
            .uri(self.uri(key, query))
            .body(HttpRequestBody::empty());
        self.execute(key, request).await
    }

    /// Sends a short document, with its MD5: S3 requires a checksum for documents about retention, and this is the one that
    /// servers of every age understand.
    pub(super) async fn put(
        &self,
        key: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Bytes> {
        let mut request = http::Request::builder()
            .method(Method::PUT)
            .uri(self.uri(key, query))
            .header(
                "content-md5",
                BASE64_STANDARD.encode(Md5::digest(body.as_bytes())),
            );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.execute(key, request.body(body.into())).await
    }

    fn uri(&self, key: &str, query: &[(&str, &str)]) -> String {
        // A space is %20 here and in the signature: not every server decodes a plus sign as a space.
        let pair = |(name, value): &(&str, &str)| format!("{name}={}", encoded_value(value));
        let query = query.iter().map(pair).collect::<Vec<_>>().join("&");
        format!("{}/{}?{query}", self.url, encoded(key))
    }

    async fn execute(&self, key: &str, request: http::Result<HttpRequest>) -> Result<Bytes> {
        let mut request = request.map_err(|error| failed(error.to_string()))?;
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

pub(super) fn failed(cause: String) -> Error {
    Error::Generic {
        store: "S3",
        source: cause.into(),
    }
}
