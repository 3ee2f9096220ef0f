//! The places of keys, certificates and passwords in a configuration.
//!
//! [`secrets`] lists them: EMQX writes all of them into bundles in plain text. Invariant: it lists only places, never values, and no
//! reference or placeholder.

use super::path::{Trail, walk};
use super::{ConfigPath, MAX_FINDINGS};
use crate::hocon::{Object, Value};

/// What kind of secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SecretKind {
    /// A private key.
    PrivateKey,
    /// A certificate: not a secret, but it expires.
    Certificate,
    /// A password or passphrase.
    Password,
    /// A token.
    Token,
    /// The cookie that lets nodes into a cluster.
    Cookie,
    /// A secret shared with some service, or the secret half of an API key.
    ApiSecret,
    /// EMQX's licence key.
    LicenceKey,
    /// An address with a password in it.
    ConnectionString,
}

impl SecretKind {
    /// A name for text and JSON output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private key",
            Self::Certificate => "certificate",
            Self::Password => "password",
            Self::Token => "token",
            Self::Cookie => "cookie",
            Self::ApiSecret => "api secret",
            Self::LicenceKey => "licence key",
            Self::ConnectionString => "connection string",
        }
    }

    /// True for all kinds except certificates.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        !matches!(self, Self::Certificate)
    }
}

/// A secret and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its place.
    pub path: ConfigPath,
    /// Its kind.
    pub kind: SecretKind,
}

/// Lists the secrets of a configuration, at most [`MAX_FINDINGS`].
#[must_use]
pub fn secrets(config: &Object) -> Vec<Secret> {
    let mut found = Vec::new();
    walk(config, &mut |trail, value| {
        if found.len() < MAX_FINDINGS {
            let kinds = kinds(trail, value);
            found.extend(kinds.into_iter().map(|kind| Secret {
                path: trail.path(),
                kind,
            }));
        }
    });
    found
}

fn kinds(trail: &Trail<'_>, value: &Value) -> Vec<SecretKind> {
    let text = value.as_text().unwrap_or("").trim();
    if is_reference(text) {
        return Vec::new();
    }
    let pem = [
        (text.contains("PRIVATE KEY-----"), SecretKind::PrivateKey),
        (
            text.contains("BEGIN CERTIFICATE-----")
                || text.contains("BEGIN TRUSTED CERTIFICATE-----"),
            SecretKind::Certificate,
        ),
    ];
    let pem: Vec<_> = pem
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, kind)| kind)
        .collect();
    if !pem.is_empty() || text.contains("-----BEGIN ") {
        return pem;
    }
    let by_key = kind_of_key(trail).filter(|kind| may_be(*kind, value, text));
    let by_value = has_credentials(text).then_some(SecretKind::ConnectionString);
    by_key.or(by_value).into_iter().collect()
}

/// True if a text refers to a value elsewhere, or is a placeholder.
pub(super) fn is_reference(text: &str) -> bool {
    // EMQX fills in `${…}` from a message, a client or the environment.
    let is_placeholder = text.starts_with("${") && text.ends_with('}') && !text.contains(' ');
    text.is_empty() || is_redacted(text) || is_placeholder || text.starts_with("file://")
}

/// True if a text is EMQX's placeholder for a secret.
pub(super) fn is_redacted(text: &str) -> bool {
    text.len() >= 3 && text.bytes().all(|b| b == b'*')
}

/// Longer keys are ignored: every value below a key costs time proportional to its length.
const KEY_BYTES: usize = 256;

/// The kind of secret that the last words of a key indicate.
fn kind_of_key(trail: &Trail<'_>) -> Option<SecretKind> {
    let mut keys = trail.keys().rev();
    let key = keys
        .next()
        .filter(|key| key.len() <= KEY_BYTES)
        .map(normal)?;
    let parent = keys.next().unwrap_or("");
    let mut words = key.rsplit('_').filter(|word| !word.is_empty());
    let last = words.next()?;
    let before = words.next().unwrap_or("");
    match (before, last) {
        (_, "password" | "passwd" | "pwd" | "passphrase" | "passcode") => {
            Some(SecretKind::Password)
        }
        (_, "cookie") => Some(SecretKind::Cookie),
        (_, "token") => Some(SecretKind::Token),
        (_, "secret" | "credentials" | "apikey" | "privatekey" | "secretkey") => {
            Some(SecretKind::ApiSecret)
        }
        (
            "secret" | "access" | "private" | "api" | "account" | "shared" | "signing"
            | "encryption" | "master" | "preshared",
            "key",
        ) => Some(SecretKind::ApiSecret),
        ("", "psk") => Some(SecretKind::ApiSecret),
        ("", "key") if trail.first() == "license" => Some(SecretKind::LicenceKey),
        // Headers of HTTP requests.
        (_, "authorization") if parent.eq_ignore_ascii_case("headers") => Some(SecretKind::Token),
        _ => None,
    }
}

/// A key in lower case with underscores, converted from `-` or capitals between words.
fn normal(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut was_small = false;
    for c in key.chars() {
        if c.is_ascii_uppercase() && was_small {
            out.push('_');
        }
        was_small = c.is_ascii_lowercase() || c.is_ascii_digit();
        out.push(if matches!(c, '-' | '.' | ' ') {
            '_'
        } else {
            c.to_ascii_lowercase()
        });
    }
    out
}

/// True if a value can be of the kind that its key indicates.
fn may_be(kind: SecretKind, value: &Value, text: &str) -> bool {
    let is_number = matches!(value, Value::Raw(_)) && text.parse::<f64>().is_ok();
    match (kind, text) {
        (_, "true" | "false" | "null" | "none" | "undefined" | "disabled") => false,
        // These are the names of public licences.
        (SecretKind::LicenceKey, "default" | "evaluation" | "community") => false,
        (SecretKind::Password, _) => true,
        // The name of a file that contains it.
        _ if text.ends_with(".pem") || text.ends_with(".key") => false,
        _ => !is_number,
    }
}

/// True if a URL or connection string contains a password: `scheme://user:password@host`, or `…;SharedAccessKey=…`.
fn has_credentials(text: &str) -> bool {
    let in_url = text.split("://").skip(1).any(|rest| {
        let ends = |c: char| matches!(c, '/' | '?' | '#' | '"' | '\'') || c.is_whitespace();
        let authority = rest.split(ends).next().unwrap_or("");
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let password = user
            .and_then(|user| user.split_once(':'))
            .map(|(_, password)| password);
        password.is_some_and(|password| !is_reference(password))
    });
    let in_field = || {
        let secret = |name: &str| {
            ["sharedaccesskey", "accountkey", "password", "pwd"]
                .iter()
                .any(|known| name.trim().eq_ignore_ascii_case(known))
        };
        // A single field is not a connection string: it may be part of a query.
        text.contains(';')
            && text.split(';').any(|field| {
                field
                    .split_once('=')
                    .is_some_and(|(name, value)| secret(name) && !is_reference(value.trim()))
            })
    };
    in_url || in_field()
}
