//! Faults, and when they happen.
//!
//! A [`Fault`] is one way to fail, a [`Rule`] says which requests it hits, and [`Faults`] holds the rules and the hook of a
//! server. Invariant: a request meets at most one fault.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::log::RequestInfo;

/// One way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server answers with this status and error code, and does not execute the request.
    Status {
        /// The HTTP status.
        code: u16,
        /// The error code in the answer, such as `SlowDown`.
        name: &'static str,
    },
    /// The server executes the request, but answers with this status and error code.
    StatusAfter {
        /// The HTTP status.
        code: u16,
        /// The error code in the answer, such as `InternalError`.
        name: &'static str,
    },
    /// The server resets the connection without an answer, and does not execute the request.
    DropBefore,
    /// The server executes the request, but resets the connection without an answer.
    DropAfter,
    /// The connection is reset after this number of bytes of the answer's body. A shorter answer is not affected.
    CutBody(usize),
    /// One bit of this byte of the answer's body is flipped. A shorter answer is not affected.
    FlipByte(usize),
    /// The request waits before it is handled.
    Delay(Duration),
    /// The answer's body is sent slowly.
    SlowBody {
        /// The number of bytes that are sent at once.
        chunk: usize,
        /// The pause after them.
        pause: Duration,
    },
    /// The server never answers, and does not execute the request.
    Hang,
}

/// Which requests meet a [`Fault`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    fault: Fault,
    method: Option<String>,
    part: Option<String>,
    after: u64,
    times: Option<u64>,
}

impl Rule {
    /// The next request meets a fault, and no other; [`Rule::times`] changes that.
    #[must_use]
    pub fn once(fault: Fault) -> Self {
        Self {
            times: Some(1),
            ..Self::always(fault)
        }
    }

    /// Every request meets a fault.
    #[must_use]
    pub fn always(fault: Fault) -> Self {
        Self {
            fault,
            method: None,
            part: None,
            after: 0,
            times: None,
        }
    }

    /// Only requests with this method match.
    #[must_use]
    pub fn method(self, method: impl Into<String>) -> Self {
        let method = Some(method.into());
        Self { method, ..self }
    }

    /// Only requests match whose `path?query`, as sent, contains this.
    #[must_use]
    pub fn matching(self, part: impl Into<String>) -> Self {
        let part = Some(part.into());
        Self { part, ..self }
    }

    /// The rule ignores this number of matches first.
    #[must_use]
    pub fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }

    /// The rule is used up after this many faults.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        let times = Some(times);
        Self { times, ..self }
    }

    fn matches(&self, request: &RequestInfo) -> bool {
        let method = self.method.as_ref();
        let part = self.part.as_ref();
        method.is_none_or(|method| *method == request.method)
            && part.is_none_or(|part| request.target().contains(part.as_str()))
    }

    /// Whether a request meets the fault; one that matches is counted.
    fn hits(&mut self, request: &RequestInfo) -> bool {
        if self.times == Some(0) || !self.matches(request) {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }
}

type Hook = Arc<dyn Fn(&RequestInfo) -> Option<Fault> + Send + Sync>;

/// The rules and the hook of a server.
#[derive(Default)]
pub(super) struct Faults {
    rules: Mutex<Vec<Rule>>,
    hook: Mutex<Option<Hook>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

impl Faults {
    pub(super) fn inject(&self, rule: Rule) {
        self.rules.lock().unwrap().push(rule);
    }

    pub(super) fn hook(&self, hook: Hook) {
        *self.hook.lock().unwrap() = Some(hook);
    }

    pub(super) fn clear(&self) {
        self.rules.lock().unwrap().clear();
        *self.hook.lock().unwrap() = None;
    }

    /// The fault for a request: that of the first rule that hits it, or else that of the hook. Later rules do not count the request.
    pub(super) fn pick(&self, request: &RequestInfo) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        if let Some(rule) = rules.iter_mut().find_map(|rule| {
            let fault = rule.fault;
            rule.hits(request).then_some(fault)
        }) {
            return Some(rule);
        }
        drop(rules);
        // The hook may block, or read the log.
        let hook = self.hook.lock().unwrap().clone();
        hook.and_then(|hook| hook(request))
    }
}
