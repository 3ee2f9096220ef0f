//! The version of a server and its features.
//!
//! A [`ServerVersion`] is parsed from the greeting that a server sends before the login, such as
//! `8.0.30-MatrixOne-v3.0.11`. Its [`Release`] decides the [`Grammar`] of the statement `BACKUP`. Invariant:
//! a server of unknown release, such as a build from a branch, gets the newest grammar, but br never assumes
//! that it has a safety feature that only newer releases have.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const NAME: &str = "matrixone";
/// The longest greeting that an error shows, in characters.
const MAX_SHOWN: usize = 80;

/// A release of MatrixOne. Only its numbers determine the order: a release candidate counts as its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number.
    pub patch: u16,
}

/// The first release with `PARALLELISM`.
const PARALLELISM: Release = Release::new(1, 1, 3);
/// The first release with `TYPE` and `TIMESTAMP`.
const INCREMENTAL: Release = Release::new(1, 2, 0);
/// The first release that respects a list of files that the client copies.
const FILE_LIST: Release = Release::new(2, 1, 0);
/// The first release in which a backup can delay the garbage collection.
const GC_PROTECTION: Release = Release::new(3, 0, 5);
/// The first release that reads the index of files that several backups share.
const FILE_INDEX: Release = Release::new(3, 0, 6);
/// The first release that reports missing files as an error, stops copying when its statement is killed, and
/// writes files with the framing of its own storage.
const SOUND: Release = Release::new(4, 2, 0);

impl Release {
    /// Makes a release from its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Parses the numbers at the start of a text: `v3.0.11`, `4.0.0-rc1`, `1.2.0-hotfix-20240612`.
    fn leading(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut numbers = text[..end].trim_end_matches('.').split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch = match numbers.next() {
            Some(number) => number.parse().ok()?,
            None => 0,
        };
        Some(Self::new(major, minor, patch))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that does not begin with the numbers of a release.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is not a release of MatrixOne: give it like v3.0.11")]
pub struct NotARelease(String);

impl FromStr for Release {
    type Err = NotARelease;

    fn from_str(text: &str) -> Result<Self, NotARelease> {
        Self::leading(text.trim()).ok_or_else(|| NotARelease(shown(text)))
    }
}

/// The clauses that the statement `BACKUP` may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// Neither `PARALLELISM` nor `TYPE`: before v1.1.3.
    Bare,
    /// `PARALLELISM`, but no `TYPE` and no `TIMESTAMP`: before v1.2.0. There are no incremental backups.
    Parallel,
    /// All clauses.
    Full,
}

/// The product that responded on the port, if it is not MatrixOne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// MariaDB.
    MariaDb,
    /// MySQL, or a server that identifies itself as MySQL.
    MySql,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        })
    }
}

/// A greeting of another product.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this is {product} ('{greeting}'), not MatrixOne")]
pub struct NotMatrixOne {
    /// The product that seems to have sent it.
    pub product: Product,
    /// The greeting, cut short if it is long.
    pub greeting: String,
}

/// The version of a MatrixOne server, as the server reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerVersion {
    text: String,
    release: Option<Release>,
}

impl ServerVersion {
    /// Parses the version in a server's greeting.
    ///
    /// # Errors
    /// [`NotMatrixOne`] if the greeting does not name MatrixOne. The greeting of releases before v1.0, which
    /// had no backups, does not.
    pub fn parse(greeting: &str) -> Result<Self, NotMatrixOne> {
        let lower = greeting.to_ascii_lowercase();
        let Some(at) = lower.find(NAME) else {
            let product = if lower.contains("mariadb") {
                Product::MariaDb
            } else {
                Product::MySql
            };
            return Err(NotMatrixOne {
                product,
                greeting: shown(greeting),
            });
        };
        let rest = greeting[at + NAME.len()..].trim_start_matches(['-', ' ', '_']);
        Ok(Self {
            text: greeting.to_owned(),
            release: Release::leading(rest),
        })
    }

    /// Returns the release; `None` for builds that do not report it.
    #[must_use]
    pub fn release(&self) -> Option<Release> {
        self.release
    }

    /// Returns the grammar that the server understands. An unknown release counts as the newest, because the
    /// grammar has not changed since v1.2.0.
    #[must_use]
    pub fn grammar(&self) -> Grammar {
        match self.release {
            Some(release) if release < PARALLELISM => Grammar::Bare,
            Some(release) if release < INCREMENTAL => Grammar::Parallel,
            _ => Grammar::Full,
        }
    }

    /// Returns whether the server supports incremental backups.
    #[must_use]
    pub fn takes_incrementals(&self) -> bool {
        self.grammar() == Grammar::Full
    }

    /// Returns whether a backup stops copying when its statement is killed; older servers continue to the
    /// end.
    #[must_use]
    pub fn stops_when_cancelled(&self) -> bool {
        self.is_at_least(SOUND)
    }

    /// Returns whether a backup delays the garbage collection, either by itself or at the request of a
    /// client.
    #[must_use]
    pub fn protects_from_gc(&self) -> bool {
        self.is_at_least(GC_PROTECTION)
    }

