//! A server before the first request.
//!
//! [`Server`] is what its URL and the options tell of the way to it. Invariant: nothing goes in the
//! clear beyond this machine unless the user allowed it.

use std::{sync::Arc, time::Duration};

use object_store::{BackoffConfig, ObjectStore, RetryConfig, path::Path, prefix::PrefixStore};
use url::{Host, Url};

use super::{Connector, Link, build_client};
use crate::{
    error::{Error, ErrorKind, Operation, Result},
    options::NetworkOptions,
};

/// Pauses before an answer is gone on with grow up to this.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How often an answer may break off.
const MAX_BROKEN: usize = 12;
/// For no longer is a request continued with its signature.
const MAX_TIME: Duration = Duration::from_secs(300);
/// A year, so that a deadline is a time the clock can reach.
const LONGEST_STALL: Duration = Duration::from_secs(365 * 24 * 3600);

/// A server, and how it is reached.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    /// The location as text.
    place: String,
    /// Where it is, unless that is what its provider is known for.
    pub(crate) url: Option<Url>,
    network: &'a NetworkOptions,
}

impl<'a> Server<'a> {
    /// Looks at the URL and the options together.
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
        // The URL is not repeated: it may hold a password.
        server.url =
            parsed.map_err(|error| server.refuse(format!("the URL of the server: {error}")))?;
        if server.is_plain() && !server.allow_http() {
            return Err(server.refuse(
                "http sends everything in the clear, and this server is not on this machine: use \
                 https, or allow http explicitly",
            ));
        }
        // The client below ignores a proxy it does not understand, and goes around it.
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

    /// Returns whether requests may go in the clear.
    pub(crate) fn allow_http(&self) -> bool {
        let is_here = match self.url.as_ref().and_then(Url::host) {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        };
        self.network.allow_http || is_here
    }

    /// Makes the way to it. No request is made.
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

    /// The layer above goes on with an answer that broke off. Requests are tried again by [`super::retry`], which hands up
    /// only what is not to be tried again.
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

    /// Puts everything below a folder; the empty one is the bucket.
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
