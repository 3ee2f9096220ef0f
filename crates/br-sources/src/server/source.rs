//! The dumps of a server as the source of a backup.

use std::fmt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use br_core::model::{EntryPath, FileTime, Owner};
use br_core::source::{
    CombinedSource, CommandSource, CommandStream, Source, SourceItem, SourcePaths, StreamRules,
    StreamSource,
};
use tokio_util::sync::CancellationToken;

use super::{DumpContent, Server, ServerError};

/// Takes a line that a dump program wrote: the program, and the line.
type OnMessage = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// How to dump a server.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct DumpOptions {
    time: FileTime,
    owner: Owner,
    time_limit: Option<Duration>,
    rules: StreamRules,
    on_message: Option<OnMessage>,
}

impl DumpOptions {
    /// Sets the modification time of the dumps. [`ServerSource`] does not ask for the time.
    #[must_use]
    pub const fn with_time(mut self, time: FileTime) -> Self {
        self.time = time;
        self
    }

    /// Sets the owner of the dumps.
    #[must_use]
    pub fn with_owner(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// Sets how long each dump program may run. Without a limit, a backup waits for a program that never ends.
    #[must_use]
    pub const fn with_time_limit(mut self, limit: Option<Duration>) -> Self {
        self.time_limit = limit;
        self
    }

    /// Sets what the output of each program must be like, in addition to what its format needs.
    #[must_use]
    pub fn with_rules(mut self, rules: StreamRules) -> Self {
        self.rules = rules;
        self
    }

    /// Sets what takes each line that a program writes to its standard error: the path of the program, and the line. It runs on threads of its own.
    #[must_use]
    pub fn with_on_message(mut self, take: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        self.on_message = Some(Arc::new(take));
        self
    }

    /// What a program writes.
    fn stream(&self, path: EntryPath, command: Command, server: &Option<String>) -> CommandStream {
        let name = command.get_program().to_string_lossy().into_owned();
        let stream = CommandStream::new(path, command)
            .with_time_limit(self.time_limit)
            .with_server(server.clone());
        match self.on_message.clone() {
            Some(take) => stream.with_on_message(move |line| take(&name, line)),
            None => stream,
        }
    }
}

impl fmt::Debug for DumpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DumpOptions")
            .field("time", &self.time)
            .field("owner", &self.owner)
            .field("time_limit", &self.time_limit)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// The dumps of a server, each a file in the [folder](Server::folder) of the server.
///
/// A backup of it fails if a dump is not complete. To back up files too, or several servers, put it into a [`CombinedSource`]: beside files, a dump that
/// fails makes the backup incomplete.
#[derive(Debug)]
pub struct ServerSource(CombinedSource);

impl ServerSource {
    /// Asks the server which dumps it has. Programs and connections start when the backup reads them. `cancel` ends them: give it the token
    /// of the [`Context`](br_core::Context) that the backup gets.
    ///
    /// # Errors
    /// When a program is missing on this machine, or a database has a name that cannot be a file name.
    pub fn new(
        server: &dyn Server,
        options: &DumpOptions,
        cancel: &CancellationToken,
    ) -> Result<Self, ServerError> {
        let description = Some(server.description());
        let mut programs = Vec::new();
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        for dump in server.dumps(cancel)? {
            let path = if dump.name.is_empty() {
                server.folder().to_owned()
            } else {
                format!("{}/{}", server.folder(), dump.name)
            };
            let path =
                EntryPath::new(path.into_bytes()).map_err(|error| ServerError::BadOption {
                    what: format!("the name `{}`", dump.name),
                    reason: error.to_string(),
                })?;
            match dump.content {
                DumpContent::Program(command) => {
                    let mut rules = options.rules.clone();
                    if let Some(end_mark) = dump.end_mark {
                        rules = rules.with_end_mark(Some(end_mark.to_owned()));
                    }
                    let stream = options.stream(path, command, &description);
                    programs.push(stream.with_rules(rules).with_last_check(dump.last_check));
                }
                DumpContent::Archive { command, unpack } => {
                    // The rules are about text: `unpack` knows itself what is complete.
                    let stream = options.stream(path, command, &description);
                    programs.push(stream.with_unpack(unpack).with_last_check(dump.last_check));
                }
                DumpContent::Reader(reader) => {
                    let (time, owner) = (options.time, options.owner.clone());
                    let source = StreamSource::new(path, reader, time, owner);
                    sources.push(Box::new(source.with_server(description.clone())));
                }
            }
        }
        let (time, owner) = (options.time, options.owner.clone());
        let programs = CommandSource::new(programs, time, owner, cancel.clone());
        sources.push(Box::new(programs));
        Ok(Self(CombinedSource::new(sources)))
    }
}

impl Source for ServerSource {
    fn next(&mut self) -> Option<SourceItem> {
        self.0.next()
    }

    fn take_first(&mut self) -> Vec<SourceItem> {
        self.0.take_first()
    }

    fn paths(&self) -> SourcePaths {
        self.0.paths()
    }

    fn can_skip_unchanged(&self) -> bool {
        self.0.can_skip_unchanged()
    }

    fn needs_everything(&self) -> bool {
        self.0.needs_everything()
    }
}
