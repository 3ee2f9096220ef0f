//! A bucket and a folder in it.
//!
//! [`S3Location`] is a parsed location in S3. Invariant: the displayed text can be parsed again and contains
//! no secret.

use std::fmt;

use url::Url;

use super::{
    InvalidLocation,
    bucket::{BucketLocation, decoded},
};
use crate::error::{Error, ErrorKind, Operation, Result};

/// A bucket of S3 or of a server with its protocol, and a folder in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct S3Location {
    place: BucketLocation,
    endpoint: Option<String>,
    region: Option<String>,
}

impl S3Location {
    /// Makes a location from a bucket and a folder. Slashes around the folder are removed; the empty folder
    /// means the whole bucket.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the name of the bucket is invalid, or if the folder contains empty names,
    /// `.`, `..` or control characters.
    pub fn new(bucket: &str, folder: &str) -> Result<Self> {
        Self::checked(bucket, folder).map_err(|cause| refuse(&cause))
    }

    fn checked(bucket: &str, folder: &str) -> Result<Self, InvalidLocation> {
        Ok(Self {
            place: BucketLocation::checked(bucket, folder)?,
            endpoint: None,
            region: None,
        })
    }

    /// Sets the URL of the server. The default is AWS in the region.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if it is not the URL of a server: `http` or `https`, a host, and an optional
    /// port.
    pub fn with_endpoint(mut self, endpoint: &str) -> Result<Self> {
        self.endpoint = Some(check_endpoint(endpoint).map_err(|cause| refuse(&cause))?);
        Ok(self)
    }

    /// Sets the region.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        self.place.bucket()
    }

    /// The folder, without slashes around it; empty for the whole bucket.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.place.prefix()
    }

    /// The URL of the server, if it was named.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The region, if it was named.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Parses the part after `s3:`: `//bucket/folder?endpoint=…&region=…`, or the form
    /// `https://host/bucket/folder` that other tools use.
    pub(super) fn parse(rest: &str) -> Result<Self, InvalidLocation> {
        if rest.starts_with("http://") || rest.starts_with("https://") {
            return Self::parse_server(rest);
        }
        let rest = rest.strip_prefix("//").ok_or(InvalidLocation::S3Form)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, folder) = place.split_once('/').unwrap_or((place, ""));
        if bucket.contains('@') {
            return Err(InvalidLocation::UserInfo);
        }
        if bucket.is_empty() {
            return Err(InvalidLocation::S3Form);
        }
        let mut location = Self::checked(bucket, &decoded(folder))?;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "endpoint" => location.endpoint = Some(check_endpoint(&value)?),
                "region" => location.region = Some(value.into_owned()),
                _ => return Err(InvalidLocation::S3Query),
            }
        }
        Ok(location)
    }

    fn parse_server(text: &str) -> Result<Self, InvalidLocation> {
        let url = Url::parse(text).map_err(|_| InvalidLocation::Endpoint)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidLocation::UserInfo);
        }
        let (bucket, folder) = url.path()[1..]
            .split_once('/')
            .unwrap_or((&url.path()[1..], ""));
        if bucket.is_empty() || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidLocation::S3Form);
        }
        let mut location = Self::checked(bucket, &decoded(folder))?;
        let server = text.split('/').take(3).collect::<Vec<_>>().join("/");
        location.endpoint = Some(check_endpoint(&server)?);
        Ok(location)
    }
}

fn refuse(cause: &InvalidLocation) -> Error {
    Error::new(
        ErrorKind::Invalid,
        Operation::Parse,
        None,
        "s3:…",
        cause.to_string(),
    )
}

/// Returns the URL without a trailing slash.
fn check_endpoint(endpoint: &str) -> Result<String, InvalidLocation> {
    let url = Url::parse(endpoint).map_err(|_| InvalidLocation::Endpoint)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidLocation::UserInfo);
    }
    let sound = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if sound {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(InvalidLocation::Endpoint)
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.place)?;
        let named = [("endpoint", &self.endpoint), ("region", &self.region)];
        let named = named
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (at, (name, value)) in named.enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Location;
    use crate::error::ErrorKind;

    fn shown(text: &str) -> String {
        match Location::parse(text) {
            Ok(location) => location.to_string(),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                format!("{:?}: {error}: {}", error.kind(), cause.unwrap_or_default())
            }
        }
    }

    #[test]
    fn every_form_is_one_place() {
        for (text, expected) in [
            ("s3://bucket", "s3://bucket"),
            ("S3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("s3://bucket//a", "s3://bucket/a"),
            (
                "s3://b.c/x?endpoint=http://127.0.0.1:9000/&region=eu",
                "s3://b.c/x?endpoint=http://127.0.0.1:9000&region=eu",
            ),
            (
                "s3://bucket?endpoint=http%3A%2F%2Flocalhost",
                "s3://bucket?endpoint=http://localhost",
            ),
            ("s3://bucket/my folder/ü", "s3://bucket/my folder/ü"),
            ("s3://bucket/my%20folder/%C3%BC", "s3://bucket/my folder/ü"),
            (
                "s3://bucket/100%25?region=eu",
                "s3://bucket/100%25?region=eu",
            ),
            ("s3://bucket/100%", "s3://bucket/100%25"),
            ("s3://bucket/why%3f", "s3://bucket/why%3F"),
            (
                "s3:http://host:9000/bucket/a b",
                "s3://bucket/a b?endpoint=http://host:9000",
            ),
            (
                "s3:http://host:9000/bucket/a",
                "s3://bucket/a?endpoint=http://host:9000",
            ),
            (
                "s3:https://host/bucket",
                "s3://bucket?endpoint=https://host",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
            assert_eq!(
                shown(expected),
                expected,
                "the displayed text can be parsed again"
            );
        }
    }

    #[test]
    fn malformed_url_is_refused_with_reason() {
        for (text, expected) in [
            ("s3://", "s3://BUCKET/FOLDER"),
            ("s3:bucket/x", "s3://BUCKET/FOLDER"),
            ("s3:/bucket", "s3://BUCKET/FOLDER"),
            ("s3://ab", "3 to 255"),
            ("s3://bu cket", "3 to 255"),
            ("s3://-bucket", "3 to 255"),
            ("s3://bucket/a//b", "folder"),
            ("s3://bucket/../b", "folder"),
            ("s3://bucket/a%00b", "folder"),
            ("s3://bucket/a%ffb", "folder"),
            ("s3://bucket/%2e%2e/b", "folder"),
            ("s3://bucket/a?x=1", "endpoint and region"),
            ("s3://bucket?endpoint=host:9000", "http://HOST:PORT"),
            ("s3://bucket?endpoint=ftp://host", "http://HOST:PORT"),
            ("s3://bucket?endpoint=http://host/path", "http://HOST:PORT"),
            ("s3:https://host/", "s3://BUCKET/FOLDER"),
        ] {
            assert_eq!(
                Location::parse(text).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{text}"
            );
            assert!(shown(text).contains(expected), "{text}: {}", shown(text));
        }
        let error = super::S3Location::new("bucket/folder", "").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("folder"), "{cause}");
    }

    #[test]
    fn keys_do_not_belong_in_a_location_and_are_not_repeated() {
        for text in [
            "s3://key:hunter2@bucket/x",
            "s3:https://key:hunter2@host/bucket",
            "s3://bucket?endpoint=https://key:hunter2@host",
        ] {
            let shown = shown(text);
            assert!(
                shown.contains("key") && !shown.contains("hunter2"),
                "{shown}"
            );
        }
    }
}
