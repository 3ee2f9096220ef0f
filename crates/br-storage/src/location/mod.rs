//! The addresses of storages.
//!
//! A [`Location`] is the address that a user gives for a storage: a path, a `file://` URL, `memory:`, or a
//! bucket: `s3://bucket/folder`, `gs://bucket/folder` or `az://container/folder`. Invariant: text that looks
//! like another kind of address is refused and never becomes a directory. The error names the scheme but not
//! the rest, which may hold a password.

mod bucket;
mod lookalike;
mod s3;

use std::{fmt, path::PathBuf, str::FromStr};

pub use bucket::BucketLocation;
pub use lookalike::Lookalike;
pub use s3::S3Location;

use url::Url;

use crate::error::{Error, ErrorKind, Operation, Result};

/// Schemes of other backup tools that are also written without `//`. If br took `sftp:host:/srv` for the name
/// of a local directory, the user would not find the backup.
const FOREIGN_SCHEMES: &[&str] = &[
    "azure", "b2", "dav", "ftp", "http", "https", "nfs", "rclone", "rest", "sftp", "smb", "ssh",
    "swift", "webdav",
];

/// The address of a storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Location {
    /// A directory on local disk.
    Local(PathBuf),
    /// The memory of this process: empty when it is opened, and lost when it is dropped.
    Memory,
    /// A bucket of S3 or of a server with its protocol.
    S3(S3Location),
    /// A bucket of Google Cloud Storage.
    Gcs(BucketLocation),
    /// A container of Azure Blob Storage. The environment names the account.
    Azure(BucketLocation),
}

/// Why the text of a location was refused.
#[derive(Debug, thiserror::Error)]
enum InvalidLocation {
    #[error("a location must not be empty")]
    Empty,
    #[error("{0}; br takes {list}", list = supported())]
    Lookalike(Lookalike),
    #[error("a path must not contain a NUL character")]
    Nul,
    #[error("a file URL must name an absolute path on this machine, as in file:///srv/backup")]
    FileUrl,
    #[error("memory: takes no path")]
    Memory,
    #[error("write s3://BUCKET/FOLDER, or s3:https://HOST/BUCKET/FOLDER")]
    S3Form,
    #[error("write gs://BUCKET/FOLDER; the environment sets the credentials and the server")]
    GcsForm,
    #[error("write az://CONTAINER/FOLDER; the account is named in AZURE_STORAGE_ACCOUNT_NAME")]
    AzureForm,
    #[error("only endpoint and region can follow the question mark")]
    S3Query,
    #[error("keys do not belong in a location, where others see them")]
    UserInfo,
    #[error("the name of a bucket has 3 to 255 letters, digits, dots and hyphens")]
    Bucket,
    #[error("the name of a bucket must not contain a slash: name the folder separately")]
    BucketPath,
    #[error(
        "the folder in a bucket has names between single slashes, none of them . or .., without control characters and \
         backslashes, at most 500 bytes"
    )]
    Prefix,
    #[error("the URL of a server looks like https://HOST or http://HOST:PORT")]
    Endpoint,
    #[error(
        "the scheme {0} is not supported; supported are {list} (write ./{0}:… for a file of that \
         name)",
        list = supported()
    )]
    Scheme(String),
}

/// Returns the forms of location that this program supports, as text.
fn supported() -> String {
    let mut forms = vec!["a path", "file:///path", "memory:", "s3://bucket/folder"];
    if cfg!(feature = "gcs") {
        forms.push("gs://bucket/folder");
    }
    if cfg!(feature = "azure") {
        forms.push("az://container/folder");
    }
    let last = forms.pop().unwrap_or_default();
    format!("{} and {last}", forms.join(", "))
}

