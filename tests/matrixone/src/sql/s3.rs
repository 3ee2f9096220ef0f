//! The options of a backup to S3.
//!
//! [`S3Target`] is the parsed result. Invariant: a key that the release does not know is an error; a key that it reads but ignores is
//! dropped.

use std::fmt;

use super::{SqlError, parse_u16};
use crate::version::MoVersion;

/// Where in S3 an archive goes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct S3Target {
    /// The address of the service, or `disk` for a folder of the server.
    pub endpoint: String,
    /// The region.
    pub region: String,
    /// The key.
    pub access_key_id: String,
    /// The secret of the key.
    pub secret_access_key: String,
    /// The bucket, or the folder.
    pub bucket: String,
    /// The prefix of every name in it.
    pub filepath: String,
    /// The role to assume.
    pub role_arn: String,
    /// Whether the service is MinIO.
    pub is_minio: bool,
    /// Number of files that are copied at once; 0 for the server's choice.
    pub parallelism: u16,
}

impl fmt::Debug for S3Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "S3Target({}/{}/{})",
            self.endpoint, self.bucket, self.filepath
        )
    }
}

impl S3Target {
    /// The key of a file of the archive.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        let parts = self.filepath.split('/').chain([name]);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        parts.join("/")
    }

    /// Builds it from keys and values, as the server does.
    pub(super) fn of(pairs: &[(String, String)], version: MoVersion) -> Result<Self, SqlError> {
        let mut place = Self::default();
        let (mut format, mut data) = (String::new(), String::new());
        for (key, value) in pairs {
            let key = key.to_lowercase();
            match key.as_str() {
                "endpoint" => place.endpoint.clone_from(value),
                "region" => place.region.clone_from(value),
                "access_key_id" => place.access_key_id.clone_from(value),
                "secret_access_key" => place.secret_access_key.clone_from(value),
                "bucket" => place.bucket.clone_from(value),
                "filepath" => place.filepath.clone_from(value),
                "role_arn" => place.role_arn.clone_from(value),
                "compression" | "provider" | "external_id" => {}
                "format" => format = one_of("format", value, &["csv", "jsonline"])?,
                "jsondata" => {
                    data = one_of("jsondata", value, &["object", "array"])?;
                    "jsonline".clone_into(&mut format);
                }
                "is_minio" => {
                    place.is_minio = one_of("is_minio", value, &["true", "false"])? == "true";
                }
                "parallelism" if version.has_parallelism() => {
                    place.parallelism = parse_u16(value)?;
                }
                _ => return Err(bad(&format!("the keyword '{key}' is not support"))),
            }
        }
        if format == "jsonline" && data.is_empty() {
            return Err(bad("the jsondata must be specified"));
        }
        Ok(place)
    }
}

fn bad(why: &str) -> SqlError {
    SqlError::new(20300, format!("invalid configuration: {why}"))
}

fn one_of(key: &str, value: &str, all: &[&str]) -> Result<String, SqlError> {
    let value = value.to_lowercase();
    if all.contains(&value.as_str()) {
        Ok(value)
    } else {
        Err(bad(&format!("the {key} '{value}' is not supported")))
    }
}
