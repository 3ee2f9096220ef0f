//! Attempts that failed.
//!
//! Which answers are about the trouble of the moment, and [`Unreachable`], the text of a failure without an answer. Invariant: what
//! the layer above must not repeat has a kind that it does not repeat.

use std::{error::Error as StdError, fmt, time::Duration};

use http::StatusCode;
use http_body_util::BodyExt as _;
use object_store::client::{HttpError, HttpErrorKind};

/// No more is read of an answer that says no.
const MAX_REFUSAL: usize = 64 << 10;

/// Whether an answer is about the trouble of the moment.
pub(super) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502..=506 | 508..)
}

/// Whether an attempt failed in a way that will not change.
pub(super) fn is_final(error: &HttpError) -> bool {
    matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode)
}

/// The last failure, as an error that is not retried.
pub(super) fn given_up(error: &HttpError, time: Duration) -> HttpError {
    let text = error.source().map(ToString::to_string);
    let cause = Unreachable {
        text: text.unwrap_or_else(|| error.to_string()),
        tried_for: Some(time),
        is_final: true,
    };
    HttpError::new(HttpErrorKind::Unknown, cause)
}

/// An answer that is of no use, as an error that is not tried again.
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

/// As `object_store` does it for its own client.
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
    // The connection was closed before an answer came, which is what hyper does not say in a type.
    if error.is_request() || error.is_body() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    }
}

/// Why there was no answer, in one line: the layer above prints no causes.
#[derive(Debug)]
pub(crate) struct Unreachable {
    text: String,
    /// For how long it was tried again.
    pub(crate) tried_for: Option<Duration>,
    /// Trying again is over.
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

    /// A failure of one attempt.
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