impl Location {
    /// Parses a path, relative or absolute, a URL such as `file:///srv/backup`, `s3://bucket/folder`,
    /// `gs://bucket/folder` or `az://container/folder`, or `memory:`.
    ///
    /// An S3 server other than AWS is named in a query,
    /// `s3://bucket/folder?endpoint=https://host:9000&region=eu`, or as in
    /// `s3:https://host:9000/bucket/folder`.
    ///
    /// Text that looks like neither a path nor a URL that this program knows is refused, so that it does not
    /// become a folder by mistake: `host:/srv`, `c:\backup`, `~/backup` and others ([`Lookalike`]). `./host:`
    /// and `/srv/host:` are paths.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for the scheme of another tool, such as `sftp:`; [`ErrorKind::Invalid`] if
    /// the text is empty, a malformed URL, or a [`Lookalike`].
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |kind, place: &str, cause: InvalidLocation| {
            Err(Error::new(kind, Operation::Parse, None, place, cause))
        };
        if text.trim().is_empty() {
            return refuse(ErrorKind::Invalid, "\"\"", InvalidLocation::Empty);
        }
        if text.contains('\0') {
            return refuse(
                ErrorKind::Invalid,
                &text.escape_debug().to_string(),
                InvalidLocation::Nul,
            );
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            return match Lookalike::of(text) {
                None => Ok(Self::Local(text.into())),
                Some(looks) => {
                    let shown = looks.shown(text);
                    refuse(
                        ErrorKind::Invalid,
                        &shown,
                        InvalidLocation::Lookalike(looks),
                    )
                }
            };
        };
        Self::parse_url(&scheme, rest, text).or_else(|cause| {
            let kind = match cause {
                InvalidLocation::Scheme(_) => ErrorKind::Unsupported,
                _ => ErrorKind::Invalid,
            };
            refuse(kind, &format!("{scheme}:…"), cause)
        })
    }

    fn parse_url(scheme: &str, rest: &str, text: &str) -> Result<Self, InvalidLocation> {
        use InvalidLocation as E;
        match (scheme, rest) {
            ("memory", "" | "//") => Ok(Self::Memory),
            ("memory", _) => Err(E::Memory),
            ("file", _) => file_path(text).map(Self::Local).ok_or(E::FileUrl),
            ("s3", rest) => S3Location::parse(rest).map(Self::S3),
            ("gs", rest) => BucketLocation::parse(rest, E::GcsForm).map(Self::Gcs),
            ("az", rest) => BucketLocation::parse(rest, E::AzureForm).map(Self::Azure),
            _ => Err(E::Scheme(scheme.to_owned())),
        }
    }
}

/// Splits text into a scheme in lower case and the rest; `None` if it is a path.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if !well_formed {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    let known = matches!(scheme.as_str(), "file" | "memory" | "s3" | "gs" | "az")
        || FOREIGN_SCHEMES.contains(&scheme.as_str());
    (known || rest.starts_with("//")).then_some((scheme, rest))
}

fn file_path(text: &str) -> Option<PathBuf> {
    // `file:backup` is a relative URL; the parser would add a slash and make it absolute.
    let (_, rest) = text.split_once(':')?;
    if !rest.starts_with('/') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    // The user means an unencoded # or ? as a part of the name. Without it, br would open another directory.
    if url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    url.to_file_path().ok()
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Memory => f.write_str("memory:"),
            Self::S3(location) => location.fmt(f),
            Self::Gcs(location) => write!(f, "gs://{location}"),
            Self::Azure(location) => write!(f, "az://{location}"),
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn paths_stay_as_they_are() {
        for text in [
            "backup",
            "/srv/backup",
            "./a:b",
            "./name:with:colon",
            "/srv/c:\\backup",
            "../x://y",
            "./~",
            "./x?endpoint=1",
        ] {
            assert_eq!(
                Location::parse(text).unwrap(),
                Location::Local(text.into()),
                "{text:?}"
            );
            assert_eq!(Location::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn text_that_looks_like_another_address_is_not_a_path() {
        for text in [
            "user@host:/x",
            "host:backup",
            "C:\\repo",
            "~/r",
            "$HOME/x",
            "/mnt/x?endpoint=1",
            "1://x",
            " ",
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn file_urls_are_paths() {
        for (text, path) in [
            ("file:///srv/backup", "/srv/backup"),
            ("FILE:///srv/a%20b", "/srv/a b"),
            ("file://localhost/srv", "/srv"),
            ("file:/srv", "/srv"),
        ] {
            assert_eq!(
                Location::parse(text).unwrap(),
                Location::Local(path.into()),
                "{text}"
            );
        }
        for text in [
            "file:backup",
            "file://host/srv",
            "file:///srv?a",
            "file:///srv#1",
            "file:",
        ] {
            assert_eq!(
                Location::parse(text).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{text}"
            );
        }
    }

    #[test]
    fn memory_is_memory() {
        assert_eq!("memory:".parse::<Location>().unwrap(), Location::Memory);
        assert_eq!(Location::parse("memory://").unwrap().to_string(), "memory:");
        assert_eq!(
            Location::parse("memory:x").unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert_eq!(Location::parse("").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(
            Location::parse("a\0b").unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }

    #[test]
    fn other_schemes_are_refused_by_name_without_their_secrets() {
        for text in ["sftp:user:secret@host:/srv", "weird://secret"] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}");
            let shown = format!("{error} {} {error:?}", error.source().unwrap());
            let scheme = text.split(':').next().unwrap();
            assert!(
                shown.contains(scheme) && shown.contains("memory:"),
                "{shown}"
            );
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
