//! Failed attempts.
//!
//! Classifies responses as temporary failures. [`Unreachable`] is the error for a request without a response.
//! Invariant: an error that the layer above must not retry has a kind that it does not retry.

use std::{error::Error as StdError, fmt, time::Duration};

use http::StatusCode;
use http_body_util::BodyExt as _;
use object_store::client::{HttpError, HttpErrorKind};

/// The largest part of an error response that is read, in bytes.
const MAX_REFUSAL: usize = 64 << 10;

/// Returns whether a status means a temporary failure.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502..=506 | 508..)
}

/// Returns whether a retry of the failed attempt would fail again.
pub(super) fn is_final(error: &HttpError) -> bool {
    matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode)
}

/// Turns the last failure into an error that is not retried.
pub(super) fn given_up(error: &HttpError, time: Duration) -> HttpError {
    let text = error.source().map(ToString::to_string);
    let cause = Unreachable {
        text: text.unwrap_or_else(|| error.to_string()),
        tried_for: Some(time),
        is_final: true,
    };
    HttpError::new(HttpErrorKind::Unknown, cause)
}

/// Turns an error response into an error that is not retried.
pub(super) async fn refused(answer: http::Response<reqwest::Body>, time: Duration) -> HttpError {
    let (parts, body) = answer.into_parts();
    let body = http_body_util::Limited::new(body, MAX_REFUSAL).collect();
    let body = tokio::time::timeout(time, body).await.map(Result::ok);
    let body = body.ok().flatten().map(http_body_util::Collected::to_bytes);
    let body = body.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let text = format!(
        "Server returned non-2xx status code: {}: {text}",
        parts.status
    );
    HttpError::new(HttpErrorKind::Unknown, Unreachable::now(text))
}

/// Classifies an error as `object_store` does for its own client.
pub(super) fn kind_of(error: &reqwest::Error) -> HttpErrorKind {
    if error.is_timeout() && !error.is_connect() {
        return HttpErrorKind::Timeout;
    }
    if error.is_connect() {
        return HttpErrorKind::Connect;
    }
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as K;
            match cause.kind() {
                K::TimedOut => return HttpErrorKind::Timeout,
                K::ConnectionAborted | K::ConnectionReset | K::BrokenPipe | K::UnexpectedEof => {
                    return HttpErrorKind::Interrupted;
                }
                _ => {}
            }
        }
        next = cause.source();
    }
    // The connection was closed before a response arrived. hyper has no type for this case.
    if error.is_request() || error.is_body() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    }
}

/// Why no response arrived, in one line: the layer above does not print causes.
#[derive(Debug)]
pub(crate) struct Unreachable {
    text: String,
    /// How long the request was retried.
    pub(crate) tried_for: Option<Duration>,
    /// The request must not be retried.
    pub(crate) is_final: bool,
}

impl Unreachable {
    pub(super) fn new(error: &reqwest::Error, attempts: Option<u32>) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let more = cause.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            next = cause.source();
        }
        if let Some(attempts) = attempts.filter(|attempts| *attempts > 1) {
            text = format!("{text} ({attempts} attempts)");
        }
        Self::now(text)
    }

    /// The failure of one attempt.
    pub(super) fn now(text: String) -> Self {
        Self {
            text,
            tried_for: None,
            is_final: false,
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Unreachable {}
