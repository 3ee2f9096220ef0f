//! A second repository, which a command only reads: `br copy --from`.
//!
//! [`SourceArgs::open`] opens it. Invariant: its password comes from its own options and variables, never from those of the repository of
//! the command.

use std::path::PathBuf;

use br_core::Repository;
use clap::Args;

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::password::{Password, PasswordNames};

/// How the source is opened.
#[derive(Debug, Args)]
#[command(next_help_heading = "Repository to copy from")]
pub(super) struct SourceArgs {
    /// Read the password of the source from a file [env: BR_FROM_PASSWORD_FILE]
    ///
    /// You can also set BR_FROM_PASSWORD to the password. The other password options are for the repository to copy to.
    #[arg(long, value_name = "FILE", conflicts_with = "from_password_command")]
    from_password_file: Option<PathBuf>,

    /// Take the password of the source from the output of a command [env: BR_FROM_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND")]
    from_password_command: Option<String>,

    /// Take the keys of the source's bucket from this profile
    #[arg(long, value_name = "NAME")]
    from_profile: Option<String>,
}

impl SourceArgs {
    /// Opens the repository that an option names.
    pub(super) async fn open(
        &self,
        option: &str,
        named: &str,
        context: &CommandContext,
    ) -> Result<Repository, CommandError> {
        let place = context.other_repository(named, self.from_profile.as_deref())?;
        let password = match self.password(context)? {
            None => context.own_password(&place)?,
            given => given,
        };
        let opened = context.open_at(&place, password).await;
        let opened = opened.map(|(repository, _)| repository);
        opened.map_err(|error| match error.status {
            ExitStatus::RepositoryNotFound => {
                let hint = format!("check {option}: there must be a repository at {}", place.location);
                error.with_hint(hint)
            }
            ExitStatus::AccessDenied => error.with_hint(
                "give the password of this repository with --from-password-file, --from-password-command or BR_FROM_PASSWORD, and only if it is \
                 encrypted; for a bucket, check its keys",
            ),
            _ => error,
        })
    }

    /// The password of the source, if one is given.
    fn password(&self, context: &CommandContext) -> Result<Option<Password>, CommandError> {
        let (file, command) = (&self.from_password_file, &self.from_password_command);
        context.find_password(&PasswordNames::SOURCE, file.as_deref(), command.as_deref())
    }
}
