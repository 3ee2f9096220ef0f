//! The options of `br backup` for streams: standard input, or the output of a program.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use br_core::model::{EntryPath, FileTime, Owner};
use br_core::source::{
    CombinedSource, CommandSource, CommandStream, Source, SourceItem, StreamRules, StreamSource,
};
use br_sources::server::DumpOptions;
use clap::Args;

use super::paths::entry_path;
use super::restore_steps::BASE;
use super::servers::{ServerArgs, ServerOptions};
use super::sources::user_name;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::output::format;
use crate::password::SECRETS;
use crate::stdin::PatientStdin;
use crate::values::BadValue;

/// Options that are about files. Settings of the configuration files for them give way to a stream.
const OF_FILES: [&str; 10] = [
    "files_from",
    "files_from_raw",
    "exclude",
    "exclude_file",
    "iexclude",
    "no_ignore",
    "exclude_caches",
    "exclude_if_present",
    "exclude_larger_than",
    "one_file_system",
];

/// Options that name servers.
const OF_SERVERS: [&str; 5] = ["mysql", "postgres", "postgres_base", "redis", "rabbitmq"];

/// A backup of a stream.
#[derive(Debug, Args)]
#[command(next_help_heading = "Streams")]
pub(super) struct StreamArgs {
    /// Back up the output of a program: what follows `--` is the program with its arguments
    ///
    /// br runs the program without a shell. It makes no backup, and fails, if the program exits with another code than 0, is killed, writes nothing, or
    /// if a dump of mysqldump, mariadb-dump, pg_dump, pg_dumpall or sqlite3 lacks its last line.
    #[arg(long, requires = "stdin_name", conflicts_with = "stdin", conflicts_with_all = OF_FILES, conflicts_with_all = OF_SERVERS)]
    stdin_from_command: bool,

    /// Back up standard input; br cannot see whether the program before the pipe failed, so prefer --stdin-from-command
    #[arg(long, requires = "stdin_name", conflicts_with_all = OF_FILES, conflicts_with_all = OF_SERVERS)]
    stdin: bool,

    /// Back up the output of a program as the file NAME, together with the PATHs (can be repeated)
    ///
    /// `--stream 'db/shop.sql=mysqldump shop'` splits the command into words as a shell does, with quotes and backslashes; nothing else is replaced. The rules of --stdin-from-command
    /// apply. If a program fails, the backup has everything else, is incomplete, and br exits with 3. Without a PATH, there is no backup then.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named_command, conflicts_with_all = ["stdin", "stdin_from_command"])]
    stream: Vec<NamedCommand>,

    #[command(flatten)]
    servers: ServerArgs,

    /// The program of --stdin-from-command with its arguments; without that option, further paths
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,

    /// Path of the stream in the backup
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<OsString>,

    /// Make no backup unless the last line of the stream begins with TEXT
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = end_mark)]
    expect_trailer: Option<String>,

    /// Accept a stream without any byte
    #[arg(long)]
    allow_empty: bool,

    /// End the program after this time, and make no backup
    #[arg(long, value_name = "TIME", value_parser = format::parse_duration)]
    command_timeout: Option<Duration>,
}

/// A stream to back up.
#[derive(Debug)]
pub(super) struct Stream {
    path: EntryPath,
    rules: StreamRules,
    origin: StreamOrigin,
}

#[derive(Debug)]
enum StreamOrigin {
    Stdin,
    Program {
        program: OsString,
        arguments: Vec<OsString>,
        time_limit: Option<Duration>,
    },
    Server {
        server: ServerOptions,
        time_limit: Option<Duration>,
    },
}

impl StreamArgs {
    /// The paths of files on the command line.
    pub(super) fn paths(&self, paths: &[PathBuf]) -> Vec<PathBuf> {
        if self.stdin_from_command {
            return Vec::new();
        }
        let after = self.program.iter().map(PathBuf::from);
        paths.iter().cloned().chain(after).collect()
    }

    /// The streams that these options name. Reads the passwords of servers if there is a context.
    pub(super) fn streams(
        &self,
        context: Option<&CommandContext>,
    ) -> Result<Vec<Stream>, CommandError> {
        let rules = StreamRules::default()
            .with_allow_empty(self.allow_empty)
            .with_end_mark(self.expect_trailer.clone());
        let Some(name) = &self.stdin_name else {
            let mut streams = self.named(&rules)?;
            for server in self.servers.servers(context)? {
                streams.push(Stream {
                    path: stream_path(server.folder().as_ref())?,
                    rules: rules.clone(),
                    origin: StreamOrigin::Server {
                        server,
                        time_limit: self.command_timeout,
                    },
                });
            }
            let mut seen = HashSet::new();
            if let Some(twice) = streams.iter().find(|one| !seen.insert(&one.path)) {
                let message = format!("two streams have the name {}", twice.path);
                return Err(CommandError::usage(
                    message,
                    "give each --stream its own name",
                ));
            }
            check_places(&streams)?;
            return Ok(streams);
        };
        let path = stream_path(name)?;
        let origin = match self.program.split_first() {
            Some((program, arguments)) => StreamOrigin::Program {
                program: program.clone(),
                arguments: arguments.to_vec(),
                time_limit: self.command_timeout,
            },
            None => StreamOrigin::Stdin,
        };
        let stream = Stream {
            path,
            rules,
            origin,
        };
        Ok(vec![stream])
    }

