//! Where a server listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::server::ServerError;

/// The port of a server whose address has none.
const PORT: u16 = 6379;

/// Where a server listens: `HOST`, `HOST:PORT`, `redis://HOST:PORT`, or the path of a socket, which starts with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisAddress {
    /// A host and a port.
    Tcp {
        /// The host, without the brackets of an IPv6 address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Socket(PathBuf),
}

impl FromStr for RedisAddress {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let bad = |reason: &str| ServerError::BadOption {
            what: format!("the address `{text}`"),
            reason: reason.to_owned(),
        };
        if text.contains('@') {
            // Without the text: it may have a password.
            return Err(ServerError::BadOption {
                what: "an address with a user or a password".to_owned(),
                reason: "the list of processes would show the password".to_owned(),
            });
        }
        if text.starts_with('/') {
            return Ok(Self::Socket(text.into()));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Socket(path.trim_start_matches("//").into()));
        }
        let rest = text.strip_prefix("redis://").unwrap_or(text);
        if rest.contains("://") {
            return Err(bad("write HOST:PORT, or the path of a socket"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // An IPv6 address has colons itself: brackets or the lack of a port tell.
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (
                host,
                Some(
                    port.strip_prefix(':')
                        .ok_or_else(|| bad("after the bracket, write a colon and the port"))?,
                ),
            ),
            None if rest.matches(':').count() > 1 => (rest, None),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() || host.contains(['/', ' ']) {
            return Err(bad("write HOST:PORT, or the path of a socket"));
        }
        let port = match port {
            None => PORT,
            Some(port) => match port.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err(bad("the port is no number between 1 and 65535")),
            },
        };
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_printed() {
        for (text, printed) in [
            ("db1", "db1:6379"),
            ("127.0.0.1:7000", "127.0.0.1:7000"),
            ("redis://cache.example:6380/", "cache.example:6380"),
            ("::1", "[::1]:6379"),
            ("[::1]", "[::1]:6379"),
            ("[fe80::2]:7001", "[fe80::2]:7001"),
            ("/run/redis/redis.sock", "/run/redis/redis.sock"),
            ("unix:///run/redis.sock", "/run/redis.sock"),
        ] {
            let address: RedisAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn bad_addresses_are_refused_without_showing_a_password() {
        for text in [
            "",
            ":6379",
            "db1:",
            "db1:0",
            "db1:70000",
            "http://db1",
            "[::1]7000",
            "a b",
            "redis://",
        ] {
            let error = text.parse::<RedisAddress>().unwrap_err();
            assert!(
                matches!(error, ServerError::BadOption { .. }),
                "{text}: {error}"
            );
        }
        let error = "redis://anna:secret@db1"
            .parse::<RedisAddress>()
            .unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
