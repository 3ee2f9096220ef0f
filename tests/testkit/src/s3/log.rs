//! The requests to a server.
//!
//! [`RequestInfo`] is one request, [`Log`] holds all of them with their counts, and [`Busy`] marks one that is being
//! handled. Invariant: a request is in the log before the server handles it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hyper::Request;
use hyper::header::CONTENT_LENGTH;

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInfo {
    /// The HTTP method.
    pub method: String,
    /// The path as it was sent: `/bucket/key`, percent-encoded.
    pub path: String,
    /// The query as it was sent, without the question mark.
    pub query: String,
    /// The length of the body, as the request says.
    pub bytes_in: u64,
}

impl RequestInfo {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            bytes_in: length.unwrap_or(0),
        }
    }

    /// Path and query as they were sent.
    #[must_use]
    pub fn target(&self) -> String {
        format!("{}?{}", self.path, self.query)
    }

    /// The name this request is counted by: `GET`, `PUT`, `HEAD`, `LIST`, `DELETE` (of one object or of many), `UPLOAD`
    /// (all that belongs to multipart uploads), `BUCKET` (all about a bucket itself), `STS` or `OTHER`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        let has = |name: &str| {
            let mut pairs = self.query.split('&');
            pairs.any(|pair| pair.split('=').next() == Some(name))
        };
        let path = self.path.trim_start_matches('/');
        let of_object = path.split_once('/').is_some_and(|(_, key)| !key.is_empty());
        let lists = ["list-type", "prefix", "delimiter", "marker", "max-keys"];
        match self.method.as_str() {
            _ if has("uploadId") || has("uploads") => "UPLOAD",
            "HEAD" => "HEAD",
            "DELETE" => "DELETE",
            "POST" if has("delete") => "DELETE",
            "POST" if path.is_empty() => "STS",
            "GET" if of_object => "GET",
            "PUT" if of_object => "PUT",
            "GET" if self.query.is_empty() || lists.into_iter().any(has) => "LIST",
            "GET" | "PUT" => "BUCKET",
            _ => "OTHER",
        }
    }
}

#[derive(Debug, Default)]
struct Entries {
    requests: Vec<RequestInfo>,
    counts: BTreeMap<&'static str, u64>,
    /// How many requests are being handled now, and how many at most since the last reset.
    busy: usize,
    most_busy: usize,
}

/// All requests since the last reset.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Mutex<Entries>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Log {
    /// Records a request. It counts as running until the mark is dropped.
    pub(super) fn begin(self: &Arc<Self>, request: RequestInfo) -> Busy {
        let mut entries = self.entries.lock().unwrap();
        *entries.counts.entry(request.operation()).or_default() += 1;
        entries.requests.push(request);
        entries.busy += 1;
        entries.most_busy = entries.most_busy.max(entries.busy);
        Busy(Arc::clone(self))
    }

    pub(super) fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The number of bytes in bodies that were received and sent.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let bytes_in = self.bytes_in.load(Ordering::Relaxed);
        (bytes_in, self.bytes_out.load(Ordering::Relaxed))
    }

    pub(super) fn requests(&self) -> Vec<RequestInfo> {
        self.entries.lock().unwrap().requests.clone()
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        let entries = self.entries.lock().unwrap();
        let counts = entries.counts.iter();
        counts.map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    pub(super) fn max_concurrent(&self) -> usize {
        self.entries.lock().unwrap().most_busy
    }

    /// Resets the counts, and returns the old ones.
    pub(super) fn reset(&self) -> BTreeMap<String, u64> {
        let mut entries = self.entries.lock().unwrap();
        let busy = entries.busy;
        let fresh = Entries {
            busy,
            most_busy: busy,
            ..Entries::default()
        };
        let old = std::mem::replace(&mut *entries, fresh);
        self.bytes_in.store(0, Ordering::Relaxed);
        self.bytes_out.store(0, Ordering::Relaxed);
        let counts = old.counts.into_iter();
        counts.map(|(name, n)| (name.to_owned(), n)).collect()
    }
}

/// Marks a request as being handled.
#[derive(Debug)]
pub(super) struct Busy(Arc<Log>);

impl Busy {
    /// Counts bytes of the answer.
    pub(super) fn sent(&self, bytes: usize) {
        self.0.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.entries.lock().unwrap().busy -= 1;
    }
}
