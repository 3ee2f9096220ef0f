//! Names of bundles: `<prefix>-YYYY-MM-DD-HH-mm-ss.sss`, and the time in them.
//!
//! [`BundleName`] is a name, [`BundleTime`] its time, [`Format`] gives the extension of the file. Invariant: the file and the archive's
//! only top directory have the same base name, so that the reader detects a renamed bundle.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::Offset;

/// Why a name of a bundle is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The prefix is empty or has characters other than letters, digits, `-` and `_`.
    #[error("`{0}` cannot be the prefix of a bundle's name")]
    Prefix(String),
    /// The time is before the year 1 or after 9999, or the offset is beyond 25 hours.
    #[error("the time cannot be in a bundle's name")]
    Time,
}

/// How a bundle is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// `.tar.gz`, which all tools read.
    #[default]
    TarGz,
    /// `.tar.zst`: smaller and faster; EMQX does not read it.
    TarZst,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::TarGz, Self::TarZst];

    /// The extension of the file, with its dots.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::TarGz => ".tar.gz",
            Self::TarZst => ".tar.zst",
        }
    }

    /// Splits the name of a bundle's file into the base name and the format of its extension.
    #[must_use]
    pub fn split(file_name: &str) -> Option<(&str, Self)> {
        Self::ALL.into_iter().find_map(|format| {
            let base = file_name.strip_suffix(format.extension())?;
            Some((base, format))
        })
    }
}

/// A point in time for a name: milliseconds since 1970, and the offset of local time from UTC in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BundleTime {
    time: Timestamp,
    offset: Offset,
}

impl BundleTime {
    /// Makes a time.
    ///
    /// # Errors
    /// If its year does not have four digits.
    pub fn new(unix_millis: i64, offset_seconds: i32) -> Result<Self, NameError> {
        let time = Timestamp::from_millisecond(unix_millis).map_err(|_| NameError::Time)?;
        let offset = Offset::from_seconds(offset_seconds).map_err(|_| NameError::Time)?;
        let year = offset.to_datetime(time).year();
        if (1..=9999).contains(&year) {
            Ok(Self { time, offset })
        } else {
            Err(NameError::Time)
        }
    }

    /// The time a millisecond later, for the next name if this one exists.
    pub(crate) fn next(self) -> Result<Self, NameError> {
        Self::new(self.unix_millis() + 1, self.offset_seconds())
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn unix_millis(self) -> i64 {
        self.time.as_millisecond()
    }

    /// Seconds since 1970, at least 0.
    #[must_use]
    pub fn unix_seconds(self) -> u64 {
        u64::try_from(self.unix_millis().div_euclid(1000)).unwrap_or(0)
    }

    /// Seconds by which local time is ahead of UTC.
    #[must_use]
    pub fn offset_seconds(self) -> i32 {
        self.offset.seconds()
    }

    /// The time as in RFC 3339, in UTC.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        format!("{:.3}", self.time)
    }
}

impl fmt::Display for BundleTime {
    /// Local time, `YYYY-MM-DD-HH-mm-ss.sss`, without a zone, as EMQX writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.offset.to_datetime(self.time);
        write!(
            f,
            "{:04}-{:02}-{:02}-{:02}-{:02}-{:02}.{:03}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second(),
            local.millisecond()
        )
    }
}

/// The base name of a bundle that is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BundleName {
    base: String,
    format: Format,
}

impl BundleName {
    /// The prefix of bundles with EMQX's content.
    pub const EMQX_PREFIX: &str = "emqx-export";
    /// The default prefix of all other bundles.
    pub const PREFIX: &str = "br-export";

    /// Builds a name from a prefix such as `br-export` and a time.
    ///
    /// # Errors
    /// If the prefix has characters other than letters, digits, `-` and `_`.
    pub fn new(prefix: &str, time: BundleTime, format: Format) -> Result<Self, NameError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if prefix.is_empty() || prefix.len() > 128 || !prefix.chars().all(is_plain) {
            return Err(NameError::Prefix(prefix.to_owned()));
        }
        let base = format!("{prefix}-{time}");
        Ok(Self { base, format })
    }

    /// Uses the name of an existing bundle, which may have any form.
    ///
    /// # Errors
    /// If it is not the file name of a bundle.
    pub fn of_file(file_name: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Prefix(file_name.to_owned());
        let (base, format) = Format::split(file_name).ok_or_else(wrong)?;
        let path = crate::MemberPath::new(base).map_err(|_| wrong())?;
        if path.file_name() == base && file_name.len() <= crate::Limits::NAME_BYTES {
            Ok(Self {
                base: base.to_owned(),
                format,
            })
        } else {
            Err(wrong())
        }
    }

    /// The name of the archive's only top directory.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.base
    }

    /// The name of the file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}{}", self.base, self.format.extension())
    }

    /// How the file is compressed.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }
}

impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_fixed_form() {
        let time = BundleTime::new(1_687_187_654_047, 0).unwrap();
        let name = BundleName::new("emqx-export", time, Format::TarGz).unwrap();
        assert_eq!(name.directory(), "emqx-export-2023-06-19-15-14-14.047");
        assert_eq!(
            name.file_name(),
            "emqx-export-2023-06-19-15-14-14.047.tar.gz"
        );
        assert_eq!(time.to_rfc3339(), "2023-06-19T15:14:14.047Z");
        for prefix in ["", "a/b", "..", "a b", "é"] {
            let name = BundleName::new(prefix, time, Format::TarGz);
            assert_eq!(name, Err(NameError::Prefix(prefix.to_owned())));
        }
    }

    /// When clocks go back, a local time occurs twice: the names are equal, but the times in the manifest differ.
    #[test]
    fn names_show_local_time() {
        let first = BundleTime::new(1_698_539_400_000, 7200).unwrap();
        let second = BundleTime::new(1_698_543_000_000, 3600).unwrap();
        assert_eq!(first.to_string(), "2023-10-29-02-30-00.000");
        assert_eq!(first.to_string(), second.to_string());
        assert_ne!(first.to_rfc3339(), second.to_rfc3339());
        let early = BundleTime::new(-1, 0).unwrap();
        assert_eq!(early.to_string(), "1969-12-31-23-59-59.999");
        assert!(BundleTime::new(i64::MAX, 0).is_err());
        assert!(BundleTime::new(0, 100_000_000).is_err());
    }

    #[test]
    fn of_file_accepts_names_of_other_programs() {
        let name = BundleName::of_file("emqx-export-upload-ee.tar.gz").unwrap();
        assert_eq!(name.directory(), "emqx-export-upload-ee");
        for wrong in ["a.zip", ".tar.gz", "...tar.gz", "a/b.tar.gz", "..tar.gz"] {
            assert!(BundleName::of_file(wrong).is_err(), "{wrong}");
        }
    }
}
