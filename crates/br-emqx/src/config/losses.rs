//! The parts of a configuration that an import loses.
//!
//! [`losses`] lists them. EMQX reports most of them neither at export nor at import. Invariant: a warning is certain or says what it
//! depends on; a value that EMQX imports unchanged gives none.

use super::path::{Trail, walk};
use super::secrets::is_redacted;
use super::{ConfigPath, Import, MAX_FINDINGS, Part, Rest, import_of};
use crate::hocon::{Object, Value};
use crate::rules::Version;

/// A value that an import loses or changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// No importer reads this root.
    #[error("`{path}` is ignored on import: set it on the target by other means")]
    IgnoredRoot {
        /// The root.
        path: ConfigPath,
    },
    /// The importer of the root ignores this part of it.
    #[error("`{path}` is ignored on import, unlike other parts of its root")]
    IgnoredPart {
        /// The part.
        path: ConfigPath,
    },
    /// The root is ignored because the part that identifies it is missing.
    #[error("`{path}` is ignored on import because it has no `{part}`")]
    IgnoredWithout {
        /// The root.
        path: ConfigPath,
        /// The part.
        part: &'static str,
    },
    /// A file that is not in the bundle.
    #[error(
        "`{path}` points at {file:?}, which is not in the bundle: put it on every node before the import"
    )]
    FileNotInBundle {
        /// Where it is named.
        path: ConfigPath,
        /// The file.
        file: String,
    },
    /// A certificate that EMQX manages and does not export.
    #[error(
        "`{path}` names a managed certificate, which EMQX does not export: add it on the target before the import"
    )]
    ManagedCertificate {
        /// Where it is named.
        path: ConfigPath,
    },
    /// A plugin, which EMQX does not export.
    #[error("the plugin {name:?} is neither exported nor imported: install it on the target")]
    Plugin {
        /// Where it is named.
        path: ConfigPath,
        /// Its name and version.
        name: String,
    },
    /// A value that was redacted before the export.
    #[error("`{path}` has a placeholder instead of a secret: set it again on the target")]
    Redacted {
        /// Its place.
        path: ConfigPath,
    },
    /// A substitution that is resolved on the target.
    #[error("`{path}` is taken from the environment of the target")]
    Substitution {
        /// Its place.
        path: ConfigPath,
    },
}

impl Warning {
    /// Returns the place of the value.
    #[must_use]
    pub const fn path(&self) -> &ConfigPath {
        match self {
            Self::IgnoredRoot { path }
            | Self::IgnoredPart { path }
            | Self::IgnoredWithout { path, .. }
            | Self::FileNotInBundle { path, .. }
            | Self::ManagedCertificate { path }
            | Self::Plugin { path, .. }
            | Self::Redacted { path }
            | Self::Substitution { path } => path,
        }
    }
}

/// Lists what an import of a configuration into a node, or into the newest one, would lose: at most [`MAX_FINDINGS`] roots and as many
/// values.
#[must_use]
pub fn losses(config: &Object, node: Option<&Version>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (root, value) in config.iter() {
        root_losses(&mut Trail::root(root), value, node, &mut warnings);
        if warnings.len() >= MAX_FINDINGS {
            break;
        }
    }
    let limit = warnings.len() + MAX_FINDINGS;
    walk(config, &mut |trail, value| {
        if warnings.len() < limit {
            warnings.extend(value_loss(trail, value));
        }
    });
    warnings
}

fn root_losses<'a>(
    trail: &mut Trail<'a>,
    value: &'a Value,
    node: Option<&Version>,
    warnings: &mut Vec<Warning>,
) {
    let path = trail.path();
    let (parts, rest) = match import_of(trail.first(), node) {
        Import::Ignored => {
            warnings.push(Warning::IgnoredRoot { path });
            return;
        }
        Import::Merged { parts, rest } => (parts, rest),
        Import::Replaced | Import::ReplacedByOwner => return,
    };
    let Some(object) = value.as_object() else {
        return;
    };
    for part in parts.iter().filter(|part| part.needed) {
        if let Some(part) = part.key.filter(|key| !object.contains_key(key)) {
            let path = path.clone();
            warnings.push(Warning::IgnoredWithout { path, part });
        }
    }
    let is_part = |key: &str| parts.iter().any(|part: &Part| part.key == Some(key));
    if rest == Rest::Ignored {
        for key in object.keys().filter(|key| !is_part(key)).take(MAX_FINDINGS) {
            let path = trail.with_key(key, |trail| trail.path());
            warnings.push(Warning::IgnoredPart { path });
        }
    }
}

fn value_loss(trail: &Trail<'_>, value: &Value) -> Option<Warning> {
    let text = value.as_text().unwrap_or("").trim();
    let path = || trail.path();
    let key = trail.keys().next_back().unwrap_or("");
    if is_redacted(text) {
        return Some(Warning::Redacted { path: path() });
    }
    if let Some(file) = file_outside(trail, key, text) {
        return Some(Warning::FileNotInBundle {
            path: path(),
            file: file.chars().take(FILE_CHARS).collect(),
        });
    }
    if trail.keys().any(|key| key == "managed_certs")
        && matches!(key, "managed_certs" | "bundle_name" | "name")
    {
        return Some(Warning::ManagedCertificate { path: path() });
    }
    if trail.first() == "plugins" && matches!(key, "name_vsn" | "name-vsn") {
        return Some(Warning::Plugin {
            path: path(),
            name: text.chars().take(FILE_CHARS).collect(),
        });
    }
    let is_substitution = matches!(value, Value::Raw(text) if text.contains("${"));
    is_substitution.then(|| Warning::Substitution { path: path() })
}

/// File names are cut to this number of characters.
const FILE_CHARS: usize = 256;

/// The file extensions of files that EMQX reads.
const EXTENSIONS: [&str; 18] = [
    "pem", "crt", "cer", "der", "key", "p12", "pfx", "jks", "conf", "hocon", "json", "jwk", "jwks",
    "csv", "txt", "acl", "proto", "keytab",
];

/// The file that a value names, if it names one that EMQX would read.
fn file_outside<'a>(trail: &Trail<'_>, key: &str, text: &'a str) -> Option<&'a str> {
    if let Some(file) = text.strip_prefix("file://") {
        return Some(file);
    }
    // The files of `log` are written, not read.
    if text.is_empty()
        || text.contains('\n')
        || text.contains("-----BEGIN")
        || trail.first() == "log"
    {
        return None;
    }
    let (_, extension) = text.rsplit_once('.').unwrap_or(("", ""));
    let has_extension = EXTENSIONS
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known));
    let is_path = text.contains('/') || has_extension;
    let is_file = key.ends_with("file") && is_path;
    // `path` is more often the path of a URL than of a file.
    let is_likely = has_extension
        && (matches!(key, "path" | "public_key" | "private_key")
            || key.ends_with("_path")
            || key.ends_with("_dir"))
        && !text.contains("://");
    let is_acl = key == "path" && trail.first() == "authorization";
    (is_file || is_likely || is_acl).then_some(text)
}
