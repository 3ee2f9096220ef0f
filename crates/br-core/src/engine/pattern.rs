//! Patterns for paths in a backup.

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, Result};
use crate::platform::os_path;
use crate::source::MAX_PATTERN;

/// Maximum depth of braces in braces.
const MAX_DEPTH: usize = 16;

/// A pattern in the syntax of shells: `*` and `?` do not match a slash, `**` matches any folders.
#[derive(Debug, Clone)]
pub(super) struct PathPattern {
    matcher: GlobMatcher,
    /// The pattern has no slash and matches names, not paths.
    is_name: bool,
    ignores_case: bool,
}

impl PathPattern {
    /// A pattern without a slash matches names in every folder.
    pub(super) fn parse(pattern: &str, ignores_case: bool) -> Result<Self> {
        let is_name = !pattern.contains('/');
        Self::new(pattern, ignores_case, is_name)
    }

    /// A pattern for entries of a backup: `*.rs` matches names in every folder, `src/*.rs` the end of a path, and `/src/*.rs` a whole path.
    pub(super) fn anywhere(pattern: &str, ignores_case: bool) -> Result<Self> {
        let parts = pattern.split('/');
        let parts: Vec<&str> = parts
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        let [.., _] = parts.as_slice() else {
            return Err(Error::invalid(format!("`{pattern}` is not a pattern")));
        };
        let path = parts.join("/");
        if pattern.starts_with('/') {
            Self::whole(&path, ignores_case)
        } else if parts.len() > 1 {
            Self::whole(&format!("**/{path}"), ignores_case)
        } else {
            Self::parse(&path, ignores_case)
        }
    }

    /// A pattern for the whole path.
    fn whole(pattern: &str, ignores_case: bool) -> Result<Self> {
        Self::new(pattern, ignores_case, false)
    }

    fn new(pattern: &str, ignores_case: bool, is_name: bool) -> Result<Self> {
        check(pattern)?;
        let folded = ignores_case.then(|| pattern.to_lowercase());
        let glob = GlobBuilder::new(folded.as_deref().unwrap_or(pattern))
            .literal_separator(true)
            .case_insensitive(ignores_case)
            .build();
        let glob = glob.map_err(|error| {
            Error::invalid(format!("`{pattern}` is not a pattern")).with_source(error)
        })?;
        Ok(Self {
            matcher: glob.compile_matcher(),
            is_name,
            ignores_case,
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
        if self.ignores_case
            && !text.is_ascii()
            && let Ok(text) = std::str::from_utf8(text)
        {
            // The matcher folds only ASCII letters.
            return self.matcher.is_match(text.to_lowercase());
        }
        self.matcher.is_match(os_path(text))
    }
}

/// Refuses patterns that take much time and memory.
fn check(pattern: &str) -> Result<()> {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for c in pattern.bytes() {
        match c {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if pattern.len() > MAX_PATTERN || deepest > MAX_DEPTH {
        return Err(Error::invalid(format!(
            "a pattern may have at most {MAX_PATTERN} bytes and {MAX_DEPTH} braces in each other"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str, ignores_case: bool) -> bool {
        let pattern = PathPattern::anywhere(pattern, ignores_case).unwrap();
        pattern.matches(path.as_bytes())
    }

    #[test]
    fn spelling_of_the_path_in_a_pattern_does_not_matter() {
        for pattern in [
            "src/a.rs",
            "./src/a.rs",
            "src//a.rs",
            "src/./a.rs/",
            "a.rs",
            "./a.rs",
        ] {
            assert!(matches(pattern, "x/src/a.rs", false), "{pattern}");
        }
        for (pattern, path, expected) in [
            ("/src/a.rs", "x/src/a.rs", false),
            ("//src/./a.rs", "src/a.rs", true),
        ] {
            assert_eq!(matches(pattern, path, false), expected, "{pattern}");
        }
        for empty in ["", "/", "./", "."] {
            assert!(PathPattern::anywhere(empty, false).is_err(), "{empty}");
        }
    }

    #[test]
    fn case_of_letters_is_ignored_in_every_script() {
        for (pattern, path) in [
            ("ÉTÉ*", "d/été.txt"),
            ("été*", "d/ÉTÉ.TXT"),
            ("*.JPG", "a.jpg"),
            ("Ж?.txt", "жx.txt"),
        ] {
            assert!(matches(pattern, path, true), "{pattern}");
            assert!(!matches(pattern, path, false), "{pattern}");
        }
    }

    #[test]
    fn costly_patterns_are_refused() {
        let long = "*".repeat(MAX_PATTERN + 1);
        let deep = format!("{}x{}", "{a,".repeat(5_000), "}".repeat(5_000));
        let nested = format!("{}x{}", "{a,".repeat(17), "}".repeat(17));
        for pattern in [&long, &deep, &nested] {
            assert!(PathPattern::anywhere(pattern, false).is_err());
        }
        let longest = "*".repeat(MAX_PATTERN);
        let deepest = format!("{}x{}", "{a,".repeat(16), "}".repeat(16));
        for pattern in [&longest, &deepest] {
            let _ = PathPattern::anywhere(pattern, true).unwrap();
        }
    }
}
