//! Several repositories for one backup: `br backup --copy-to`.
//!
//! The files are read once, for the first repository that works. The others get a copy of the new backup. Invariant: a repository that
//! fails does not keep the others from getting the backup.

use std::path::PathBuf;

use br_core::engine::copy::{CopyOptions, CopyReport, copy};
use br_core::model::Backup;
use br_core::{BackupSelector, Location, Repository};
use clap::Args;

use crate::context::CommandContext;
use crate::create::Init;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::output::format;
use crate::output::json::CopyJson;
use crate::password::{Password, PasswordNames};
use crate::storage::StoreLocation;

/// Further repositories, and how they are opened.
#[derive(Debug, Args)]
#[command(next_help_heading = "Further repositories")]
pub(super) struct CopyToArgs {
    /// Also store the backup in this repository (can be repeated)
    ///
    /// br reads the files once, and then copies the new backup like `br copy`. If a repository fails, br warns, goes on with the
    /// others and exits with 3; `br copy` copies the backup later.
    #[arg(long, value_name = "URL|PATH")]
    copy_to: Vec<String>,

    /// Read the password of these repositories from a file [env: BR_COPY_TO_PASSWORD_FILE] [default: the password of --repo]
    ///
    /// You can also set BR_COPY_TO_PASSWORD to the password.
    #[arg(
        long,
        value_name = "FILE",
        requires = "copy_to",
        conflicts_with = "copy_to_password_command"
    )]
    copy_to_password_file: Option<PathBuf>,

    /// Take the password of these repositories from the output of a command [env: BR_COPY_TO_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND", requires = "copy_to")]
    copy_to_password_command: Option<String>,

    /// Take the keys of these repositories' buckets from this profile
    #[arg(long, value_name = "NAME", requires = "copy_to")]
    copy_to_profile: Option<String>,
}

impl CopyToArgs {
    /// The password of these repositories, if one is given.
    fn password(&self, context: &CommandContext) -> Result<Option<Password>, CommandError> {
        if self.copy_to.is_empty() {
            return Ok(None);
        }
        let (file, command) = (&self.copy_to_password_file, &self.copy_to_password_command);
        context.find_password(&PasswordNames::COPY_TO, file.as_deref(), command.as_deref())
    }
}

/// The repositories of a backup.
#[derive(Debug)]
pub(super) struct Targets {
    /// The repository of the command, and then the others.
    targets: Vec<Target>,
    /// What happened at the places so far.
    outcomes: Vec<CopyJson>,
}

/// A repository, and the password that opens it.
#[derive(Debug)]
struct Target {
    place: StoreLocation,
    password: Option<Password>,
    /// An option names it. Its password is not needed if it is not encrypted.
    is_further: bool,
}

impl Targets {
    pub(super) fn find(args: &CopyToArgs, context: &CommandContext) -> Result<Self, CommandError> {
        if !args.copy_to.is_empty() {
            // Options of buckets may be meant for another repository.
            context.use_repository(None)?;
        }
        let own = Target {
            place: context.place()?.clone(),
            password: context.password()?,
            is_further: false,
        };
        let password = args.password(context)?.or_else(|| own.password.clone());
        let mut targets = vec![own];
        for named in &args.copy_to {
            let place = context.other_repository(named, args.copy_to_profile.as_deref())?;
            let is_known = |other: &Target| other.place.location == place.location;
            if targets.iter().any(is_known) {
                let message = format!("{} is named twice", place.location);
                let hint = "name other repositories with --copy-to";
                return Err(CommandError::usage(message, hint));
            }
            targets.push(Target {
                place,
                password: password.clone(),
                is_further: true,
            });
        }
        Ok(Self {
            targets,
            outcomes: Vec::new(),
        })
    }

