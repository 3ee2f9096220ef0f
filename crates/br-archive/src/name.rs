//! Names of bundles: `<prefix>-YYYY-MM-DD-HH-mm-ss.sss`.
//!
//! [`BundleName`] is one. Invariant: the file and the archive's only top directory have the same base name, so that a renamed bundle
//! is noticed.

use std::fmt;

/// Why a bundle cannot have a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The prefix is empty or has other characters than letters, digits, `-` and `_`.
    #[error("`{0}` cannot be the prefix of a bundle's name")]
    Prefix(String),
    /// The time is not of the form `YYYY-MM-DD-HH-mm-ss.sss`.
    #[error("`{0}` is not a time of the form YYYY-MM-DD-HH-mm-ss.sss")]
    Time(String),
}

/// The base name of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BundleName(String);

impl BundleName {
    /// Puts a name together from a prefix such as `br-export` or `emqx-export` and a time.
    ///
    /// # Errors
    /// When either of them is not of the form that readers expect.
    pub fn new(prefix: &str, time: &str) -> Result<Self, NameError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if prefix.is_empty() || !prefix.chars().all(is_plain) {
            return Err(NameError::Prefix(prefix.to_owned()));
        }
        let form = "dddd-dd-dd-dd-dd-dd.ddd";
        let fits = |(c, f): (char, char)| if f == 'd' { c.is_ascii_digit() } else { c == f };
        if time.len() != form.len() || !time.chars().zip(form.chars()).all(fits) {
            return Err(NameError::Time(time.to_owned()));
        }
        Ok(Self(format!("{prefix}-{time}")))
    }

    /// The name of the archive's only top directory.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.0
    }

    /// The name of the file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.tar.gz", self.0)
    }
}

impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_fixed_form_are_made() {
        let name = BundleName::new("emqx-export", "2023-06-09-12-00-01.007").unwrap();
        assert_eq!(name.directory(), "emqx-export-2023-06-09-12-00-01.007");
        for time in [
            "",
            "2023-06-09",
            "2023-06-09-12-00-01,007",
            "2023-06-09-12-00-01.0071",
        ] {
            assert!(
                matches!(BundleName::new("a", time), Err(NameError::Time(_))),
                "{time}"
            );
        }
        for prefix in ["", "a/b", "..", "a b"] {
            let name = BundleName::new(prefix, "2023-06-09-12-00-01.007");
            assert!(matches!(name, Err(NameError::Prefix(_))), "{prefix}");
        }
    }
}
