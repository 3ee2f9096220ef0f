//! Lists of paths to back up, in files or on standard input.
//!
//! [`FilesFromArgs`] are the options, [`FilesFromArgs::add_to`] reads the lists. Invariant: a path is exactly the bytes in the list. If
//! the lists name no path, there is no backup.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::output::{Console, format};
use crate::stdin::PatientStdin;

/// Maximum length of a list. The paths of a backup may have 4 MiB; repeated ones count once.
const MAX_LIST: u64 = 64 << 20;

/// Lists of paths.
#[derive(Debug, Args)]
pub(super) struct FilesFromArgs {
    /// Also back up the paths in a file, one per line; `-` is standard input (can be repeated)
    ///
    /// br takes each line as it is: patterns, quotes, comments and spaces have no special meaning. br ignores empty lines. The
    /// paths have the same meaning as PATH: a path of a folder includes everything below it, and br follows a path that is a
    /// symbolic link. All paths of a backup together may have 4 MiB.
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,

    /// As --files-from, but a NUL byte ends each path, as in `find -print0` (can be repeated)
    #[arg(long, value_name = "FILE")]
    files_from_raw: Vec<PathBuf>,
}

impl FilesFromArgs {
    /// The first of these options on the command line.
    pub(super) const fn typed(&self) -> Option<&'static str> {
        if !self.files_from.is_empty() {
            Some("--files-from")
        } else if !self.files_from_raw.is_empty() {
            Some("--files-from-raw")
        } else {
            None
        }
    }

    /// Refuses lists that cannot be read. Reads nothing.
    pub(super) fn check(&self) -> Result<(), CommandError> {
        let all = self.files_from.iter().chain(&self.files_from_raw);
        match all.filter(|file| is_stdin(file)).count() {
            0 => Ok(()),
            1 if io::stdin().is_terminal() => {
                let hint =
                    "pipe a list into it, as in `find . -print0 | br backup --files-from-raw -`";
                Err(CommandError::usage("standard input is a terminal", hint))
            }
            1 => Ok(()),
            _ => Err(CommandError::usage(
                "two lists are standard input, which can be read only once",
                "write `-` only once",
            )),
        }
    }

    /// Adds the paths in the lists to those on the command line, each once.
    pub(super) fn add_to(
        &self,
        typed: &[PathBuf],
        context: &CommandContext,
    ) -> Result<Vec<PathBuf>, CommandError> {
        if self.typed().is_none() {
            return Ok(typed.to_vec());
        }
        let mut paths = Paths::default();
        for path in typed {
            paths.add(path.as_os_str().to_owned());
        }
        for file in &self.files_from {
            let bytes = read(file, context)?;
            if bytes.contains(&0) {
                let message = format!("{} contains NUL bytes", shown(file));
                let hint = "if a NUL byte ends each path, use --files-from-raw";
                return Err(CommandError::usage(message, hint));
            }
            paths.add_all(&bytes, b'\n');
        }
        for file in &self.files_from_raw {
            paths.add_all(&read(file, context)?, 0);
        }
        if paths.list.is_empty() {
            let hint =
                "check the command that makes the list; `br backup .` backs up the current folder";
            return Err(CommandError::usage("the list of paths is empty", hint));
        }
        Ok(paths.list)
    }

    /// Warns about lists that seem to have the line ends of Windows.
    pub(super) fn warn(&self, paths: &[PathBuf], console: &Console) {
        let is_missing = |path: &PathBuf| {
            path.as_os_str().as_bytes().ends_with(b"\r") && path.symlink_metadata().is_err()
        };
        if self.typed().is_some() && paths.iter().any(is_missing) {
            console.warning(&format!("paths do not exist: {LINE_ENDS}"));
        }
    }
}

/// What may be wrong with a path that ends with a carriage return.
pub(super) const LINE_ENDS: &str = "they end with a carriage return: if the list has the line ends of Windows, convert it with `tr -d '\\r'`";

/// Paths without repetitions, in the order in which they were added.
#[derive(Default)]
struct Paths {
    list: Vec<PathBuf>,
    known: HashSet<PathBuf>,
}

impl Paths {
    fn add(&mut self, path: OsString) {
        let path = PathBuf::from(path);
        if self.known.insert(path.clone()) {
            self.list.push(path);
        }
    }

    fn add_all(&mut self, bytes: &[u8], end: u8) {
        let paths = bytes.split(|byte| *byte == end);
        for path in paths.filter(|path| !path.is_empty()) {
            self.add(OsString::from_vec(path.to_vec()));
        }
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == OsStr::new("-")
}

fn shown(file: &Path) -> String {
    if is_stdin(file) {
        "standard input".to_owned()
    } else {
        format::path(file)
    }
}

fn read(file: &Path, context: &CommandContext) -> Result<Vec<u8>, CommandError> {
    let failed = |error: io::Error| {
        if context.cancel.is_cancelled() {
            return CommandError::interrupted();
        }
        let message = format!("cannot read the list of paths in {}", shown(file));
        CommandError::usage(message, "check --files-from and --files-from-raw").because(&error)
    };
    let reader: Box<dyn Read> = if is_stdin(file) {
        Box::new(PatientStdin::new(context.cancel.clone()))
    } else {
        Box::new(File::open(file).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    let mut reader = reader.take(MAX_LIST + 1);
    reader.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_LIST {
        let message = format!("{} has more than {} MiB", shown(file), MAX_LIST >> 20);
        return Err(CommandError::usage(
            message,
            "name folders instead of their entries",
        ));
    }
    Ok(bytes)
}
