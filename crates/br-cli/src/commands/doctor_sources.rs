//! What `br doctor` finds out about the sources of a backup: paths, streams and servers.
//!
//! Invariant: a server that does not answer costs a limited time, and servers are asked at the same time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use br_sources::server::{self, Examine};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::doctor_programs;
use super::servers::ServerOptions;
use super::stream::NamedCommand;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::output::doctor::{Finding, Report, Subject};
use crate::output::format;

/// How long br waits for all answers of a server.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// How long it then waits for what was found out until then.
const GRACE: Duration = Duration::from_secs(2);
/// Servers whose clients read files in the home folder.
const READ_HOME: [&str; 3] = ["mysql", "postgres", "postgres-base"];

/// The sources of a backup.
pub(super) struct Sources<'s> {
    /// The set that they belong to.
    pub(super) set: Option<&'s str>,
    pub(super) paths: Vec<PathBuf>,
    pub(super) programs: &'s [NamedCommand],
    pub(super) servers: Vec<(&'static str, Result<ServerOptions, CommandError>)>,
}

impl Sources<'_> {
    /// True if a client reads files in the home folder.
    pub(super) fn read_home(&self) -> bool {
        let mut folders = self.servers.iter().map(|(folder, _)| folder);
        folders.any(|folder| READ_HOME.contains(folder))
    }

    /// Looks at all of them.
    pub(super) async fn look(
        self,
        report: &mut Report,
        context: &CommandContext,
    ) -> Result<(), CommandError> {
        // All servers at once, before anything else, and with one limit.
        let late = CancellationToken::new();
        let servers = self.servers.into_iter().map(|(folder, server)| {
            let started = server.map(|options| Examination::start(options.examine(), &late));
            (folder, started)
        });
        let servers: Vec<_> = servers.collect();
        let subject = |source: &str| Subject::source(self.set, source);
        report.add(subject("files"), of_paths(&self.paths));
        for NamedCommand { name, words, text } in self.programs {
            let name = name.to_string_lossy();
            let findings = doctor_programs::of_stream(words, text);
            report.add(subject(&format!("stream {name}")), findings);
        }
        let limit = tokio::spawn({
            let late = late.clone();
            async move {
                sleep(TIME_LIMIT).await;
                late.cancel();
            }
        });
        // Also when br is interrupted, so that no client is left behind.
        let _guards = (late.drop_guard(), AbortOnDrop(limit));
        for (folder, started) in servers {
            let findings = match started {
                Ok(examination) => examination.finish(context).await?,
                Err(error) => vec![Finding::of_error(&error)],
            };
            report.add(subject(folder), findings);
        }
        Ok(())
    }
}

/// A task that ends with this value.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A server that is asked on a thread.
struct Examination {
    /// Cancelled when the time is over.
    late: CancellationToken,
    found: oneshot::Receiver<Vec<server::Finding>>,
}

impl Examination {
    fn start(server: Box<dyn Examine>, late: &CancellationToken) -> Self {
        let (sender, found) = oneshot::channel();
        let (late, own) = (late.clone(), late.clone());
        // Not on a thread of the runtime, because the runtime waits for those when it ends.
        std::thread::spawn(move || sender.send(server.examine(&own)));
        Self { late, found }
    }

    /// Waits for the findings, for a limited time.
    async fn finish(mut self, context: &CommandContext) -> Result<Vec<Finding>, CommandError> {
        let found = tokio::select! {
            biased;
            found = &mut self.found => found.ok(),
            () = self.late.cancelled() => {
                timeout(GRACE, self.found).await.ok().and_then(Result::ok)
            }
            () = context.cancel.cancelled() => return Err(CommandError::interrupted()),
        };
        Ok(found.map_or_else(
            || {
                let message = format!("no answer within {} seconds", TIME_LIMIT.as_secs());
                let fix = "look at the load and the log of the server, and at the network";
                vec![Finding::problem(message, fix)]
            },
            |found| found.into_iter().map(Finding::from).collect(),
        ))
    }
}

/// Whether paths exist and can be read. br does not look into folders.
fn of_paths(paths: &[PathBuf]) -> Vec<Finding> {
    let bad: Vec<Finding> = paths.iter().filter_map(|path| of_path(path)).collect();
    if bad.is_empty() && !paths.is_empty() {
        let paths = format::counted(paths.len() as u64, "path exists", "paths exist");
        let message = format!("{paths}, and can be read; br does not look into folders");
        return vec![Finding::ok(message)];
    }
    bad
}

fn of_path(path: &Path) -> Option<Finding> {
    let shown = format::path(path);
    let access = match path.metadata() {
        Ok(data) if data.is_dir() => Access::READ_OK | Access::EXEC_OK,
        Ok(_) => Access::READ_OK,
        // The end of a link may be missing: br backs up the link.
        Err(_) if path.is_symlink() => return None,
        Err(error) => {
            let fix = "correct the path, mount its disk, or remove it from the backup";
            return Some(Finding::problem(format!("{shown}: {error}"), fix));
        }
    };
    let error = accessat(CWD, path, access, AtFlags::EACCESS).err()?;
    let fix = "run br as a user who may read it, such as root";
    Some(Finding::problem(format!("{shown}: {error}"), fix))
}
