//! `br init`: creates a repository.

use br_core::{InitOptions, Location};
use clap::Args;

use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::Console;
use crate::output::json::RepositoryJson;
use crate::password::Password;

const EXAMPLES: &str = "\
  br -r /mnt/disk/backup init
  br -r /mnt/disk/backup init --encrypt
  br -r /srv/backup init --shared
  br -r /mnt/disk/backup init --encrypt --write-only-keys
  br -r /mnt/disk/backup --password-command 'pass show backup' init
  br -r s3://bucket/folder init";

const CODES: &[ExitStatus] = &[
    ExitStatus::Ok,
    ExitStatus::Failure,
    ExitStatus::Usage,
    ExitStatus::RepositoryNotFound,
    ExitStatus::AccessDenied,
    ExitStatus::StorageUnavailable,
    ExitStatus::Interrupted,
];

/// Create a repository
///
/// br encrypts the repository if a password is given (--password-file, --password-command or BR_PASSWORD), or with --encrypt,
/// which prompts for one. This cannot be changed later. Without its password, an encrypted repository is lost: keep a copy of
/// the password in another place.
///
/// br creates a missing folder, but a bucket must exist. br tests the store with objects below `probe/` and deletes them
/// again.
#[derive(Debug, Args)]
#[command(after_help = exit_codes(CODES), after_long_help = examples(EXAMPLES, &exit_codes(CODES)))]
pub(crate) struct InitArgs {
    /// Encrypt the repository, and prompt for the password if none is given
    #[arg(long)]
    encrypt: bool,

    /// Allow keys that make backups but cannot read the content of files
    ///
    /// A machine with such a key cannot read what other machines stored, nor its own old backups. Names, sizes and times of files, and their
    /// extended attributes, stay readable to it. The repository must be encrypted. This cannot be changed later. `br key add --write-only`
    /// adds such a key.
    #[arg(long)]
    write_only_keys: bool,

    /// Share the repository with the group of its folder
    ///
    /// The folder gets mode 2770: members of its group may back up, restore and prune, and all objects belong to the group. Without
    /// this option, only the owner can read the objects, whatever the umask is. This works only for a folder on a disk. For an
    /// existing repository that is still empty, run `chmod 2770` on its folder.
    #[arg(long)]
    shared: bool,
}

pub(crate) async fn run(args: &InitArgs, context: &CommandContext) -> CommandResult {
    let mut place = context.place()?.clone();
    if args.shared {
        if !matches!(place.location, Location::Local(_)) {
            return Err(CommandError::new(
                ExitStatus::Usage,
                "--shared is for a folder on a disk",
                "set the permissions of a bucket with the tools of its provider",
            ));
        }
        place.options = place.options.with_shared(true);
    }
    let password = match context.password()? {
        None if args.encrypt => Some(ask()?),
        given => given,
    };
    if args.write_only_keys && password.is_none() {
        return Err(CommandError::usage(
            "write-only keys are for encrypted repositories, and there is no password",
            "add --encrypt, or give the password with --password-file, --password-command or BR_PASSWORD",
        ));
    }
    let mut options = InitOptions::default();
    options.write_only_keys = args.write_only_keys;
    let repository = context
        .create_with(&place, password.as_ref(), options)
        .await?;
    let output = &context.output;
    if output.is_json() {
        output.document(&RepositoryJson::from(&repository))?;
    } else {
        let encrypted = match (
            repository.is_encrypted(),
            repository.allows_write_only_keys(),
        ) {
            (true, true) => "yes, with write-only keys",
            (true, false) => "yes",
            (false, _) => "no",
        };
        output.summary(&[
            ("repository", repository.location().to_owned()),
            ("id", repository.config().id.to_string()),
            ("encrypted", encrypted.to_owned()),
        ])?;
    }
    if !repository.config().store.exclusive_create {
        // Commands that write to the repository have a separate warning.
        context.output.console.warning(
            "this store does not refuse to overwrite an object: only one br may write to this repository at a time",
        );
    }
    if password.is_none() {
        context.note_unencrypted();
    }
    Ok(ExitStatus::Ok)
}

fn ask() -> Result<Password, CommandError> {
    if Console::is_terminal() {
        return Password::ask_new();
    }
    Err(CommandError::new(
        ExitStatus::AccessDenied,
        "an encrypted repository needs a password, but there is no terminal to prompt for it",
        "give it with --password-file, --password-command or BR_PASSWORD",
    ))
}
