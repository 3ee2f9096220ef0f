//! The stored headers of a request that writes an object.
//!
//! [`kept`] selects them, [`ObjectAttributes`] has those that tests check, and [`Condition`] reads those of conditional writes.
//! Invariant: stored headers are returned with the object unchanged.

use hyper::HeaderMap;
use hyper::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE,
    HeaderName, IF_MATCH, IF_NONE_MATCH,
};
use jiff::Timestamp;
use s3s::dto::ETagCondition;
use s3s::{S3Result, s3_error};

const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-amz-storage-class");
const ENCRYPTION: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
const KMS_KEY: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");
pub(super) const LOCK_MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
pub(super) const LOCK_UNTIL: HeaderName =
    HeaderName::from_static("x-amz-object-lock-retain-until-date");

/// How an object is stored, as the request that wrote it requested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectAttributes {
    /// `x-amz-storage-class`.
    pub storage_class: Option<String>,
    /// `x-amz-server-side-encryption`.
    pub server_side_encryption: Option<String>,
    /// `x-amz-server-side-encryption-aws-kms-key-id`.
    pub kms_key: Option<String>,
    /// `x-amz-object-lock-mode`.
    pub lock_mode: Option<String>,
    /// `x-amz-object-lock-retain-until-date`.
    pub lock_until: Option<Timestamp>,
}

impl ObjectAttributes {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name| Some(headers.get(name)?.to_str().unwrap().to_owned());
        Self {
            storage_class: text(STORAGE_CLASS),
            server_side_encryption: text(ENCRYPTION),
            kms_key: text(KMS_KEY),
            lock_mode: text(LOCK_MODE),
            lock_until: text(LOCK_UNTIL).and_then(|until| until.parse().ok()),
        }
    }
}

/// Headers that describe an object's content; a copy has them, too.
fn describes(name: &HeaderName) -> bool {
    let names = [
        CACHE_CONTROL,
        CONTENT_DISPOSITION,
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_TYPE,
    ];
    names.contains(name) || name.as_str().starts_with("x-amz-meta-")
}

/// Headers that say how an object is stored; a copy has its own.
fn stores(name: &HeaderName) -> bool {
    [STORAGE_CLASS, ENCRYPTION, KMS_KEY, LOCK_MODE, LOCK_UNTIL].contains(name)
}

fn pick(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let pairs = headers.iter().filter(|(name, _)| wanted(name));
    pairs
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The headers that an object keeps of the request that wrote it.
pub(super) fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut kept = pick(headers, |name| describes(name) || stores(name));
    // This is about the request, not about the object.
    if kept
        .get(CONTENT_ENCODING)
        .is_some_and(|value| value == "aws-chunked")
    {
        kept.remove(CONTENT_ENCODING);
    }
    kept
}

/// The headers of a copy.
pub(super) fn kept_by_copy(source: &HeaderMap, request: &HeaderMap) -> HeaderMap {
    let directive = request.get("x-amz-metadata-directive");
    if directive.is_some_and(|directive| directive == "REPLACE") {
        return kept(request);
    }
    let mut copy = pick(source, describes);
    copy.extend(pick(request, stores));
    copy
}

/// The condition of a write.
#[derive(Debug, Default)]
pub(super) struct Condition {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
}

impl Condition {
    pub(super) fn of(headers: &HeaderMap) -> S3Result<Self> {
        let parse = |name| {
            let value = headers.get(name).map(hyper::header::HeaderValue::as_bytes);
            let parsed = value.map(ETagCondition::parse_http_header).transpose();
            parsed.map_err(|_| s3_error!(InvalidArgument))
        };
        Ok(Self {
            if_match: parse(IF_MATCH)?,
            if_none_match: parse(IF_NONE_MATCH)?,
        })
    }

    pub(super) fn is_none(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Fails unless the condition matches the entity tag of the existing object.
    pub(super) fn check(&self, current: Option<&str>) -> S3Result<()> {
        let matches = |condition: &ETagCondition| {
            let tag = condition.as_etag();
            current.is_some_and(|current| tag.is_none_or(|tag| tag.value() == current))
        };
        if self.if_none_match.as_ref().is_some_and(matches) {
            return Err(s3_error!(PreconditionFailed));
        }
        match &self.if_match {
            Some(_) if current.is_none() => Err(s3_error!(NoSuchKey)),
            Some(condition) if !matches(condition) => Err(s3_error!(PreconditionFailed)),
            _ => Ok(()),
        }
    }
}
