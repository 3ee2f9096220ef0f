//! Several repositories for one backup: `br backup --copy-to`.
//!
//! The files are read once, for the first repository that works. The others get a copy of the new backup. Invariant: a repository that
//! fails does not keep the others from getting the backup.

use std::path::PathBuf;

use br_core::engine::backup::BackupReport;
use br_core::engine::copy::{CopyOptions, copy};
use br_core::model::{Backup, BackupId};
use br_core::{Location, Repository};
use clap::Args;

use crate::context::CommandContext;
use crate::create::Init;
use crate::error::CommandError;
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
    /// others and exits with 3; `br copy` copies the backup later. If the first repository turns out to be damaged, br reads the files
    /// again for the others.
    #[arg(long, value_name = "URL|PATH")]
    copy_to: Vec<String>,

    /// Read the password of these repositories from a file [env: BR_COPY_TO_PASSWORD_FILE]
    ///
    /// You can also set BR_COPY_TO_PASSWORD to the password. The default is the password that a configuration file has for the repository, or that of --repo. br refuses a
    /// password for a repository that is not encrypted.
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

    /// These repositories have no password: they are not encrypted
    #[arg(
        long,
        requires = "copy_to",
        conflicts_with_all = ["copy_to_password_file", "copy_to_password_command"]
    )]
    copy_to_no_password: bool,

    /// Take the keys of these repositories' buckets from this profile
    #[arg(long, value_name = "NAME", requires = "copy_to")]
    copy_to_profile: Option<String>,
}

