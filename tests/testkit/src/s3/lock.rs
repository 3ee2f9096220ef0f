//! Object lock: until when an object cannot be deleted.
//!
//! [`Lock`] is the rule of a bucket; the functions here read, check and set the retention of an object, which is among its headers.
//! Invariant: a retention is neither shortened nor weakened. Unlike Amazon's server, this one keeps no versions, so it
//! refuses to delete a locked object, or to write over it.

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use s3s::dto::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetention,
    ObjectLockRetentionMode, ObjectLockRule, TimestampFormat,
};
use s3s::{S3Result, s3_error};

use super::headers::{LOCK_MODE, LOCK_UNTIL, ObjectAttributes};
use super::state::{Object, now};

/// The rule of a bucket with object lock.
#[derive(Debug, Clone, Default)]
pub(super) struct Lock {
    /// Mode and days of the retention that new objects get.
    pub(super) default: Option<(String, i32)>,
}

impl Lock {
    pub(super) fn document(&self) -> ObjectLockConfiguration {
        let rule = self.default.clone().map(|(mode, days)| ObjectLockRule {
            default_retention: Some(DefaultRetention {
                days: Some(days),
                mode: Some(ObjectLockRetentionMode::from(mode)),
                years: None,
            }),
        });
        ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
            rule,
        }
    }

    /// Gives a new object the retention of the bucket, unless it has one.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let Some((mode, days)) = &self.default else {
            return;
        };
        if !headers.contains_key(LOCK_MODE) {
            let hours = SignedDuration::from_hours(24 * i64::from(*days));
            set(headers, mode, time() + hours);
        }
    }
}

fn time() -> Timestamp {
    Timestamp::try_from(now()).unwrap()
}

fn set(headers: &mut HeaderMap, mode: &str, until: Timestamp) {
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    headers.insert(LOCK_MODE, value(mode));
    headers.insert(LOCK_UNTIL, value(&until.to_string()));
}

/// Fails if an object is locked.
pub(super) fn check_unlocked(object: &Object) -> S3Result<()> {
    let attributes = ObjectAttributes::of(&object.headers);
    match attributes.lock_until {
        Some(until) if until > time() => Err(s3_error!(
            AccessDenied,
            "Access Denied because object protected by object lock."
        )),
        _ => Ok(()),
    }
}

/// The retention of an object.
pub(super) fn of(object: &Object) -> S3Result<ObjectLockRetention> {
    let attributes = ObjectAttributes::of(&object.headers);
    let (Some(mode), Some(until)) = (attributes.lock_mode, attributes.lock_until) else {
        return Err(s3_error!(NoSuchObjectLockConfiguration));
    };
    Ok(ObjectLockRetention {
        mode: Some(ObjectLockRetentionMode::from(mode)),
        retain_until_date: Some(std::time::SystemTime::from(until).into()),
    })
}

/// Sets the retention of an object, by the rules of S3.
pub(super) fn extend(
    object: &mut Object,
    to: &ObjectLockRetention,
    may_bypass: bool,
) -> S3Result<()> {
    let (Some(mode), Some(until)) = (&to.mode, &to.retain_until_date) else {
        return Err(s3_error!(MalformedXML));
    };
    let mut text = Vec::new();
    until
        .format(TimestampFormat::DateTime, &mut text)
        .map_err(|_| s3_error!(MalformedXML))?;
    let until: Timestamp = std::str::from_utf8(&text).unwrap().parse().unwrap();
    if until <= time() {
        return Err(s3_error!(
            InvalidArgument,
            "The retain until date must be in the future!"
        ));
    }
    let now = ObjectAttributes::of(&object.headers);
    let is_locked = now.lock_until.is_some_and(|until| until > time());
    let is_less = now.lock_until.is_some_and(|now| until < now)
        || now.lock_mode.is_some_and(|now| now != mode.as_str());
    let is_compliance =
        object.headers.get(LOCK_MODE).map(HeaderValue::as_bytes) == Some(b"COMPLIANCE");
    if is_locked && is_less && (is_compliance || !may_bypass) {
        return Err(s3_error!(
            AccessDenied,
            "Access Denied because object protected by object lock."
        ));
    }
    set(&mut object.headers, mode.as_str(), until);
    Ok(())
}
