//! The places of MatrixOne's data: the `[[fileservice]]` tables of a `tn.toml`.
//!
//! [`TnConfig`] is the file's configuration of `SHARED` and `LOCAL`. Invariant: a missing value is `None`, never a guess.

use super::super::error::{Error, Result};
use super::super::frame::Framing;

/// The backend of a file service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// A folder with framed files.
    Disk,
    /// A folder with raw files.
    DiskV2,
    /// An object storage, `S3` or `MINIO`.
    S3,
    /// Any other backend, with its name in the file.
    Other(String),
}

impl Backend {
    /// Whether its files are framed; `None` if unknown.
    #[must_use]
    pub const fn framing(&self) -> Option<Framing> {
        match self {
            Self::Disk => Some(Framing::Framed),
            Self::DiskV2 | Self::S3 => Some(Framing::Raw),
            Self::Other(_) => None,
        }
    }
}

/// A file service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileService {
    /// Its backend.
    pub backend: Option<Backend>,
    /// Its folder in the file: relative to the folder in which MatrixOne is started, or absolute.
    pub data_dir: Option<String>,
}

/// The file services of a TN.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TnConfig {
    /// The file service of the objects.
    pub shared: Option<FileService>,
    /// The file service of `hk_data`.
    pub local: Option<FileService>,
}

impl TnConfig {
    /// Reads a `tn.toml`, or a `launch.toml` with file services in it.
    ///
    /// # Errors
    /// If it is not TOML.
    pub fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            Error::invalid("the configuration is not TOML").because(error)
        })?;
        let mut out = Self::default();
        let services = table.get("fileservice").and_then(toml::Value::as_array);
        for service in services.into_iter().flatten() {
            let text = |key: &str| service.get(key).and_then(toml::Value::as_str);
            let slot = match text("name").map(str::to_ascii_uppercase).as_deref() {
                Some("SHARED" | "S3") => &mut out.shared,
                Some("LOCAL") => &mut out.local,
                _ => continue,
            };
            *slot = Some(FileService {
                backend: text("backend").map(backend),
                data_dir: text("data-dir").map(str::to_owned),
            });
        }
        Ok(out)
    }
}

fn backend(name: &str) -> Backend {
    match name.to_ascii_uppercase().as_str() {
        "DISK" => Backend::Disk,
        "DISK-V2" => Backend::DiskV2,
        "S3" | "MINIO" => Backend::S3,
        _ => Backend::Other(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_file_services_are_found() {
        let text = "service-type = \"TN\"\ndata-dir = \"./mo-data\"\n[[fileservice]]\nname = \"LOCAL\"\nbackend = \"DISK\"\n\
            [[fileservice]]\nname = 'SHARED'\nbackend = \"DISK-V2\"\ndata-dir = \"mo-data/shared2\"\n[fileservice.cache]\nmemory-capacity = \"1GB\"\n\
            [[fileservice]]\nname = \"ETL\"\nbackend = \"DISK-ETL\"\n";
        let config = TnConfig::parse(text).unwrap();
        let shared = config.shared.unwrap();
        assert_eq!(shared.data_dir.as_deref(), Some("mo-data/shared2"));
        assert_eq!(shared.backend.unwrap().framing(), Some(Framing::Raw));
        let local = config.local.unwrap();
        assert_eq!((local.data_dir, local.backend), (None, Some(Backend::Disk)));
        assert_eq!(TnConfig::parse("").unwrap(), TnConfig::default());
        assert_eq!(
            TnConfig::parse("fileservice = 3\n").unwrap(),
            TnConfig::default()
        );
        assert!(TnConfig::parse("[[").is_err());
    }
}
