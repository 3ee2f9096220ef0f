//! Text that does not look like the path of a local folder.

use std::fmt;

use super::split_scheme;

/// What a text looks like that could also be the name of a folder.
///
/// If br took such a text for a folder, it would store data where the user does not look for it:
/// `host:/srv/backup` means a folder on another machine, and `~/backup` a folder in the user's home. A path
/// that starts with `./`, `../` or `/` is always a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookalike {
    /// `user@host:/srv`, `host:folder`, `rsync::module` or `\\host\share`.
    Remote,
    /// `C:\folder` or `c:/folder`.
    Drive,
    /// `~/folder` or `~user/folder`.
    Home,
    /// `$HOME/folder`, `${HOME}/folder` or `%USERPROFILE%`.
    Variable,
    /// `folder?endpoint=URL`: options that only URLs have.
    Query,
    /// A URL with this scheme.
    Url(String),
}

impl Lookalike {
    /// Returns what a text looks like; `None` if it is clearly the path of a folder.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        if text.starts_with("./") || text.starts_with("../") {
            return None;
        }
        if let Some((scheme, _)) = split_scheme(text) {
            return Some(Self::Url(scheme));
        }
        let first = text.split('/').next().unwrap_or(text);
        let name = first.split_once(':').map(|(name, _)| name);
        if text.starts_with("\\\\") {
            Some(Self::Remote)
        } else if name.is_some_and(is_drive) {
            Some(Self::Drive)
        } else if name.is_some() {
            Some(Self::Remote)
        } else if text.starts_with('~') {
            Some(Self::Home)
        } else if is_variable(first) {
            Some(Self::Variable)
        } else if has_query(text) {
            Some(Self::Query)
        } else {
            None
        }
    }

    /// Returns how to write the path of a folder that really has such a name.
    #[must_use]
    pub fn way_out(&self, text: &str) -> &'static str {
        match self {
            Self::Query if text.starts_with('/') => {
                "for a folder of that name write it as file:///… with %3F for the question mark"
            }
            _ => "for a folder of that name write ./ in front of it, or its absolute path",
        }
    }

    /// Returns the part of the text that can be shown. The rest may be a password.
    pub(super) fn shown(&self, text: &str) -> String {
        let (end, mark) = match self {
            Self::Query => (text.find('?'), "?…"),
            _ => (text.find([':', '@']), "…"),
        };
        match end {
            Some(end) => format!("{}{mark}", text[..end].escape_debug()),
            None => text.escape_debug().to_string(),
        }
    }
}

impl fmt::Display for Lookalike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote => f.write_str("it looks like a folder on another machine, which br cannot reach"),
            Self::Drive => f.write_str("it looks like a folder on a drive of Windows"),
            Self::Home => f.write_str("the shell did not replace the ~ in it: write it without quotes, or write the whole path"),
            Self::Variable => f.write_str(
                "the variable in it was not replaced by its value: write it without single quotes, or write the whole path",
            ),
            Self::Query => f.write_str("only URLs such as s3://BUCKET/FOLDER take options after a question mark"),
            Self::Url(scheme) => write!(f, "it looks like a URL of {scheme}"),
        }
    }
}

fn is_drive(name: &str) -> bool {
    name.len() == 1 && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_variable(first: &str) -> bool {
    let in_unix = first.strip_prefix('$').is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || "_{(".contains(c))
    });
    let in_windows = first
        .strip_prefix('%')
        .and_then(|rest| rest.split_once('%'))
        .is_some_and(|(name, _)| !name.is_empty());
    in_unix || in_windows
}

/// Returns whether the text has the form `…?name=…`.
fn has_query(text: &str) -> bool {
    let query = text
        .split_once('?')
        .and_then(|(_, query)| query.split_once('='));
    query.is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_paths_are_detected() {
        for (text, expected) in [
            ("user@host:/srv/backup", Lookalike::Remote),
            ("host:backup", Lookalike::Remote),
            ("host::module", Lookalike::Remote),
            ("[::1]:/srv", Lookalike::Remote),
            ("\\\\host\\share", Lookalike::Remote),
            ("C:\\repo", Lookalike::Drive),
            ("d:/repo", Lookalike::Drive),
            ("~", Lookalike::Home),
            ("~/r", Lookalike::Home),
            ("~anna/r", Lookalike::Home),
            ("$HOME/x", Lookalike::Variable),
            ("${HOME}/x", Lookalike::Variable),
            ("%USERPROFILE%\\x", Lookalike::Variable),
            ("/mnt/x?endpoint=1", Lookalike::Query),
            ("x?region=eu", Lookalike::Query),
            ("s3://bucket/x", Lookalike::Url("s3".to_owned())),
            ("ftp:x", Lookalike::Url("ftp".to_owned())),
        ] {
            assert_eq!(Lookalike::of(text), Some(expected), "{text}");
        }
        for text in [
            "backup",
            "/srv/a:b",
            "./host:backup",
            "../C:\\repo",
            "./~",
            "./$HOME",
            "a/b:c",
            "a@b",
            "$",
            "50%",
            "what?",
            "./x?endpoint=1",
            "/srv/$RECYCLE.BIN",
            "",
        ] {
            assert_eq!(Lookalike::of(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_shown_that_may_be_a_password() {
        for text in [
            "user:secret@host:/x",
            "user@secret:/x",
            "/x?endpoint=secret",
            "C:secret",
        ] {
            let looks = Lookalike::of(text).unwrap();
            assert!(!looks.shown(text).contains("secret"), "{text}");
        }
    }
}
