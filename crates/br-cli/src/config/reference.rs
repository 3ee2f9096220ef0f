//! References to secrets.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::environment::variable;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;

/// Where a secret is. Invariant: the text after the colon is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretReference {
    /// A file.
    File(PathBuf),
    /// The output of a command.
    Command(String),
    /// A variable of the environment.
    Variable(String),
    /// A credential of a systemd service.
    Credential(String),
    /// There is no secret: the repository is not encrypted.
    None,
}

impl SecretReference {
    /// The forms of a reference, for hints.
    pub(super) const FORMS: &str =
        "write \"file:PATH\", \"command:COMMAND\", \"env:NAME\", \"credential:NAME\" or \"none\"";

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::None);
        }
        let (kind, rest) = text.split_once(':')?;
        if rest.is_empty() {
            return None;
        }
        match kind {
            "file" => Some(Self::File(PathBuf::from(rest))),
            "command" => Some(Self::Command(rest.to_owned())),
            "env" => Some(Self::Variable(rest.to_owned())),
            "credential" if !rest.contains('/') => Some(Self::Credential(rest.to_owned())),
            _ => None,
        }
    }

    /// The file of the secret, if it is in one.
    pub(crate) fn file(&self) -> Result<Option<PathBuf>, CommandError> {
        match self {
            Self::File(path) => Ok(Some(path.clone())),
            Self::Credential(name) => {
                let folder = variable("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    let message = format!("there is no folder for the credential `{name}`");
                    let hint = "CREDENTIALS_DIRECTORY is not set: systemd sets it for a service with `LoadCredential=`";
                    CommandError::new(ExitStatus::AccessDenied, message, hint)
                })?;
                Ok(Some(Path::new(OsStr::new(&folder)).join(name)))
            }
            _ => Ok(None),
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Command(command) => write!(f, "command:{command}"),
            Self::Variable(name) => write!(f, "env:{name}"),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::None => write!(f, "none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_are_accepted() {
        for text in [
            "file:/etc/p",
            "command:pass show x",
            "env:P",
            "credential:br",
            "none",
        ] {
            let reference = SecretReference::parse(text).unwrap();
            assert_eq!(reference.to_string(), text);
        }
        for text in [
            "hunter2",
            "file:",
            "FILE:/x",
            "credential:../x",
            "",
            "https://x",
        ] {
            assert_eq!(SecretReference::parse(text), None, "{text}");
        }
    }
}
