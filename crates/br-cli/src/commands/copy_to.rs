//! Several repositories for one backup: `br backup --copy-to`, and `-r` more than once.
//!
//! The files are read once, for the first repository that works. The others get a copy of the new backup. Invariant: a repository that
//! fails does not keep the others from getting the backup, and gets it with the next one.

use std::path::PathBuf;

use br_core::engine::backup::BackupReport;
use br_core::model::Backup;
use br_core::{Location, Repository};
use clap::Args;

use super::copy_new::{Stored, bring_back, copy_one};
use crate::config::place_of;
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
    /// `-r` more than once has the same meaning. br reads the files once, and then copies the new backup like `br copy`. If a repository fails, br warns, goes on with the
    /// others and exits with 3; the next backup also copies what was missed. If the first repository turns out to be damaged, br reads the files
    /// again for the others.
    #[arg(long, value_name = "URL|PATH")]
    copy_to: Vec<String>,

    /// Read the password of these repositories from a file [env: BR_COPY_TO_PASSWORD_FILE]
    ///
    /// You can also set BR_COPY_TO_PASSWORD to the password. The default is the password that a configuration file has for the repository, or that of --repo. br refuses a
    /// password for a repository that is not encrypted.
    #[arg(long, value_name = "FILE", conflicts_with = "copy_to_password_command")]
    copy_to_password_file: Option<PathBuf>,

    /// Take the password of these repositories from the output of a command [env: BR_COPY_TO_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND")]
    copy_to_password_command: Option<String>,

    /// These repositories have no password: they are not encrypted
    #[arg(
        long,
        conflicts_with_all = ["copy_to_password_file", "copy_to_password_command"]
    )]
    copy_to_no_password: bool,

    /// Take the keys of these repositories' buckets from this profile
    #[arg(long, value_name = "NAME")]
    copy_to_profile: Option<String>,
}

impl CopyToArgs {
    /// The further repositories as they are named.
    fn named<'n>(&'n self, context: &'n CommandContext) -> Vec<&'n String> {
        let of_repo = context.global_options().further.iter();
        of_repo.chain(&self.copy_to).collect()
    }

    /// The local folders of the further repositories, which do not belong into the backup.
    pub(super) fn folders(&self, context: &CommandContext) -> Result<Vec<PathBuf>, CommandError> {
        let mut folders = Vec::new();
        for named in self.named(context) {
            let place = context.other_repository(named, self.copy_to_profile.as_deref())?;
            if let Location::Local(folder) = place.location {
                folders.push(folder);
            }
        }
        Ok(folders)
    }

    /// Refuses typed options about further repositories if there are none.
    fn check(&self, context: &CommandContext) -> Result<(), CommandError> {
        let settings = context.config.commands.get("backup");
        let is_setting = |key: &str| place_of(settings.map_or(&[], Vec::as_slice), key).is_some();
        let given = [
            (
                "copy-to-password-file",
                self.copy_to_password_file.is_some(),
            ),
            (
                "copy-to-password-command",
                self.copy_to_password_command.is_some(),
            ),
            ("copy-to-no-password", self.copy_to_no_password),
            ("copy-to-profile", self.copy_to_profile.is_some()),
        ];
        let mut idle = given.into_iter();
        match idle.find(|(key, given)| *given && !is_setting(key)) {
            Some((key, _)) if self.named(context).is_empty() => {
                let message = format!("--{key} has no effect without a further repository");
                let hint = format!("add --copy-to, or leave out --{key}");
                Err(CommandError::usage(message, hint))
            }
            _ => Ok(()),
        }
    }

