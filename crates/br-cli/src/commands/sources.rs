//! What a backup reads: paths, or standard input.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use br_core::model::{FileTime, Owner};
use br_core::source::{Excludes, LocalSource, LocalSourceOptions, Source, SourceError, SourceItem, StreamSource};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio_util::sync::CancellationToken;

use super::backup::BackupArgs;
use crate::context::{CommandContext, entry_path};
use crate::error::CommandError;
use crate::exit_code::ExitStatus;

/// The paths for the catalog, and the source.
type Sources = (Vec<Vec<u8>>, AnySource);

/// One source or the other.
pub(super) struct AnySource(Box<dyn Source>);

impl Source for AnySource {
    fn next(&mut self) -> Option<SourceItem> {
        self.0.next()
    }

    fn can_skip_unchanged(&self) -> bool {
        self.0.can_skip_unchanged()
    }
}

/// Local paths.
pub(super) fn local(
    args: &BackupArgs,
    skipped: Vec<PathBuf>,
    context: &CommandContext,
) -> Result<Sources, CommandError> {
    let mut patterns = args.select.exclude.clone();
    for file in &args.select.exclude_file {
        let text = std::fs::read(file).map_err(|error| {
            let message = format!("cannot read the patterns in {}", file.display());
            CommandError::usage(message, "check --exclude-file").because(&error)
        })?;
        let text = String::from_utf8_lossy(&text);
        let text = text.trim_start_matches('\u{feff}');
        patterns.extend(text.lines().map(str::to_owned));
    }
    let excludes = Excludes::parse(patterns.iter().map(String::as_str)).map_err(|error| {
        let hint = "write patterns as in .gitignore, such as '*.o', 'node_modules/' or '/home/*/.cache'";
        CommandError::usage(error.to_string(), hint)
    })?;
    let mut options = LocalSourceOptions::default()
        .with_excludes(excludes)
        .with_exclude_caches(args.select.exclude_caches)
        .with_one_file_system(args.select.one_file_system)
        .with_skipped_folders(skipped);
    if args.select.no_ignore {
        options = options.with_ignore_files(Vec::new());
    }
    // Shells complete folders with a slash; that does not make them other folders.
    let paths: Vec<_> = args.paths.iter().map(|path| without_slash(path)).collect();
    let typed = paths.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    let source = LocalSource::new(&paths, options).map_err(|error| refused(&error))?;
    for link in source.symlinked_roots() {
        let link = link.display();
        context.output.console.note(&format!("{link} is a symbolic link: what it leads to is backed up"));
    }
    Ok((typed, AnySource(Box::new(source))))
}

fn without_slash(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(bytes.len().min(1), |at| at + 1);
    OsStr::from_bytes(&bytes[..end]).into()
}

fn refused(error: &SourceError) -> CommandError {
    let hint = match error {
        SourceError::NoPath => "name what to back up",
        SourceError::Path { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            return CommandError::new(
                ExitStatus::AccessDenied,
                error.to_string(),
                "run br as a user who may read it (such as root)",
            )
            .because(source);
        }
        SourceError::Path { source, .. } => {
            return CommandError::usage(error.to_string(), "check the path").because(source);
        }
        SourceError::Conflict { .. } => "make two backups, or name a folder that holds both",
        _ => "name the folder that the link leads to, in a backup of its own",
    };
    CommandError::usage(error.to_string(), hint)
}

/// Standard input as a file.
pub(super) fn stdin(
    name: &OsStr,
    time: Timestamp,
    cancel: &CancellationToken,
) -> Result<Sources, CommandError> {
    let path = entry_path(name)?;
    if path.is_root() {
        let hint = "name a file, such as --stdin-name dump.sql";
        return Err(CommandError::usage("the name of standard input is empty", hint));
    }
    let owner = Owner {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        user: user_name(),
        group: String::new(),
    };
    let nanos = time.as_nanosecond();
    let time = FileTime {
        secs: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(0),
        nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
    };
    let typed = vec![path.as_bytes().to_vec()];
    let reader = PatientStdin { cancel: cancel.clone() };
    let source = StreamSource::new(path, reader, time, owner);
    Ok((typed, AnySource(Box::new(source))))
}

/// The name of the user who runs br, or the number when there is no name.
pub(super) fn user_name() -> String {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Standard input that can be interrupted while nothing comes.
struct PatientStdin {
    cancel: CancellationToken,
}

impl Read for PatientStdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        let stdin = io::stdin();
        loop {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other("interrupted"));
            }
            let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut ready, Some(&WAIT)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                // Not through the standard library's buffer, which could hold bytes that `poll` does not see.
                Ok(_) => return Ok(rustix::io::read(stdin.as_fd(), buffer)?),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_do_not_make_another_path() {
        for (typed, kept) in [("/a/b//", "/a/b"), ("/", "/"), ("//", "/"), ("a", "a"), ("", "")] {
            assert_eq!(without_slash(typed.as_ref()), Path::new(kept), "{typed}");
        }
    }
}
