//! Messages about a server that makes br wait.
//!
//! A progress line shows the wait itself ([`super::progress`]); [`report_waits`] does so for commands without one. Invariant:
//! short waits are not reported.

use std::sync::Arc;
use std::time::Duration;

use br_core::NetworkStatus;

use super::Console;

/// A shorter wait is not shown.
pub(super) const SHOWN_AFTER: Duration = Duration::from_secs(3);
/// Interval at which a command without a progress line checks for waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Interval at which the message is repeated.
const SAID_EVERY: Duration = Duration::from_secs(30);

/// `server answers 503, waiting (1 min 20 s)`; `None` for a short wait.
pub(super) fn in_words(status: &NetworkStatus) -> Option<String> {
    let waiting = status.waiting()?;
    (waiting.time >= SHOWN_AFTER).then(|| waiting.to_string())
}

/// Reports waits while no progress line does, until the process ends.
pub(crate) async fn report_waits(console: Arc<Console>, status: NetworkStatus) {
    let mut next = SHOWN_AFTER;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match status.waiting() {
            None => next = SHOWN_AFTER,
            Some(waiting) if waiting.time >= next && !console.shows_progress() => {
                console.note(&waiting.to_string());
                next = waiting.time + SAID_EVERY;
            }
            Some(_) => {}
        }
    }
}
