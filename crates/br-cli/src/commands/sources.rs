//! What a backup reads: paths, streams, or both.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use br_core::model::{Backup, OriginKind};
use br_core::source::{
    CombinedSource, ExcludeError, Excludes, LocalSource, LocalSourceOptions, Source, SourceError,
};
use clap::Args;

use super::files_from::LINE_ENDS;
use super::stream::{self, Stream};
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::output::{Output, SHOWN, format};
use crate::values;

/// Exclusions from the backup.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to leave out")]
pub(super) struct SelectArgs {
    /// Leave out entries that match a pattern, as in .gitignore (can be repeated)
    ///
    /// `name` and `src/name` match at any depth. A pattern that starts with a slash is an absolute path if it is below the folder
    /// where the paths of the backup start, and otherwise a path in the backup: after `cd /home/anna; br backup src`, both
    /// `/home/anna/src/tmp` and `/src/tmp` match `src/tmp`. A pattern that starts with `./` or `../` starts at the current folder.
    /// A pattern that ends with a slash matches only folders; `!` includes entries again that an earlier pattern left out.
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,

    /// Read patterns from a file, one per line (can be repeated)
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// As --exclude, but ignore the case of ASCII letters (can be repeated)
    ///
    /// These patterns come after those of --exclude and --exclude-file.
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<OsString>,

    /// Ignore .brignore files
    #[arg(long)]
    no_ignore: bool,

    /// Leave out the contents of folders that contain a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,

    /// Leave out the contents of folders that contain an entry with this name (can be repeated)
    ///
    /// br keeps the entry itself, so that the restored folder has it as well.
    #[arg(long, value_name = "NAME", value_parser = values::name("--exclude-if-present .nobackup"))]
    exclude_if_present: Vec<OsString>,

    /// Leave out files that are larger, such as `500M` (MiB) or `2G` (GiB)
    ///
    /// A file that PATH names is never left out, also if another PATH contains it.
    #[arg(long, value_name = "SIZE", value_parser = values::size("--exclude-larger-than 500M"))]
    exclude_larger_than: Option<u64>,

    /// Leave out other file systems mounted below the paths
    #[arg(short = 'x', long)]
    one_file_system: bool,
}

impl SelectArgs {
    /// The first of these options on the command line.
    pub(super) fn typed(&self) -> Option<&'static str> {
        let typed = [
            ("--exclude", !self.exclude.is_empty()),
            ("--exclude-file", !self.exclude_file.is_empty()),
            ("--iexclude", !self.iexclude.is_empty()),
            ("--no-ignore", self.no_ignore),
            ("--exclude-caches", self.exclude_caches),
            ("--exclude-if-present", !self.exclude_if_present.is_empty()),
            ("--exclude-larger-than", self.exclude_larger_than.is_some()),
            ("--one-file-system", self.one_file_system),
        ];
        typed
            .into_iter()
            .find(|(_, typed)| *typed)
            .map(|(name, _)| name)
    }
}

/// The input of a backup: files, streams, or both. The files are known to exist.
#[derive(Debug)]
pub(super) struct Input {
    files: Option<Files>,
    streams: Vec<Stream>,
}

/// Files and folders.
#[derive(Debug)]
struct Files {
    /// As typed, without trailing slashes.
    paths: Vec<PathBuf>,
    options: LocalSourceOptions,
}

impl Input {
    /// Checks the paths before a repository is created. Without a path, only the streams are backed up.
    pub(super) fn new(
        typed: &[PathBuf],
        streams: Vec<Stream>,
        select: &SelectArgs,
        lists: bool,
    ) -> Result<Self, CommandError> {
        if typed.is_empty() && !streams.is_empty() {
            let files = None;
            return Ok(Self { files, streams });
        }
        let options = options(select)?.with_left_out_told(lists);
        // Shells complete folder names with a slash; the path is the same without it.
        let paths = typed.iter().map(|path| without_slash(path));
        let paths: Vec<_> = paths.map(|path| LocalSource::settle(&path)).collect();
        LocalSource::new(&paths, options.clone()).map_err(|error| refused(&error))?;
        refuse_same_place(&paths, &streams)?;
        let files = Some(Files { paths, options });
        Ok(Self { files, streams })
    }

