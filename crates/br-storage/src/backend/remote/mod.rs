//! Code that all servers share, whatever their protocol.
//!
//! A [`Link`] is the state that all requests to a server share; [`server`] makes it before the first request.
//! [`transport`] sends requests, [`gate`] and [`throttle`] limit them, [`counters`] counts them, and
//! [`retry`] decides about retries. Invariant: every request to the server of the objects goes through this
//! module.

mod body;
mod counters;
mod failure;
mod gate;
mod retry;
mod server;
mod throttle;
mod transport;

use std::sync::Arc;

pub(crate) use counters::Counters;
pub(crate) use failure::Unreachable;
pub(crate) use gate::Gate;
pub(crate) use retry::{Health, jittered};
pub(crate) use server::Server;
pub(crate) use throttle::Throttle;
pub(crate) use transport::{Connector, build_client};

use crate::options::NetworkOptions;

/// The state that all requests to a server share.
#[derive(Debug)]
pub(crate) struct Link {
    gate: Arc<Gate>,
    up: Option<Throttle>,
    down: Option<Throttle>,
    pub(crate) counters: Counters,
    pub(crate) health: Arc<Health>,
    pub(crate) connections: usize,
}

impl Link {
    pub(crate) fn new(options: &NetworkOptions) -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(options.connections),
            up: options.upload_limit.map(Throttle::new),
            down: options.download_limit.map(Throttle::new),
            counters: Counters::default(),
            health: Arc::new(Health::new(options.retry_for, options.status.clone())),
            connections: options.connections,
        })
    }
}
