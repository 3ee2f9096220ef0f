//! Faults to inject into backups.
//!
//! [`Fault`] is a kind of failure, [`Point`] its time; a server keeps its faults in [`Faults`], a backup has the faults for it as
//! [`Armed`]. Invariant: a fault strikes at most once in a backup, except [`Fault::Skip`].

use std::sync::Mutex;
use std::time::Duration;

use crate::step::{Event, Phase};

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before anything is written.
    Start,
    /// Before the next file, after this number of files.
    Files(usize),
    /// After all files are written, before the answer to the client.
    Written,
}

impl Point {
    fn is_reached(self, event: &Event<'_>) -> bool {
        match self {
            Self::Start => event.phase == Phase::Start,
            Self::Files(count) => !event.name.is_empty() && event.written >= count,
            Self::Written => event.phase == Phase::Written,
        }
    }
}

/// A kind of failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The backup pauses for a time.
    Delay(Point, Duration),
    /// The backup hangs until a `KILL` arrives or the client disconnects.
    Hang(Point),
    /// The statement ends with an error.
    Fail {
        /// The time.
        at: Point,
        /// The number of the error.
        code: u16,
        /// Its text.
        text: String,
    },
    /// After this number of files, the next object is not found: error 20405.
    NotFound(usize),
    /// The connection ends, and so does the backup.
    Drop(Point),
    /// The connection ends, but the backup continues.
    DropAndFinish(Point),
    /// The server crashes, in the middle of a file if one is next.
    Crash(Point),
    /// One object out of `every` is left out without an error.
    Skip {
        /// The interval.
        every: usize,
        /// Whether `tae_list` still names it.
        listed: bool,
    },
}

impl Fault {
    fn is_reached(&self, event: &Event<'_>) -> bool {
        match self {
            Self::Delay(at, _)
            | Self::Hang(at)
            | Self::Fail { at, .. }
            | Self::Drop(at)
            | Self::DropAndFinish(at)
            | Self::Crash(at) => at.is_reached(event),
            Self::NotFound(count) => event.phase == Phase::Objects && event.written >= *count,
            Self::Skip { .. } => false,
        }
    }
}

/// The faults of a server.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Faults for the next backup.
    next: Mutex<Vec<Fault>>,
    /// Faults for all backups.
    always: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.next.lock().unwrap().push(fault);
    }

    pub(crate) fn always(&self, fault: Fault) {
        self.always.lock().unwrap().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.next.lock().unwrap().clear();
        self.always.lock().unwrap().clear();
    }

    /// The faults of a backup that starts now.
    pub(crate) fn arm(&self) -> Armed {
        let mut faults = std::mem::take(&mut *self.next.lock().unwrap());
        faults.extend(self.always.lock().unwrap().iter().cloned());
        let objects = 0;
        Armed { faults, objects }
    }
}

/// The faults of a backup that have not struck yet.
#[derive(Debug)]
pub(crate) struct Armed {
    faults: Vec<Fault>,
    objects: usize,
}

impl Armed {
    /// Returns the next fault that strikes at this event.
    pub(crate) fn strike(&mut self, event: &Event<'_>) -> Option<Fault> {
        let position = self
            .faults
            .iter()
            .position(|fault| fault.is_reached(event))?;
        Some(self.faults.remove(position))
    }

    /// Whether to leave out the next object, and if so, whether to list it. Call it once for each object.
    pub(crate) fn skip(&mut self, event: &Event<'_>) -> Option<bool> {
        if event.phase != Phase::Objects {
            return None;
        }
        self.objects += 1;
        self.faults.iter().find_map(|fault| match fault {
            Fault::Skip { every, listed } => self.objects.is_multiple_of(*every).then_some(*listed),
            _ => None,
        })
    }
}
