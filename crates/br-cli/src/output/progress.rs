//! How far an operation is: a bar on a terminal, a line now and then in a log, JSON for programs.
//!
//! [`ProgressReporter`] takes the engine's events and only counts, so that it never holds the engine up; a task of
//! [`ProgressGuard`] looks at the counts and shows them. Invariant: nothing is shown with `--quiet` but failures and
//! warnings, and nothing of it once the guard is dropped.

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
use crate::context::variable;

/// An operation shorter than this shows no bar.
const BAR_AFTER: Duration = Duration::from_millis(250);
/// How often a bar moves.
const BAR_EVERY: Duration = Duration::from_millis(100);
/// How often programs hear.
const JSON_EVERY: Duration = Duration::from_secs(1);
/// How often a log has a line.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Failures and warnings that a restore shows before it only counts them.
pub(crate) const SHOWN: u64 = 20;

/// Takes the engine's events.
pub(crate) struct ProgressReporter {
    console: Arc<Console>,
    clock: Arc<dyn Clock>,
    start: Duration,
    /// What an entry that failed is called.
    failure: &'static str,
    /// How many failures and how many warnings are shown.
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

    /// Has the line say what a server keeps waiting for.
    pub(crate) fn with_network(mut self, status: NetworkStatus) -> Self {
        self.network = status;
        self
    }

    /// Calls failures something else, and shows only some unless everything is to be shown.
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

    /// Time since the reporter was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.start)
    }

    /// Counts one more, and says whether it is shown.
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
            Event::Note { message } => self.console.note(message),
            Event::Restart => self
                .console
                .note("others changed the repository meanwhile: running once more"),
            Event::Warning { message } if self.shows(&self.warnings) => {
                self.console.warning(message);
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
    /// Starts to show what the reporter counts.
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
    let every = match (console.json, terminal) {
        (true, _) => JSON_EVERY,
        (false, true) => BAR_EVERY,
        (false, false) => LOG_EVERY,
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
            // The first tick comes at once, when there is nothing to tell yet.
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
    let spinner = match is_utf8(variable) {
        true => "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ",
        false => "|/-\\ ",
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

/// True when the locale says that terminals show UTF-8: the first of these variables that is set counts.
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
    fn the_first_variable_of_the_locale_counts() {
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
