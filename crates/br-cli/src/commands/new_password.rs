//! The new password of `br key`: where it comes from.

use std::path::{Path, PathBuf};

use br_core::runtime::Runtime;
use br_core::{ErrorKind, Key, NewKey};
use clap::Args;

use super::key::explain;
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::output::{Console, format};
use crate::password::Password;
use crate::private_file;

/// Where the new password comes from. On a terminal, br prompts for it if no option says.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct NewPasswordArgs {
    /// Read the new password from a file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,

    /// Take the new password from the output of a command
    #[arg(long, value_name = "COMMAND")]
    new_password_command: Option<String>,

    /// Create a random password and write it into this new file
    #[arg(long, value_name = "FILE")]
    generate: Option<PathBuf>,
}

/// A new password, and the file that was made for it.
pub(super) struct NewPassword {
    password: Password,
    generated: Option<PathBuf>,
}

impl NewPassword {
    /// Reads or makes the new password.
    pub(super) fn read(
        args: &NewPasswordArgs,
        context: &CommandContext,
    ) -> Result<Self, CommandError> {
        let mut generated = None;
        let password = if let Some(file) = &args.new_password_file {
            context.warn_of_file("--new-password-file", file);
            Password::from_file(file, "--new-password-file")?
        } else if let Some(command) = &args.new_password_command {
            Password::from_command(command.as_ref(), "--new-password-command")?
        } else if let Some(file) = &args.generate {
            generate(file)?;
            generated = Some(file.clone());
            Password::from_file(file, "--generate")?
        } else if Console::is_terminal() {
            Password::ask_new()?
        } else {
            return Err(CommandError::usage(
                "there is no new password, and no terminal to prompt for one",
                "give --new-password-file, --new-password-command or --generate",
            ));
        };
        Ok(Self {
            password,
            generated,
        })
    }

    /// The key with this password.
    pub(super) fn key(&self, label: &str) -> NewKey {
        NewKey::new(self.password.as_bytes(), label)
    }

    /// Passes the result on. After an error that leaves the repository as it was, removes the generated file again.
    pub(super) fn kept_if(&self, result: br_core::Result<Key>) -> Result<Key, CommandError> {
        result.map_err(|error| {
            // After any other error, the key may exist in the repository.
            let is_unused = matches!(
                error.kind(),
                ErrorKind::Invalid
                    | ErrorKind::NotEncrypted
                    | ErrorKind::Password
                    | ErrorKind::KeyRights
                    | ErrorKind::Denied
                    | ErrorKind::Full
                    | ErrorKind::UnsupportedFormat
            );
            if is_unused && let Some(file) = &self.generated {
                let _ = std::fs::remove_file(file);
            }
            explain(error)
        })
    }
}

/// Writes a random password of 256 bits into a new file that only its owner can read.
fn generate(file: &Path) -> Result<(), CommandError> {
    let mut bytes = [0; 32];
    Runtime::system().random.fill(&mut bytes);
    let written = private_file::create(file, &format!("{}\n", format::hex(&bytes)));
    written.map_err(|error| {
        let message = format!("cannot write a new password into {}", format::path(file));
        let hint = if error.kind() == std::io::ErrorKind::AlreadyExists {
            "name a file with --generate that does not exist yet"
        } else {
            "name a file with --generate that br can create"
        };
        CommandError::new(ExitStatus::Usage, message, hint).because(&error)
    })
}
