//! The text of a progress line.

use std::collections::VecDeque;
use std::time::Duration;

use super::format;
use super::json::Status;

/// Period for the current rate.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Progress counts. The expected total is an estimate: only the operation knows when it has finished.
pub(super) fn fraction(status: &Status) -> Option<f64> {
    let expected = status.bytes_expected?;
    Some((status.bytes_done as f64 / expected as f64).min(0.99))
}

/// `12.3 GiB of 40 GiB, 30%, 312 MiB/s, ETA 1m 30s`; without a total if it is unknown.
pub(super) fn describe(status: &Status, rate: f64) -> String {
    Parts::new(status, rate).join(Shown::ALL)
}

/// A line for a terminal, shorter than its width.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    /// Columns of the bar; 0 for none.
    pub(super) bar: usize,
    /// The text after the bar.
    pub(super) text: String,
}

impl Fitted {
    /// The text and the bar that fit into this number of columns, next to a spinner and a space.
    pub(super) fn new(status: &Status, rate: f64, columns: usize) -> Self {
        const SPINNER: usize = 2;
        // A character in the last column makes some terminals start a new line.
        let room = columns.saturating_sub(SPINNER + 1);
        let parts = Parts::new(status, rate);
        let bars: &[usize] = match status.bytes_expected {
            Some(_) => &[24, 10, 0],
            None => &[0],
        };
        for shown in [Shown::ALL, Shown::NO_ENTRIES] {
            for bar in bars {
                let text = parts.join(shown);
                // The brackets and a space.
                let taken = if *bar > 0 { bar + 3 } else { 0 };
                if taken + text.len() <= room {
                    return Self { bar: *bar, text };
                }
            }
        }
        if let Some(waiting) = status.waiting.clone()
            && parts.join(Shown::NO_RATE).len() > room
            && waiting.len() <= room
        {
            return Self {
                bar: 0,
                text: waiting,
            };
        }
        for shown in [Shown::NO_RATE, Shown::SHARE, Shown::DONE] {
            let text = parts.join(shown);
            if text.len() <= room {
                return Self { bar: 0, text };
            }
        }
        let text = parts.join(Shown::DONE).chars().take(room).collect();
        Self { bar: 0, text }
    }
}

/// Which parts of a line to show.
#[derive(Debug, Clone, Copy)]
struct Shown {
    share: bool,
    entries: bool,
    rate: bool,
    time: bool,
}

impl Shown {
    const ALL: Self = Self {
        share: true,
        entries: true,
        rate: true,
        time: true,
    };
    const NO_ENTRIES: Self = Self {
        entries: false,
        ..Self::ALL
    };
    const NO_RATE: Self = Self {
        rate: false,
        ..Self::NO_ENTRIES
    };
    const SHARE: Self = Self {
        time: false,
        ..Self::NO_RATE
    };
    const DONE: Self = Self {
        share: false,
        ..Self::SHARE
    };
}

/// The parts of a line, all in ASCII.
#[derive(Debug)]
struct Parts {
    done: String,
    of: String,
    share: Option<String>,
    entries: Option<String>,
    rate: Option<String>,
    time: Option<String>,
}

impl Parts {
    fn new(status: &Status, rate: f64) -> Self {
        let (mut of, mut share) = (String::new(), None);
        if let (Some(expected), Some(part)) = (status.bytes_expected, fraction(status))
            && expected >= status.bytes_done
        {
            of = format!(" of {}", format::size(expected));
            share = Some(format!("{}%", (part * 100.0) as u64));
        }
        let entries = (status.entries_done > 0)
            .then(|| format::counted(status.entries_done, "entry", "entries"));
        // While the server makes br wait, the rate and the ETA would be wrong.
        let is_moving = rate >= 1.0 && status.waiting.is_none();
        let left = status
            .bytes_expected
            .and_then(|all| all.checked_sub(status.bytes_done));
        let time = match (is_moving, left) {
            (true, Some(left)) => {
                // Tenths of a second would suggest a precision that the estimate does not have.
                let seconds = (left as f64 / rate).round().min(8.64e6);
                let text = format::duration(Duration::from_secs_f64(seconds));
                Some(format!("ETA {}", text.replace(".0 s", " s")))
            }
            (true, None) => None,
            (false, _) => {
                let waiting = status.waiting.clone();
                let so_far = || format::duration(Duration::from_secs_f64(status.seconds));
                Some(waiting.unwrap_or_else(so_far))
            }
        };
        Self {
            done: format::size(status.bytes_done),
            of,
            share,
            entries,
            rate: is_moving.then(|| format!("{}/s", format::size(rate as u64))),
            time,
        }
    }

