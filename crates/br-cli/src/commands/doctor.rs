//! `br doctor`: looks at everything that a backup needs, and says how to correct what is wrong.
//!
//! [`run`] decides what to look at; `doctor_sources`, `doctor_programs`, `doctor_repository`, `doctor_machine` and `doctor_schedule`
//! look. Invariant: one failure does not keep br from looking at the rest, and br changes nothing but its own cache.

use std::collections::BTreeMap;
use std::path::PathBuf;

use br_core::model::Backup;
use clap::Args;

use super::backup::BackupArgs;
use super::doctor_sources::Sources;
use super::run::{backup_of, chosen, mistakes, quoted};
use super::servers::ServerArgs;
use super::stream::{NamedCommand, named_command};
use super::{doctor_machine, doctor_programs, doctor_repository, doctor_schedule};
use crate::config::BackupSet;
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::hint::Kept;
use crate::output::doctor::{Finding, Report, Subject};
use crate::password::Password;
use crate::storage::StoreLocation;

const CODES: &[ExitStatus] = &[
    ExitStatus::Ok,
    ExitStatus::Failure,
    ExitStatus::Usage,
    ExitStatus::Interrupted,
];

const EXAMPLES: &str = "\
  br doctor                   # all sets, their repositories, and this machine
  br doctor home
  br -r /mnt/disk/backup doctor
  br doctor --mysql all --redis 127.0.0.1:6379 -- /etc/myapp
  br doctor --json | jq -r '.findings[] | select(.severity == \"problem\") | .message'";

/// Look for what would make a backup fail, and say how to correct it
///
/// br looks at the sources of the sets, at their repositories, and at this machine: whether servers answer, which versions they and the dump programs are, which rights
/// the login lacks, whether paths and programs exist, whether the repository opens, the age of the newest backup, clock, free space and schedule. It changes nothing.
///
/// Each finding is `ok`, `advice`, `warning` (the backup works, and lacks something) or `problem` (a backup fails or is incomplete), and says how to correct it, with the
/// exact statement if rights are missing. The exit code is 1 if there is a problem, and otherwise 0. With --quiet, br shows only problems and warnings.
///
/// Without a set, a source or --repo, br looks at all sets of the configuration files.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(crate) struct DoctorArgs {
    /// Names of sets [default: all]
    #[arg(value_name = "SET")]
    sets: Vec<String>,

    /// Files and folders to look at in place of sets
    #[arg(last = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// A stream to look at in place of sets, as for `br backup` (can be repeated)
    #[arg(long, value_name = "NAME=COMMAND", value_parser = named_command)]
    stream: Vec<NamedCommand>,

    // Must be the last field: its heading applies to all options that follow.
    #[command(flatten)]
    servers: ServerArgs,
}

pub(crate) async fn run(args: &DoctorArgs, context: &CommandContext) -> CommandResult {
    args.check(context)?;
    let mut doctor = Doctor {
        report: Report::default(),
        repositories: BTreeMap::new(),
        reads_home: false,
        context,
    };
    let sets = if args.names_sources() || context.names_repository() {
        Vec::new()
    } else {
        args.chosen(context)?
    };
    if sets.is_empty() {
        doctor.look_at_options(args).await?;
    }
    doctor.look_at_configuration();
    for (name, set) in &sets {
        doctor.look_at_set(name, set).await?;
    }
    let machine = doctor_machine::look(doctor.reads_home, context);
    doctor.report.add(Subject::machine(), machine);
    let names: Vec<&str> = sets.iter().map(|(name, _)| *name).collect();
    let schedule = doctor_schedule::look(&names, &called(context));
    doctor.report.add(Subject::machine(), schedule);
    doctor.report.show(&context.output)
}

/// br as it was called: with the configuration file, if one was named.
fn called(context: &CommandContext) -> String {
    let file = context.global_options().config.as_ref();
    let words = file.map(|file| format!("--config={}", file.display()));
    quoted(
        &std::iter::once("br".to_owned())
            .chain(words)
            .collect::<Vec<_>>(),
    )
}

impl DoctorArgs {
    fn names_sources(&self) -> bool {
        !self.paths.is_empty() || !self.stream.is_empty() || self.servers.names_server()
    }

    /// Refuses options that contradict each other.
    fn check(&self, context: &CommandContext) -> Result<(), CommandError> {
        if self.sets.is_empty() {
            return Ok(());
        }
        if self.names_sources() {
            let message = "a set and other sources are named";
            let hint = "name sets, or the sources with the options of `br backup`, but not both";
            return Err(CommandError::usage(message, hint));
        }
        if context.names_repository() {
            let message = "--repo has no effect: the sets name their repositories";
            return Err(CommandError::usage(message, "leave it out, or name no set"));
        }
        Ok(())
    }

