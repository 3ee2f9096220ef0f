//! The result of a store probe, as text and as JSON.
//!
//! [`Verdict`] says how a repository can use the store. Invariant: it depends only on tests, not on what a provider promises.

use std::fmt;

use br_core::{Capabilities, Speed, Traffic};
use serde::Serialize;

use super::format::round_seconds;

/// How a repository can use the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Without limits.
    SeveralWriters,
    /// By one writer at a time; the reasons.
    OneWriter(Vec<String>),
    /// Not at all; the reasons.
    Unusable(Vec<String>),
}

impl Verdict {
    /// Derives the verdict from the test results.
    pub(crate) fn of(found: &Capabilities) -> Self {
        if !found.ranges {
            return Self::Unusable(vec!["parts of objects cannot be read".to_owned()]);
        }
        let mut reasons = Vec::new();
        if !found.exclusive_create {
            reasons.push("the store does not refuse to overwrite an object".to_owned());
        }
        if !found.fresh_lists {
            reasons.push("listings do not show new objects immediately".to_owned());
        }
        if reasons.is_empty() {
            Self::SeveralWriters
        } else {
            Self::OneWriter(reasons)
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::SeveralWriters => "several_writers",
            Self::OneWriter(_) => "one_writer",
            Self::Unusable(_) => "unusable",
        }
    }

    fn reasons(&self) -> &[String] {
        match self {
            Self::SeveralWriters => &[],
            Self::OneWriter(reasons) | Self::Unusable(reasons) => reasons,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeveralWriters => f.write_str("usable by several writers"),
            Self::OneWriter(_) => f.write_str("usable by one writer at a time"),
            Self::Unusable(reasons) => write!(f, "not usable: {}", reasons.join("; ")),
        }
    }
}

/// The result of `storage probe`.
#[derive(Debug, Serialize)]
pub(crate) struct ProbeJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    location: &'a str,
    verdict: &'static str,
    reasons: &'a [String],
    capabilities: Option<CapabilitiesJson>,
    speed: Option<SpeedJson>,
    traffic: Option<TrafficJson>,
}

#[derive(Debug, Serialize)]
struct CapabilitiesJson {
    exclusive_create: bool,
    ranges: bool,
    fresh_lists: bool,
    deletes: bool,
}

#[derive(Debug, Serialize)]
struct SpeedJson {
    write_latency_seconds: f64,
    read_latency_seconds: f64,
    write_bytes_per_second: u64,
    read_bytes_per_second: u64,
}

#[derive(Debug, Serialize)]
struct TrafficJson {
    requests: u64,
    failed: u64,
    slowed: u64,
    bytes_sent: u64,
    bytes_received: u64,
}

impl<'a> ProbeJson<'a> {
    pub(crate) fn new(
        location: &'a str,
        capabilities: Option<Capabilities>,
        speed: Option<Speed>,
        traffic: Option<Traffic>,
        verdict: &'a Verdict,
    ) -> Self {
        Self {
            kind: "storage_probe",
            location,
            verdict: verdict.name(),
            reasons: verdict.reasons(),
            capabilities: capabilities.map(|found| CapabilitiesJson {
                exclusive_create: found.exclusive_create,
                ranges: found.ranges,
                fresh_lists: found.fresh_lists,
                deletes: found.deletes,
            }),
            speed: speed.map(|speed| SpeedJson {
                write_latency_seconds: round_micros(speed.write_latency.as_secs_f64()),
                read_latency_seconds: round_micros(speed.read_latency.as_secs_f64()),
                write_bytes_per_second: speed.write_rate as u64,
                read_bytes_per_second: speed.read_rate as u64,
            }),
            traffic: traffic.map(|traffic| TrafficJson {
                requests: traffic.requests,
                failed: traffic.failed,
                slowed: traffic.slowed,
                bytes_sent: traffic.bytes_sent,
                bytes_received: traffic.bytes_received,
            }),
        }
    }
}

/// A local disk answers within microseconds.
fn round_micros(seconds: f64) -> f64 {
    round_seconds(seconds * 1000.0) / 1000.0
}
