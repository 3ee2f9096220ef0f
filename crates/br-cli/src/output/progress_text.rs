//! How far an operation is, in words.

use std::collections::VecDeque;
use std::time::Duration;

use super::format;
use super::json::Status;

/// The rate is taken over this time.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// How much is done. What is expected is an estimate: an operation is not done before it says so.
pub(super) fn fraction(status: &Status) -> Option<f64> {
    let expected = status.bytes_expected?;
    Some((status.bytes_done as f64 / expected as f64).min(0.99))
}

/// `12.3 GiB of 40 GiB, 30%, 312 MiB/s, ETA 1m 30s`, or without the end when it is not known.
pub(super) fn describe(status: &Status, rate: f64) -> String {
    let done = format::size(status.bytes_done);
    let mut parts = Vec::new();
    match (status.bytes_expected, fraction(status)) {
        (Some(expected), Some(part)) if expected >= status.bytes_done => {
            parts.push(format!("{done} of {}", format::size(expected)));
            parts.push(format!("{}%", (part * 100.0) as u64));
        }
        _ => parts.push(done),
    }
    if status.entries_done > 0 {
        parts.push(format::counted(status.entries_done, "entry", "entries"));
    }
    if rate >= 1.0 {
        parts.push(format!("{}/s", format::size(rate as u64)));
        let left = status
            .bytes_expected
            .and_then(|all| all.checked_sub(status.bytes_done));
        if let Some(left) = left {
            // Tenths of a second would pretend to know.
            let seconds = (left as f64 / rate).round().min(8.64e6);
            let text = format::duration(Duration::from_secs_f64(seconds));
            parts.push(format!("ETA {}", text.replace(".0 s", " s")));
        }
    } else {
        parts.push(format::duration(Duration::from_secs_f64(status.seconds)));
    }
    parts.join(", ")
}

/// Bytes a second over the last moments.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Duration, u64)>);

impl Rate {
    /// Takes how much was done by now, and returns the rate.
    pub(super) fn update(&mut self, now: Duration, bytes: u64) -> f64 {
        self.0.push_back((now, bytes));
        while self.0.len() > 2
            && self
                .0
                .get(1)
                .is_some_and(|(at, _)| *at + RATE_WINDOW <= now)
        {
            self.0.pop_front();
        }
        let (at, before) = self.0.front().copied().unwrap_or((now, bytes));
        let seconds = now.saturating_sub(at).as_secs_f64();
        if seconds > 0.0 {
            bytes.saturating_sub(before) as f64 / seconds
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes_done: u64, bytes_expected: Option<u64>) -> Status {
        Status {
            seconds: 61.0,
            bytes_done,
            bytes_expected,
            entries_done: 0,
            entries_expected: None,
        }
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let text = describe(&status(3 << 30, Some(12 << 30)), f64::from(300 << 20));
        assert_eq!(text, "3.0 GiB of 12.0 GiB, 25%, 300 MiB/s, ETA 31 s");
        assert_eq!(describe(&status(3 << 30, None), 0.0), "3.0 GiB, 1m 01s");
        // More than was expected: the estimate is not shown any more.
        assert_eq!(describe(&status(2048, Some(1024)), 0.0), "2.0 KiB, 1m 01s");
    }

    #[test]
    fn the_rate_is_that_of_the_last_moments() {
        let mut rate = Rate::default();
        assert_eq!(rate.update(Duration::ZERO, 0), 0.0);
        for second in 1..=30 {
            rate.update(Duration::from_secs(second), 1000);
        }
        assert_eq!(rate.update(Duration::from_secs(31), 1000), 0.0);
    }
}
