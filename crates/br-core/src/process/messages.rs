//! What a program writes to its standard error.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::model::StreamRecord;

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

/// Takes a line that a program wrote.
pub(crate) type OnMessage = Box<dyn FnMut(&str) + Send>;

/// Reads the messages of a program on threads of their own, and keeps some of them.
pub(crate) struct Messages {
    kept: Arc<Mutex<Kept>>,
    /// Each thread has a clone of the sender: the receiver is disconnected when all of them have ended.
    guard: Sender<()>,
    end: Receiver<()>,
}

#[derive(Default)]
struct Kept {
    head: String,
    tail: VecDeque<String>,
    tail_len: usize,
    on_message: Option<OnMessage>,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}

impl Messages {
    pub(crate) fn new(on_message: Option<OnMessage>) -> Self {
        let (guard, end) = channel();
        let kept = Kept {
            on_message,
            ..Kept::default()
        };
        Self {
            kept: Arc::new(Mutex::new(kept)),
            guard,
            end,
        }
    }

    /// Reads messages to their end on a thread of its own.
    pub(crate) fn read(&self, from: impl Read + Send + 'static) {
        let (kept, guard) = (Arc::clone(&self.kept), self.guard.clone());
        thread::spawn(move || {
            let _ends_with_this_thread = guard;
            let mut lines = BufReader::new(from);
            let mut line = Vec::new();
            loop {
                line.clear();
                // A program whose messages cannot be read still has an exit code.
                let read = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line);
                if !matches!(read, Ok(len) if len > 0) {
                    break;
                }
                lock(&kept).push(String::from_utf8_lossy(&line).trim_end());
            }
        });
    }

    /// Waits for the end of the messages, but not long.
    pub(crate) fn wait(&mut self) {
        // The receiver is disconnected only if no sender is left.
        self.guard = channel().0;
        // Nothing is ever sent: both results mean that there is nothing more to wait for.
        let _ = self.end.recv_timeout(WAIT);
    }

    /// The messages that were kept.
    pub(crate) fn all(&self) -> String {
        let kept = lock(&self.kept);
        let tail: String = kept.tail.iter().map(String::as_str).collect();
        format!("{}{tail}", kept.head)
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
        if let (Some(take), false) = (&mut self.on_message, line.is_empty()) {
            take(line);
        }
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