    /// The same files without the streams.
    pub(super) fn without_streams(mut self) -> Self {
        self.streams.clear();
        self
    }

    /// The paths for the backup list.
    pub(super) fn typed(&self) -> Vec<Vec<u8>> {
        let paths = self.files.iter().flat_map(|files| &files.paths);
        let paths = paths.map(|path| path.as_os_str().as_bytes().to_vec());
        let streams = self.streams.iter();
        let streams = streams.map(|stream| stream.path().as_bytes().to_vec());
        paths.chain(streams).collect()
    }

    /// True if this is standard input, which can be read only once.
    pub(super) fn is_stdin(&self) -> bool {
        self.streams.iter().any(Stream::is_stdin)
    }

    /// True if everything that a backup lacks is a stream.
    pub(super) fn has_only_lost_streams(&self, backup: &Backup) -> bool {
        let is_stream = |path: &[u8]| {
            let mut streams = self.streams.iter().map(|stream| stream.path().as_bytes());
            streams.any(|stream| {
                let rest = path.strip_prefix(stream);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            })
        };
        backup.unread.iter().all(|unread| is_stream(&unread.path))
    }

    /// What the backup is made from.
    pub(super) const fn kind(&self) -> OriginKind {
        match self.files {
            Some(_) => OriginKind::Files,
            None => OriginKind::Stream,
        }
    }

    /// The folder that relative paths start from, if there are any.
    pub(super) fn folder(&self) -> Vec<u8> {
        let mut paths = self.files.iter().flat_map(|files| &files.paths);
        if paths.any(|path| path.is_relative()) {
            current_folder()
        } else {
            Vec::new()
        }
    }

    /// Opens the input. Folders in `skipped` are excluded by identity, so they must already exist.
    pub(super) fn open(
        &self,
        skipped: Vec<PathBuf>,
        context: &CommandContext,
    ) -> Result<Box<dyn Source>, CommandError> {
        let Some(Files { paths, options }) = &self.files else {
            // If one program fails, there is no backup at all.
            return Ok(stream::open(&self.streams, context));
        };
        let options = options.clone().with_skipped_folders(skipped);
        let source = LocalSource::new(paths, options).map_err(|error| refused(&error))?;
        note_links(source.symlinked_roots(), &context.output);
        if self.streams.is_empty() {
            return Ok(Box::new(source));
        }
        // If one program fails, the backup has everything else.
        let mut sources: Vec<Box<dyn Source>> = vec![Box::new(source)];
        let streams = self.streams.iter().map(std::slice::from_ref);
        sources.extend(streams.map(|stream| stream::open(stream, context)));
        Ok(Box::new(CombinedSource::new(sources)))
    }
}

/// Refuses a stream that would have the place of a file in the backup, or be below one.
fn refuse_same_place(paths: &[PathBuf], streams: &[Stream]) -> Result<(), CommandError> {
    for path in paths {
        let is_absolute = path.is_absolute();
        let root = path.components();
        let root: PathBuf = root
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        for stream in streams {
            let name = Path::new(OsStr::from_bytes(stream.path().as_bytes()));
            let mut places = name
                .ancestors()
                .filter(|place| !place.as_os_str().is_empty());
            let is_taken = places.any(|place| {
                let at = if is_absolute {
                    Path::new("/").join(place)
                } else {
                    place.into()
                };
                let is_folder = place != name && at.is_dir();
                place.starts_with(&root) && at.symlink_metadata().is_ok() && !is_folder
            });
            if is_taken || root.starts_with(name) {
                let name = stream.path();
                let message = format!(
                    "the name {name} of --stream is also a file or folder of {}",
                    path.display()
                );
                return Err(CommandError::usage(message, "give the stream another name"));
            }
        }
    }
    Ok(())
}

