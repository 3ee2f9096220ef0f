//! Execution of a plan.
//!
//! Invariant: damage in the archive does not stop a restore early, so that the error names all damaged files; `hk_data` is written only
//! after every other file is complete and on disk.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::chain::ResolvedFile;
use super::super::check::{describe, kind_of};
use super::super::error::{Error, ErrorKind, Result};
use super::super::files;
use super::super::parallel::for_each;
use super::super::problem::{Problem, ProblemKind, Problems};
use super::super::progress::{ArchiveProgress, Event};
use super::super::scan::{ScanError, scan};
use super::inspect::{HK_NAME, Left, MARK, inspect};
use super::plan::RestorePlan;
use super::target::Output;
use super::{RestoreOptions, RestoreReport};

/// A running restore.
struct Run<'a> {
    plan: &'a RestorePlan<'a>,
    progress: &'a dyn ArchiveProgress,
    done: AtomicU64,
    kept: AtomicU64,
    reframed: AtomicU64,
    written: AtomicU64,
    problems: Mutex<Problems>,
}

impl RestorePlan<'_> {
    /// Restores the backup. Keeps files that an interrupted restore of the same backup left in the target, if they are correct.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if the target is not empty, [`ErrorKind::Damaged`] with every damaged file of the archive, and errors of the
    /// storages. In all cases a later call continues where this one ended.
    pub fn execute(
        &self,
        options: &RestoreOptions,
        progress: &dyn ArchiveProgress,
    ) -> Result<RestoreReport> {
        let shared = &self.target.shared.folder;
        let _shared = files::lock(shared)?;
        let left = inspect(self)?;
        self.require_space(&left)?;
        if !left.is_marked {
            let mark = self.mark();
            let created = shared.create(MARK, mark.len() as u64);
            let mut writer = created.map_err(Error::of(MARK))?;
            let written = writer.write_all(mark.as_bytes());
            written.map_err(|error| Error::io("cannot write", error).at(MARK))?;
            files::finish(writer, MARK)?;
        }
        for path in &left.temporary {
            shared.delete(path).map_err(Error::of(path))?;
        }
        let run = Run {
            plan: self,
            progress,
            done: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            reframed: AtomicU64::new(0),
            written: AtomicU64::new(0),
            problems: Mutex::default(),
        };
        run.objects(options, &left)?;
        run.hk_data(&left)?;
        shared.delete(MARK).map_err(Error::of(MARK))?;
        Ok(run.report())
    }

    /// Fails before the first write if there is not enough space.
    fn require_space(&self, left: &Left) -> Result<()> {
        let folder = &self.target.shared.folder;
        let files = self.resolution.files.iter().zip(&left.sizes);
        let needed = files
            .filter(|(_, there)| there.is_none())
            .fold(0u64, |sum, (file, _)| {
                sum.saturating_add(self.shared_framing.physical(file.row.size))
            });
        match folder.free_bytes() {
            Some(free) if free < needed => Err(Error::new(
                ErrorKind::Io,
                format!("{needed} bytes are needed in {folder}, {free} are free"),
            )),
            _ => Ok(()),
        }
    }
}

