//! Options for places that are reached over a network.

use std::time::Duration;

use crate::{secret::Secret, waiting::NetworkStatus};

/// Most requests that are under way at once, unless the user says otherwise.
const CONNECTIONS: usize = 16;

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkOptions {
    /// Most requests under way at once.
    pub connections: usize,
    /// Most bytes sent in a second; `None` for as many as the link takes.
    pub upload_limit: Option<u64>,
    /// Most bytes received in a second; `None` for as many as the link gives.
    pub download_limit: Option<u64>,
    /// A request of which no byte moves for so long has failed. It bounds no request that makes
    /// progress, however large it is and however slow the link.
    pub stall_timeout: Duration,
    /// For how long failures are tried again, with growing pauses. The time begins with the first failure after the last
    /// success, and all requests to the server share it. A server that has not answered once since the storage was opened is
    /// given up within seconds.
    pub retry_for: Duration,
    /// Tells whether the storage waits for its server.
    pub status: NetworkStatus,
    /// Certificates in PEM to be trusted beside those of the system.
    pub ca_certificates: Vec<Vec<u8>>,
    /// URL of a proxy, which may hold a password; without one the usual variables of the environment count.
    pub proxy: Option<Secret>,
    /// Allows `http://`, which anybody on the way can read and alter, beyond this machine.
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
    /// Sets how many requests are under way at once, at least 1.
    #[must_use]
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Sets how many bytes are sent in a second.
    #[must_use]
    pub fn with_upload_limit(mut self, bytes_per_second: Option<u64>) -> Self {
        self.upload_limit = bytes_per_second;
        self
    }

    /// Sets how many bytes are received in a second.
    #[must_use]
    pub fn with_download_limit(mut self, bytes_per_second: Option<u64>) -> Self {
        self.download_limit = bytes_per_second;
        self
    }

    /// Sets after how long without progress a request has failed.
    #[must_use]
    pub fn with_stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// Sets for how long failures are tried again.
    #[must_use]
    pub fn with_retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// Has a handle told whether the storage waits for its server.
    #[must_use]
    pub fn with_status(mut self, status: NetworkStatus) -> Self {
        self.status = status;
        self
    }

    /// Trusts a certificate in PEM beside those of the system.
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

    /// Allows `http://` beyond this machine.
    #[must_use]
    pub fn with_allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }
}
