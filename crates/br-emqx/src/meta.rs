//! `META.hocon`: edition and version of the EMQX that made a bundle.
//!
//! [`Meta`] is the file. Invariant: it keeps edition and version as in the file, valid or not; [`rules`](super::rules) checks them.

use super::hocon::{self, HoconError, Object, Value};
use super::rules::Refusal;

/// Why a file is not a valid `META.hocon`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// It is not HOCON.
    #[error(transparent)]
    Hocon(#[from] HoconError),
    /// A required key is missing.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// The value of a key is not text.
    #[error("its `{0}` is not text")]
    NotText(&'static str),
}

impl MetaError {
    /// The refusal that EMQX reports for it.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::NotText("edition") => Refusal::InvalidEdition,
            Self::NotText(_) => Refusal::InvalidVersion,
            Self::Hocon(_) | Self::Missing(_) => Refusal::MissingBackupMeta,
        }
    }
}

/// How strict a node's defaults are, since EMQX 6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityProfile {
    /// The defaults of earlier releases.
    Legacy,
    /// Secure defaults.
    Hardened,
}

impl SecurityProfile {
    /// Returns the profile with this name in EMQX.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "legacy" => Some(Self::Legacy),
            "hardened" => Some(Self::Hardened),
            _ => None,
        }
    }

    /// Returns EMQX's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Hardened => "hardened",
        }
    }
}

/// The content of `META.hocon`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// `ce` or `ee`, if the file is valid.
    pub edition: String,
    /// The version of EMQX, including everything after the numbers.
    pub version: String,
    /// All other keys, in their order. EMQX ignores unknown keys.
    pub extra: Vec<(String, Value)>,
}

impl Meta {
    /// A file with the two required keys.
    #[must_use]
    pub fn new(edition: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            edition: edition.into(),
            version: version.into(),
            extra: Vec::new(),
        }
    }

    /// True for the editions of EMQX. In bundles of other editions, no member is handled as EMQX's.
    #[must_use]
    pub fn is_emqx(&self) -> bool {
        matches!(self.edition.as_str(), "ce" | "ee")
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is not HOCON, or one of the two keys is missing or not text. [`MetaError::refusal`] returns EMQX's error.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetaError> {
        let file = hocon::parse(bytes)?;
        let text = |key| {
            let value = file.get(key).ok_or(MetaError::Missing(key))?;
            let text = value.as_text().ok_or(MetaError::NotText(key))?;
            Ok::<_, MetaError>(text.to_owned())
        };
        // EMQX checks that both exist before it checks their values.
        if !file.contains_key("version") {
            return Err(MetaError::Missing("version"));
        }
        Ok(Self {
            edition: text("edition")?,
            version: text("version")?,
            extra: file.into_iter().filter(|(key, _)| is_extra(key)).collect(),
        })
    }

    /// Writes the file as EMQX does: edition, version, and the other keys after them.
    #[must_use]
    pub fn to_hocon(&self) -> String {
        let is_word = !self.edition.is_empty()
            && self.edition.bytes().all(|b| b.is_ascii_lowercase())
            && !matches!(self.edition.as_str(), "true" | "false" | "null");
        let edition = if is_word {
            Value::Raw(self.edition.clone())
        } else {
            Value::String(self.edition.clone())
        };
        let mut out = print_field("edition", edition);
        out += &print_field("version", Value::String(self.version.clone()));
        for (key, value) in self.extra.iter().filter(|(key, _)| is_extra(key)) {
            out += &print_field(key, value.clone());
        }
        out
    }

    /// Returns the security profile of the node that made the bundle, if the file has a known one.
    #[must_use]
    pub fn security_profile(&self) -> Option<SecurityProfile> {
        let key = |key: &str| matches!(key, "security_profile" | "securityProfile" | "profile");
        let (_, value) = self.extra.iter().find(|(name, _)| key(name))?;
        SecurityProfile::from_name(value.as_text()?)
    }
}

fn is_extra(key: &str) -> bool {
    !matches!(key, "edition" | "version")
}

fn print_field(key: &str, value: Value) -> String {
    hocon::print(&[(key.to_owned(), value)].into_iter().collect::<Object>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_emqx_round_trips_byte_for_byte() {
        for text in [
            "edition = ee\nversion = \"6.2.2\"\n",
            "edition = ce\nversion = \"5.1.0-alpha.3-ga9d63c69\"\n",
            "edition = ee\nversion = \"6.3.0\"\nsecurity_profile = hardened\n",
        ] {
            assert_eq!(Meta::parse(text.as_bytes()).unwrap().to_hocon(), text);
        }
        assert_eq!(Meta::new("ee", "6.2.2").to_hocon().len(), 31);
        let strange = Meta::new("x y", "1");
        assert_eq!(Meta::parse(strange.to_hocon().as_bytes()), Ok(strange));
    }

    #[test]
    fn other_keys_stay_and_follow_the_two() {
        let text = "br {made_by = \"br 0.1\"}\nversion = 6.2\nedition = \"ee\"\na.b = 1";
        let meta = Meta::parse(text.as_bytes()).unwrap();
        assert_eq!(meta.version, "6.2");
        let written = meta.to_hocon();
        assert!(
            written.starts_with("edition = ee\nversion = \"6.2\"\nbr "),
            "{written}"
        );
        assert_eq!(Meta::parse(written.as_bytes()), Ok(meta));
    }

    #[test]
    fn security_profile_is_legacy_hardened_or_unknown() {
        let profile = |text: &str| {
            let text = format!("edition = ee\nversion = \"6.3.0\"\n{text}");
            Meta::parse(text.as_bytes()).unwrap().security_profile()
        };
        assert_eq!(
            profile("security_profile = hardened"),
            Some(SecurityProfile::Hardened)
        );
        assert_eq!(
            profile("security_profile = \"legacy\""),
            Some(SecurityProfile::Legacy)
        );
        assert_eq!(profile("security_profile = other"), None);
        assert_eq!(profile(""), None);
    }

    #[test]
    fn parse_refuses_missing_and_wrong_keys_like_emqx() {
        let refusal = |bytes: &[u8]| Meta::parse(bytes).unwrap_err().refusal();
        assert_eq!(refusal(b"edition = ee"), Refusal::MissingBackupMeta);
        assert_eq!(refusal(b"version = \"6.0.0\""), Refusal::MissingBackupMeta);
        assert_eq!(refusal(b"\xff"), Refusal::MissingBackupMeta);
        assert_eq!(refusal(b"edition = {}\n"), Refusal::MissingBackupMeta);
        assert_eq!(
            refusal(b"edition {}\nversion = []"),
            Refusal::InvalidEdition
        );
        assert_eq!(
            refusal(b"edition = ee\nversion = []"),
            Refusal::InvalidVersion
        );
        let error = Meta::parse(b"edition = ee").unwrap_err();
        assert_eq!(error.to_string(), "it has no `version`");
    }
}