impl Run<'_> {
    fn objects(&self, options: &RestoreOptions, left: &Left) -> Result<()> {
        let plan = self.plan;
        let (files, bytes) = (plan.count(), plan.bytes());
        self.progress.event(Event::Begun { files, bytes });
        let items: Vec<_> = plan.resolution.files.iter().zip(&left.sizes).collect();
        for_each(&items, options.threads, self.progress, |(file, there)| {
            self.object(file, **there)
        })?;
        let mut problems = self.problems.lock();
        let problems = match &mut problems {
            Ok(problems) => std::mem::take(&mut **problems),
            Err(poisoned) => std::mem::take(&mut **poisoned.get_mut()),
        };
        if problems.count() == 0 {
            return Ok(plan.target.shared.folder.sync()?);
        }
        let count = problems.count();
        let named = problems.into_named();
        let first = named.first().map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "{count} files of the archive are damaged; the first is {first}. All others are in place, hk_data is not: \
             once the damaged files are brought back, restore again"
        );
        Err(Error::damaged(text).with_problems(named))
    }

    fn object(&self, file: &ResolvedFile, there: Option<u64>) -> Result<()> {
        let plan = self.plan;
        let shared = &plan.target.shared;
        let path = file.row.path.as_ref();
        if let Some(size) = there {
            if self.is_right(file, size)? {
                self.kept.fetch_add(1, Ordering::Relaxed);
                self.tell(path, &shared.label_of(path), true);
                return Ok(());
            }
            files::delete(&shared.folder, path)?;
        }
        let from = plan.resolution.path(file);
        match self.copy(file, &from) {
            Ok(()) => {
                self.tell(path, &shared.label_of(path), false);
                Ok(())
            }
            Err(Failure::Source(kind, text)) => {
                let mut problems = match self.problems.lock() {
                    Ok(problems) => problems,
                    Err(poisoned) => poisoned.into_inner(),
                };
                problems.add(Problem::new(from, kind, text));
                Ok(())
            }
            Err(Failure::Stop(error)) => Err(error.at(from)),
        }
    }

    /// True if an existing file is the one of the plan. Without a digest this is unknown, and the file is copied again.
    fn is_right(&self, file: &ResolvedFile, size: u64) -> Result<bool> {
        let plan = self.plan;
        let framing = plan.shared_framing;
        let row = &file.row;
        if file.digest().is_none() || size != framing.physical(row.size) {
            return Ok(false);
        }
        let from = files::open(&plan.target.shared.folder, &row.path)?;
        match scan(from, framing, row.size, self.progress, &mut |_| Ok(())) {
            Ok(scanned) => Ok(scanned.fault(row.size, file.digest(), false).is_none()),
            Err(ScanError::Cancelled) => Err(Error::cancelled()),
            Err(_) => Ok(false),
        }
    }

    fn copy(&self, file: &ResolvedFile, from: &str) -> Result<(), Failure> {
        let plan = self.plan;
        let row = &file.row;
        let reader = files::open(plan.archive.folder(), from).map_err(Failure::of_source)?;
        let physical = plan.shared_framing.physical(row.size);
        let target = &plan.target.shared.folder;
        let writer = files::create(target, &row.path, physical).map_err(Failure::Stop)?;
        let mut output = Output::new(writer, plan.shared_framing);
        let mut sink = |bytes: &[u8]| output.write_all(bytes);
        let scanned = scan(reader, file.framing, row.size, self.progress, &mut sink);
        let scanned = scanned.map_err(|error| match error {
            ScanError::Bad(ProblemKind::Unreadable, text) => {
                Failure::Stop(Error::new(ErrorKind::Io, text))
            }
            ScanError::Bad(kind, text) => Failure::Source(kind, text),
            ScanError::Sink(error) => Failure::Stop(Error::io("cannot write", error)),
            ScanError::Cancelled => Failure::Stop(Error::cancelled()),
        })?;
        if let Some((kind, text)) = scanned.fault(row.size, file.digest(), false) {
            return Err(Failure::Source(kind, text));
        }
        output.finish(&row.path).map_err(Failure::Stop)?;
        self.written.fetch_add(physical, Ordering::Relaxed);
        if file.framing != plan.shared_framing && row.size > 0 {
            self.reframed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes `hk_data`, which lets a cluster start, after everything else is on disk.
    fn hk_data(&self, left: &Left) -> Result<()> {
        let plan = self.plan;
        let local = &plan.target.local;
        if left.has_hk_data {
            files::delete(&local.folder, HK_NAME)?;
        }
        let size = plan.local_framing.physical(plan.hk_data.len() as u64);
        let writer = files::create(&local.folder, HK_NAME, size)?;
        let mut output = Output::new(writer, plan.local_framing);
        let written = output.write_all(&plan.hk_data);
        written.map_err(|error| Error::io("cannot write", error).at(HK_NAME))?;
        output.finish(HK_NAME)?;
        local.folder.sync()?;
        self.written.fetch_add(size, Ordering::Relaxed);
        self.tell(&plan.hk_from, &local.label_of(HK_NAME), false);
        Ok(())
    }

    fn tell(&self, from: &str, to: &str, kept: bool) {
        let number = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.progress.event(Event::Restored {
            number,
            total: self.plan.count(),
            from,
            to,
            kept,
        });
    }

    fn report(self) -> RestoreReport {
        let plan = self.plan;
        let unproven = plan
            .resolution
            .files
            .iter()
            .filter(|file| file.digest().is_none());
        RestoreReport {
            files: plan.count(),
            bytes: plan.bytes(),
            kept: self.kept.into_inner(),
            reframed: self.reframed.into_inner(),
            written_bytes: self.written.into_inner(),
            unproven: unproven.count() as u64 + u64::from(!plan.hk_is_proven),
        }
    }
}

/// Why a file was not copied.
enum Failure {
    /// It is damaged in the archive; others may be sound.
    Source(ProblemKind, String),
    /// The restore cannot continue.
    Stop(Error),
}

impl Failure {
    fn of_source(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::Refused => {
                Self::Source(kind_of(&error), describe(&error))
            }
            _ => Self::Stop(error),
        }
    }
}
