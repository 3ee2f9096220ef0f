//! The body of a request, and whether it matches its headers.
//!
//! [`Content::read`] reads a body and checks it. Invariant: a [`Content`] has every checksum that its request named.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use hyper::HeaderMap;
use hyper::header::CONTENT_LENGTH;
use md5::{Digest as _, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, StreamingBlob};
use s3s::{S3Result, TrailingHeaders, s3_error};

const CRC32: &str = "x-amz-checksum-crc32";
const CRC32C: &str = "x-amz-checksum-crc32c";
const CRC64NVME: &str = "x-amz-checksum-crc64nvme";
const SHA1: &str = "x-amz-checksum-sha1";
const SHA256: &str = "x-amz-checksum-sha256";

/// A body and its digests.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) data: Bytes,
    pub(super) md5: [u8; 16],
    /// The digests that the request named.
    pub(super) checksum: Checksum,
}

impl Content {
    /// Content that does not come from a request.
    pub(super) fn of(data: Bytes) -> Self {
        Self {
            md5: Md5::digest(&data).into(),
            data,
            checksum: Checksum::default(),
        }
    }

    /// Reads a body, and verifies it against the request's headers and trailers.
    pub(super) async fn read(
        body: Option<StreamingBlob>,
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<Self> {
        let mut md5 = Md5::new();
        let mut hasher = hasher(headers);
        let data = collect(body, length(headers), |chunk| {
            md5.update(chunk);
            hasher.update(chunk);
        });
        let content = Self {
            data: data.await?,
            md5: md5.finalize().into(),
            checksum: hasher.finalize(),
        };
        let trailers = trailers.and_then(|trailers| trailers.take());
        let is_intact = content.has_claimed(headers, &trailers.unwrap_or_default());
        if is_intact {
            Ok(content)
        } else {
            Err(s3_error!(BadDigest))
        }
    }

    fn has_claimed(&self, headers: &HeaderMap, trailers: &HeaderMap) -> bool {
        let sum = &self.checksum;
        let sums = [
            (CRC32, &sum.checksum_crc32),
            (CRC32C, &sum.checksum_crc32c),
            (CRC64NVME, &sum.checksum_crc64nvme),
            (SHA1, &sum.checksum_sha1),
            (SHA256, &sum.checksum_sha256),
        ];
        let is_claimed = |(name, sum): (&str, &Option<String>)| {
            let claim = headers.get(name).or_else(|| trailers.get(name));
            sum.as_ref()
                .is_none_or(|sum| claim.is_some_and(|claim| claim.as_bytes() == sum.as_bytes()))
        };
        let md5 = BASE64_STANDARD.encode(self.md5);
        let claim = headers.get("content-md5");
        claim.is_none_or(|claim| claim.as_bytes() == md5.as_bytes())
            && sums.into_iter().all(is_claimed)
    }

    /// The entity tag of an object or a part with this content.
    pub(super) fn tag(&self) -> String {
        hex(&self.md5)
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Computes the checksums that the request names, in a header or in a later trailer.
fn hasher(headers: &HeaderMap) -> ChecksumHasher {
    let trailer = headers.get("x-amz-trailer");
    let trailer = trailer.map_or(&[][..], |trailer| trailer.as_bytes());
    let named = |name: &str| headers.contains_key(name) || trailer == name.as_bytes();
    ChecksumHasher {
        crc32: named(CRC32).then(Default::default),
        crc32c: named(CRC32C).then(Default::default),
        sha1: named(SHA1).then(Default::default),
        sha256: named(SHA256).then(Default::default),
        crc64nvme: named(CRC64NVME).then(Default::default),
    }
}

/// How long the body will be, for reserving memory.
fn length(headers: &HeaderMap) -> usize {
    let decoded = headers.get("x-amz-decoded-content-length");
    let length = decoded.or_else(|| headers.get(CONTENT_LENGTH));
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0).min(1 << 30)
}

/// Reads a complete body; a body in a single piece is not copied.
async fn collect(
    body: Option<StreamingBlob>,
    length: usize,
    mut each: impl FnMut(&[u8]),
) -> S3Result<Bytes> {
    let Some(mut body) = body else {
        return Ok(Bytes::new());
    };
    let lost = |_| s3_error!(IncompleteBody);
    let first = body.try_next().await.map_err(lost)?.unwrap_or_default();
    each(&first);
    let mut all = BytesMut::new();
    while let Some(chunk) = body.try_next().await.map_err(lost)? {
        if all.is_empty() {
            all.reserve(length.max(first.len()));
            all.extend_from_slice(&first);
        }
        each(&chunk);
        all.extend_from_slice(&chunk);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
