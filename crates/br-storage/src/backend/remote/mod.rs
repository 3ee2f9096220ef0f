//! What all servers have in common, whatever their protocol.
//!
//! A [`Link`] is the way to a server, which [`server`] knows before the first request:
//! [`transport`] carries requests over it, bounded by [`gate`] and [`throttle`], counted by
//! [`counters`], and tried again as [`retry`] decides. Invariant: every request to the place where objects are goes through here.

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

/// The way to a server, shared by all requests to it.
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
