//! Values of options that can be wrong: what is refused, and in which words.
//!
//! A [`BadValue`] says what is wrong, and an example that is right becomes the hint. Invariant: no message is that of a
//! parser for numbers, which knows neither the option nor its range.

use std::ffi::OsStr;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use br_core::Lookalike;
use clap::builder::{PathBufValueParser, TypedValueParser};

/// Most worker threads that can be asked for.
const MAX_THREADS: usize = 256;

/// A value that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadValue {
    message: String,
    /// What to type in its place.
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

/// Reads a whole number of a range. The example is what a right command line has, such as `--threads 4`.
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
            let message = format!("{meaning} is a whole number from {from} to {to}");
            Err(BadValue::new(
                message,
                format!("write for example {example}"),
            ))
        }
    }
}

/// Reads a number of threads.
pub(crate) fn threads(text: &str) -> Result<usize, BadValue> {
    number(1..=MAX_THREADS, "the number of threads", "--threads 4")(text)
}

/// Reads a word that names something, such as a host or a tag: any text but an empty one, which is most likely a variable
/// that is not set.
pub(crate) fn word(
    example: &'static str,
) -> impl Fn(&str) -> Result<String, BadValue> + Clone + Send + Sync + 'static {
    move |text| {
        let hint = || format!("write for example {example}, or leave the option out");
        let trimmed = text.trim();
        if trimmed.is_empty() {
            let message = "it is empty: a variable in the command line may not be set";
            return Err(BadValue::new(message, hint()));
        }
        if trimmed.chars().any(char::is_control) {
            return Err(BadValue::new("it holds control characters", hint()));
        }
        Ok(trimmed.to_owned())
    }
}

/// Reads the path of a folder of this machine that may be made: not what looks like another machine's, and not what a shell
/// left as it was.
pub(crate) fn folder() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match refuse_lookalike(path.as_os_str()) {
        None => Ok(path),
        Some(bad) => Err(bad),
    })
}

/// Says why a path is none that should be made; `None` when it is fine.
pub(crate) fn refuse_lookalike(path: &OsStr) -> Option<BadValue> {
    let text = path.to_str()?;
    if text.trim().is_empty() {
        let message = "it is empty: a variable in the command line may not be set";
        return Some(BadValue::new(message, "name a folder"));
    }
    let looks = Lookalike::of(text)?;
    match looks {
        // A path that begins with a slash is one, whatever it holds: nothing but a location has options.
        Lookalike::Query if text.starts_with('/') => None,
        Lookalike::Url(ref scheme) if scheme == "file" => Some(BadValue::new(
            "it looks like a URL, and a path is needed",
            "leave file:// out",
        )),
        _ => Some(BadValue::new(looks.to_string(), looks.way_out(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_refused_with_their_range_and_an_example() {
        let level = number(1..=19, "the level", "--compression 3");
        assert_eq!(level("7"), Ok(7));
        for text in ["max", "40", "0", "-1", "", "99999999999999999999", "3.5"] {
            let bad = level(text).unwrap_err();
            assert_eq!(
                bad.to_string(),
                "the level is a whole number from 1 to 19",
                "{text}"
            );
            assert_eq!(bad.hint, "write for example --compression 3");
        }
        assert!(threads("0").is_err() && threads("256") == Ok(256));
    }

    #[test]
    fn words_are_not_empty() {
        let host = word("--host web1");
        assert_eq!(host(" web1 "), Ok("web1".to_owned()));
        for text in ["", " ", "\t", "a\nb"] {
            assert!(host(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn folders_are_those_of_this_machine() {
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