impl CopyToArgs {
    /// The password of these repositories, if one is given.
    fn password(&self, context: &CommandContext) -> Result<Option<Password>, CommandError> {
        if self.copy_to.is_empty() || self.copy_to_no_password {
            return Ok(None);
        }
        let (file, command) = (&self.copy_to_password_file, &self.copy_to_password_command);
        let names = &PasswordNames::COPY_TO;
        context.find_password(names, file.as_deref(), command.as_deref())
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

/// What happened to the copies of a backup.
#[derive(Debug)]
pub(super) struct Copies {
    /// Each repository except the one with the backup.
    pub(super) outcomes: Vec<CopyJson>,
    /// The new backup could not be read from the repository that has it.
    source_is_damaged: bool,
}

/// A repository, and the password that opens it.
#[derive(Debug)]
struct Target {
    place: StoreLocation,
    password: Option<Password>,
    /// `--copy-to` names it.
    is_further: bool,
}

/// How the further repositories get the backup.
#[derive(Debug, Clone, Copy)]
pub(super) struct CopyMode {
    /// Create missing repositories.
    pub(super) init: bool,
    /// Read existing data before relying on it.
    pub(super) verify_known: bool,
    /// Only find out whether the repositories can be opened.
    pub(super) dry_run: bool,
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
        let given = args.password(context)?;
        let inherited = own.password.clone().filter(|_| !args.copy_to_no_password);
        let mut targets = vec![own];
        for named in &args.copy_to {
            let place = context.other_repository(named, args.copy_to_profile.as_deref())?;
            let is_known = |other: &Target| is_same(&other.place.location, &place.location);
            if targets.iter().any(is_known) {
                let message = format!("{} is named twice", place.location);
                let hint = "name other repositories with --copy-to";
                return Err(CommandError::usage(message, hint));
            }
            let password = match &given {
                None if args.copy_to_no_password || place.has_no_password() => None,
                None => context.own_password(&place)?.or_else(|| inherited.clone()),
                given => given.clone(),
            };
            targets.push(Target {
                place,
                password,
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
        let target = &self.targets[self.outcomes.len()];
        let (place, password) = (&target.place, target.password.as_ref());
        let opened = context.open_at(place, password.cloned()).await;
        let opened = opened.map(|(repository, _)| repository);
        let opened = context.or_init(opened, place, password, init, dry_run);
        opened.await.map_err(|error| match error.status {
            ExitStatus::AccessDenied if target.is_further => error.with_hint(
                "give the password of this repository with --copy-to-password-file, or use --copy-to-no-password if it is not encrypted; for \
                 a bucket, check its keys",
            ),
            _ => error,
        })
    }

    /// Copies a backup into the repositories after the one that was opened last. If the new backup cannot be read, `again` makes another one
    /// directly in the repository. Returns what happened to each repository except the one with the backup.
    pub(super) async fn copy(
        mut self,
        source: &Repository,
        backup: &Backup,
        mode: CopyMode,
        again: impl AsyncFn(&Repository) -> Result<BackupReport, CommandError>,
        context: &CommandContext,
    ) -> Result<Copies, CommandError> {
        let mut source_is_damaged = false;
        let at = self.outcomes.len();
        drop(self.targets.remove(at));
        let init = Init::for_copy(mode.init, source);
        while self.outcomes.len() < self.targets.len() {
            let copied = match self.open_next(init, mode.dry_run, context).await {
                Ok(_) if mode.dry_run => Ok(Stored::default()),
                Ok(target) => match copy_one(source, &target, backup, mode, context).await {
                    Err(error) if error.status == ExitStatus::Damaged => {
                        source_is_damaged = true;
                        context.output.console.warning(&format!(
                            "the new backup cannot be copied to {}: {}; br reads the files again",
                            target.location(),
                            error.reasons()
                        ));
                        again(&target).await.map(Stored::from)
                    }
                    copied => copied,
                },
                Err(error) => Err(error),
            };
            match copied {
                Err(error) if error.status == ExitStatus::Interrupted => return Err(error),
                Err(error) => self.note(Err(&error), context),
                Ok(stored) => self.note(Ok(&stored), context),
            }
        }
        Ok(Copies {
            outcomes: self.outcomes,
            source_is_damaged,
        })
    }

    fn note(&mut self, outcome: Result<&Stored, &CommandError>, context: &CommandContext) {
        let target = &self.targets[self.outcomes.len()];
        let location = target.place.location.to_string();
        let console = &context.output.console;
        self.outcomes.push(match outcome {
            Ok(stored) => CopyJson {
                location,
                backup: stored.backup.map(|id| id.to_string()),
                bytes_stored: stored.bytes,
                error: None,
            },
            Err(error) => {
                let reasons = error.reasons();
                console.warning(&format!("{location} did not get the backup: {reasons}"));
                console.hint(&error.hint);
                CopyJson {
                    location,
                    backup: None,
                    bytes_stored: 0,
                    error: Some(reasons),
                }
            }
        });
    }
}

/// True when both are the same folder or bucket.
fn is_same(one: &Location, other: &Location) -> bool {
    let resolved = |location: &Location| match location {
        Location::Local(folder) => std::fs::canonicalize(folder)
            .or_else(|_| std::path::absolute(folder))
            .ok(),
        _ => None,
    };
    match (resolved(one), resolved(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// What a repository got.
#[derive(Debug, Default)]
struct Stored {
    backup: Option<BackupId>,
    bytes: u64,
}

impl From<BackupReport> for Stored {
    fn from(report: BackupReport) -> Self {
        Self {
            backup: Some(report.backup.id),
            bytes: report.backup.changes.bytes_stored,
        }
    }
}

async fn copy_one(
    source: &Repository,
    target: &Repository,
    backup: &Backup,
    mode: CopyMode,
    context: &CommandContext,
) -> Result<Stored, CommandError> {
    if source.config().id == target.config().id {
        let message = "it is the same repository, or a copy of its files";
        let hint = "name other repositories with --copy-to; `br init` or --init creates one";
        return Err(CommandError::usage(message, hint));
    }
    let options = CopyOptions::default()
        .with_backups([backup.id])
        .with_verify_known(mode.verify_known);
    let reporter = std::sync::Arc::new(context.reporter());
    let (engine, _guard) = context.engine_with(&reporter);
    let report = copy(source, target, &options, &engine).await?;
    if report.is_complete() {
        // If another process copied it meanwhile, the original id finds the copy.
        let copied = report.copied.first();
        return Ok(Stored {
            backup: Some(copied.map_or(backup.id, |copied| copied.backup.id)),
            bytes: report.bytes_stored,
        });
    }
    let message = format!("a part of its data in {} is damaged", source.location());
    let hint = "`br check --read-data` of this repository names the damage";
    Err(CommandError::new(ExitStatus::Damaged, message, hint))
}

/// Lines of the summary.
pub(super) fn fields(copies: &[CopyJson]) -> Vec<(&'static str, String)> {
    let done = copies.iter().filter(|copy| copy.error.is_none());
    let line = |copy: &CopyJson| {
        if copy.backup.is_none() {
            return ("would copy to", copy.location.clone());
        }
        let stored = format::size(copy.bytes_stored);
        ("copied to", format!("{}, stored {stored}", copy.location))
    };
    done.map(line).collect()
}

impl Copies {
    /// The exit status. Says what to do if it is not success.
    pub(super) fn status(
        &self,
        source: &Repository,
        dry_run: bool,
        context: &CommandContext,
    ) -> ExitStatus {
        let console = &context.output.console;
        let failed = self.outcomes.iter().find(|copy| copy.error.is_some());
        if self.source_is_damaged {
            console.warning(&format!(
                "data in {} is damaged: the new backup there cannot be restored completely",
                source.location()
            ));
            console.hint("`br check --read-data` names the damage and records it; the next backup stores this data again");
        }
        if let (Some(failed), false) = (failed, dry_run) {
            let password = if source.is_encrypted() {
                " --from-password-file FILE"
            } else {
                ""
            };
            console.hint(&format!(
                "when the cause is fixed, `br copy --from {}{password} --to {}` copies the backup; the next `br backup` stores only its own backup",
                source.location(),
                failed.location
            ));
        }
        if failed.is_some() || self.source_is_damaged {
            ExitStatus::Partial
        } else {
            ExitStatus::Ok
        }
    }
}
