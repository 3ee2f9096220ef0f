//! Multipart uploads.
//!
//! The functions here execute the requests of a multipart upload. Invariant: an object is not visible until its upload is
//! completed.

use std::sync::Mutex;

use bytes::{Bytes, BytesMut};
use md5::{Digest as _, Md5};
use s3s::dto::{
    Checksum, CompleteMultipartUploadInput, CompletedPart, ETag, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, MultipartUpload,
};
use s3s::{S3Request, S3Result, s3_error};

use super::content::{Content, hex};
use super::headers::Condition;
use super::state::{Object, State, Upload, now};

/// Every part but the last has at least this many bytes.
const LEAST: usize = 5 << 20;

/// At most this many uploads are in one answer.
const MOST: i32 = 1000;

/// Creates an object from the parts of an upload, and returns its entity tag.
pub(super) fn complete(
    state: &Mutex<State>,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<String> {
    let condition = Condition::of(&request.headers)?;
    let input = request.input;
    let (id, bucket, key) = (input.upload_id, input.bucket, input.key);
    let wanted = input.multipart_upload.and_then(|upload| upload.parts);
    let upload = state.lock().unwrap().upload(&id, &bucket, &key)?.clone();
    let parts = choose(&upload, &wanted.unwrap_or_default())?;
    // Joining takes long, and others must not wait for it.
    let tag = tag(&parts);
    let object = Object {
        data: join(&parts),
        tag: tag.clone(),
        modified: now(),
        headers: upload.headers,
        checksum: Checksum::default(),
    };
    let mut state = state.lock().unwrap();
    state.upload(&id, &bucket, &key)?;
    state.put(&bucket, key, object, &condition)?;
    state.uploads.remove(&id);
    Ok(tag)
}

/// The parts that an upload is completed with.
fn choose(upload: &Upload, wanted: &[CompletedPart]) -> S3Result<Vec<Content>> {
    if wanted.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    if !wanted.is_sorted_by(|one, next| one.part_number < next.part_number) {
        return Err(s3_error!(InvalidPartOrder));
    }
    let find = |wanted: &CompletedPart| {
        let part = upload.parts.get(&wanted.part_number?);
        let tag = wanted.e_tag.as_ref();
        part.filter(|part| tag.is_none_or(|tag| tag.value() == part.tag()))
            .cloned()
    };
    let parts: Option<Vec<Content>> = wanted.iter().map(find).collect();
    let parts = parts.ok_or_else(|| s3_error!(InvalidPart))?;
    let (_, all_but_last) = parts.split_last().unwrap();
    if all_but_last.iter().any(|part| part.data.len() < LEAST) {
        return Err(s3_error!(EntityTooSmall));
    }
    Ok(parts)
}

fn join(parts: &[Content]) -> Bytes {
    if let [part] = parts {
        return part.data.clone();
    }
    let mut all = BytesMut::with_capacity(parts.iter().map(|part| part.data.len()).sum());
    for part in parts {
        all.extend_from_slice(&part.data);
    }
    all.freeze()
}

fn tag(parts: &[Content]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part.md5);
    }
    format!("{}-{}", hex(&md5.finalize()), parts.len())
}

/// Lists the uploads that are open.
pub(super) fn list(state: &State, input: ListMultipartUploadsInput) -> ListMultipartUploadsOutput {
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = input.key_marker.clone().map(|key| {
        // Without an id all uploads of the key are left out.
        let id = input.upload_id_marker.clone();
        (key, id.unwrap_or_else(|| char::MAX.to_string()))
    });
    let max = input.max_uploads.unwrap_or(MOST).clamp(1, MOST);
    let mut uploads: Vec<_> = state
        .uploads
        .iter()
        .filter(|(_, upload)| upload.bucket == input.bucket && upload.key.starts_with(&prefix))
        .map(|(id, upload)| ((upload.key.clone(), id.clone()), upload.initiated))
        .filter(|(place, _)| after.as_ref().is_none_or(|after| place > after))
        .collect();
    uploads.sort();
    let size = usize::try_from(max).unwrap();
    let is_truncated = uploads.len() > size;
    uploads.truncate(size);
    let last = uploads.last().filter(|_| is_truncated);
    let last = last.map(|(place, _)| place.clone());
    let row = |((key, id), initiated): ((String, String), std::time::SystemTime)| MultipartUpload {
        key: Some(key),
        upload_id: Some(id),
        initiated: Some(initiated.into()),
        ..MultipartUpload::default()
    };
    ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix,
        key_marker: input.key_marker,
        max_uploads: Some(max),
        is_truncated: Some(is_truncated),
        next_key_marker: last.as_ref().map(|(key, _)| key.clone()),
        next_upload_id_marker: last.map(|(_, id)| id),
        uploads: Some(uploads.into_iter().map(row).collect()),
        ..ListMultipartUploadsOutput::default()
    }
}

/// The response to a part.
pub(super) fn part_tag(content: &Content) -> Option<ETag> {
    Some(ETag::Strong(content.tag()))
}
