//! The archive of one backup, as the server writes it.
//!
//! [`Backup`] describes a backup; its writer writes the files in the order of the server. Invariant: `mo_meta.sha256` is written last, so
//! an archive that has it is complete.

use std::io;

use crate::cluster::{Cluster, Moment, Object};
use crate::format::{csv_line, frame, hex, sha256};
use crate::random::Random;
use crate::step::{BackupError, Event, Observer, Phase, Summary, Verdict};
use crate::target::Target;
use crate::ts::{Ts, utc};
use crate::version::MoVersion;

/// Options of a backup.
#[derive(Debug, Clone)]
pub struct Backup {
    /// The server's release.
    pub version: MoVersion,
    /// The text of `TYPE`.
    pub kind: String,
    /// The time stamp of the base; none for a full backup.
    pub base: Option<Ts>,
}

impl Backup {
    /// A full backup, as a tool requests it.
    #[must_use]
    pub fn full(version: MoVersion) -> Self {
        Self {
            version,
            kind: "full".to_owned(),
            base: None,
        }
    }

    /// An incremental backup.
    #[must_use]
    pub fn incremental(version: MoVersion, base: Ts) -> Self {
        Self {
            version,
            kind: "incremental".to_owned(),
            base: Some(base),
        }
    }

    /// Makes the backup.
    ///
    /// # Errors
    /// The server's error.
    pub fn run(
        &self,
        cluster: &mut Cluster,
        target: &mut dyn Target,
    ) -> Result<Summary, BackupError> {
        self.run_with(&cluster.moment(), target, &mut |_| Verdict::Go)
    }

    /// Makes the backup from a moment, and calls the observer before every step.
    ///
    /// # Errors
    /// The server's error, or the error in the verdict.
    pub fn run_with(
        &self,
        moment: &Moment,
        target: &mut dyn Target,
        observer: &mut Observer<'_>,
    ) -> Result<Summary, BackupError> {
        let framed = if self.version.frames_as_cluster() {
            moment.backend.is_framed()
        } else {
            true
        };
        let mut writer = Writer {
            framed: framed && target.is_local(),
            backup: self,
            moment,
            target,
            observer,
            rows: Vec::new(),
            total: 0,
            phase: Phase::Start,
            random: Random::new(moment.seed),
            summary: Summary::new(moment.start),
        };
        writer.run()?;
        Ok(writer.summary)
    }
}

/// A row of `tae_list`.
struct Row {
    name: String,
    size: usize,
    digest: Option<[u8; 32]>,
    copied: bool,
    ts: Ts,
}

struct Writer<'a> {
    framed: bool,
    backup: &'a Backup,
    moment: &'a Moment,
    target: &'a mut dyn Target,
    observer: &'a mut Observer<'a>,
    rows: Vec<Row>,
    total: usize,
    phase: Phase,
    random: Random,
    summary: Summary,
}

