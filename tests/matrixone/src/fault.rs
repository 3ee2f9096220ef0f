//! What goes wrong with backups, and when.
//!
//! [`Fault`] is one way to fail, [`Point`] when it does; a server keeps them in [`Faults`], a backup carries those it meets
//! as [`Armed`]. Invariant: a fault strikes at most once in a backup, except that skipping goes on.

use std::sync::Mutex;
use std::time::Duration;

use crate::step::{Event, Phase};

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before anything is written.
    Start,
    /// Before the next file, when so many files are written.
    Files(usize),
    /// When all is written, before the client is told.
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

/// One way to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens for a while.
    Delay(Point, Duration),
    /// Nothing happens until `KILL` comes, or the client goes.
    Hang(Point),
    /// The statement ends with an error.
    Fail {
        /// When.
        at: Point,
        /// The number of the error.
        code: u16,
        /// Its text.
        text: String,
    },
    /// After so many files, the next object is not found: error 20405.
    NotFound(usize),
    /// The connection ends, and the backup with it.
    Drop(Point),
    /// The connection ends, yet the backup goes on.
    DropAndFinish(Point),
    /// The server ends, in the middle of a file if one is next.
    Crash(Point),
    /// Every so many objects, one is left out in silence.
    Skip {
        /// Every how many.
        every: usize,
        /// Whether `tae_list` names it nevertheless.
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
    /// For the next backup.
    next: Mutex<Vec<Fault>>,
    /// For all of them.
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

    /// What a backup that begins now meets.
    pub(crate) fn arm(&self) -> Armed {
        let mut faults = std::mem::take(&mut *self.next.lock().unwrap());
        faults.extend(self.always.lock().unwrap().iter().cloned());
        let objects = 0;
        Armed { faults, objects }
    }
}

/// What is still to strike in a backup.
#[derive(Debug)]
pub(crate) struct Armed {
    faults: Vec<Fault>,
    objects: usize,
}

impl Armed {
    /// The next fault that strikes now.
    pub(crate) fn strike(&mut self, event: &Event<'_>) -> Option<Fault> {
        let position = self
            .faults
            .iter()
            .position(|fault| fault.is_reached(event))?;
        Some(self.faults.remove(position))
    }

    /// Whether the object that comes next is left out, and listed nevertheless. To be asked once for each.
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
