//! Retention of objects in a bucket with object lock.
//!
//! [`Locks`] reads the rule of the bucket, and reads and sets the retention of objects. Invariant: no request asks the
//! server to shorten a retention. The server refuses that by itself; the only request that has the right to do it is
//! [`Locks::tighten`], and its caller has read the retention before.

use std::{sync::Arc, time::Duration};

use http::Method;
use jiff::Timestamp;
use object_store::{Error, Result};
use serde::Deserialize;

use super::requests::{Requests, failed};
use crate::{
    retention::{ObjectLock, Retention, RetentionMode},
    server_error::ServerError,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Access to the retention of the objects in a bucket.
#[derive(Debug)]
pub(crate) struct Locks {
    pub(super) requests: Arc<Requests>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    #[serde(default)]
    object_lock_enabled: String,
    #[serde(default)]
    rule: Option<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    default_retention: DefaultRetention,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DefaultRetention {
    mode: String,
    #[serde(default)]
    days: Option<u32>,
    #[serde(default)]
    years: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    mode: String,
    retain_until_date: Timestamp,
}

impl Locks {
    /// Returns the rule of the bucket; `None` without object lock.
    pub(crate) async fn of_bucket(&self) -> Result<Option<ObjectLock>> {
        let body = match self
            .requests
            .send(Method::GET, "", &[("object-lock", "")])
            .await
        {
            Ok(body) => body,
            Err(error) if has_no_lock(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A server that does not know the request may answer with a listing.
        let Ok(found) = quick_xml::de::from_reader::<_, Configuration>(&*body) else {
            return Ok(None);
        };
        if found.object_lock_enabled != "Enabled" {
            return Ok(None);
        }
        let default = found.rule.map(|rule| rule.default_retention);
        let default = default.map(|default| {
            let days = default.days.unwrap_or(0) + 365 * default.years.unwrap_or(0);
            Ok::<_, Error>((mode(&default.mode)?, DAY * days))
        });
        Ok(Some(ObjectLock {
            default: default.transpose()?,
        }))
    }

    /// Returns the retention of an object.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Retention>> {
        let key = self.requests.key(key);
        let answer = self
            .requests
            .send(Method::GET, &key, &[("retention", "")])
            .await;
        let body = match answer {
            Ok(body) => body,
            Err(error) if has_no_lock(&error) => return Ok(None),
            Err(error) => return Err(missing(error, &key)),
        };
        let found: Document = quick_xml::de::from_reader(&*body)
            .map_err(|error| failed(format!("the retention cannot be understood: {error}")))?;
        Ok(Some(Retention {
            mode: mode(&found.mode)?,
            until: found.retain_until_date.into(),
        }))
    }

    /// Sets the retention of an object. The server refuses to shorten or to weaken it.
    pub(crate) async fn put(&self, key: &str, retention: Retention) -> Result<()> {
        self.send(key, retention, &[]).await
    }

    /// Sets the retention of an object in governance mode to compliance mode, which needs the right to bypass governance. The
    /// caller must have read the retention, and the new one must not be shorter.
    pub(crate) async fn tighten(&self, key: &str, retention: Retention) -> Result<()> {
        let bypass = ("x-amz-bypass-governance-retention", "true");
        self.send(key, retention, &[bypass]).await
    }

    async fn send(&self, key: &str, retention: Retention, headers: &[(&str, &str)]) -> Result<()> {
        let key = self.requests.key(key);
        let until = Timestamp::try_from(retention.until).unwrap_or(Timestamp::MAX);
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode>\
             <RetainUntilDate>{}</RetainUntilDate></Retention>",
            retention.mode.as_str().to_ascii_uppercase(),
            until.strftime("%Y-%m-%dT%H:%M:%SZ")
        );
        let answer = self
            .requests
            .put(&key, &[("retention", "")], headers, body)
            .await;
        answer.map(drop).map_err(|error| missing(error, &key))
    }
}

fn mode(text: &str) -> Result<RetentionMode> {
    match text {
        "GOVERNANCE" => Ok(RetentionMode::Governance),
        "COMPLIANCE" => Ok(RetentionMode::Compliance),
        _ => Err(failed(format!(
            "the retention mode `{}` is unknown",
            text.escape_debug()
        ))),
    }
}

/// Returns whether the server says that the bucket, or the object, has no lock, or that it knows no locks.
fn has_no_lock(error: &Error) -> bool {
    let Some(answer) = ServerError::find(&error.to_string()) else {
        return false;
    };
    matches!(
        answer.code(),
        "ObjectLockConfigurationNotFoundError"
            | "NoSuchObjectLockConfiguration"
            | "NotImplemented"
            | "MethodNotAllowed"
    ) || answer.kind() == crate::ErrorKind::Unsupported
}

/// A request about a deleted object of which only versions are left may answer 405.
fn missing(error: Error, key: &str) -> Error {
    let answer = ServerError::find(&error.to_string());
    if answer.is_some_and(|answer| answer.code() == "MethodNotAllowed") {
        return Error::NotFound {
            path: key.to_owned(),
            source: Box::new(error),
        };
    }
    error
}