    /// The sets to look at; none if the configuration files have none and none is named.
    fn chosen<'c>(
        &self,
        context: &'c CommandContext,
    ) -> Result<Vec<(&'c str, &'c BackupSet)>, CommandError> {
        if self.sets.is_empty() && context.config.sets.is_empty() {
            return Ok(Vec::new());
        }
        chosen(&self.sets, &context.config)
    }
}

/// What br has found out so far.
struct Doctor<'c> {
    report: Report,
    /// The backups of each repository, by its location; `None` if it cannot be opened.
    repositories: BTreeMap<String, Option<Vec<Backup>>>,
    /// True if programs read files in the home folder.
    reads_home: bool,
    context: &'c CommandContext,
}

/// A repository, and its password or the reason why it cannot be had.
type Target = (StoreLocation, Result<Option<Password>, CommandError>);

impl Doctor<'_> {
    /// Looks at the sources of the options, and at the repository of the command.
    async fn look_at_options(&mut self, args: &DoctorArgs) -> Result<(), CommandError> {
        let context = self.context;
        let target = context
            .place()
            .map(|place| (place.clone(), context.password()));
        let is_named = target.is_ok() || args.names_sources();
        match target {
            Ok(target) => self.look_at_repository(target, context).await?,
            Err(error) if is_named || error.status != ExitStatus::Usage => {
                let subject = Subject::repository("of the backup");
                self.report.add(subject, [Finding::of_error(&error)]);
            }
            Err(_) => {
                let message = "no repository and no set is named, so br looks only at this machine";
                let fix = "name a repository with --repo, or write a configuration file: `br init-config`";
                let finding = Finding::advice(message, fix);
                self.report.add(Subject::configuration(), [finding]);
            }
        }
        if !args.names_sources() {
            return Ok(());
        }
        let sources = Sources {
            set: None,
            paths: args.paths.clone(),
            programs: &args.stream,
            servers: args.servers.each(Some(context)),
        };
        self.look_at_sources(sources, context).await
    }

    /// Reports mistakes that would make `br run` refuse the configuration files.
    fn look_at_configuration(&mut self) {
        let found = mistakes(&self.context.config, self.context);
        let findings = found.into_iter().map(|mistake| {
            let message = format!("{}: {}", mistake.place, mistake.message);
            Finding::problem(message, mistake.hint)
        });
        self.report.add(Subject::configuration(), findings);
    }

    /// Looks at the repositories, the sources and the commands of a set.
    async fn look_at_set(&mut self, name: &str, set: &BackupSet) -> Result<(), CommandError> {
        let (args, context) = match backup_of(name, self.context) {
            Ok(backup) => backup,
            Err(error) => {
                let finding = Finding::of_error(&error);
                self.report.add(Subject::set(name), [finding]);
                return Ok(());
            }
        };
        self.look_at_repositories(name, &args, &context).await?;
        let commands = doctor_programs::of_hooks(&set.hooks);
        self.report.add(Subject::set(name), commands);
        let streams = args.streams();
        let sources = Sources {
            set: Some(name),
            paths: args.paths(),
            programs: streams.programs(),
            servers: streams.servers().each(Some(&context)),
        };
        self.look_at_sources(sources, &context).await
    }

    async fn look_at_repositories(
        &mut self,
        set: &str,
        args: &BackupArgs,
        context: &CommandContext,
    ) -> Result<(), CommandError> {
        let targets = match args.targets(context) {
            Ok(targets) => targets,
            Err(error) => {
                let finding = Finding::of_error(&context.advise(error, Kept::Nothing));
                self.report.add(Subject::set(set), [finding]);
                return Ok(());
            }
        };
        let host = args.host_name();
        let all: Vec<Target> = targets
            .each()
            .map(|(place, password)| (place.clone(), password))
            .collect();
        for target in all {
            let location = target.0.location.to_string();
            self.look_at_repository(target, context).await?;
            if let Some(Some(backups)) = self.repositories.get(&location) {
                let now = context.runtime.clock.now();
                let last =
                    doctor_repository::last_backup((set, &host), backups, now, &called(context));
                self.report.add(Subject::set(set), [last.at(&location)]);
            }
        }
        Ok(())
    }

    /// Looks at a repository, unless another set has it, too.
    async fn look_at_repository(
        &mut self,
        (place, password): Target,
        context: &CommandContext,
    ) -> Result<(), CommandError> {
        let location = place.location.to_string();
        if self.repositories.contains_key(&location) {
            return Ok(());
        }
        let (findings, backups) = doctor_repository::look(&place, password, context).await?;
        self.report.add(Subject::repository(&location), findings);
        self.repositories.insert(location, backups);
        Ok(())
    }

    async fn look_at_sources(
        &mut self,
        sources: Sources<'_>,
        context: &CommandContext,
    ) -> Result<(), CommandError> {
        self.reads_home |= sources.read_home();
        sources.look(&mut self.report, context).await
    }
}
