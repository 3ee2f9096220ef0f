//! Value parsers for options, with messages that name the option.
//!
//! A [`BadValue`] says what is wrong, and gives an example of a correct value as the hint. Invariant: no message comes from a
//! number parser of the standard library, because that does not know the option or its range.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use br_core::Lookalike;
use br_sources::server::Launcher;
use clap::builder::{OsStringValueParser, PathBufValueParser, TypedValueParser};

use crate::output::format::parse_size;

/// Maximum number of worker threads.
const MAX_THREADS: usize = 256;

/// A refused value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadValue {
    message: String,
    /// What to type instead.
    pub(crate) hint: String,
}

impl BadValue {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { message, hint }
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadValue {}

/// Reads a whole number in a range. The example is a correct argument, such as `--threads 4`.
pub(crate) fn number<T>(
    range: RangeInclusive<T>,
    meaning: &'static str,
    example: &'static str,
) -> impl Fn(&str) -> Result<T, BadValue> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + fmt::Display + Clone + Send + Sync + 'static,
{
    move |text| match text.trim().parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let (from, to) = (range.start(), range.end());
            let message = format!("{meaning} must be a whole number from {from} to {to}");
            Err(BadValue::new(
                message,
                format!("for example, write {example}"),
            ))
        }
    }
}

/// Reads a command through which the programs of a server run.
pub(crate) fn launcher(text: &str) -> Result<Launcher, BadValue> {
    let hint = "for example, write 'docker exec -i db'";
    match shlex::split(text) {
        None => {
            let message = format!("`{text}` has a quote that does not end");
            Err(BadValue::new(message, hint))
        }
        Some(words) if words.is_empty() => Err(BadValue::new("the command is empty", hint)),
        Some(words) => Ok(Launcher::through(words)),
    }
}

/// Reads a number of threads.
pub(crate) fn threads(text: &str) -> Result<usize, BadValue> {
    number(1..=MAX_THREADS, "the number of threads", "--threads 4")(text)
}

/// Reads a word that names something, such as a host or a tag. Refuses an empty word: most likely a variable in the command
/// line is not set.
pub(crate) fn word(
    example: &'static str,
) -> impl Fn(&str) -> Result<String, BadValue> + Clone + Send + Sync + 'static {
    move |text| {
        let hint = || format!("for example, write {example}, or leave out the option");
        let trimmed = text.trim();
        if trimmed.is_empty() {
            let message = "it is empty: is a variable in the command line not set?";
            return Err(BadValue::new(message, hint()));
        }
        if trimmed.chars().any(char::is_control) {
            return Err(BadValue::new("it contains control characters", hint()));
        }
        Ok(trimmed.to_owned())
    }
}

/// Reads the name of an entry in a folder.
pub(crate) fn name(example: &'static str) -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(move |name| {
        let bytes = name.as_encoded_bytes();
        if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') {
            let message = "it must be the name of an entry, without a slash";
            return Err(BadValue::new(
                message,
                format!("for example, write {example}"),
            ));
        }
        Ok(name)
    })
}

/// Reads a number of bytes, such as `500M`.
pub(crate) fn size(
    example: &'static str,
) -> impl Fn(&str) -> Result<u64, BadValue> + Clone + Send + Sync + 'static {
    move |text| {
        parse_size(text)
            .map_err(|message| BadValue::new(message, format!("for example, write {example}")))
    }
}

/// Reads the path of a local folder that br may create. Refuses text that looks like a remote location, and text that the shell
/// should have expanded.
pub(crate) fn folder() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match refuse_lookalike(path.as_os_str()) {
        None => Ok(path),
        Some(bad) => Err(bad),
    })
}

/// Why br must not create this path; `None` when it may.
pub(crate) fn refuse_lookalike(path: &OsStr) -> Option<BadValue> {
    let text = path.to_str()?;
    if text.trim().is_empty() {
        let message = "it is empty: is a variable in the command line not set?";
        return Some(BadValue::new(message, "name a folder"));
    }
    let looks = Lookalike::of(text)?;
    match looks {
        // An absolute path is always accepted as a path; only a location has options.
        Lookalike::Query if text.starts_with('/') => None,
        Lookalike::Url(ref scheme) if scheme == "file" => Some(BadValue::new(
            "it looks like a URL, but must be a path",
            "leave out file://",
        )),
        _ => Some(BadValue::new(looks.to_string(), looks.way_out(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_number_names_range_and_example() {
        let level = number(1..=19, "the level", "--compression 3");
        assert_eq!(level("7"), Ok(7));
        for text in ["max", "40", "0", "-1", "", "99999999999999999999", "3.5"] {
            let bad = level(text).unwrap_err();
            assert_eq!(
                bad.to_string(),
                "the level must be a whole number from 1 to 19",
                "{text}"
            );
            assert_eq!(bad.hint, "for example, write --compression 3");
        }
        assert!(threads("0").is_err() && threads("256") == Ok(256));
    }

    #[test]
    fn empty_word_is_refused() {
        let host = word("--host web1");
        assert_eq!(host(" web1 "), Ok("web1".to_owned()));
        for text in ["", " ", "\t", "a\nb"] {
            assert!(host(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn remote_location_is_refused_as_folder() {
        for text in ["out", "/srv/out", "./host:x", "/srv/what?a=b", "a/b:c"] {
            assert_eq!(refuse_lookalike(text.as_ref()), None, "{text}");
        }
        for text in [
            "",
            " ",
            "host:x",
            "~/x",
            "$HOME/x",
            "s3://bucket/x",
            "file:///x",
        ] {
            assert!(refuse_lookalike(text.as_ref()).is_some(), "{text}");
        }
    }
}
