//! Execution of a `BACKUP`.
//!
//! [`Job`] checks the statement, writes the archive and applies the faults. Invariant: its record exists from before the first file until
//! the server is dropped, and gets its outcome at the end.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use crate::archive::Backup;
use crate::fault::{Armed, Fault};
use crate::record::{BackupRecord, Outcome};
use crate::sql::{BackupStatement, BackupTarget, S3Target, SqlError};
use crate::state::{Session, State};
use crate::step::{BackupError, Event, Phase, Summary, Verdict};
use crate::target::{Folder, Target};
use crate::version::MoVersion;
use crate::wire::Wire;

/// Polling interval of a waiting backup.
const SLICE: Duration = Duration::from_millis(10);

/// A backup of one connection.
pub(crate) struct Job<'a> {
    pub(crate) state: &'a State,
    pub(crate) session: &'a Session,
    pub(crate) wire: &'a Wire,
    pub(crate) connection: u32,
    pub(crate) version: MoVersion,
}

impl From<SqlError> for BackupError {
    fn from(error: SqlError) -> Self {
        Self::Refused {
            code: error.code,
            text: error.text,
        }
    }
}

impl Job<'_> {
    /// Runs a statement.
    pub(crate) fn run(&self, statement: &BackupStatement) -> Result<Summary, BackupError> {
        let (mut target, place) = self.target(statement)?;
        let base = statement.base()?;
        let number = self.begin(BackupRecord {
            connection: self.connection,
            label: statement.label.clone(),
            place,
            kind: statement.kind.clone(),
            base,
            outcome: Outcome::Running,
        })?;
        self.session.killed.store(false, Ordering::SeqCst);
        self.session.busy.store(true, Ordering::SeqCst);
        let backup = Backup {
            version: self.version,
            kind: statement.kind.clone(),
            base,
        };
        let result = self.write(&backup, target.as_mut());
        self.session.busy.store(false, Ordering::SeqCst);
        self.end(number, &result);
        result
    }

    /// Checks the target of the archive, and returns its name for the log.
    fn target(&self, statement: &BackupStatement) -> Result<(Box<dyn Target>, String), SqlError> {
        statement.check()?;
        if let BackupTarget::Folder(folder) = &statement.place {
            let path = self.state.root.join(folder);
            return Ok((Box::new(Folder::new(path)), folder.clone()));
        }
        let place = statement.s3(self.version)?;
        let shown = format!("{}/{}/{}", place.endpoint, place.bucket, place.filepath);
        self.s3(&place).map(|target| (target, shown))
    }

    fn s3(&self, place: &S3Target) -> Result<Box<dyn Target>, SqlError> {
        if place.endpoint == "disk" {
            let path = self.state.root.join(&place.bucket);
            let path = path.join(place.filepath.trim_matches('/'));
            return Ok(Box::new(Folder::new(path).as_s3()));
        }
        let s3 = self.state.s3.as_ref();
        let s3 = s3.ok_or_else(|| SqlError::internal("there is no S3 for this server"))?;
        Ok(s3(place))
    }

    /// Records the backup, unless it may not run now.
    fn begin(&self, backup: BackupRecord) -> Result<usize, SqlError> {
        let exclusive = self.state.settings().exclusive;
        let mut record = self.state.record();
        if exclusive && record.running() > 0 {
            return Err(SqlError::internal("another backup is running"));
        }
        record.backups.push(backup);
        record.most_running = record.most_running.max(record.running());
        Ok(record.backups.len() - 1)
    }

    fn end(&self, number: usize, result: &Result<Summary, BackupError>) {
        let mut record = self.state.record();
        record.backups[number].outcome = Outcome::of(result);
        if self.version.has_protection() {
            // Frees the only slot, even if another backup took it.
            record.protection = None;
        }
    }

    fn write(&self, backup: &Backup, target: &mut dyn Target) -> Result<Summary, BackupError> {
        let moment = self.state.cluster.lock().unwrap().moment();
        if self.version.has_protection() {
            self.state.record().protection = Some(format!("backup.{}", moment.start));
        }
        let mut armed = self.state.faults.arm();
        let mut detached = false;
        backup.run_with(&moment, target, &mut |event| {
            self.step(event, &mut armed, &mut detached)
                .unwrap_or_else(Verdict::Stop)
        })
    }

    fn step(
        &self,
        event: &Event<'_>,
        armed: &mut Armed,
        detached: &mut bool,
    ) -> Result<Verdict, BackupError> {
        while let Some(fault) = armed.strike(event) {
            match fault {
                Fault::Delay(_, time) => self.wait(Some(time), event, *detached)?,
                Fault::Hang(_) => self.wait(None, event, *detached)?,
                Fault::Fail { code, text, .. } => return Err(BackupError::refused(code, text)),
                Fault::NotFound(_) => {
                    let name = Path::new(event.name).file_name().unwrap_or_default();
                    return Err(BackupError::not_found(&name.to_string_lossy()));
                }
                Fault::Drop(_) => {
                    self.wire.close();
                    return Err(BackupError::Dropped);
                }
                Fault::DropAndFinish(_) => {
                    self.wire.close();
                    *detached = true;
                }
                Fault::Crash(_) => return Ok(Verdict::Crash),
                Fault::Skip { .. } => {}
            }
        }
        if self.respects_cancel(event) {
            self.check(*detached)?;
        }
        let skip = armed.skip(event);
        Ok(skip.map_or(Verdict::Go, |listed| Verdict::Skip { listed }))
    }

    /// True if the release stops here after a cancellation: old releases do not stop during the copy of objects, nor at the end.
    fn respects_cancel(&self, event: &Event<'_>) -> bool {
        let late = matches!(event.phase, Phase::Objects | Phase::Written);
        self.version.respects_cancel() || !late
    }

    /// Fails if the backup must stop.
    fn check(&self, detached: bool) -> Result<(), BackupError> {
        if self.state.is_stopping() {
            return Err(BackupError::Dropped);
        }
        if self.session.is_killed() {
            return Err(BackupError::refused(1317, "query interrupted"));
        }
        if !detached && self.wire.is_gone() {
            return Err(BackupError::Dropped);
        }
        Ok(())
    }

    /// Waits for a time, or forever.
    fn wait(
        &self,
        time: Option<Duration>,
        event: &Event<'_>,
        detached: bool,
    ) -> Result<(), BackupError> {
        self.state.record().waiting += 1;
        let result = self.sleep(time, event, detached);
        self.state.record().waiting -= 1;
        result
    }

    fn sleep(
        &self,
        time: Option<Duration>,
        event: &Event<'_>,
        detached: bool,
    ) -> Result<(), BackupError> {
        let mut left = time;
        while left != Some(Duration::ZERO) {
            if time.is_none() || self.state.is_stopping() || self.respects_cancel(event) {
                self.check(detached)?;
            }
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            sleep(slice);
            left = left.map(|left| left.saturating_sub(slice));
        }
        Ok(())
    }
}
