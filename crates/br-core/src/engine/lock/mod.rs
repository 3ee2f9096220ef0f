//! Object lock: the server keeps what live backups need until a time, and refuses to delete it before.
//!
//! [`extend`] extends the retention of these objects, [`plan`] says what that would cost, [`status`] asks the server. Invariant: no
//! retention is shortened, and an extension that was stopped can be repeated: it only sets a later end.

mod needed;
mod report;

use std::time::Duration;

use br_storage::{Error as StorageError, ErrorKind as StorageErrorKind, Retention, RetentionMode};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

pub(crate) use self::needed::Needed;
pub use self::report::{LockOptions, LockPlan, LockReport, LockStatus};
use super::view::View;
use crate::error::{Error, Result};
use crate::progress::{Context, Event};
use crate::repository::{Io, LockMemory, MAX_RACES, Repository, conflict};
use crate::warning::Warning;

/// Objects after which this machine remembers what it locked.
const BATCH: usize = 1000;
/// Missing objects that are named.
const NAMED: usize = 10;
/// The longest period: a mistake cannot be undone. S3 has the same limit for the rule of a bucket.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Finds out what [`extend`] would do, and changes nothing.
///
/// # Errors
/// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the store has no object lock. When the repository cannot be read or is damaged.
pub async fn plan(
    repository: &Repository,
    options: &LockOptions,
    context: &Context,
) -> Result<LockPlan> {
    let options = options.clone();
    let work = move |io: &Io| {
        let target = Target::new(io, &options)?;
        let needed = Needed::find(io, &View::open(io)?)?;
        Ok(Work::new(io, target, needed).plan)
    };
    repository.run(context, work).await
}

/// Extends the retention of all objects that live backups need.
///
/// # Errors
/// As [`plan`], before anything is changed; and when the store fails or refuses: then some objects are locked, and the next run continues.
pub async fn extend(
    repository: &Repository,
    options: &LockOptions,
    context: &Context,
) -> Result<LockReport> {
    let options = options.clone();
    let work = move |io: &Io| {
        let target = Target::new(io, &options)?;
        for _ in 0..MAX_RACES {
            let view = View::open(io)?;
            let work = Work::new(io, target, Needed::find(io, &view)?);
            let (report, missing) = work.run()?;
            // A prune may have moved the data of the missing objects meanwhile.
            if missing.is_empty() || view.position.clone().refresh(io)?.is_empty() {
                for key in missing.into_iter().take(NAMED) {
                    io.warn(&Warning::NeededMissing { key });
                }
                return Ok(report);
            }
        }
        Err(conflict())
    };
    repository.run(context, work).await
}

/// Asks the server until when each object that live backups need is locked.
///
/// # Errors
/// As [`plan`], and when the store fails.
pub async fn status(repository: &Repository, context: &Context) -> Result<LockStatus> {
    let work = |io: &Io| {
        let default = io.block(io.storage().object_lock())?.default;
        let needed = Needed::find(io, &View::open(io)?)?;
        let now = io.context.runtime.clock.now();
        let mut status = LockStatus {
            objects: needed.keys.len() as u64,
            packs: needed.packs,
            default_mode: default.map(|(mode, _)| mode),
            default_period: default.map(|(_, period)| period),
            ..LockStatus::default()
        };
        for (_, found) in retentions(io, needed.keys)? {
            let Found::Lock(lock) = found else {
                status.missing += 1;
                continue;
            };
            let Some((mode, until)) = lock.filter(|(_, until)| *until > now) else {
                status.unlocked += 1;
                continue;
            };
            match mode {
                RetentionMode::Governance => status.governance += 1,
                RetentionMode::Compliance => status.compliance += 1,
            }
            let (first, last) = (&mut status.first_until, &mut status.last_until);
            *first = Some(first.map_or(until, |first| first.min(until)));
            *last = Some(last.map_or(until, |last| last.max(until)));
        }
        Ok(status)
    };
    repository.run(context, work).await
}

/// What the server says about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its mode and its end, which may be past.
    Lock(Option<(RetentionMode, Timestamp)>),
    /// There is no such object.
    Missing,
}

/// Asks the server about objects.
pub(crate) fn retentions(io: &Io, keys: Vec<String>) -> Result<Vec<(String, Found)>> {
    let mut all = Vec::with_capacity(keys.len());
    expect(io, keys.len());
    for keys in batches(keys) {
        let storage = io.storage();
        let answers = at_once(io, keys, &async |key| storage.retention(key).await)?;
        for (key, answer) in answers {
            let found = match answer {
                Ok(lock) => Found::Lock(lock.map(|lock| (lock.mode, end(lock)))),
                Err(error) if error.kind() == StorageErrorKind::NotFound => Found::Missing,
                Err(error) => return Err(error.into()),
            };
            all.push((key, found));
        }
    }
    Ok(all)
}

fn end(lock: Retention) -> Timestamp {
    Timestamp::try_from(lock.until).unwrap_or(Timestamp::MAX)
}