    /// The password of these repositories, if one is given.
    fn password(&self, context: &CommandContext) -> Result<Option<Password>, CommandError> {
        if self.named(context).is_empty() || self.copy_to_no_password {
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
    /// Why the password cannot be had, which is a failure of this repository only.
    problem: Option<CommandError>,
    /// `--copy-to` names it.
    is_further: bool,
}

impl Target {
    /// A repository with what was found out about its password. Fails if the command line is wrong.
    fn new(
        place: StoreLocation,
        password: Result<Option<Password>, CommandError>,
        is_further: bool,
    ) -> Result<Self, CommandError> {
        let (password, problem) = match password {
            Ok(password) => (password, None),
            Err(error) if error.status == ExitStatus::AccessDenied => (None, Some(error)),
            Err(error) => return Err(error),
        };
        Ok(Self {
            place,
            password,
            problem,
            is_further,
        })
    }
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
        args.check(context)?;
        let named = args.named(context);
        if !named.is_empty() {
            // Options of buckets may be meant for another repository.
            context.use_repository(None)?;
        }
        let own = Target::new(context.place()?.clone(), context.password(), false)?;
        let given = args.password(context);
        let inherited = own.password.clone().filter(|_| !args.copy_to_no_password);
        let mut targets = vec![own];
        for named in named {
            let place = context.other_repository(named, args.copy_to_profile.as_deref())?;
            let is_known = |other: &Target| is_same(&other.place.location, &place.location);
            if targets.iter().any(is_known) {
                let message = format!("{} is named twice", place.location);
                let hint = "name different repositories with -r and --copy-to";
                return Err(CommandError::usage(message, hint));
            }
            let password = match &given {
                Ok(None) if args.copy_to_no_password || place.has_no_password() => Ok(None),
                Ok(None) => context
                    .own_password(&place)
                    .map(|own| own.or_else(|| inherited.clone())),
                Ok(given) => Ok(given.clone()),
                Err(error) => Err(error.clone()),
            };
            targets.push(Target::new(place, password, true)?);
        }
        Ok(Self {
            targets,
            outcomes: Vec::new(),
        })
    }

    /// Each repository with its password, or the reason if the password cannot be had.
    pub(super) fn each(
        &self,
    ) -> impl Iterator<Item = (&StoreLocation, Result<Option<Password>, CommandError>)> {
        self.targets.iter().map(|target| {
            let password = match &target.problem {
                Some(problem) => Err(problem.clone()),
                None => Ok(target.password.clone()),
            };
            (&target.place, password)
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
        // A program that fails would only fail again for the next repository.
        let is_final = matches!(error.status, ExitStatus::Usage | ExitStatus::Interrupted)
            || error.is_of_source;
        let tried = self.outcomes.len();
        if is_final || tried + 1 >= self.targets.len() {
            return Err(error);
        }
        self.note(Err(&error), context);
        Ok(())
    }

    /// Opens the next repository.
    async fn open_next(
        &mut self,
        init: Init,
        dry_run: bool,
        context: &CommandContext,
    ) -> Result<Repository, CommandError> {
        let target = &mut self.targets[self.outcomes.len()];
        if let Some(problem) = target.problem.take() {
            return Err(problem);
        }
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
                    Ok(stored) if !stored.source_missed.is_empty() => {
                        Ok(bring_back(source, &target, stored, mode, context).await?)
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
                caught_up: stored.caught_up,
                returned: stored.returned,
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
                    caught_up: 0,
                    returned: 0,
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
    let backups = |many| format::counted(many, "earlier backup", "earlier backups");
    let mut lines = Vec::new();
    for copy in done {
        lines.push(line(copy));
        if copy.caught_up > 0 {
            let text = format!("{} copied to {}", backups(copy.caught_up), copy.location);
            lines.push(("caught up", text));
        }
        if copy.returned > 0 {
            let text = format!("{} copied from {}", backups(copy.returned), copy.location);
            lines.push(("caught up", text));
        }
    }
    lines
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
            let (from, to) = (source.location(), &*failed.location);
            let name = |location| context.config.name_of(location);
            let (from, to) = match (name(from), name(to)) {
                (Some(from), Some(to)) => (from.to_owned(), to.to_owned()),
                _ if source.is_encrypted() => {
                    (format!("{from} --from-password-file FILE"), to.to_owned())
                }
                _ => (from.to_owned(), to.to_owned()),
            };
            console.hint(&format!(
                "when the cause is fixed, `br copy --from {from} --to {to}` copies what is missing there; the next `br backup` copies this backup too, unless the repository there is new"
            ));
        }
        if failed.is_some() || self.source_is_damaged {
            ExitStatus::Partial
        } else {
            ExitStatus::Ok
        }
    }
}
