//! Progress of an operation: a bar on a terminal, periodic lines in a log, JSON for programs.
//!
//! [`ProgressReporter`] receives the engine's events and only counts, so that it never blocks the engine; a task of
//! [`ProgressGuard`] shows the counts. Invariant: with `--quiet` only failures and warnings are shown, and no progress is shown
//! after the guard is dropped.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use br_core::runtime::Clock;
use br_core::{Event, NetworkStatus, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use super::Console;
use super::format;
use super::json::{Message, Status};
use super::progress_text::{Fitted, Rate, describe, fraction};
use super::waiting;
use crate::environment::variable;

/// A shorter operation shows no bar.
const BAR_AFTER: Duration = Duration::from_millis(250);
/// Interval between updates of the bar.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// Interval between JSON progress lines.
const JSON_EVERY: Duration = Duration::from_secs(1);
/// Interval between progress lines in a log.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Maximum number of failures, and of warnings, that a restore shows; it only counts the others.
pub(crate) const SHOWN: u64 = 20;

/// Receives the engine's events.
pub(crate) struct ProgressReporter {
    console: Arc<Console>,
    clock: Arc<dyn Clock>,
    start: Duration,
    /// The label for a failed entry.
    failure: &'static str,
    /// The numbers of failures and warnings shown.
    limit: u64,
    /// Whether every entry is listed.
    lists: bool,
    failures: AtomicU64,
    warnings: AtomicU64,
    bytes: AtomicU64,
    entries: AtomicU64,
    expected_bytes: AtomicU64,
    expected_entries: AtomicU64,
    network: NetworkStatus,
}

impl ProgressReporter {
    /// A reporter that shows every failure, as `unreadable`.
    pub(crate) fn new(console: Arc<Console>, clock: Arc<dyn Clock>) -> Self {
        Self {
            console,
            start: clock.elapsed(),
            clock,
            failure: "unreadable",
            limit: u64::MAX,
            lists: false,
            failures: AtomicU64::new(0),
            warnings: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            expected_bytes: AtomicU64::new(0),
            expected_entries: AtomicU64::new(0),
            network: NetworkStatus::default(),
        }
    }

    /// Makes the progress line show what a server waits for.
    pub(crate) fn with_network(mut self, status: NetworkStatus) -> Self {
        self.network = status;
        self
    }

    /// Sets the label for failures, and limits how many are shown without `--verbose`.
    pub(crate) fn with_failures(mut self, label: &'static str) -> Self {
        self.failure = label;
        let all = self.console.verbose || self.console.json;
        self.limit = if all { u64::MAX } else { SHOWN };
        self
    }

    /// Lists every entry with what happens to it.
    pub(crate) const fn with_entries(mut self, lists: bool) -> Self {
        self.lists = lists;
        self
    }

    /// Time since the reporter was created.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.start)
    }

    /// Counts one more, and returns whether to show it.
    fn shows(&self, counter: &AtomicU64) -> bool {
        counter.fetch_add(1, Ordering::Relaxed) < self.limit
    }

    fn status(&self) -> Status {
        let known = |number: &AtomicU64| Some(number.load(Ordering::Relaxed)).filter(|n| *n > 0);
        Status {
            seconds: format::round_seconds(self.elapsed().as_secs_f64()),
            bytes_done: self.bytes.load(Ordering::Relaxed),
            bytes_expected: known(&self.expected_bytes),
            entries_done: self.entries.load(Ordering::Relaxed),
            entries_expected: known(&self.expected_entries),
            waiting: waiting::in_words(&self.network),
        }
    }
}

