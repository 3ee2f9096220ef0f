//! The importing node, and what it compares: [`Edition`], [`Version`], [`VersionRule`], [`Node`].
//!
//! Invariant: a version keeps its original text, which refusals quote.

use super::Refusal;
use crate::meta::SecurityProfile;

/// An edition of EMQX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edition {
    /// The open source edition, up to 5.8.
    Ce,
    /// The enterprise edition, and every EMQX since 5.9.
    Ee,
}

impl Edition {
    /// Returns EMQX's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ce => "ce",
            Self::Ee => "ee",
        }
    }
}

/// A version of EMQX. Only the first two numbers count for imports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: Option<u64>,
    text: String,
}

impl Version {
    /// Reads a version as EMQX does: numbers between dots, where a part that does not begin with a digit is 0.
    ///
    /// # Errors
    /// [`Refusal::InvalidVersion`] if it has no dot.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut parts = text.split('.');
        let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
            return Err(Refusal::InvalidVersion);
        };
        Ok(Self {
            major: leading_number(major),
            minor: leading_number(minor),
            patch: parts.next().map(leading_number),
            text: text.to_owned(),
        })
    }

    /// The first number.
    #[must_use]
    pub const fn major(&self) -> u64 {
        self.major
    }

    /// The second number.
    #[must_use]
    pub const fn minor(&self) -> u64 {
        self.minor
    }

    /// The original text of the version, including everything after the numbers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if it is this release or a later one. Without a third number it means the last release of its line.
    #[must_use]
    pub fn is_since(&self, release: (u64, u64, u64)) -> bool {
        (self.major, self.minor, self.patch.unwrap_or(u64::MAX)) >= release
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn leading_number(text: &str) -> u64 {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let digits = text.get(..end.unwrap_or(text.len())).unwrap_or("");
    if digits.is_empty() {
        0
    } else {
        digits.parse().unwrap_or(u64::MAX)
    }
}

/// The two rules for versions that may be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionRule {
    /// Up to 5.10: neither number may be greater than the node's.
    V5,
    /// Since 6.0: not 4.x, and not newer than the node.
    V6,
}

impl VersionRule {
    /// Returns the rule of a node of this version.
    #[must_use]
    pub const fn of(node: &Version) -> Self {
        if node.major >= 6 { Self::V6 } else { Self::V5 }
    }

    pub(super) fn allows(self, bundle: &Version, node: &Version) -> bool {
        match self {
            Self::V5 => bundle.major <= node.major && bundle.minor <= node.minor,
            Self::V6 => {
                bundle.major > 4 && (bundle.major, bundle.minor) <= (node.major, node.minor)
            }
        }
    }
}

/// A node that would import a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its edition, as it reports it.
    pub edition: Edition,
    /// Its version.
    pub version: Version,
    /// Its security profile. Nodes before 6.3 have none.
    pub security_profile: Option<SecurityProfile>,
    /// True if it accepts bundles of another security profile.
    pub allow_security_profile_mismatch: bool,
}

impl Node {
    /// A node without a security profile.
    #[must_use]
    pub const fn new(edition: Edition, version: Version) -> Self {
        Self {
            edition,
            version,
            security_profile: None,
            allow_security_profile_mismatch: false,
        }
    }

    /// Sets the security profile.
    #[must_use]
    pub const fn with_security_profile(mut self, profile: SecurityProfile) -> Self {
        self.security_profile = Some(profile);
        self
    }

    /// Accepts bundles of another security profile.
    #[must_use]
    pub const fn allow_security_profile_mismatch(mut self) -> Self {
        self.allow_security_profile_mismatch = true;
        self
    }

    /// True if it accepts enterprise bundles. Since 5.9 there is only one edition.
    pub(super) fn takes_enterprise(&self) -> bool {
        self.edition == Edition::Ee || self.version.is_since((5, 9, 0))
    }
}
