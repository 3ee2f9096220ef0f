//! The repository's configuration, `br.json` (section 2).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FormatError, FormatVersion, limits};
use crate::model::RepositoryId;

const FORMAT: &str = "br repository";

/// The configuration of a repository. It never changes after `init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Config {
    format: String,
    /// Format version that the repository was created with.
    pub version: FormatVersion,
    /// The repository's id.
    #[serde(with = "as_text")]
    pub id: RepositoryId,
    /// When the repository was created.
    pub created: Timestamp,
    /// How its objects are sealed.
    pub cipher: Cipher,
    /// How files are cut.
    pub chunker: ChunkerConfig,
    /// What the store guaranteed when the repository was created.
    pub store: StoreConfig,
}

/// What a store guaranteed when the repository was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreConfig {
    /// The store refuses to create an object with an existing key. Without this, only one writer may be active at a time.
    pub exclusive_create: bool,
    /// A listing shows every object as soon as it is written.
    pub fresh_lists: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            exclusive_create: true,
            fresh_lists: true,
        }
    }
}

/// How objects are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cipher {
    /// Not encrypted; checksums only.
    None,
    /// AES-256-GCM.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

impl Cipher {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Aes256Gcm => 1,
        }
    }
}

/// How files are cut into chunks. Lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkerConfig {
    /// Minimum length of a chunk, except the last one of a file.
    pub min: u32,
    /// From this length on, a cut is more likely. A power of two.
    pub target: u32,
    /// Maximum length of a chunk.
    pub max: u32,
    /// Files up to this length become one chunk.
    pub small_file: u32,
    /// Files up to this length are stored inline in their entry.
    pub inline: u32,
}

impl Default for ChunkerConfig {
    fn default() -> Self {
        Self {
            min: 16 << 10,
            target: 64 << 10,
            max: 256 << 10,
            small_file: 128 << 10,
            inline: 512,
        }
    }
}

impl ChunkerConfig {
    fn is_sound(&self) -> bool {
        let limit = limits::CHUNK as u32;
        self.target.is_power_of_two()
            && (1 << 10..=1 << 22).contains(&self.target)
            && (64..=self.target).contains(&self.min)
            && (self.target..=limit / 4).contains(&self.max)
            && self.small_file <= limit
            && self.inline <= 64 << 10
    }
}

impl Config {
    /// The configuration of a new repository.
    #[must_use]
    pub fn new(id: RepositoryId, created: Timestamp, cipher: Cipher, store: StoreConfig) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: super::FORMAT_VERSION,
            id,
            created,
            cipher,
            chunker: ChunkerConfig::default(),
            store,
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        with_checksum(serde_json::to_value(self).expect("plain values become JSON"))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let not_ours = FormatError::Kind("the configuration of a br repository");
        let value: Value = serde_json::from_slice(bytes).map_err(|_| not_ours.clone())?;
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(not_ours);
        }
        // Check the version first: later versions may have other fields.
        let version = value.get("version").cloned().unwrap_or_default();
        let version: FormatVersion = serde_json::from_value(version)
            .map_err(|_| FormatError::Malformed("the version is missing"))?;
        version.check_readable()?;
        let value = without_checksum(value)?;
        if value
            .get("cipher")
            .is_none_or(|c| serde_json::from_value::<Cipher>(c.clone()).is_err())
        {
            return Err(FormatError::Unknown("cipher"));
        }
        let config: Self = serde_json::from_value(value)
            .map_err(|_| FormatError::Malformed("a field is missing or wrong"))?;
        if config.chunker.is_sound() {
            Ok(config)
        } else {
            Err(FormatError::Malformed(
                "the chunker's lengths contradict each other",
            ))
        }
    }
}

/// Serialises a document with its checksum, as indented JSON.
pub(super) fn with_checksum(mut value: Value) -> Vec<u8> {
    let sum = checksum(&value);
    if let Value::Object(fields) = &mut value {
        fields.insert("checksum".to_owned(), Value::String(sum));
    }
    let mut bytes = serde_json::to_vec_pretty(&value).expect("plain values become JSON");
    bytes.push(b'\n');
    bytes
}

/// Checks a document's checksum and removes it.
pub(super) fn without_checksum(mut value: Value) -> Result<Value, FormatError> {
    let fields = value
        .as_object_mut()
        .ok_or(FormatError::Malformed("it is not a JSON object"))?;
    let claimed = fields.remove("checksum");
    if claimed.as_ref().and_then(Value::as_str) == Some(checksum(&value).as_str()) {
        Ok(value)
    } else {
        Err(FormatError::Checksum)
    }
}

/// The checksum of a document. `serde_json` sorts the keys of an object, so equal documents have equal bytes.
fn checksum(value: &Value) -> String {
    blake3::hash(value.to_string().as_bytes())
        .to_hex()
        .to_string()
}

/// Serialises ids by their text.
pub(super) mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: std::fmt::Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }

    /// Serialises lists of ids.
    pub(crate) mod list {
        use super::Serializer;

        pub(crate) fn serialize<T: std::fmt::Display, S: Serializer>(
            values: &[T],
            to: S,
        ) -> Result<S::Ok, S::Error> {
            to.collect_seq(values.iter().map(ToString::to_string))
        }
    }

    /// Serialises an id that may be absent.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Error, Serializer};

        pub(crate) fn serialize<T: std::fmt::Display, S: Serializer>(
            value: &Option<T>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => to.collect_str(value),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
        where
            T: std::str::FromStr<Err: std::fmt::Display>,
            D: Deserializer<'de>,
        {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| text.parse().map_err(D::Error::custom))
                .transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(
            RepositoryId(uuid::Uuid::from_u128(7)),
            Timestamp::UNIX_EPOCH,
            Cipher::None,
            StoreConfig::default(),
        )
    }

    #[test]
    fn an_altered_configuration_is_noticed() {
        let bytes = config().to_bytes();
        assert_eq!(Config::from_bytes(&bytes).unwrap(), config());
        let text = String::from_utf8(bytes).unwrap();
        let altered = text.replace("65536", "32768");
        assert_eq!(
            Config::from_bytes(altered.as_bytes()),
            Err(FormatError::Checksum)
        );
        let newer = text.replace("\"major\": 1", "\"major\": 2");
        assert!(matches!(
            Config::from_bytes(newer.as_bytes()),
            Err(FormatError::Version(_))
        ));
        for junk in ["", "{}", "[]", "{\"format\":\"restic\"}", "nonsense"] {
            assert!(matches!(
                Config::from_bytes(junk.as_bytes()),
                Err(FormatError::Kind(_))
            ));
        }
    }

    #[test]
    fn contradictory_lengths_are_refused() {
        for (key, value) in [
            ("target", 3),
            ("min", 1 << 20),
            ("max", 1),
            ("small_file", 1 << 30),
        ] {
            let mut json = serde_json::to_value(config()).unwrap();
            json["chunker"][key] = value.into();
            let result = Config::from_bytes(&with_checksum(json));
            assert!(
                matches!(result, Err(FormatError::Malformed(_))),
                "{key}: {result:?}"
            );
        }
    }
}