/// Reports the paths that are links.
fn note_links(links: &[PathBuf], output: &Output) {
    let shown = if output.is_verbose() {
        links.len()
    } else {
        links.len().min(SHOWN as usize)
    };
    for link in &links[..shown] {
        let link = link.display();
        let note = format!("{link} is a symbolic link: br backs up its target");
        output.console.note(&note);
    }
    if links.len() > shown {
        let more = format::count((links.len() - shown) as u64);
        output
            .console
            .note(&format!("and {more} more symbolic links (-v shows all)"));
    }
}

/// Reads the patterns of these options.
pub(super) fn patterns(
    exclude: &[OsString],
    exclude_file: &[PathBuf],
    iexclude: &[OsString],
) -> Result<Excludes, CommandError> {
    let mut patterns: Vec<Vec<u8>> = Vec::new();
    patterns.extend(exclude.iter().map(|pattern| pattern.as_bytes().to_vec()));
    for file in exclude_file {
        let text = std::fs::read(file).map_err(|error| {
            let message = format!("cannot read the patterns in {}", file.display());
            CommandError::usage(message, "check --exclude-file").because(&error)
        })?;
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        patterns.extend(lines.map(<[u8]>::to_vec));
    }
    let ignoring_case = iexclude.iter().map(|pattern| pattern.as_bytes());
    Excludes::parse(&patterns)
        .and_then(|excludes| excludes.and_ignoring_case(ignoring_case))
        .map_err(|error| bad_pattern(&error))
}

fn options(select: &SelectArgs) -> Result<LocalSourceOptions, CommandError> {
    let excludes = patterns(&select.exclude, &select.exclude_file, &select.iexclude)?;
    let options = LocalSourceOptions::default()
        .with_excludes(excludes)
        .with_folder(std::env::current_dir().ok())
        .with_exclude_caches(select.exclude_caches)
        .with_exclude_if_present(select.exclude_if_present.clone())
        .with_exclude_larger_than(select.exclude_larger_than)
        .with_one_file_system(select.one_file_system);
    Ok(if select.no_ignore {
        options.with_ignore_files(Vec::new())
    } else {
        options
    })
}

fn bad_pattern(error: &ExcludeError) -> CommandError {
    let hint =
        "write patterns as in .gitignore, such as '*.o', 'node_modules/' or '/home/*/.cache'";
    CommandError::usage(error.to_string(), hint)
}

fn without_slash(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(bytes.len().min(1), |at| at + 1);
    OsStr::from_bytes(&bytes[..end]).into()
}

fn refused(error: &SourceError) -> CommandError {
    let hint = match error {
        SourceError::NoPath => "name the files and folders to back up",
        SourceError::Exclude(error) => return bad_pattern(error),
        SourceError::Path { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            return CommandError::new(
                ExitStatus::AccessDenied,
                error.to_string(),
                "run br as a user with permission to read it, such as root",
            )
            .because(source);
        }
        SourceError::Path { path, source } => {
            let hint = if path.as_os_str().as_bytes().ends_with(b"\r") {
                format!("check the paths: {LINE_ENDS}")
            } else {
                "check the path".to_owned()
            };
            return CommandError::usage(error.to_string(), hint).because(source);
        }
        SourceError::Conflict { .. } => "make two backups, or name a folder that contains both",
        _ => "back up the folder that the link points to separately",
    };
    CommandError::usage(error.to_string(), hint)
}

/// The folder that relative paths start from.
pub(super) fn current_folder() -> Vec<u8> {
    let folder = std::env::current_dir().unwrap_or_default();
    folder.as_os_str().as_bytes().to_vec()
}

/// The host name of this machine.
pub(super) fn host_name() -> String {
    let name = nix::unistd::gethostname().ok();
    name.map_or_else(
        || "localhost".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// The name of the user who runs br, or the numeric id if there is no name.
pub(super) fn user_name() -> String {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_slashes_do_not_change_path() {
        for (typed, kept) in [
            ("/a/b//", "/a/b"),
            ("/", "/"),
            ("//", "/"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(without_slash(typed.as_ref()), Path::new(kept), "{typed}");
        }
    }
}
