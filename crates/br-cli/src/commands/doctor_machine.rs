//! What `br doctor` finds out about this machine.

use std::path::Path;

use br_core::jiff::Timestamp;
use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs};

use crate::context::CommandContext;
use crate::environment::variable;
use crate::output::doctor::Finding;
use crate::output::format;

/// Free space below which br warns.
const LITTLE: u64 = 1 << 30;
/// Free space below which a backup fails.
const TOO_LITTLE: u64 = 64 << 20;
/// No clock is right before this time: 2026-01-01.
const EARLIEST: i64 = 1_767_225_600;

/// What a folder is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// br works without it.
    Cache,
    Repository,
    Temporary,
}

/// Looks at the home folder, the folders that br writes to, and the clock.
pub(super) fn look(reads_home: bool, context: &CommandContext) -> Vec<Finding> {
    let mut findings = vec![home(reads_home)];
    findings.extend(clock(context.runtime.clock.now()));
    match context.cache_dir() {
        Some(folder) => {
            findings.extend(space(&folder, Use::Cache));
            findings.extend(journal(&folder));
        }
        None => findings.push(Finding::advice(
            "there is no cache folder: br reads more from the repository, and an interrupted backup starts again",
            "set HOME or BR_CACHE_DIR, or name one with --cache-dir",
        )),
    }
    findings.extend(space(&std::env::temp_dir(), Use::Temporary));
    findings
}

/// Whether programs find their settings.
fn home(reads_home: bool) -> Finding {
    match variable("HOME") {
        Some(home) => Finding::ok(format!("HOME is {}", format::path(Path::new(&home)))),
        None if reads_home => Finding::warning(
            "HOME is not set, so the clients of databases do not read ~/.my.cnf and ~/.pgpass",
            "set HOME, or name the files: --mysql-defaults-file, PGPASSFILE and PGSERVICEFILE",
        ),
        None => Finding::advice(
            "HOME is not set, so programs do not find their settings in it",
            "set HOME, for example with `Environment=HOME=/root` in the systemd service",
        ),
    }
}

fn clock(now: Timestamp) -> Option<Finding> {
    (now.as_second() < EARLIEST).then(|| {
        let message = format!(
            "the clock of this machine is wrong: it says {}",
            format::local_time(now)
        );
        Finding::problem(
            message,
            "set it, for example with `timedatectl set-ntp true`",
        )
    })
}

/// Whether a backup was interrupted. br keeps no locks: this is the only thing that a killed backup leaves on the machine.
fn journal(cache: &Path) -> Option<Finding> {
    let folders = std::fs::read_dir(cache.join("journal")).ok()?;
    let mut files = folders
        .flatten()
        .filter_map(|folder| std::fs::read_dir(folder.path()).ok());
    let has_files = files.any(|mut files| files.next().is_some());
    has_files.then(|| {
        Finding::ok("a backup is running, or was interrupted: then the next one continues it")
    })
}

/// Whether a folder can be written to, and how much space its file system has.
pub(super) fn space(folder: &Path, used: Use) -> Vec<Finding> {
    let (name, fix) = match used {
        Use::Cache => (
            "cache folder",
            "free space, or name another folder with --cache-dir",
        ),
        Use::Repository => (
            "folder",
            "free space: `br forget` and `br prune`, or a larger disk",
        ),
        Use::Temporary => (
            "temporary folder",
            "free space, or name another folder with TMPDIR",
        ),
    };
    let shown = format::path(folder);
    let is_bad = |message: String, fix: &str| match used {
        Use::Repository => Finding::problem(message, fix),
        Use::Cache | Use::Temporary => Finding::warning(message, fix),
    };
    // The cache folder is created when it is needed.
    let Some(existing) = folder.ancestors().find(|folder| folder.is_dir()) else {
        return vec![is_bad(
            format!("the {name} {shown} does not exist"),
            "create it",
        )];
    };
    let file_system = match statvfs(existing) {
        Ok(file_system) => file_system,
        Err(error) => {
            return vec![is_bad(
                format!("the {name} {shown}: {error}"),
                "check the folder",
            )];
        }
    };
    let mut findings = Vec::new();
    let is_read_only = file_system.f_flag.contains(StatVfsMountFlags::RDONLY);
    let access = Access::WRITE_OK | Access::EXEC_OK;
    if is_read_only {
        let fix = "mount it for writing; the log of the system says why it is not";
        findings.push(is_bad(
            format!("the {name} {shown} is mounted read-only"),
            fix,
        ));
    } else if accessat(CWD, existing, access, AtFlags::EACCESS).is_err() {
        let message = format!("this user may not write into the {name} {shown}");
        findings.push(is_bad(
            message,
            "run br as its owner, or give this user the permission",
        ));
    }
    let free = file_system.f_bavail.saturating_mul(file_system.f_frsize);
    let all = file_system.f_blocks.saturating_mul(file_system.f_frsize);
    let message = format!(
        "the {name} {shown} has {} free of {}",
        format::size(free),
        format::size(all)
    );
    findings.push(if free < TOO_LITTLE {
        is_bad(message, fix)
    } else if file_system.f_files > 0 && file_system.f_favail == 0 {
        is_bad(
            format!("the {name} {shown} cannot have more files: no inode is free"),
            fix,
        )
    } else if free < LITTLE {
        Finding::warning(message, fix)
    } else {
        Finding::ok(message)
    });
    findings
}