    /// The programs of `--stream`.
    pub(super) fn programs(&self) -> &[NamedCommand] {
        &self.stream
    }

    /// The options about servers.
    pub(super) const fn servers(&self) -> &ServerArgs {
        &self.servers
    }

    /// The streams of `--stream`.
    fn named(&self, rules: &StreamRules) -> Result<Vec<Stream>, CommandError> {
        let mut streams: Vec<Stream> = Vec::new();
        for NamedCommand { name, words, .. } in &self.stream {
            let path = stream_path(name)?;
            let mut words = words.iter().map(OsString::from);
            streams.push(Stream {
                path,
                rules: rules.clone(),
                origin: StreamOrigin::Program {
                    program: words.next().unwrap_or_default(),
                    arguments: words.collect(),
                    time_limit: self.command_timeout,
                },
            });
        }
        Ok(streams)
    }

    /// Refuses options that contradict each other or would have no effect.
    pub(super) fn check(&self, paths: &[PathBuf]) -> Result<(), CommandError> {
        self.servers.servers(None)?;
        if !self.stdin && !self.stdin_from_command {
            return self.check_without_stream();
        }
        if self.stdin_from_command
            && let Some(path) = paths.first()
        {
            let message = format!("write `--` before the program {}", format::path(path));
            let hint = "br would take its options for those of br: `br backup --stdin-from-command --stdin-name shop.sql -- mysqldump shop`";
            return Err(CommandError::usage(message, hint));
        }
        if self.stdin_from_command && self.program.is_empty() {
            let hint = "write it after `--`, as in `br backup --stdin-from-command --stdin-name shop.sql -- mysqldump shop`";
            return Err(CommandError::usage(
                "--stdin-from-command needs a program",
                hint,
            ));
        }
        if self.stdin
            && let Some(path) = paths.first()
        {
            let message = format!(
                "--stdin and the path {} contradict each other",
                format::path(path)
            );
            let hint = "make two backups: one of the paths, and one of standard input; if it is a program, use --stdin-from-command";
            return Err(CommandError::usage(message, hint));
        }
        if self.stdin && std::io::stdin().is_terminal() {
            let hint = "write for example `br backup --stdin-from-command --stdin-name shop.sql -- pg_dump shop`";
            return Err(CommandError::usage("standard input is a terminal", hint));
        }
        Ok(())
    }

    fn check_without_stream(&self) -> Result<(), CommandError> {
        if let Some(name) = &self.stdin_name {
            let message = "--stdin-name needs --stdin-from-command or --stdin";
            let hint = format!(
                "write for example `br backup --stdin-from-command --stdin-name {} -- pg_dump shop`",
                name.display()
            );
            return Err(CommandError::usage(message, hint));
        }
        if !self.stream.is_empty() {
            return Ok(());
        }
        let others = [
            ("--expect-trailer", self.expect_trailer.is_some()),
            ("--allow-empty", self.allow_empty),
        ];
        match others.into_iter().find(|(_, typed)| *typed) {
            Some((option, _)) => {
                let message =
                    format!("{option} has no effect without --stdin-from-command or --stream");
                Err(CommandError::usage(message, "leave it out"))
            }
            None => Ok(()),
        }
    }
}

/// Refuses a stream below another one that is a file, or below the files of a PostgreSQL server.
fn check_places(streams: &[Stream]) -> Result<(), CommandError> {
    let is_closed = |stream: &&Stream| match &stream.origin {
        StreamOrigin::Server { server, .. } => server.folder() == BASE,
        StreamOrigin::Program { .. } | StreamOrigin::Stdin => true,
    };
    for above in streams.iter().filter(is_closed) {
        let is_below = |one: &&Stream| one.path != above.path && one.path.is_within(&above.path);
        if let Some(below) = streams.iter().find(is_below) {
            let message = format!(
                "the stream {} is below the stream {}",
                below.path, above.path
            );
            return Err(CommandError::usage(message, "give it another name"));
        }
    }
    Ok(())
}

impl Stream {
    /// Its path in the backup.
    pub(super) const fn path(&self) -> &EntryPath {
        &self.path
    }

    /// True if the stream can be read only once.
    pub(super) const fn is_stdin(&self) -> bool {
        matches!(self.origin, StreamOrigin::Stdin)
    }
}

