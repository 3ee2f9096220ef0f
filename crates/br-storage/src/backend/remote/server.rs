//! A server's address and options.
//!
//! [`Server`] holds the URL and the options that determine how the server is reached. Invariant: br sends no
//! unencrypted request to another machine unless the user allowed it.

use std::{sync::Arc, time::Duration};

use object_store::{BackoffConfig, ObjectStore, RetryConfig, path::Path, prefix::PrefixStore};
use url::{Host, Url};

use super::{Connector, Link, build_client};
use crate::{
    error::{Error, ErrorKind, Operation, Result},
    options::NetworkOptions,
};

/// The longest pause before a broken response is continued.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How many times a response may break off.
const MAX_BROKEN: usize = 12;
/// How long a request is continued with one signature.
const MAX_TIME: Duration = Duration::from_secs(300);
/// A year, so that a deadline is a time the clock can reach.
const LONGEST_STALL: Duration = Duration::from_secs(365 * 24 * 3600);

/// A server and the options to reach it.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    /// The location as text.
    place: String,
    /// The server's URL; `None` for the provider's public one.
    pub(crate) url: Option<Url>,
    network: &'a NetworkOptions,
}

impl<'a> Server<'a> {
    /// Checks the URL and the options.
    pub(crate) fn new(
        place: String,
        url: Option<&str>,
        network: &'a NetworkOptions,
    ) -> Result<Self> {
        let parsed = url.map(Url::parse).transpose();
        let mut server = Self {
            place,
            url: None,
            network,
        };
        // The message does not contain the URL, which may hold a password.
        server.url =
            parsed.map_err(|error| server.refuse(format!("the URL of the server: {error}")))?;
        if server.is_plain() && !server.allow_http() {
            return Err(server.refuse(
                "http sends everything in the clear, and this server is not on this machine: use \
                 https, or allow http explicitly",
            ));
        }
        // The HTTP client ignores a proxy URL that it does not understand, and connects directly.
        let proxy = network.proxy.as_ref().map(|url| Url::parse(url.reveal()));
        if proxy.is_some_and(|url| !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"))) {
            return Err(server.refuse("a proxy is named as in http://HOST:PORT"));
        }
        Ok(server)
    }

    /// An error about the location or the options.
    pub(crate) fn refuse(&self, cause: impl Into<String>) -> Error {
        let cause = cause.into();
        Error::new(
            ErrorKind::Invalid,
            Operation::Open,
            None,
            &self.place,
            cause,
        )
    }

    fn is_plain(&self) -> bool {
        self.url.as_ref().map(Url::scheme) == Some("http")
    }

    /// Returns whether unencrypted requests are allowed.
    pub(crate) fn allow_http(&self) -> bool {
        let is_here = match self.url.as_ref().and_then(Url::host) {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        };
        self.network.allow_http || is_here
    }

    /// Makes the shared state and a connector. Sends no request.
    pub(crate) fn connect(&self) -> Result<(Arc<Link>, Connector)> {
        let client = build_client(self.network, self.allow_http(), self.is_plain())
            .map_err(|error| self.refuse(format!("the connection cannot be set up: {error}")))?;
        let link = Link::new(self.network);
        let connector = Connector::new(
            client,
            Arc::clone(&link),
            self.network.stall_timeout.min(LONGEST_STALL),
        );
        Ok((link, connector))
    }

    /// Configures `object_store` to continue responses that break off. [`super::retry`] retries requests, and
    /// passes on only errors that must not be retried.
    pub(crate) fn retries(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                max_backoff: MAX_PAUSE,
                ..BackoffConfig::default()
            },
            max_retries: MAX_BROKEN,
            retry_timeout: self.network.retry_for.min(MAX_TIME),
        }
    }

    /// Restricts a store to a folder. The empty folder is the whole bucket.
    pub(crate) fn in_folder(
        &self,
        store: impl ObjectStore,
        folder: &str,
    ) -> Result<Arc<dyn ObjectStore>> {
        if folder.is_empty() {
            return Ok(Arc::new(store));
        }
        let folder = Path::parse(folder).map_err(|error| self.refuse(error.to_string()))?;
        Ok(Arc::new(PrefixStore::new(store, folder)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_this_machine_unless_it_is_allowed() {
        let network = NetworkOptions::default();
        let allowed = NetworkOptions::default().with_allow_http(true);
        let open = |host: &str, network| {
            Server::new(
                "s3://bucket".to_owned(),
                Some(&format!("http://{host}")),
                network,
            )
            .map(drop)
        };
        for host in ["127.0.0.1:9000", "localhost", "[::1]:80", "s3.localhost"] {
            assert!(open(host, &network).is_ok(), "{host}");
        }
        for host in ["10.0.0.1:9000", "minio.example", "localhost.example"] {
            assert_eq!(open(host, &network).unwrap_err().kind(), ErrorKind::Invalid);
            assert!(open(host, &allowed).is_ok(), "{host}");
        }
    }
}
