//! Options for servers.

use std::time::Duration;

use crate::{secret::Secret, waiting::NetworkStatus};

/// The default number of concurrent requests.
const CONNECTIONS: usize = 16;

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkOptions {
    /// The maximum number of concurrent requests.
    pub connections: usize,
    /// The maximum number of bytes sent in a second; `None` for no limit.
    pub upload_limit: Option<u64>,
    /// The maximum number of bytes received in a second; `None` for no limit.
    pub download_limit: Option<u64>,
    /// A request fails if it transfers no byte for this time. A request that makes progress never times out,
    /// however large the object and however slow the link.
    pub stall_timeout: Duration,
    /// How long failures are retried, with growing pauses. The time begins with the first failure after the
    /// last success, and all requests to the server share it. If a server has not responded once since the
    /// storage was opened, br gives up within seconds.
    pub retry_for: Duration,
    /// Reports whether the storage waits for its server.
    pub status: NetworkStatus,
    /// Trusted certificates in PEM, in addition to those of the system.
    pub ca_certificates: Vec<Vec<u8>>,
    /// URL of a proxy, which may hold a password. `None` uses the usual environment variables.
    pub proxy: Option<Secret>,
    /// Allows `http://` to other machines. Anyone on the network path can then read and change the data.
    pub allow_http: bool,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            upload_limit: None,
            download_limit: None,
            stall_timeout: Duration::from_secs(60),
            retry_for: Duration::from_secs(180),
            status: NetworkStatus::default(),
            ca_certificates: Vec::new(),
            proxy: None,
            allow_http: false,
        }
    }
}

impl NetworkOptions {
    /// Sets the maximum number of concurrent requests, at least 1.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Sets the maximum number of bytes sent in a second.
    #[must_use]
    pub fn with_upload_limit(mut self, bytes_per_second: Option<u64>) -> Self {
        self.upload_limit = bytes_per_second;
        self
    }

    /// Sets the maximum number of bytes received in a second.
    #[must_use]
    pub fn with_download_limit(mut self, bytes_per_second: Option<u64>) -> Self {
        self.download_limit = bytes_per_second;
        self
    }

    /// Sets how long a request may make no progress before it fails.
    #[must_use]
    pub fn with_stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// Sets how long failures are retried.
    #[must_use]
    pub fn with_retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// Sets the handle that reports whether the storage waits for its server.
    #[must_use]
    pub fn with_status(mut self, status: NetworkStatus) -> Self {
        self.status = status;
        self
    }

    /// Trusts a certificate in PEM in addition to those of the system.
    #[must_use]
    pub fn with_ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates.push(pem.into());
        self
    }

    /// Sets the URL of a proxy.
    #[must_use]
    pub fn with_proxy(mut self, url: Option<String>) -> Self {
        self.proxy = url.map(Secret::from);
        self
    }

    /// Allows `http://` to other machines.
    #[must_use]
    pub fn with_allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }
}
