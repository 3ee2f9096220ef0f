//! The operations of S3.
//!
//! `s3s` passes requests to [`Backend`] after it has checked their signatures. Invariant: the lock is held only to look up and to store
//! values, never while bytes are received or hashed.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::stream;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::content::Content;
use super::headers::{Condition, kept, kept_by_copy};
use super::list::Query;
use super::lock;
use super::multipart;
use super::state::{Object, State, now};

type Answer<T> = S3Result<S3Response<T>>;

fn answer<T>(output: T) -> Answer<T> {
    Ok(S3Response::new(output))
}

/// The operations on a server's state.
#[derive(Debug, Clone)]
pub(super) struct Backend(pub(super) Arc<Mutex<State>>);

impl Backend {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// A body in one piece.
fn blob(data: bytes::Bytes) -> StreamingBlob {
    StreamingBlob::wrap(stream::once(async move { Ok::<_, std::io::Error>(data) }))
}

fn tag(object: &Object) -> Option<ETag> {
    Some(ETag::Strong(object.tag.clone()))
}

fn content_type(object: &Object) -> Option<ContentType> {
    let kept = object.headers.contains_key("content-type");
    (!kept).then(|| "binary/octet-stream".parse().unwrap())
}

fn size(length: usize) -> Option<i64> {
    i64::try_from(length).ok()
}

/// Fails if an object may not be read.
fn check_read(
    object: &Object,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let matches = |condition: &ETagCondition| {
        let tag = condition.as_etag();
        tag.is_none_or(|tag| tag.value() == object.tag)
    };
    if if_match.is_some_and(|condition| !matches(condition)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.is_some_and(matches) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> Answer<CreateBucketOutput> {
        let mut state = self.state();
        if request.input.object_lock_enabled_for_bucket == Some(true) {
            let bucket = request.input.bucket.clone();
            state.locks.entry(bucket).or_default();
        }
        state.buckets.entry(request.input.bucket).or_default();
        answer(CreateBucketOutput::default())
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        let row = |name: &String| Bucket {
            name: Some(name.clone()),
            ..Bucket::default()
        };
        answer(ListBucketsOutput {
            buckets: Some(self.state().buckets.keys().map(row).collect()),
            ..ListBucketsOutput::default()
        })
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.state().objects(&request.input.bucket)?;
        answer(HeadBucketOutput::default())
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        self.state().objects(&request.input.bucket)?;
        answer(GetBucketLocationOutput::default())
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let condition = Condition::of(&request.headers)?;
        let input = request.input;
        let content = Content::read(input.body, &request.headers, request.trailing_headers).await?;
        let object = Object::new(content, kept(&request.headers));
        let output = PutObjectOutput {
            e_tag: tag(&object),
            checksum_sha256: object.checksum.checksum_sha256.clone(),
            checksum_crc64nvme: object.checksum.checksum_crc64nvme.clone(),
            ..PutObjectOutput::default()
        };
        let mut state = self.state();
        state.put(&input.bucket, input.key, object, &condition)?;
        answer(output)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = request.input;
        let (object, ignore_ranges) = {
            let state = self.state();
            (
                state.object(&input.bucket, &input.key)?,
                state.ignore_ranges,
            )
        };
        check_read(
            &object,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
        )?;
        let length = object.data.len() as u64;
        let range = input.range.filter(|_| !ignore_ranges);
        let range = range.map(|range| range.check(length)).transpose()?;
        if range.as_ref().is_some_and(Range::is_empty) {
            return Err(s3_error!(InvalidRange));
        }
        let content_range = range
            .as_ref()
            .map(|range| format!("bytes {}-{}/{length}", range.start, range.end - 1));
        let data = match range {
            Some(range) => object.data.slice(range.start as usize..range.end as usize),
            None => object.data.clone(),
        };
        let wants_sum = input.checksum_mode.is_some() && content_range.is_none();
        let sum = object.checksum.clone();
        let output = GetObjectOutput {
            content_length: size(data.len()),
            body: Some(blob(data)),
            content_range,
            accept_ranges: Some("bytes".to_owned()),
            e_tag: tag(&object),
            last_modified: Some(object.modified.into()),
            content_type: content_type(&object),
            checksum_sha256: sum.checksum_sha256.filter(|_| wants_sum),
            checksum_crc64nvme: sum.checksum_crc64nvme.filter(|_| wants_sum),
            ..GetObjectOutput::default()
        };
        Ok(S3Response::with_headers(output, object.headers.clone()))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = request.input;
        let object = self.state().object(&input.bucket, &input.key)?;
        check_read(
            &object,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
        )?;
        let output = HeadObjectOutput {
            content_length: size(object.data.len()),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: tag(&object),
            last_modified: Some(object.modified.into()),
            content_type: content_type(&object),
            ..HeadObjectOutput::default()
        };
        Ok(S3Response::with_headers(output, object.headers.clone()))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> Answer<DeleteObjectOutput> {
        let mut state = self.state();
        state.delete(&request.input.bucket, &request.input.key)?;
        answer(DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        let delete = request.input.delete;
        if delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML));
        }
        let mut deleted = Vec::new();
        let mut state = self.state();
        let mut errors = Vec::new();
        for object in delete.objects {
            match state.delete(&request.input.bucket, &object.key) {
                Ok(()) => deleted.push(DeletedObject {
                    key: Some(object.key),
                    ..DeletedObject::default()
                }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        let is_quiet = delete.quiet.unwrap_or(false);
        answer(DeleteObjectsOutput {
            deleted: (!is_quiet).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        })
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let condition = Condition::of(&request.headers)?;
        let input = request.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        let mut state = self.state();
        let source = state.object(bucket, key)?;
        let copy = Object {
            modified: now(),
            headers: kept_by_copy(&source.headers, &request.headers),
            ..Object::clone(&source)
        };
        let result = CopyObjectResult {
            e_tag: tag(&copy),
            last_modified: Some(copy.modified.into()),
            ..CopyObjectResult::default()
        };
        state.put(&input.bucket, input.key, copy, &condition)?;
        answer(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        })
    }

    async fn get_object_lock_configuration(
        &self,
        request: S3Request<GetObjectLockConfigurationInput>,
    ) -> Answer<GetObjectLockConfigurationOutput> {
        let state = self.state();
        answer(GetObjectLockConfigurationOutput {
            object_lock_configuration: Some(state.lock(&request.input.bucket)?.document()),
        })
    }

    async fn get_object_retention(
        &self,
        request: S3Request<GetObjectRetentionInput>,
    ) -> Answer<GetObjectRetentionOutput> {
        let (input, state) = (request.input, self.state());
        state.lock(&input.bucket)?;
        let retention = lock::of(&*state.object(&input.bucket, &input.key)?)?;
        answer(GetObjectRetentionOutput {
            retention: Some(retention),
        })
    }

    async fn put_object_retention(
        &self,
        request: S3Request<PutObjectRetentionInput>,
    ) -> Answer<PutObjectRetentionOutput> {
        if !request.headers.contains_key("content-md5") {
            return Err(s3_error!(
                InvalidRequest,
                "Missing required header for this request: Content-MD5"
            ));
        }
        let input = request.input;
        let mut state = self.state();
        state.lock(&input.bucket)?;
        let mut object = Object::clone(&*state.object(&input.bucket, &input.key)?);
        let may_bypass = input.bypass_governance_retention == Some(true);
        let retention = input.retention.ok_or_else(|| s3_error!(MalformedXML))?;
        lock::extend(&mut object, &retention, may_bypass)?;
        let objects = state.objects_mut(&input.bucket)?;
        objects.insert(input.key, Arc::new(object));
        answer(PutObjectRetentionOutput::default())
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> Answer<ListObjectsOutput> {
        let input = request.input;
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after: None,
            resume: input.marker.clone(),
            max: input.max_keys,
        };
        let page = query.page(self.state().listed(&input.bucket)?);
        let next_marker = page.next.clone();
        let (contents, common_prefixes) = page.into_rows();
        answer(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            marker: input.marker,
            max_keys: Some(query.max()),
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            is_truncated: Some(next_marker.is_some()),
            next_marker,
            ..ListObjectsOutput::default()
        })
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        let input = request.input;
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after: input.start_after.clone(),
            resume: input.continuation_token.clone(),
            max: input.max_keys,
        };
        let page = query.page(self.state().listed(&input.bucket)?);
        let next_continuation_token = page.next.clone();
        let key_count = i32::try_from(page.len()).ok();
        let (contents, common_prefixes) = page.into_rows();
        answer(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: Some(query.max()),
            key_count,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            is_truncated: Some(next_continuation_token.is_some()),
            next_continuation_token,
            ..ListObjectsV2Output::default()
        })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = request.input;
        let headers = kept(&request.headers);
        let id = self.state().open(&input.bucket, &input.key, headers)?;
        answer(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        })
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = request.input;
        let content = Content::read(input.body, &request.headers, request.trailing_headers).await?;
        let output = UploadPartOutput {
            e_tag: multipart::part_tag(&content),
            checksum_sha256: content.checksum.checksum_sha256.clone(),
            checksum_crc64nvme: content.checksum.checksum_crc64nvme.clone(),
            ..UploadPartOutput::default()
        };
        let mut state = self.state();
        let upload = state.upload(&input.upload_id, &input.bucket, &input.key)?;
        upload.parts.insert(input.part_number, content);
        answer(output)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        let tag = multipart::complete(&self.0, request)?;
        answer(CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(ETag::Strong(tag)),
            ..CompleteMultipartUploadOutput::default()
        })
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let input = request.input;
        let mut state = self.state();
        state.upload(&input.upload_id, &input.bucket, &input.key)?;
        state.uploads.remove(&input.upload_id);
        answer(AbortMultipartUploadOutput::default())
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let state = self.state();
        state.objects(&request.input.bucket)?;
        answer(multipart::list(&state, request.input))
    }
}