fn batches(keys: Vec<String>) -> impl Iterator<Item = Vec<String>> {
    let mut keys = keys.into_iter();
    std::iter::from_fn(move || {
        let batch: Vec<_> = keys.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

fn expect(io: &Io, objects: usize) {
    let entries = objects as u64;
    io.context
        .progress
        .event(Event::Expect { bytes: 0, entries });
}

/// Sends a request for each key, as many at the same time as the store allows.
fn at_once<T>(
    io: &Io,
    keys: Vec<String>,
    request: &impl AsyncFn(&str) -> Result<T, StorageError>,
) -> Result<Vec<(String, Result<T, StorageError>)>> {
    let progress = &io.context.progress;
    let limit = io.storage().connections().max(1);
    io.block(async {
        let answers = stream::iter(keys).map(|key| async move {
            let answer = request(&key).await;
            let (bytes, entries) = (0, 1);
            progress.event(Event::Advance { bytes, entries });
            (key, answer)
        });
        Ok::<_, Error>(answers.buffer_unordered(limit).collect().await)
    })
}

/// The retention that objects get.
#[derive(Debug, Clone, Copy)]
struct Target {
    mode: RetentionMode,
    until: Timestamp,
    /// An object that stays locked until then is left out.
    enough: Timestamp,
}

impl Target {
    fn new(io: &Io, options: &LockOptions) -> Result<Self> {
        if options.period.is_zero() || options.period > LONGEST {
            let message = "objects can be locked for up to 100 years, and not for no time";
            return Err(Error::invalid(message));
        }
        let at_least = options.at_least.unwrap_or(options.period / 2);
        if at_least > options.period {
            let message = "objects cannot stay locked for longer than they are locked";
            return Err(Error::invalid(message));
        }
        let lock = io.block(io.storage().object_lock())?;
        let default = lock.default.map(|(mode, _)| mode);
        let now = io.context.runtime.clock.now();
        Ok(Self {
            mode: options
                .mode
                .or(default)
                .unwrap_or(RetentionMode::Governance),
            // Servers keep whole seconds.
            until: whole_second(after(now, options.period)),
            enough: after(now, at_least),
        })
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    let up = if time.subsec_nanosecond() > 0 { 1 } else { 0 };
    Timestamp::from_second(time.as_second() + up).unwrap_or(Timestamp::MAX)
}

pub(crate) fn after(now: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}

/// The objects that one run extends.
struct Work<'a> {
    io: &'a Io,
    target: Target,
    plan: LockPlan,
    keys: Vec<String>,
    /// The earliest end among the objects that are left out.
    fresh_until: Timestamp,
}

impl<'a> Work<'a> {
    fn new(io: &'a Io, target: Target, needed: Needed) -> Self {
        let memory = io.repository.lock_memory();
        let known = memory.map(LockMemory::read).unwrap_or_default();
        let objects = needed.keys.len() as u64;
        let mut fresh_until = Timestamp::MAX;
        let mut keys = needed.keys;
        keys.retain(|key| {
            let lock = known.get(key);
            let lock = lock.filter(|(mode, until)| *until >= target.enough && *mode >= target.mode);
            if let Some((_, until)) = lock {
                fresh_until = fresh_until.min(until);
            }
            lock.is_none()
        });
        let to_extend = keys.len() as u64;
        let plan = LockPlan {
            objects,
            packs: needed.packs,
            fresh: objects - to_extend,
            to_extend,
            mode: target.mode,
            until: target.until,
        };
        Self {
            io,
            target,
            plan,
            keys,
            fresh_until,
        }
    }

    /// Extends, and returns the missing objects as well.
    fn run(mut self) -> Result<(LockReport, Vec<String>)> {
        let requests = || {
            let traffic = self.io.storage().traffic();
            traffic.map_or(0, |traffic| traffic.requests)
        };
        let before = requests();
        let mut report = LockReport {
            plan: self.plan,
            extended: 0,
            longer: 0,
            still_governance: 0,
            missing: 0,
            requests: 0,
            all_until: None,
        };
        let mut all_until = self.fresh_until;
        let mut missing = Vec::new();
        let keys = std::mem::take(&mut self.keys);
        expect(self.io, keys.len());
        let to = Retention {
            mode: self.target.mode,
            until: self.target.until.into(),
        };
        for keys in batches(keys) {
            let storage = self.io.storage();
            let request = async |key: &str| storage.extend_retention(key, to).await;
            let mut failure = None;
            let mut locked = Vec::new();
            for (key, answer) in at_once(self.io, keys, &request)? {
                match answer {
                    Ok(lock) => {
                        let until = end(lock);
                        report.still_governance += u64::from(lock.mode < to.mode);
                        report.longer += u64::from(until > self.target.until);
                        report.extended += u64::from(until == self.target.until);
                        all_until = all_until.min(until);
                        locked.push((key, lock.mode, until));
                    }
                    Err(error) if error.kind() == StorageErrorKind::NotFound => missing.push(key),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            self.remember(&locked);
            if let Some(error) = failure {
                return Err(error.into());
            }
        }
        report.missing = missing.len() as u64;
        report.requests = requests() - before;
        report.all_until = missing.is_empty().then_some(all_until);
        Ok((report, missing))
    }
}

impl Work<'_> {
    /// Failing to remember only costs requests in the next run.
    fn remember(&self, locked: &[(String, RetentionMode, Timestamp)]) {
        let memory = self.io.repository.lock_memory();
        if let Some(Err(error)) = memory.map(|memory| memory.note(locked)) {
            self.io.warn(&Warning::LocksNotSaved { error });
        }
    }
}
