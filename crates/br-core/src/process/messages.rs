//! What a program writes to its standard error.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::model::{StreamRecord, shortened};

/// Length of the beginning that is kept.
const HEAD: usize = StreamRecord::MAX_MESSAGES / 4;
/// Length of the end that is kept. Longer than what a record takes, so that the record knows that something is missing.
const TAIL: usize = StreamRecord::MAX_MESSAGES;
/// Maximum length of a line; the rest of it counts as another line.
const MAX_LINE: u64 = 4 << 10;
/// How many lines an error quotes.
const LAST_LINES: usize = 8;
/// How long to wait for the last messages of a program that has ended. A program that it left behind may keep the pipe open.
const WAIT: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(5);

/// Takes a line that a program wrote.
pub(crate) type OnMessage = Box<dyn FnMut(&str) + Send>;

/// Reads the messages of a program on threads of their own, and keeps some of them.
pub(crate) struct Messages {
    kept: Arc<Mutex<Kept>>,
    on_message: Option<Arc<Mutex<OnMessage>>>,
    /// Each thread that reads has a clone.
    readers: Arc<()>,
}

#[derive(Default)]
struct Kept {
    head: String,
    tail: VecDeque<String>,
    tail_len: usize,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl Messages {
    pub(crate) fn new(on_message: Option<OnMessage>) -> Self {
        Self {
            kept: Arc::default(),
            on_message: on_message.map(|take| Arc::new(Mutex::new(take))),
            readers: Arc::new(()),
        }
    }

    /// Reads messages to their end on a thread of its own.
    pub(crate) fn read(&self, from: impl Read + Send + 'static) {
        let (kept, on_message) = (Arc::clone(&self.kept), self.on_message.clone());
        let reader = Arc::clone(&self.readers);
        thread::spawn(move || {
            let _ends_with_this_thread = reader;
            let mut lines = BufReader::new(from);
            let mut line = Vec::new();
            loop {
                line.clear();
                // A program whose messages cannot be read still has an exit code.
                let read = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line);
                if !matches!(read, Ok(len) if len > 0) {
                    break;
                }
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                lock(&kept).push(text);
                // After the lock, because it may block.
                if let (Some(take), false) = (&on_message, text.is_empty()) {
                    lock(take)(text);
                }
            }
        });
    }

    /// Waits for the end of the messages, but not long.
    pub(crate) fn wait(&self) {
        let mut left = WAIT;
        while Arc::strong_count(&self.readers) > 1 && !left.is_zero() {
            thread::sleep(STEP);
            left = left.saturating_sub(STEP);
        }
    }

    /// The messages that were kept.
    pub(crate) fn all(&self) -> String {
        let kept = lock(&self.kept);
        let tail: String = kept.tail.iter().map(String::as_str).collect();
        shortened(format!("{}{tail}", kept.head))
    }

    /// The last messages, for an error.
    pub(crate) fn last_lines(&self) -> String {
        let all = self.all();
        let lines: Vec<&str> = all.lines().filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Kept {
    fn push(&mut self, line: &str) {
        let line = format!("{line}\n");
        if self.tail.is_empty() && self.head.len() + line.len() <= HEAD {
            self.head.push_str(&line);
            return;
        }
        self.tail_len += line.len();
        self.tail.push_back(line);
        while self.tail_len > TAIL
            && let Some(first) = self.tail.pop_front()
        {
            self.tail_len -= first.len();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
