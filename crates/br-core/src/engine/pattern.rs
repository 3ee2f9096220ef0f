//! Patterns for paths in a backup.

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, Result};
use crate::platform::os_path;

/// A pattern in the syntax of shells: `*` and `?` do not match a slash, `**` matches any folders.
#[derive(Debug, Clone)]
pub(super) struct PathPattern {
    matcher: GlobMatcher,
    /// The pattern has no slash and matches names, not paths.
    is_name: bool,
}

impl PathPattern {
    /// A pattern without a slash matches names in every folder.
    pub(super) fn parse(pattern: &str, ignores_case: bool) -> Result<Self> {
        let is_name = !pattern.contains('/');
        Self::new(pattern, ignores_case, is_name)
    }

    /// A pattern for entries of a backup: `*.rs` matches names in every folder, `src/*.rs` the end of a path, and `/src/*.rs` a whole path.
    pub(super) fn anywhere(pattern: &str, ignores_case: bool) -> Result<Self> {
        let trimmed = pattern.trim_end_matches('/');
        if trimmed.trim_start_matches('/').is_empty() {
            return Err(Error::invalid(format!("`{pattern}` is not a pattern")));
        }
        match trimmed.strip_prefix('/') {
            Some(whole) => Self::whole(whole, ignores_case),
            None if trimmed.contains('/') => Self::whole(&format!("**/{trimmed}"), ignores_case),
            None => Self::parse(trimmed, ignores_case),
        }
    }

    /// A pattern for the whole path.
    fn whole(pattern: &str, ignores_case: bool) -> Result<Self> {
        Self::new(pattern, ignores_case, false)
    }

    fn new(pattern: &str, ignores_case: bool, is_name: bool) -> Result<Self> {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .case_insensitive(ignores_case)
            .build();
        let glob = glob.map_err(|error| {
            Error::invalid(format!("`{pattern}` is not a pattern")).with_source(error)
        })?;
        Ok(Self {
            matcher: glob.compile_matcher(),
            is_name,
        })
    }

    /// Whether the pattern matches a path, or the name of its last part.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next();
        let text = if self.is_name {
            name.unwrap_or_default()
        } else {
            path
        };
        self.matcher.is_match(os_path(text))
    }
}