/// Opens streams. A program starts when the backup reads its output.
pub(super) fn open(streams: &[Stream], context: &CommandContext) -> Box<dyn Source> {
    let owner = Owner {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        user: user_name(),
        group: String::new(),
    };
    let time = FileTime::from(SystemTime::from(context.runtime.clock.now()));
    let cancel = context.cancel.clone();
    let mut commands = Vec::new();
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for Stream {
        path,
        rules,
        origin,
    } in streams
    {
        let console = Arc::clone(&context.output.console);
        match origin {
            StreamOrigin::Stdin => {
                let reader = PatientStdin::new(cancel);
                let source = StreamSource::new(path.clone(), reader, time, owner);
                return Box::new(source.with_rules(rules.clone()));
            }
            StreamOrigin::Program {
                program,
                arguments,
                time_limit,
            } => {
                let name = name_of(program);
                let stream = CommandStream::new(path.clone(), command(program, arguments));
                let stream = stream
                    .with_rules(rules.clone())
                    .with_time_limit(*time_limit)
                    .with_on_message(move |line| console.note(&message(&name, line)));
                commands.push(stream);
            }
            StreamOrigin::Server { server, time_limit } => {
                let take = move |program: &str, line: &str| {
                    console.note(&message(&name_of(program.as_ref()), line));
                };
                let options = DumpOptions::default()
                    .with_time(time)
                    .with_owner(owner.clone())
                    .with_rules(rules.clone())
                    .with_time_limit(*time_limit)
                    .with_on_message(take);
                sources.push(match server.source(&options, context) {
                    Ok(source) => Box::new(source),
                    Err(reason) => Box::new(Unreachable(Some((path.clone(), reason)))),
                });
            }
        }
    }
    sources.push(Box::new(CommandSource::new(commands, time, owner, cancel)));
    Box::new(CombinedSource::new(sources))
}

/// A stream that cannot be had, with the reason.
struct Unreachable(Option<(EntryPath, String)>);

impl Source for Unreachable {
    fn next(&mut self) -> Option<SourceItem> {
        let (path, reason) = self.0.take()?;
        let error = std::io::Error::other(reason);
        Some(SourceItem::Unreadable { path, error })
    }

    fn needs_everything(&self) -> bool {
        true
    }
}

/// The name of a program without its folder.
pub(super) fn name_of(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or(program);
    name.to_string_lossy().into_owned()
}

/// A message of a program. Programs often name themselves.
pub(super) fn message(program: &str, line: &str) -> String {
    let text = line.replace('\t', " ");
    match text.strip_prefix(program) {
        Some(rest) if rest.starts_with(':') => text,
        _ => format!("{program}: {text}"),
    }
}

/// The value of `--expect-trailer`.
fn end_mark(text: &str) -> Result<String, BadValue> {
    let text = text.trim_end();
    let hint = "for example, write --expect-trailer '-- Dump completed'";
    if text.contains('\n') {
        return Err(BadValue::new("the text has more than one line", hint));
    }
    if text.is_empty() || text == "--" {
        return Err(BadValue::new("the text says nothing", hint));
    }
    Ok(text.to_owned())
}

/// Further variables with secrets of br, which only a password command gets.
const MORE_SECRETS: [&str; 2] = ["BR_NEW_PASSWORD", "BR_S3_ACCESS_KEY_ID"];

/// A program, with the environment of br except the passwords of br.
pub(super) fn command(
    program: &OsStr,
    arguments: impl IntoIterator<Item: AsRef<OsStr>>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    for name in secrets() {
        command.env_remove(name);
    }
    command
}

/// The variables with secrets of br.
pub(super) fn secrets() -> impl Iterator<Item = &'static str> {
    SECRETS.into_iter().chain(MORE_SECRETS)
}

/// The value of `--stream`.
#[derive(Debug, Clone)]
pub(super) struct NamedCommand {
    pub(super) name: OsString,
    pub(super) words: Vec<String>,
    /// The command as typed.
    pub(super) text: String,
}

pub(super) fn named_command(text: &str) -> Result<NamedCommand, BadValue> {
    let hint = "for example, write --stream 'db/shop.sql=mysqldump shop'";
    let Some((name, command)) = text.split_once('=') else {
        return Err(BadValue::new(format!("`{text}` has no `=`"), hint));
    };
    match shlex::split(command) {
        None => Err(BadValue::new(
            format!("`{command}` has a quote that does not end"),
            hint,
        )),
        Some(words) if words.is_empty() => {
            Err(BadValue::new(format!("`{text}` has no command"), hint))
        }
        Some(words) => Ok(NamedCommand {
            name: name.trim().into(),
            words,
            text: command.to_owned(),
        }),
    }
}

/// The path of a stream in a backup.
fn stream_path(name: &OsStr) -> Result<EntryPath, CommandError> {
    let path = entry_path(name)?;
    if path.is_root() {
        let hint = "name a file, such as dump.sql";
        return Err(CommandError::usage("the name of the stream is empty", hint));
    }
    Ok(path)
}
