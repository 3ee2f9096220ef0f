//! The state of a server: buckets, objects, open uploads, and faults.
//!
//! [`State`] holds everything behind one lock; [`Object`] and [`Upload`] are its parts. Invariant: checking a condition and
//! writing is one step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::HeaderMap;
use s3s::dto::Checksum;
use s3s::{S3Result, s3_error};

use super::content::Content;
use super::headers::Condition;
use super::lock::{Lock, check_unlocked};

/// The time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "a server's time is nothing that a test sets"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) data: Bytes,
    pub(super) tag: String,
    pub(super) modified: SystemTime,
    /// The stored part of the request that wrote it.
    pub(super) headers: HeaderMap,
    pub(super) checksum: Checksum,
}

impl Object {
    pub(super) fn new(content: Content, headers: HeaderMap) -> Self {
        Self {
            tag: content.tag(),
            data: content.data,
            modified: now(),
            headers,
            checksum: content.checksum,
        }
    }
}

/// The objects of a bucket.
pub(super) type Objects = BTreeMap<String, Arc<Object>>;

/// A multipart upload that is neither completed nor aborted.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) headers: HeaderMap,
    pub(super) initiated: SystemTime,
    pub(super) parts: BTreeMap<i32, Content>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<String, Objects>,
    /// The buckets with object lock.
    pub(super) locks: BTreeMap<String, Lock>,
    /// The content that lists show, if it is not the current one.
    pub(super) stale: Option<BTreeMap<String, Objects>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    next_upload: u64,
    pub(super) ignore_conditions: bool,
    pub(super) refuse_conditions: bool,
    pub(super) ignore_ranges: bool,
}

impl State {
    pub(super) fn objects(&self, bucket: &str) -> S3Result<&Objects> {
        let objects = self.buckets.get(bucket);
        objects.ok_or_else(|| s3_error!(NoSuchBucket))
    }

    /// The objects that a list shows.
    pub(super) fn listed(&self, bucket: &str) -> S3Result<&Objects> {
        let stale = self.stale.as_ref();
        match stale.and_then(|stale| stale.get(bucket)) {
            Some(objects) => Ok(objects),
            None => self.objects(bucket),
        }
    }

    pub(super) fn objects_mut(&mut self, bucket: &str) -> S3Result<&mut Objects> {
        let objects = self.buckets.get_mut(bucket);
        objects.ok_or_else(|| s3_error!(NoSuchBucket))
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> S3Result<Arc<Object>> {
        let object = self.objects(bucket)?.get(key);
        object.cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }

    /// Writes an object if its condition holds.
    pub(super) fn put(
        &mut self,
        bucket: &str,
        key: String,
        mut object: Object,
        condition: &Condition,
    ) -> S3Result<()> {
        if self.refuse_conditions && !condition.is_none() {
            return Err(s3_error!(NotImplemented));
        }
        let ignore = self.ignore_conditions;
        let objects = self.objects_mut(bucket)?;
        if !ignore {
            condition.check(objects.get(&key).map(|object| object.tag.as_str()))?;
        }
        if let Some(old) = objects.get(&key) {
            check_unlocked(old)?;
        }
        if let Some(lock) = self.locks.get(bucket) {
            lock.apply(&mut object.headers);
        }
        self.objects_mut(bucket)?.insert(key, Arc::new(object));
        Ok(())
    }

    /// Deletes an object, unless it is locked.
    pub(super) fn delete(&mut self, bucket: &str, key: &str) -> S3Result<()> {
        let objects = self.objects_mut(bucket)?;
        if let Some(object) = objects.get(key) {
            check_unlocked(object)?;
        }
        objects.remove(key);
        Ok(())
    }

    /// The rule of a bucket with object lock.
    pub(super) fn lock(&self, bucket: &str) -> S3Result<&Lock> {
        self.objects(bucket)?;
        let lock = self.locks.get(bucket);
        lock.ok_or_else(|| s3_error!(ObjectLockConfigurationNotFoundError))
    }

    /// Opens an upload and names it.
    pub(super) fn open(&mut self, bucket: &str, key: &str, headers: HeaderMap) -> S3Result<String> {
        self.objects(bucket)?;
        self.next_upload += 1;
        let id = format!("upload-{:08}", self.next_upload);
        let upload = Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            headers,
            initiated: now(),
            parts: BTreeMap::new(),
        };
        self.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    /// An upload that is open.
    pub(super) fn upload(&mut self, id: &str, bucket: &str, key: &str) -> S3Result<&mut Upload> {
        let upload = self.uploads.get_mut(id);
        let upload = upload.filter(|upload| upload.bucket == bucket && upload.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload))
    }

    /// Makes all open uploads look as if they had been initiated this long ago.
    pub(super) fn age_uploads(&mut self, age: Duration) {
        let then = now() - age;
        for upload in self.uploads.values_mut() {
            upload.initiated = then;
        }
    }
}