impl Writer<'_> {
    fn run(&mut self) -> Result<(), BackupError> {
        self.ask(Phase::Start, "")?;
        self.phase = Phase::Configs;
        let metas = self.configs()?;
        self.phase = Phase::Objects;
        self.objects()?;
        self.phase = Phase::Rest;
        self.checkpoints()?;
        self.rewritten()?;
        self.lists()?;
        let keeper = &self.moment.keeper;
        self.with_digest("hakeeper/hk_data", keeper, self.framed)?;
        self.with_digest("mo_meta", metas.as_bytes(), false)?;
        self.ask(Phase::Written, "").map(|_| ())
    }

    /// Asks the observer about a step. Only a file can be skipped, and only a file can be cut in the middle.
    fn ask(&mut self, phase: Phase, name: &str) -> Result<Verdict, BackupError> {
        let written = self.summary.written;
        let verdict = (self.observer)(&Event {
            phase,
            name,
            written,
        });
        match verdict {
            Verdict::Stop(error) => Err(error),
            Verdict::Crash if name.is_empty() => Err(BackupError::Crashed),
            verdict => Ok(verdict),
        }
    }

    /// Writes a file, and returns whether to list its row.
    fn file(&mut self, name: &str, content: &[u8], framed: bool) -> Result<bool, BackupError> {
        let verdict = self.ask(self.phase, name)?;
        if let Verdict::Skip { listed } = verdict {
            self.summary.skipped.push(name.to_owned());
            return Ok(listed);
        }
        let framed = framed.then(|| frame(content));
        let bytes = framed.as_deref().unwrap_or(content);
        let wrong = |error: io::Error| BackupError::of_put(name, &error);
        if matches!(verdict, Verdict::Crash) {
            self.target.crash(name, bytes).map_err(wrong)?;
            return Err(BackupError::Crashed);
        }
        self.target.put(name, bytes).map_err(wrong)?;
        self.summary.written += 1;
        Ok(true)
    }

    /// Writes a file and the file of its digest.
    fn with_digest(&mut self, name: &str, content: &[u8], framed: bool) -> Result<(), BackupError> {
        self.file(name, content, framed)?;
        let digest = sha256(content);
        self.file(&format!("{name}.sha256"), &digest, framed)?;
        Ok(())
    }

    /// Writes the configuration files, in no particular order, and returns the content of `mo_meta`.
    fn configs(&mut self) -> Result<String, BackupError> {
        let version = self.backup.version;
        let build = format!(
            "GoVersion: go1.22.3|BranchName: HEAD|CommitID: {}|BuildTime: 2025-01-02 10:00:00 +0800|Version: {version}",
            &hex(&sha256(version.to_string().as_bytes()))[..40],
        );
        let mut metas = csv_line(&["version", "0823", ""]);
        metas += &csv_line(&["buildinfo", &build, ""]);
        let mut configs: Vec<_> = self.moment.configs.iter().collect();
        self.random.shuffle(&mut configs);
        for (kind, name, text) in configs {
            let uuid = self.random.uuid(self.moment.start.milliseconds());
            let name = format!("{name}_{uuid}");
            self.with_digest(&format!("config/{name}"), text.as_bytes(), false)?;
            metas += &csv_line(&["launchconfig", kind, &name]);
        }
        Ok(metas)
    }

    fn objects(&mut self) -> Result<(), BackupError> {
        let mut objects: Vec<&Object> = self.moment.objects.iter().collect();
        self.random.shuffle(&mut objects);
        for object in objects {
            self.object(object)?;
        }
        Ok(())
    }

    fn object(&mut self, object: &Object) -> Result<(), BackupError> {
        let (name, ts) = (&object.name, object.created);
        if !object.is_copied(self.backup.base) {
            self.list(name, object.size(), None, false, ts);
            return Ok(());
        }
        if object.lost {
            return if self.backup.version.skips_missing() {
                self.summary.skipped.push(name.clone());
                Ok(())
            } else {
                Err(BackupError::not_found(name))
            };
        }
        let content = object.content();
        if self.file(&format!("tae/{name}"), &content, self.framed)? {
            let digest = sha256(&content);
            self.list(name, content.len(), Some(digest), true, ts);
        }
        Ok(())
    }

    fn list(&mut self, name: &str, size: usize, digest: Option<[u8; 32]>, copied: bool, ts: Ts) {
        self.total += size;
        self.rows.push(Row {
            name: name.to_owned(),
            size,
            digest,
            copied,
            ts,
        });
    }

    /// Copies a file that is not an object.
    fn copy(&mut self, name: &str, content: &[u8], digest: bool) -> Result<(), BackupError> {
        if self.file(&format!("tae/{name}"), content, self.framed)? {
            let digest = digest.then(|| sha256(content));
            self.list(name, content.len(), digest, true, self.moment.start);
        }
        Ok(())
    }

    fn checkpoints(&mut self) -> Result<(), BackupError> {
        let moment = self.moment;
        for (start, end, seed) in &moment.checkpoints {
            let content = meta_content(*seed);
            self.copy(&format!("ckp/meta_{start}_{end}.ckp"), &content, true)?;
        }
        let (start, end, seed) = moment.collected;
        let kinds: &[_] = if self.backup.version.has_incremental() {
            &[("acct", "acct"), ("gc", "fgc"), ("snap", "snap")]
        } else {
            &[("gc", "ckp")]
        };
        for (prefix, extension) in kinds {
            let name = format!("gc/{prefix}_{start}_{end}.{extension}");
            let content = meta_content(Random::of(seed, prefix).next());
            self.copy(&name, &content, true)?;
        }
        Ok(())
    }

    /// Writes the files that the server creates for this backup; it records no digests for them.
    fn rewritten(&mut self) -> Result<(), BackupError> {
        let moment = self.moment;
        let files = moment.rewritten.iter();
        for file in files.chain([&moment.backup_checkpoint]) {
            self.copy(&file.name, &file.content(), false)?;
        }
        Ok(())
    }

    fn lists(&mut self) -> Result<(), BackupError> {
        let many = self.backup.version.has_incremental();
        let list: String = self.rows.iter().map(|row| row.line(many)).collect();
        self.summary.listed = self.rows.len();
        self.summary.listed_bytes = self.total as u64;
        self.with_digest("tae/tae_list", list.as_bytes(), self.framed)?;
        let mut sum = vec![utc(self.moment.start.seconds()), self.total.to_string()];
        if many {
            sum.push(self.moment.start.to_string());
            sum.push(self.backup.kind.clone());
        }
        self.with_digest("tae/tae_sum", csv_line(&sum).as_bytes(), self.framed)
    }
}

/// A file of checkpoints, or of the garbage collector.
fn meta_content(seed: u64) -> Vec<u8> {
    let size = 500 + Random::new(seed).index(2500);
    crate::format::object_file(seed, size)
}

impl Row {
    fn line(&self, many: bool) -> String {
        let digest = self.digest.map_or_else(String::new, |digest| hex(&digest));
        let mut fields = vec![self.name.clone(), self.size.to_string(), digest];
        if many {
            fields.push(self.copied.to_string());
            fields.push(self.ts.to_string());
        }
        csv_line(&fields)
    }
}