    /// Returns whether a file that vanished during a backup is an error. Older servers silently leave it out,
    /// so that only a check of the files to which the checkpoints refer finds it.
    #[must_use]
    pub fn reports_missing_files(&self) -> bool {
        self.is_at_least(SOUND)
    }

    /// Returns whether the files of a backup on a disk have the framing of the cluster's own storage, so that
    /// both framings occur. Older servers put a checksum before every block.
    #[must_use]
    pub fn follows_cluster_framing(&self) -> bool {
        self.is_at_least(SOUND)
    }

    /// Returns whether the server leaves out the files that `tae/file_list` names.
    #[must_use]
    pub fn honours_file_list(&self) -> bool {
        self.is_at_least(FILE_LIST)
    }

    /// Returns whether the server leaves out the files that the newest `file_index_*.idx` names.
    #[must_use]
    pub fn honours_file_index(&self) -> bool {
        self.is_at_least(FILE_INDEX)
    }

    fn is_at_least(&self, release: Release) -> bool {
        self.release.is_some_and(|known| known >= release)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.release {
            Some(release) => write!(f, "MatrixOne {release}"),
            None => write!(f, "MatrixOne ({})", shown(&self.text)),
        }
    }
}

/// Prepares a server's text for an error: removes control characters and cuts it to `max` characters.
pub(super) fn shown_to(text: &str, max: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(max)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(max).is_some() {
        shown.push('…');
    }
    shown
}

pub(super) fn shown(text: &str) -> String {
    shown_to(text, MAX_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(greeting: &str) -> ServerVersion {
        ServerVersion::parse(greeting).unwrap()
    }

    #[test]
    fn greetings_of_every_kind_are_read() {
        for (greeting, release) in [
            ("8.0.30-MatrixOne-v3.0.11", Some(Release::new(3, 0, 11))),
            ("8.0.30-MatrixOne-v4.0.0-rc1", Some(Release::new(4, 0, 0))),
            (
                "8.0.30-MatrixOne-v1.2.0-hotfix-20240612",
                Some(Release::new(1, 2, 0)),
            ),
            ("8.0.30-MatrixOne-2.1.0", Some(Release::new(2, 1, 0))),
            ("8.0.30-MatrixOne-v2.1", Some(Release::new(2, 1, 0))),
            ("MatrixOne v1.1.3", Some(Release::new(1, 1, 3))),
            ("8.0.30-MatrixOne-v", None),
            ("8.0.30-MatrixOne", None),
            ("8.0.30-MatrixOne-main-7c27538", None),
            ("8.0.30-MatrixOne-v99999999.0.0", None),
        ] {
            assert_eq!(version(greeting).release(), release, "{greeting}");
        }
    }

    #[test]
    fn other_servers_are_recognised() {
        let product = |greeting| ServerVersion::parse(greeting).unwrap_err().product;
        assert_eq!(
            product("5.5.5-10.11.19-MariaDB-0+deb12u1"),
            Product::MariaDb
        );
        assert_eq!(product("8.0.30"), Product::MySql);
        assert_eq!(product(""), Product::MySql);
        let error = ServerVersion::parse("8.0.\u{1b}[31m30").unwrap_err();
        assert_eq!(
            error.to_string(),
            "this is MySQL ('8.0.\u{fffd}[31m30'), not MatrixOne"
        );
    }

    #[test]
    fn the_grammar_follows_the_release() {
        for (release, grammar) in [
            ("v1.0.0", Grammar::Bare),
            ("v1.1.2", Grammar::Bare),
            ("v1.1.3", Grammar::Parallel),
            ("v1.2.0", Grammar::Full),
            ("v4.2.0", Grammar::Full),
            ("nightly", Grammar::Full),
        ] {
            let version = version(&format!("8.0.30-MatrixOne-{release}"));
            assert_eq!(version.grammar(), grammar, "{release}");
        }
    }

    #[test]
    fn an_unknown_release_is_credited_with_nothing() {
        let unknown = version("8.0.30-MatrixOne-nightly");
        assert!(unknown.takes_incrementals());
        assert!(!unknown.stops_when_cancelled());
        assert!(!unknown.protects_from_gc());
        assert!(!unknown.reports_missing_files());
        let newest = version("8.0.30-MatrixOne-v4.2.0");
        assert!(newest.stops_when_cancelled() && newest.protects_from_gc());
        assert!(!version("8.0.30-MatrixOne-v3.0.4").protects_from_gc());
        assert!(version("8.0.30-MatrixOne-v3.0.5").protects_from_gc());
        assert_eq!(newest.to_string(), "MatrixOne v4.2.0");
    }

    #[test]
    fn a_release_is_read_from_a_text() {
        assert_eq!("v3.0.11".parse(), Ok(Release::new(3, 0, 11)));
        assert_eq!(" 1.2.0 ".parse(), Ok(Release::new(1, 2, 0)));
        assert!("newest".parse::<Release>().is_err());
        assert!("3".parse::<Release>().is_err());
    }
}
