//! A backup of what programs write to their standard output, such as dumps of databases.
//!
//! [`CommandSource`] yields one file for each [`CommandStream`], or a folder if it is to be [taken apart](CommandStream::with_unpack). Invariant: the file is in a backup only if the program exited with code 0
//! and its output passed the [`StreamRules`]. Otherwise the whole backup fails, because the source
//! [needs everything](Source::needs_everything). Beside a source of files in a [`CombinedSource`](super::CombinedSource), the backup is incomplete instead.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::folder::{FolderReader, TakeEntry, Unpack};
use super::stream::stream_entry;
use super::stream_check::{StreamCheck, StreamError, StreamRules};
use super::{ContentReader, Details, Source, SourceItem, SourcePaths};
use crate::model::{Entry, EntryKind, EntryPath, FileTime, Owner, StreamRecord};
use crate::platform;
use crate::process::{LOOK_EVERY, OnMessage, Process, ProgramError, program_name};

/// Number of reads between two looks at a program. Programs may write a few kilobytes at a time, and a look takes longer than such a read. br also looks
/// whenever a program writes nothing for a while.
const UNWATCHED: u32 = 16;

/// A program, and the path of its output in the backup.
pub struct CommandStream {
    path: EntryPath,
    command: Command,
    rules: StreamRules,
    time_limit: Option<Duration>,
    on_message: Option<OnMessage>,
    server: Option<String>,
    unpack: Option<Box<dyn Unpack>>,
    last_check: Option<LastCheck>,
}

/// Judges a stream whose program has ended: takes what the program wrote to its standard error, and returns why the stream is not accepted.
pub type LastCheck = Box<dyn FnOnce(&str) -> Result<(), String> + Send>;

impl CommandStream {
    /// The output of a program as a file at `path`, which must not be the root.
    ///
    /// The program gets no input. Its standard output and standard error are replaced. A [`Command`] passes arguments as they are: no shell
    /// interprets them. On Unix the program gets a process group of its own, and a second process, `/bin/sh`, ends it if this process is killed.
    #[must_use]
    pub fn new(path: EntryPath, command: Command) -> Self {
        Self {
            path,
            command,
            rules: StreamRules::default(),
            time_limit: None,
            on_message: None,
            server: None,
            unpack: None,
            last_check: None,
        }
    }

    /// Sets what is asked last, when the program has exited with code 0 and its output was accepted. If it returns a reason, the stream fails. It may block, and gets
    /// as much of the messages as the backup keeps: see [`StreamRecord::messages`].
    #[must_use]
    pub fn with_last_check(mut self, check: Option<LastCheck>) -> Self {
        self.last_check = check;
        self
    }

    /// Takes the output apart: the path becomes a folder, with what `unpack` finds in the output. The folder is in the backup only if the program exited with
    /// code 0 and `unpack` accepted its output to the end. A backup holds the entries of the folder in memory until then.
    #[must_use]
    pub fn with_unpack(mut self, unpack: Box<dyn Unpack>) -> Self {
        self.unpack = Some(unpack);
        self
    }

    /// Sets what the output must be like.
    #[must_use]
    pub fn with_rules(mut self, rules: StreamRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets how long the program may run. Without a limit, a backup waits for a program that never ends.
    #[must_use]
    pub const fn with_time_limit(mut self, limit: Option<Duration>) -> Self {
        self.time_limit = limit;
        self
    }

    /// Sets the server that the output is a dump of, for [`StreamRecord::server`].
    #[must_use]
    pub fn with_server(mut self, server: Option<String>) -> Self {
        self.server = server;
        self
    }

    /// Sets what takes each line that the program writes to its standard error, on a thread of its own. The backup keeps these lines in any
    /// case: see [`StreamRecord::messages`].
    #[must_use]
    pub fn with_on_message(mut self, take: impl FnMut(&str) + Send + 'static) -> Self {
        self.on_message = Some(Box::new(take));
        self
    }
}

impl fmt::Debug for CommandStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandStream")
            .field("path", &self.path)
            .field("program", &program_name(&self.command))
            .field("rules", &self.rules)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}

