//! Which server, and how to log in.

use std::fmt;
use std::net::IpAddr;

use br_core::Secret;
use reqwest::Url;

use crate::server::ServerError;

/// The user that a new server has.
const FIRST_USER: &str = "guest";
/// What an address looks like.
const EXAMPLE: &str = "write the address of the management plugin, such as http://127.0.0.1:15672";

/// Which server to back up, and as which user.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RabbitMqOptions {
    /// The user, who needs the tag `administrator`.
    pub user: String,
    /// The password of the user.
    pub password: Secret,
    pub(super) address: Address,
}

/// The address of a management plugin. It has no user and no password.
#[derive(Clone)]
pub(super) struct Address(Url);

impl RabbitMqOptions {
    /// The server at an address such as `http://127.0.0.1:15672`, with the user `guest` and no password. A path is where a proxy has the server.
    ///
    /// # Errors
    /// When the address is none of HTTP, or has a user or a password. The error does not repeat a password.
    pub fn new(address: &str) -> Result<Self, ServerError> {
        Ok(Self {
            user: FIRST_USER.to_owned(),
            password: Secret::new(""),
            address: Address::parse(address)?,
        })
    }

    /// Sets the user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets the password of the user.
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Self {
        self.password = password;
        self
    }

    /// The address, without a slash at its end.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Refuses a user that HTTP cannot transport.
    pub(super) fn check(&self) -> Result<(), ServerError> {
        let reason = match self.user.as_str() {
            "" => "it is empty",
            user if user.contains(':') => "HTTP ends the name of a user at a colon",
            _ => return Ok(()),
        };
        Err(ServerError::BadOption {
            what: format!("the user `{}`", self.user),
            reason: reason.to_owned(),
        })
    }
}

impl Address {
    fn parse(text: &str) -> Result<Self, ServerError> {
        let refused = |what: String, reason: &str| {
            Err(ServerError::BadOption {
                what,
                reason: reason.to_owned(),
            })
        };
        // First of all, so that no other error repeats the password.
        let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
        if authority.contains('@') {
            let reason = "it has a user or a password; give the user by its option, and the password by a file or a variable";
            return refused("the address".to_owned(), reason);
        }
        let what = format!("the address `{text}`");
        let Ok(url) = Url::parse(text) else {
            return refused(what, EXAMPLE);
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return refused(what, EXAMPLE);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refused(what, "it has a `?` or a `#`");
        }
        Ok(Self(url))
    }

    /// The address of a part of the API.
    pub(super) fn of(&self, path: &str) -> String {
        format!("{self}/api/{path}")
    }

    /// True if it certainly is this machine.
    pub(super) fn is_of_this_machine(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = host.parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
