//! Abandoned multipart uploads.
//!
//! A writer that is killed during an upload leaves parts, which no listing shows but which cost money.
//! [`Uploads`] finds and aborts such uploads. Invariant: it aborts only uploads below the prefix and the
//! folder that the caller names, and only those that began before the time that the caller names.

use std::{sync::Arc, time::SystemTime};

use http::Method;
use jiff::Timestamp;
use object_store::{Error, Result};
use serde::Deserialize;

use super::requests::{Requests, failed};
use crate::key;

/// Access to the uploads in a bucket.
#[derive(Debug)]
pub(crate) struct Uploads {
    pub(super) requests: Arc<Requests>,
}

/// A page of the listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: Option<String>,
    #[serde(default)]
    next_upload_id_marker: Option<String>,
    #[serde(rename = "Upload", default)]
    uploads: Vec<Upload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: Timestamp,
}

impl Uploads {
    /// Aborts the uploads below a folder that began before `older_than`. Returns their number.
    pub(crate) async fn sweep(&self, folder: &str, older_than: SystemTime) -> Result<usize> {
        let below = format!("{}/", self.requests.key(folder));
        let older_than = Timestamp::try_from(older_than).unwrap_or(Timestamp::MIN);
        let mut swept = 0;
        let mut marker = None;
        loop {
            let page = self.list(&below, marker.as_ref()).await?;
            for upload in &page.uploads {
                let rest = upload.key.strip_prefix(&below);
                if upload.initiated < older_than && rest.is_some_and(key::is_key) {
                    self.abort(upload).await?;
                    swept += 1;
                }
            }
            let next = page.next_key_marker.zip(page.next_upload_id_marker);
            // If a server returns the same page again, this loop must end.
            if !page.is_truncated || next.is_none() || next == marker {
                return Ok(swept);
            }
            marker = next;
        }
    }

    async fn list(&self, below: &str, marker: Option<&(String, String)>) -> Result<Page> {
        let mut query = vec![("uploads", ""), ("prefix", below)];
        if let Some((key, id)) = marker {
            query.extend([("key-marker", key.as_str()), ("upload-id-marker", id)]);
        }
        let body = self.requests.send(Method::GET, "", &query).await?;
        quick_xml::de::from_reader(&*body)
            .map_err(|error| failed(format!("the list of uploads cannot be understood: {error}")))
    }

    async fn abort(&self, upload: &Upload) -> Result<()> {
        let query = [("uploadId", upload.upload_id.as_str())];
        match self
            .requests
            .send(Method::DELETE, &upload.key, &query)
            .await
        {
            // Another process aborted the upload first.
            Err(Error::NotFound { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
