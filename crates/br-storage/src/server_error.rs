//! Error responses of servers.
//!
//! [`ServerError`] is the status and the code in a response of S3, Google or Azure. br parses them from the
//! text of an `object_store` error, which does not expose them as values. Invariant: the displayed text
//! contains only what the server sent, and never a signature.

use std::fmt;

use crate::error::ErrorKind;

/// The text before the status and the body.
const STATUS_MARK: &str = "Server returned non-2xx status code: ";
/// The text before the body of a response with a success status that reports an error.
const BODY_MARK: &str = "Server returned error response: ";
/// The text before the code of one of many keys.
const CODE_MARK: &str = "(code: ";
/// The text before these if a token service responded instead of the store.
const TOKEN_MARK: &str = "Error performing token request";
/// The longest part of a server's message that is shown, in characters.
const MAX_MESSAGE: usize = 200;

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerError {
    status: u16,
    code: String,
    message: String,
    /// The response is from a token service.
    is_token: bool,
}

impl ServerError {
    /// Parses the response in the text of an error.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let (before, answer, status) = match text.split_once(STATUS_MARK) {
            Some((before, answer)) => (before, answer, answer.get(..3)?.parse().ok()?),
            None => match text.split_once(BODY_MARK) {
                Some((before, answer)) => (before, answer, 200),
                None => return Self::of_one_key(text),
            },
        };
        // Azure adds lines with numbers for its support staff.
        let message = element(answer, "Message")
            .lines()
            .next()
            .unwrap_or_default();
        Some(Self {
            status,
            code: element(answer, "Code").to_owned(),
            message: message.chars().take(MAX_MESSAGE).collect(),
            is_token: before.contains(TOKEN_MARK),
        })
    }

    /// Parses the error of one key in the response to a request for many keys.
    fn of_one_key(text: &str) -> Option<Self> {
        let (_, code) = text.strip_suffix(')')?.rsplit_once(CODE_MARK)?;
        Some(Self {
            status: 200,
            code: code.to_owned(),
            message: String::new(),
            is_token: false,
        })
    }

    /// Returns the code that the server sent.
    #[cfg(feature = "s3")]
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Returns what the caller must do.
    pub(crate) fn kind(&self) -> ErrorKind {
        match (&*self.code, self.status) {
            (_, 400..=407) if self.is_token => ErrorKind::Denied,
            ("NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted", _) => {
                ErrorKind::LocationNotFound
            }
            (
                "ExpiredToken"
                | "ExpiredTokenException"
                | "InvalidToken"
                | "TokenRefreshRequired"
                | "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "RequestTimeTooSkewed"
                | "AccessDenied"
                | "AuthorizationHeaderMalformed"
                | "InvalidObjectState"
                | "InvalidAuthenticationInfo"
                | "BlobArchived"
                | "BlobBeingRehydrated",
                _,
            )
            | (_, 401 | 403) => ErrorKind::Denied,
            ("QuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge", _) | (_, 507) => {
                ErrorKind::Full
            }
            (
                "RequestTimeout"
                | "BadDigest"
                | "IncompleteBody"
                | "SlowDown"
                | "InternalError"
                | "ServiceUnavailable"
                | "XAmzContentSHA256Mismatch",
                _,
            ) => ErrorKind::Unavailable,
            ("InvalidBucketName" | "InvalidResourceName", _) => ErrorKind::Invalid,
            (_, 501) => ErrorKind::Unsupported,
            (_, 404) => ErrorKind::NotFound,
            (_, 408 | 429 | 500..) => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        }
    }

    /// Returns what a user can do, if the code alone does not say it.
    fn advice(&self) -> Option<&'static str> {
        Some(match &*self.code {
            "RequestTimeTooSkewed" => "the clock of this machine is wrong",
            "ExpiredToken" | "ExpiredTokenException" => {
                "the credentials have expired: get new ones"
            }
            "InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated" => {
                "the object is in an archive: have the provider restore it, then run again"
            }
            "NoSuchBucket" => "there is no bucket of that name: make it first",
            "ContainerNotFound" => "there is no container of that name: make it first",
            "AuthenticationFailed" => "the account's key or token is wrong, or has expired",
            "AuthorizationPermissionMismatch" => {
                "the credentials lack a role: Storage Blob Data Contributor is enough"
            }
            "AuthorizationHeaderMalformed" | "PermanentRedirect" => {
                "the bucket is in another region: name it with the option region"
            }
            "InvalidAccessKeyId" => "the server does not know this access key id",
            "SignatureDoesNotMatch" => {
                "the secret access key is wrong, or a proxy altered the request"
            }
            _ if self.is_token => "the token service issued no token for these credentials",
            _ => return None,
        })
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server answered")?;
        if self.status != 200 {
            write!(f, " {}", self.status)?;
        }
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        match self.advice() {
            Some(advice) => write!(f, ": {advice}"),
            None if self.message.is_empty() => Ok(()),
            None => write!(f, ": {}", self.message.trim_end_matches('.').escape_debug()),
        }
    }
}

