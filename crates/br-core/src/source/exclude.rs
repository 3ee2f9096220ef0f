//! What a walk leaves out by name.
//!
//! [`Excludes`] holds the patterns given for a whole backup, [`IgnoreFile`] those of an ignore file, for the folder it
//! lies in and all below. Invariant: both follow the rules of a `.gitignore` file, so that nobody has to learn others.

use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// A pattern that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad pattern `{pattern}`: {reason}")]
pub struct ExcludeError {
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Patterns for paths that stay out of a backup.
///
/// The syntax is that of `.gitignore`, matched against paths in the backup: a pattern without a slash matches a name
/// anywhere, one with a slash starts at the root of the backup, one that ends with a slash matches folders only, `!`
/// takes back what an earlier pattern left out. What an excluded folder holds cannot be taken back.
#[derive(Debug, Clone)]
pub struct Excludes(Gitignore);

impl Excludes {
    /// Reads patterns. Empty ones and those which start with `#` mean nothing.
    ///
    /// # Errors
    /// When a pattern cannot be understood.
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, ExcludeError> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            if let Err(error) = builder.add_line(None, pattern) {
                return Err(ExcludeError {
                    pattern: pattern.to_owned(),
                    reason: reason(error),
                });
            }
        }
        let matcher = builder.build();
        matcher.map(Self).map_err(|error| ExcludeError {
            pattern: String::new(),
            reason: reason(error),
        })
    }

    /// True when there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether to leave out the entry at `path`; `None` when no pattern speaks of it.
    pub(super) fn verdict(&self, path: &Path, is_folder: bool) -> Option<bool> {
        verdict(&self.0, path, is_folder)
    }
}

impl Default for Excludes {
    fn default() -> Self {
        Self(Gitignore::empty())
    }
}

/// The patterns of one ignore file.
#[derive(Debug)]
pub(super) struct IgnoreFile(Gitignore);

impl IgnoreFile {
    /// Reads the file's content. A line that cannot be understood leaves nothing out: too much in a backup does less
    /// harm than too little.
    pub(super) fn parse(contents: &[Vec<u8>]) -> Self {
        let mut builder = GitignoreBuilder::new("");
        for content in contents {
            let text = String::from_utf8_lossy(content);
            for line in text.trim_start_matches('\u{feff}').lines() {
                drop(builder.add_line(None, line));
            }
        }
        Self(builder.build().unwrap_or_else(|_| Gitignore::empty()))
    }

    /// Whether to leave out the entry at `path`, given from the file's folder; `None` when no pattern speaks of it.
    pub(super) fn verdict(&self, path: &Path, is_folder: bool) -> Option<bool> {
        verdict(&self.0, path, is_folder)
    }
}

fn verdict(matcher: &Gitignore, path: &Path, is_folder: bool) -> Option<bool> {
    match matcher.matched(path, is_folder) {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

/// The library's own text repeats the pattern, which the caller shows already.
fn reason(error: ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(patterns: &[&str], path: &str, is_folder: bool) -> bool {
        let excludes = Excludes::parse(patterns.iter().copied()).unwrap();
        excludes
            .verdict(Path::new(path), is_folder)
            .unwrap_or(false)
    }

    #[test]
    fn patterns_mean_what_they_mean_in_gitignore() {
        assert!(left_out(&["*.o"], "a/b/c.o", false));
        assert!(left_out(&["a/b"], "a/b", true) && !left_out(&["a/b"], "x/a/b", true));
        assert!(left_out(&["/home/u/cache"], "home/u/cache", true));
        assert!(left_out(&["cache/"], "u/cache", true) && !left_out(&["cache/"], "u/cache", false));
        assert!(!left_out(&["*.o", "!keep.o"], "a/keep.o", false));
        assert!(left_out(&["a/**/z"], "a/b/c/z", false));
        assert!(left_out(&["# not this", "", "x"], "x", false));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Excludes::parse(["fine", "a{b"]).unwrap_err();
        assert_eq!(error.pattern, "a{b");
        assert!(
            error.to_string().starts_with("bad pattern `a{b`: "),
            "{error}"
        );
        assert!(!error.reason.contains("a{b"), "{error}");
    }

    #[test]
    fn a_bad_line_of_an_ignore_file_is_passed_over() {
        let file = IgnoreFile::parse(&[b"\xef\xbb\xbf*.tmp\na{b\r\n!keep.tmp\r\n".to_vec()]);
        assert_eq!(file.verdict(Path::new("x/a.tmp"), false), Some(true));
        assert_eq!(file.verdict(Path::new("x/keep.tmp"), false), Some(false));
        assert_eq!(file.verdict(Path::new("a"), false), None);
    }
}
