//! The rules for buckets and folders in them, at every provider.
//!
//! [`BucketLocation`] is a bucket of Google Cloud Storage or a container of Azure Blob Storage, and a folder
//! in it. A location in S3 contains one as well. Invariant: the displayed text can be parsed again and
//! contains no secret.

use std::fmt;

use super::InvalidLocation;
use crate::error::{Error, ErrorKind, Operation, Result};

/// The length limit of a prefix in bytes: with the longest key, the object's name has fewer than the 1024
/// bytes that all providers allow.
const MAX_PREFIX_LEN: usize = 500;

/// A bucket (Azure: container) and a folder in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketLocation {
    bucket: String,
    prefix: String,
}

impl BucketLocation {
    /// Makes a location from a bucket and a folder. Slashes around the folder are removed; the empty folder
    /// means the whole bucket.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the name of the bucket is invalid, or if the folder contains empty names,
    /// `.`, `..` or control characters.
    pub fn new(bucket: &str, folder: &str) -> Result<Self> {
        Self::checked(bucket, folder).map_err(|cause| {
            let cause = cause.to_string();
            let place = "a bucket";
            Error::new(ErrorKind::Invalid, Operation::Parse, None, place, cause)
        })
    }

    pub(super) fn checked(bucket: &str, folder: &str) -> Result<Self, InvalidLocation> {
        check_bucket(bucket)?;
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: check_prefix(folder)?,
        })
    }

    /// Parses the part after the scheme: `//bucket/folder`. `malformed` is the error for anything else.
    pub(super) fn parse(rest: &str, malformed: InvalidLocation) -> Result<Self, InvalidLocation> {
        let Some(place) = rest.strip_prefix("//") else {
            return Err(malformed);
        };
        let (bucket, folder) = place.split_once('/').unwrap_or((place, ""));
        // Other tools put servers, accounts and keys into URLs. br takes them from the environment.
        if bucket.is_empty() || bucket.contains('@') || place.contains('?') {
            return Err(malformed);
        }
        Self::checked(bucket, &decoded(folder))
    }

    /// The name of the bucket or container.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The folder, without slashes around it; empty for the whole bucket.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// Checks the rules that all providers share, and the looser ones of old buckets.
fn check_bucket(bucket: &str) -> Result<(), InvalidLocation> {
    if bucket.contains('/') {
        return Err(InvalidLocation::BucketPath);
    }
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let ends = [bucket.bytes().next(), bucket.bytes().last()];
    let sound = (3..=255).contains(&bucket.len())
        && bucket.bytes().all(is_good)
        && ends.iter().flatten().all(u8::is_ascii_alphanumeric)
        && !bucket.contains("..");
    if sound {
        Ok(())
    } else {
        Err(InvalidLocation::Bucket)
    }
}

fn check_prefix(folder: &str) -> Result<String, InvalidLocation> {
    let folder = folder.trim_matches('/');
    // Marks that change the text direction could display another folder than the real one.
    let is_good = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        !c.is_control() && !turns && !matches!(c, '\\' | '\u{feff}' | '\u{fffd}')
    };
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(is_good);
    let sound =
        folder.len() <= MAX_PREFIX_LEN && (folder.is_empty() || folder.split('/').all(is_segment));
    if sound {
        Ok(folder.to_owned())
    } else {
        Err(InvalidLocation::Prefix)
    }
}

/// Decodes the folder of a URL, where `%20` is a space.
pub(super) fn decoded(folder: &str) -> String {
    let bytes = folder.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let code = code.filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    // Invalid UTF-8 becomes a character that no folder has.
    String::from_utf8_lossy(&out).into_owned()
}

impl fmt::Display for BucketLocation {
    /// Encodes only the characters with another meaning in a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bucket)?;
        if !self.prefix.is_empty() {
            f.write_str("/")?;
            for c in self.prefix.chars() {
                match c {
                    '%' | '?' | '#' => write!(f, "%{:02X}", u32::from(c))?,
                    c => write!(f, "{c}")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::location::Location;

    #[test]
    fn a_bucket_and_a_folder_are_shown_as_they_are_typed() {
        for (text, expected) in [
            ("gs://bucket", "gs://bucket"),
            ("GS://my.bucket_1//a/b/", "gs://my.bucket_1/a/b"),
            ("az://container/a=b", "az://container/a=b"),
            ("gs://bucket/my%20folder/ü", "gs://bucket/my folder/ü"),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.to_string(), expected, "{text}");
            assert_eq!(Location::parse(expected).unwrap(), location, "{expected}");
        }
        let there = BucketLocation::new("container", "/a/").unwrap();
        assert_eq!((there.bucket(), there.prefix()), ("container", "a"));
        assert_eq!(
            Location::parse("az://container/a").unwrap(),
            Location::Azure(there)
        );
    }

    #[test]
    fn malformed_url_is_refused_without_repeating_it() {
        for (text, expected) in [
            ("gs:hunter2", "gs://BUCKET/FOLDER"),
            ("gs://", "gs://BUCKET/FOLDER"),
            ("gs://hunter2@bucket/a", "gs://BUCKET/FOLDER"),
            ("gs://bucket/a?key=hunter2", "gs://BUCKET/FOLDER"),
            ("az:/hunter2", "AZURE_STORAGE_ACCOUNT_NAME"),
            ("az://hunter2@account.x/a", "AZURE_STORAGE_ACCOUNT_NAME"),
            ("az://ab/hunter2", "3 to 255"),
            ("gs://bucket/hunter2/../a", "folder"),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            let shown = format!("{error}: {}", error.source().unwrap());
            assert!(shown.contains(expected), "{text}: {shown}");
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
        let error = BucketLocation::new("bucket/folder", "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