    fn join(&self, shown: Shown) -> String {
        let mut text = self.done.clone();
        if shown.share {
            text.push_str(&self.of);
        }
        for (is_shown, part) in [
            (shown.share, &self.share),
            (shown.entries, &self.entries),
            (shown.rate, &self.rate),
            (shown.time, &self.time),
        ] {
            if let (true, Some(part)) = (is_shown, part) {
                text.push_str(", ");
                text.push_str(part);
            }
        }
        text
    }
}

/// The rate in bytes per second over a short period.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Duration, u64)>);

impl Rate {
    /// Adds the current count and returns the rate.
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
            waiting: None,
        }
    }

    #[test]
    fn progress_line_shows_size_rate_and_eta() {
        let text = describe(&status(3 << 30, Some(12 << 30)), f64::from(300 << 20));
        assert_eq!(text, "3.0 GiB of 12.0 GiB, 25%, 300 MiB/s, ETA 31 s");
        assert_eq!(describe(&status(3 << 30, None), 0.0), "3.0 GiB, 1m 01s");
        // If the total exceeds the estimate, the estimate is no longer shown.
        assert_eq!(describe(&status(2048, Some(1024)), 0.0), "2.0 KiB, 1m 01s");
    }

    #[test]
    fn progress_line_is_shorter_than_terminal() {
        let sizes = [0, 1, 1023, 1 << 20, (1 << 40) - 1, u64::MAX / 2];
        for bytes_done in sizes {
            for bytes_expected in sizes.map(Some).into_iter().chain([None]) {
                for rate in [0.0, 1.0, 1e6, 1.1e9, 1e15] {
                    for columns in 0..=200 {
                        let status = Status {
                            seconds: 1e7,
                            entries_done: 123_456_789,
                            ..status(bytes_done, bytes_expected)
                        };
                        let line = Fitted::new(&status, rate, columns);
                        assert!(line.text.is_ascii(), "{line:?}");
                        let bar = if line.bar > 0 { line.bar + 3 } else { 0 };
                        let width = 2 + bar + line.text.len();
                        assert!(width < columns.max(3), "{columns}: {line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn narrow_terminal_shows_most_important_parts() {
        let status = Status {
            entries_done: 123_456,
            ..status(3 << 30, Some(12 << 30))
        };
        let rate = f64::from(300 << 20);
        for (columns, bar, text) in [
            (
                120,
                24,
                "3.0 GiB of 12.0 GiB, 25%, 123,456 entries, 300 MiB/s, ETA 31 s",
            ),
            (
                80,
                10,
                "3.0 GiB of 12.0 GiB, 25%, 123,456 entries, 300 MiB/s, ETA 31 s",
            ),
            (60, 0, "3.0 GiB of 12.0 GiB, 25%, 300 MiB/s, ETA 31 s"),
            (40, 0, "3.0 GiB of 12.0 GiB, 25%, ETA 31 s"),
            (30, 0, "3.0 GiB of 12.0 GiB, 25%"),
            (12, 0, "3.0 GiB"),
        ] {
            let line = Fitted::new(&status, rate, columns);
            assert_eq!((line.bar, line.text.as_str()), (bar, text), "{columns}");
        }
    }

    #[test]
    fn progress_line_shows_server_wait() {
        let mut status = status(3 << 30, Some(12 << 30));
        status.waiting = Some("server answers 503, waiting (1 min 20 s)".to_owned());
        let text = describe(&status, 1000.0);
        assert_eq!(
            text,
            "3.0 GiB of 12.0 GiB, 25%, server answers 503, waiting (1 min 20 s)"
        );
        let narrow = Fitted::new(&status, 1000.0, 60).text;
        assert_eq!(narrow, "server answers 503, waiting (1 min 20 s)");
    }

    #[test]
    fn rate_is_measured_over_last_moments() {
        let mut rate = Rate::default();
        assert_eq!(rate.update(Duration::ZERO, 0), 0.0);
        for second in 1..=30 {
            rate.update(Duration::from_secs(second), 1000);
        }
        assert_eq!(rate.update(Duration::from_secs(31), 1000), 0.0);
    }
}