/// The outputs of programs, one file each. The folders above them have no entries.
///
/// A worker of the backup starts a program when it is about to read its output. Several programs may run at the same time. If one of them
/// fails, the others are ended, and the backup fails: its error has a [`StreamError`] as its cause. In a
/// [`CombinedSource`](super::CombinedSource) with a source of files, the backup has everything else instead and is incomplete: look at
/// [`Backup::is_complete`](crate::model::Backup::is_complete) and at the reasons in [`Backup::unread`](crate::model::Backup::unread).
#[derive(Debug)]
pub struct CommandSource {
    streams: VecDeque<CommandStream>,
    time: FileTime,
    owner: Owner,
    shared: Arc<Shared>,
}

/// What the streams of a source have in common.
#[derive(Debug)]
struct Shared {
    cancel: CancellationToken,
    /// Why a program failed.
    failure: Mutex<Option<String>>,
}

impl CommandSource {
    /// The files get this modification time and this owner; only the owner may read them. `cancel` ends the programs: give it the token of
    /// the [`Context`](crate::Context) that the backup gets.
    #[must_use]
    pub fn new(
        mut streams: Vec<CommandStream>,
        time: FileTime,
        owner: Owner,
        cancel: CancellationToken,
    ) -> Self {
        streams.sort_by(|one, other| one.path.cmp(&other.path));
        Self {
            streams: streams.into(),
            time,
            owner,
            shared: Arc::new(Shared {
                cancel,
                failure: Mutex::new(None),
            }),
        }
    }
}

impl Source for CommandSource {
    fn next(&mut self) -> Option<SourceItem> {
        let mut stream = self.streams.pop_front()?;
        let mut entry = stream_entry(stream.path.clone(), self.time, self.owner.clone());
        let shared = Arc::clone(&self.shared);
        if let Some(unpack) = stream.unpack.take() {
            (entry.kind, entry.mode) = (EntryKind::Directory, 0o700);
            let reader = Box::new(PreparedFolder {
                stream,
                unpack,
                shared,
            });
            let folder = entry;
            return Some(SourceItem::Folder { folder, reader });
        }
        let details = Box::new(Prepared { stream, shared });
        Some(SourceItem::Entry { entry, details })
    }

    fn take_first(&mut self) -> Vec<SourceItem> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn paths(&self) -> SourcePaths {
        let paths = self.streams.iter();
        SourcePaths {
            paths: paths
                .map(|stream| stream.path.as_bytes().to_vec())
                .collect(),
            folder: Vec::new(),
        }
    }

    fn needs_everything(&self) -> bool {
        true
    }
}

/// A program that was not started yet.
struct Prepared {
    stream: CommandStream,
    shared: Arc<Shared>,
}

impl Details for Prepared {
    fn complete(&mut self, _entry: &mut Entry) -> io::Result<()> {
        Ok(())
    }

    fn open(self: Box<Self>, _entry: &mut Entry) -> io::Result<Box<dyn ContentReader>> {
        let Self { stream, shared } = *self;
        shared.check()?;
        let running = Running::start(stream, Arc::clone(&shared));
        running
            .map(|running| Box::new(running) as Box<dyn ContentReader>)
            .map_err(|error| shared.note(error).into())
    }
}

/// A program that was not started yet, and what takes its output apart.
struct PreparedFolder {
    stream: CommandStream,
    unpack: Box<dyn Unpack>,
    shared: Arc<Shared>,
}

impl FolderReader for PreparedFolder {
    fn read(self: Box<Self>, take: &mut TakeEntry<'_>) -> io::Result<Option<StreamRecord>> {
        let Self {
            stream,
            unpack,
            shared,
        } = *self;
        shared.check()?;
        let path = stream.path.clone();
        let running = Running::start(stream, Arc::clone(&shared));
        let mut running = running.map_err(|error| shared.note(error))?;
        let position = unpack
            .unpack(&path, &mut running, take)
            .map_err(|error| shared.note(running.cause_of(&error)))?;
        let record = running.end().map_err(|error| shared.note(error))?;
        Ok(Some(record.with_position(position)))
    }
}