    /// The local folders among the repositories, which do not belong into the backup.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let folder = |target: &Target| match &target.place.location {
            Location::Local(folder) => Some(folder.clone()),
            _ => None,
        };
        self.targets.iter().filter_map(folder).collect()
    }

    /// Opens the first repository that works and is not tried yet.
    pub(super) async fn open(
        &mut self,
        init: bool,
        dry_run: bool,
        context: &CommandContext,
    ) -> Result<Repository, CommandError> {
        loop {
            match self.open_next(init.into(), dry_run, context).await {
                Ok(repository) => return Ok(repository),
                Err(error) => self.failed(error, context)?,
            }
        }
    }

    /// Notes that the repository that was opened last failed. Returns the error if there is no other one, or if it is not about the repository.
    pub(super) fn failed(
        &mut self,
        error: CommandError,
        context: &CommandContext,
    ) -> Result<(), CommandError> {
        let is_final = matches!(error.status, ExitStatus::Usage | ExitStatus::Interrupted);
        let tried = self.outcomes.len();
        if is_final || tried + 1 >= self.targets.len() {
            return Err(error);
        }
        self.note(Err(&error), context);
        Ok(())
    }

    /// Opens the next repository.
    async fn open_next(
        &self,
        init: Init,
        dry_run: bool,
        context: &CommandContext,
    ) -> Result<Repository, CommandError> {
        let Target {
            place,
            password,
            is_further,
        } = &self.targets[self.outcomes.len()];
        let opened = if *is_further {
            context.open_with_any(place, password.as_ref()).await
        } else {
            let opened = context.open_at(place, password.clone()).await;
            opened.map(|(repository, _)| repository)
        };
        context
            .or_init(opened, place, password.as_ref(), init, dry_run)
            .await
    }

    /// Copies a backup into the repositories after the one that was opened last. Returns what happened to each but the one with the backup.
    pub(super) async fn copy(
        mut self,
        source: &Repository,
        backup: &Backup,
        init: bool,
        context: &CommandContext,
    ) -> Result<Vec<CopyJson>, CommandError> {
        let at = self.outcomes.len();
        drop(self.targets.remove(at));
        let init = Init::for_copy(init, source);
        while self.outcomes.len() < self.targets.len() {
            let copied = match self.open_next(init, false, context).await {
                Ok(target) => copy_one(source, &target, backup, context).await,
                Err(error) => Err(error),
            };
            match copied {
                Err(error) if error.status == ExitStatus::Interrupted => return Err(error),
                Err(error) => self.note(Err(&error), context),
                Ok(report) => self.note(Ok(&report), context),
            }
        }
        Ok(self.outcomes)
    }

    fn note(&mut self, outcome: Result<&CopyReport, &CommandError>, context: &CommandContext) {
        let target = &self.targets[self.outcomes.len()];
        let location = target.place.location.to_string();
        let console = &context.output.console;
        self.outcomes.push(match outcome {
            Ok(report) => CopyJson {
                location,
                backup: report
                    .copied
                    .first()
                    .map(|copied| copied.backup.id.to_string()),
                bytes_stored: report.bytes_stored,
                error: None,
            },
            Err(error) => {
                let reasons = std::iter::once(&error.message).chain(&error.causes);
                let reasons: Vec<&str> = reasons.map(String::as_str).collect();
                let reason = reasons.join(": ");
                console.warning(&format!("{location} did not get the backup: {reason}"));
                CopyJson {
                    location,
                    backup: None,
                    bytes_stored: 0,
                    error: Some(reason),
                }
            }
        });
    }
}

async fn copy_one(
    source: &Repository,
    target: &Repository,
    backup: &Backup,
    context: &CommandContext,
) -> Result<CopyReport, CommandError> {
    let options = CopyOptions::default().with_backups(vec![BackupSelector::from(backup.id)]);
    let reporter = std::sync::Arc::new(context.reporter());
    let (engine, _guard) = context.engine_with(&reporter);
    let report = copy(source, target, &options, &engine).await?;
    if report.is_complete() {
        return Ok(report);
    }
    let hint = "`br check --read-data` names the damage";
    let message = "a part of the new backup cannot be read";
    Err(CommandError::new(ExitStatus::Damaged, message, hint))
}

/// Lines of the summary.
pub(super) fn fields(copies: &[CopyJson]) -> Vec<(&'static str, String)> {
    let done = copies.iter().filter(|copy| copy.error.is_none());
    let line = |copy: &CopyJson| {
        let stored = format::size(copy.bytes_stored);
        ("copied to", format!("{}, stored {stored}", copy.location))
    };
    done.map(line).collect()
}

/// The result of a backup that some of the repositories did not get.
pub(super) fn partial(
    source: &Repository,
    copies: &[CopyJson],
    context: &CommandContext,
) -> CommandResult {
    if let Some(failed) = copies.iter().find(|copy| copy.error.is_some()) {
        context.output.console.hint(&format!(
            "fix the cause; then `br copy --from {} --to {}` copies the backup, or run the command again",
            source.location(),
            failed.location
        ));
        return Ok(ExitStatus::Partial);
    }
    Ok(ExitStatus::Ok)
}
