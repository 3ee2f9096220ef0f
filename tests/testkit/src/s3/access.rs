//! Access control of a server.
//!
//! [`Access`] holds the key pairs, the session tokens and the assumed roles; `s3s` gets the secrets from it. Invariant: a request
//! with expired credentials, or without the token that its key needs, changes nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, IF_NONE_MATCH};
use hyper::http::request::Parts;
use hyper::{Method, Response, Uri};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};
use url::form_urlencoded;

use super::answer::error;

/// The key pair and the token that assuming a role gives.
pub(super) const ROLE_KEY: &str = "ASIA-role";
pub(super) const ROLE_SECRET: &str = "role-secret";
pub(super) const ROLE_TOKEN: &str = "role-token";

/// The key pair of a writer: it may only read, and create objects that do not exist.
pub(super) const WRITER_KEY: &str = "AKIA-writer";
pub(super) const WRITER_SECRET: &str = "writer-secret";

#[derive(Debug)]
struct Session {
    /// The token that the server's own key needs.
    token: Option<String>,
    is_expired: bool,
    roles: Vec<(String, Option<String>)>,
    role_lifetime: Duration,
}

/// Key pairs, tokens and roles.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) key: String,
    pub(super) secret: String,
    session: Mutex<Session>,
}

impl Access {
    pub(super) fn new(key: String, secret: String) -> Self {
        let session = Session {
            token: None,
            is_expired: false,
            roles: Vec::new(),
            role_lifetime: Duration::from_secs(3600),
        };
        let session = Mutex::new(session);
        Self {
            key,
            secret,
            session,
        }
    }

    pub(super) fn set_token(&self, token: Option<String>) {
        self.session.lock().unwrap().token = token;
    }

    pub(super) fn set_expired(&self, is_expired: bool) {
        self.session.lock().unwrap().is_expired = is_expired;
    }

    pub(super) fn set_role_lifetime(&self, lifetime: Duration) {
        self.session.lock().unwrap().role_lifetime = lifetime;
    }

    pub(super) fn roles(&self) -> Vec<(String, Option<String>)> {
        self.session.lock().unwrap().roles.clone()
    }

    /// Records that a role was assumed, and returns the announced lifetime of its key pair.
    pub(super) fn assume(&self, role: String, external_id: Option<String>) -> Duration {
        let mut session = self.session.lock().unwrap();
        session.roles.push((role, external_id));
        session.role_lifetime
    }

    /// The error for a request, before its signature is checked.
    pub(super) fn refusal(&self, request: &Parts) -> Option<Response<Bytes>> {
        let session = self.session.lock().unwrap();
        if session.is_expired {
            return Some(error(400, "ExpiredToken"));
        }
        let key = key(request).unwrap_or_default();
        if key == WRITER_KEY && !is_allowed_to_writer(request) {
            return Some(error(403, "AccessDenied"));
        }
        let needed = if key == self.key {
            session.token.as_deref()
        } else {
            (key == ROLE_KEY).then_some(ROLE_TOKEN)
        };
        let has_it = needed.is_none_or(|needed| token(request).as_deref() == Some(needed));
        (!has_it).then(|| error(403, "InvalidToken"))
    }

    fn secret(&self, key: &str) -> Option<&str> {
        if key == self.key {
            return Some(&self.secret);
        }
        if key == WRITER_KEY {
            return Some(WRITER_SECRET);
        }
        let is_assumed = !self.session.lock().unwrap().roles.is_empty();
        (key == ROLE_KEY && is_assumed).then_some(ROLE_SECRET)
    }
}

/// The policy of docs/append-only.md: reading, listing, and writes that do not replace an object.
fn is_allowed_to_writer(request: &Parts) -> bool {
    let is_part = parameter(&request.uri, "partNumber").is_some();
    let has_upload = parameter(&request.uri, "uploadId").is_some();
    let is_conditional = request
        .headers
        .get(IF_NONE_MATCH)
        .is_some_and(|value| value == "*");
    match request.method {
        Method::GET | Method::HEAD => true,
        // Aborts an upload, or deletes an object.
        Method::DELETE => has_upload,
        Method::PUT => is_part || is_conditional,
        // Begins an upload, completes one, or deletes many objects.
        Method::POST if parameter(&request.uri, "uploads").is_some() => true,
        Method::POST => has_upload && is_conditional,
        _ => false,
    }
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.into_owned())
}

/// The access key that a request names: in its header, or in its query when it was signed beforehand.
fn key(request: &Parts) -> Option<String> {
    let credential = match request.headers.get(AUTHORIZATION) {
        Some(header) => header
            .to_str()
            .ok()?
            .split_once("Credential=")?
            .1
            .to_owned(),
        None => parameter(&request.uri, "X-Amz-Credential")?,
    };
    Some(credential.split('/').next()?.to_owned())
}

fn token(request: &Parts) -> Option<String> {
    match request.headers.get("x-amz-security-token") {
        Some(header) => Some(header.to_str().ok()?.to_owned()),
        None => parameter(&request.uri, "X-Amz-Security-Token"),
    }
}

/// Gives `s3s` the secrets.
#[derive(Debug)]
pub(super) struct Secrets(pub(super) Arc<Access>);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.0.secret(access_key);
        secret
            .map(SecretKey::from)
            .ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}
