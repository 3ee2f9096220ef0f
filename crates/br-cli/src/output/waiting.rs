//! What a server keeps waiting for, in words.
//!
//! A progress line shows it by itself ([`super::progress`]); [`tell_what_is_waited_for`] does so for commands without one.
//! Invariant: a short trouble is not worth a word.

use std::sync::Arc;
use std::time::Duration;

use br_core::NetworkStatus;

use super::Console;

/// A shorter trouble is not shown.
pub(super) const SHOWN_AFTER: Duration = Duration::from_secs(3);
/// How often a command without a progress line looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it says so again.
const SAID_EVERY: Duration = Duration::from_secs(30);

/// `server answers 503, waiting (1 min 20 s)`, if that is worth a word.
pub(super) fn in_words(status: &NetworkStatus) -> Option<String> {
    let waiting = status.waiting()?;
    (waiting.time >= SHOWN_AFTER).then(|| waiting.to_string())
}

/// Says what is waited for while no progress line does, until the process ends.
pub(crate) async fn tell_what_is_waited_for(console: Arc<Console>, status: NetworkStatus) {
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