/// Returns the text of an XML element. Servers write these elements without attributes.
fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let between = || {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0)
    };
    between().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_before_the_status() {
        let text = |status: &str, code: &str| {
            format!(
                "Error performing GET http://h/b/k in 1ms - Server returned non-2xx status code: \
                 {status}: <?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No.</Message>\
                 <StringToSign>secret</StringToSign></Error>"
            )
        };
        for (status, code, kind) in [
            ("404 Not Found", "NoSuchBucket", ErrorKind::LocationNotFound),
            ("404 Not Found", "NoSuchKey", ErrorKind::NotFound),
            (
                "404 Not Found",
                "ContainerNotFound",
                ErrorKind::LocationNotFound,
            ),
            ("409 Conflict", "BlobArchived", ErrorKind::Denied),
            ("400 Bad Request", "ExpiredToken", ErrorKind::Denied),
            ("403 Forbidden", "Whatever", ErrorKind::Denied),
            (
                "503 Service Unavailable",
                "SlowDown",
                ErrorKind::Unavailable,
            ),
            ("507 Insufficient Storage", "", ErrorKind::Full),
            (
                "501 Not Implemented",
                "NotImplemented",
                ErrorKind::Unsupported,
            ),
            ("400 Bad Request", "Strange", ErrorKind::Other),
        ] {
            let error = ServerError::find(&text(status, code)).unwrap();
            assert_eq!(error.kind(), kind, "{status} {code}");
            assert!(error.to_string().contains(code), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let text = format!("{TOKEN_MARK}: {}", text("400 Bad Request", ""));
        let error = ServerError::find(&text).unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("token"), "{error}");
        let azure = "<Code>Odd</Code><Message>No.\nRequestId:1\nTime:2</Message>";
        let azure = format!("{STATUS_MARK}400 Bad Request: {azure}");
        let error = ServerError::find(&azure).unwrap().to_string();
        assert_eq!(error, "the server answered 400 Odd: No");
        assert_eq!(ServerError::find("connection refused"), None);
        let one = "DeleteObjects request failed for key a: Access Denied (code: AccessDenied)";
        let one = ServerError::find(one).unwrap();
        assert_eq!(one.kind(), ErrorKind::Denied);
        assert_eq!(one.to_string(), "the server answered AccessDenied");
        let busy = ServerError::find("for key a: Busy (code: SlowDown)").unwrap();
        assert_eq!(busy.kind(), ErrorKind::Unavailable);
        let body = "POST http://h/b/k - Server returned error response: <Error><Code>InternalError</Code></Error>";
        let late = ServerError::find(body).unwrap();
        assert_eq!(late.kind(), ErrorKind::Unavailable);
        let page = "Server returned non-2xx status code: 502 Bad Gateway: <html>";
        let error = ServerError::find(page).unwrap();
        assert_eq!(error.to_string(), "the server answered 502");
    }
}