impl Progress for ProgressReporter {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Expect { bytes, entries } => {
                self.expected_bytes.store(bytes, Ordering::Relaxed);
                self.expected_entries.store(entries, Ordering::Relaxed);
            }
            Event::Advance { bytes, entries } => {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.entries.fetch_add(entries, Ordering::Relaxed);
            }
            Event::Entry { path, action } if self.lists => {
                self.console.entry(action.name(), &path.to_string(), None);
            }
            Event::LeftOut { path, reason } if self.lists => {
                let reason = format::exclusion(reason);
                self.console
                    .entry("left out", &path.to_string(), Some(&reason));
            }
            Event::Failed { path, reason } if self.shows(&self.failures) => {
                self.console.failed(self.failure, &path.to_string(), reason);
            }
            Event::Note(note) => self.console.note_of(note),
            Event::Restart => self
                .console
                .note("another writer changed the repository: retrying"),
            Event::Warning(warning) if self.shows(&self.warnings) => {
                self.console.warning_of(warning);
            }
            _ => {}
        }
    }
}

/// Shows progress until it is dropped.
#[derive(Debug)]
pub(crate) struct ProgressGuard {
    console: Arc<Console>,
    task: Option<JoinHandle<()>>,
}

impl ProgressGuard {
    /// Starts to show the counts of the reporter.
    pub(crate) fn start(console: &Arc<Console>, reporter: &Arc<ProgressReporter>) -> Self {
        console.set_shows_progress(!console.quiet);
        let task = (!console.quiet).then(|| tokio::spawn(show(Arc::clone(reporter))));
        Self {
            console: Arc::clone(console),
            task,
        }
    }
}

impl Drop for ProgressGuard {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.console.set_shows_progress(false);
        self.console.set_bar(None);
    }
}

async fn show(reporter: Arc<ProgressReporter>) {
    let console = &reporter.console;
    let terminal = Console::is_terminal();
    let every = if console.json {
        JSON_EVERY
    } else if terminal {
        BAR_EVERY
    } else {
        LOG_EVERY
    };
    if terminal && !console.json {
        tokio::time::sleep(BAR_AFTER).await;
    }
    let bar = (terminal && !console.json).then(|| {
        let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
        console.set_bar(Some(bar.clone()));
        bar
    });
    let mut rate = Rate::default();
    let mut ticks = tokio::time::interval(every);
    ticks.tick().await;
    loop {
        let status = reporter.status();
        let rate = rate.update(reporter.elapsed(), status.bytes_done);
        match &bar {
            Some(bar) => draw(bar, &status, rate),
            // The first tick comes immediately, before there is any progress.
            None if status.seconds < every.as_secs_f64() / 2.0 => {}
            None if console.json => console.document(&Message::Status(status)),
            None => console.line(&describe(&status, rate)),
        }
        ticks.tick().await;
    }
}

fn draw(bar: &ProgressBar, status: &Status, rate: f64) {
    let line = Fitted::new(status, rate, columns());
    let template = match line.bar {
        0 => "{spinner} {msg}".to_owned(),
        width => format!("{{spinner}} [{{bar:{width}}}] {{msg}}"),
    };
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let spinner = if is_utf8(variable) {
        "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "
    } else {
        "|/-\\ "
    };
    bar.set_style(style.progress_chars("=> ").tick_chars(spinner));
    bar.set_position((fraction(status).unwrap_or(0.0) * 1000.0) as u64);
    bar.set_message(line.text);
    bar.tick();
}

/// Columns of the terminal.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    let columns = size.map(|size| usize::from(size.ws_col));
    columns.filter(|columns| *columns > 0).unwrap_or(80)
}

/// True when the locale says that the terminal uses UTF-8: the first of these variables that is set decides.
fn is_utf8(variables: impl Fn(&str) -> Option<OsString>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variables(name));
    let locale = locale.unwrap_or_default();
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_locale_variable_that_is_set_decides() {
        for (set, expected) in [
            (&[][..], false),
            (&[("LANG", "en_US.UTF-8")], true),
            (&[("LANG", "de_DE.utf8")], true),
            (&[("LANG", "C")], false),
            (&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")], false),
            (&[("LC_CTYPE", "C.UTF-8"), ("LANG", "C")], true),
        ] {
            let look_up = |name: &str| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(is_utf8(look_up), expected, "{set:?}");
        }
    }
}