impl Shared {
    /// Fails if the backup was cancelled or another program failed.
    fn check(&self) -> Result<(), StreamError> {
        if self.cancel.is_cancelled() {
            return Err(ProgramError::Interrupted.into());
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            Some(reason) => Err(StreamError::OtherFailed(reason.clone())),
            None => Ok(()),
        }
    }

    /// Remembers the first failure, so that the other programs end.
    fn note(&self, error: StreamError) -> StreamError {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.to_string());
        error
    }
}

/// A program that runs, and its output.
struct Running {
    path: EntryPath,
    process: Process,
    stdout: ChildStdout,
    /// Reads since br looked at the process.
    unwatched: u32,
    check: StreamCheck,
    server: Option<String>,
    last_check: Option<LastCheck>,
    shared: Arc<Shared>,
    record: Option<StreamRecord>,
    has_ended: bool,
    /// Why reading failed.
    failure: Option<StreamError>,
}

impl Running {
    fn start(stream: CommandStream, shared: Arc<Shared>) -> Result<Self, StreamError> {
        let mut command = stream.command;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let cancel = shared.cancel.clone();
        let mut process = Process::start(command, stream.time_limit, stream.on_message, cancel)?;
        let stdout = process.child().stdout.take();
        let stdout = stdout.ok_or_else(|| ProgramError::NotStarted {
            program: process.program.clone(),
            reason: "it has no output".to_owned(),
        })?;
        platform::enlarge_pipe(&stdout);
        process.guard(None);
        Ok(Self {
            path: stream.path,
            process,
            stdout,
            unwatched: 0,
            check: StreamCheck::new(stream.rules),
            server: stream.server,
            last_check: stream.last_check,
            shared,
            record: None,
            has_ended: false,
            failure: None,
        })
    }

    /// Why the output could not be taken apart. If the program failed, that is the reason why its output is not what it should be.
    fn cause_of(&mut self, error: &io::Error) -> StreamError {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        if self.has_ended
            && let Err(failure) = self.end()
        {
            return failure;
        }
        StreamError::BadOutput {
            program: self.process.program.clone(),
            reason: Box::new(StreamError::Content(error.to_string())),
            messages: self.process.messages().last_lines(),
        }
    }

    fn read_output(&mut self, buffer: &mut [u8]) -> Result<io::Result<usize>, StreamError> {
        loop {
            self.shared.check()?;
            self.process.look_at_limits()?;
            if self.unwatched >= UNWATCHED {
                self.process.look()?;
                self.unwatched = 0;
            }
            match platform::wait_readable(&self.stdout, LOOK_EVERY) {
                Ok(true) => {
                    self.unwatched += 1;
                    return Ok(self.stdout.read(buffer));
                }
                Ok(false) => self.unwatched = UNWATCHED,
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn end(&mut self) -> Result<StreamRecord, StreamError> {
        let shared = &self.shared;
        self.process.wait(|process| {
            shared.check()?;
            Ok::<_, StreamError>(process.look()?)
        })?;
        let (program, messages) = (self.process.program.clone(), self.process.messages());
        let checked = self
            .check
            .finish()
            .map_err(|reason| StreamError::BadOutput {
                program: program.clone(),
                reason: Box::new(reason),
                messages: messages.last_lines(),
            })?;
        if let Some(check) = self.last_check.take() {
            check(&messages.all()).map_err(|reason| StreamError::Refused {
                program: program.clone(),
                reason,
            })?;
        }
        Ok(StreamRecord::new(self.path.as_bytes())
            .with_program(Some(program))
            .with_server(self.server.take())
            .with_end_mark(checked.end_mark)
            .with_position(checked.position)
            .with_compression(checked.compression.map(str::to_owned))
            .with_messages(messages.all()))
    }
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.read_output(buffer).map_err(|error| {
            self.failure = Some(error.clone());
            self.shared.note(error)
        })??;
        self.has_ended = len == 0 && !buffer.is_empty();
        self.check.update(&buffer[..len]);
        Ok(len)
    }
}

impl ContentReader for Running {
    fn finish(&mut self) -> io::Result<bool> {
        let record = self.end().map_err(|error| self.shared.note(error))?;
        self.record = Some(record);
        Ok(true)
    }

    fn record(&mut self) -> Option<StreamRecord> {
        self.record.take()
    }
}
