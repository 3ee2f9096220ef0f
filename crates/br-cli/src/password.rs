//! The repository's password: where it comes from.
//!
//! [`Password::find`] decides. Invariant: an empty password is an error, wherever it comes from: most likely it is a variable
//! that was not set, and a repository without encryption must not come of it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::GlobalOptions;
use crate::context::secret_variable;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::secret::{BadSecret, Secret};

/// A password.
#[derive(Debug, Clone)]
pub(crate) struct Password(Secret);

impl Password {
    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The file that holds the password, if the user names one.
    ///
    /// Options come before the environment.
    pub(crate) fn file(options: &GlobalOptions) -> Result<Option<PathBuf>, CommandError> {
        if options.password_file.is_some() || options.password_command.is_some() {
            return Ok(options.password_file.clone());
        }
        Ok(secret_variable("BR_PASSWORD_FILE")?.map(PathBuf::from))
    }

    /// Takes the password from where the user says it is; `None` when nothing was said.
    ///
    /// Options come before the environment, a file before a command before the password itself.
    pub(crate) fn find(options: &GlobalOptions) -> Result<Option<Self>, CommandError> {
        if let Some(file) = Self::file(options)? {
            return Self::from_file(&file).map(Some);
        }
        if let Some(command) = &options.password_command {
            return Self::from_command(command.as_ref()).map(Some);
        }
        if let Some(command) = secret_variable("BR_PASSWORD_COMMAND")? {
            return Self::from_command(&command).map(Some);
        }
        let Some(value) = secret_variable("BR_PASSWORD")? else {
            return Ok(None);
        };
        let secret = Secret::of_variable(value).map_err(|error| {
            refused("cannot use the password in BR_PASSWORD", ONE_LINE).because(&error)
        })?;
        Ok(Some(Self(secret)))
    }

    /// Asks on the terminal.
    pub(crate) fn ask(prompt: &str) -> Result<Self, CommandError> {
        match Secret::of_prompt(prompt) {
            Ok(secret) => Ok(Self(secret)),
            Err(BadSecret::Empty) => Err(refused(
                "the password is empty",
                "type the password, or press Ctrl-C to stop",
            )),
            Err(BadSecret::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {
                Err(CommandError::interrupted())
            }
            Err(error) => {
                let hint =
                    "give the password with --password-file, --password-command or BR_PASSWORD";
                Err(refused("cannot read the password from the terminal", hint).because(&error))
            }
        }
    }

    /// Asks for a new password, twice.
    pub(crate) fn ask_new() -> Result<Self, CommandError> {
        let password = Self::ask("New password for the repository: ")?;
        let again = Self::ask("The same again: ")?;
        if password.as_bytes() == again.as_bytes() {
            Ok(password)
        } else {
            Err(refused(
                "the passwords are not the same",
                "run the command again",
            ))
        }
    }

    fn from_file(path: &Path) -> Result<Self, CommandError> {
        let secret = Secret::of_file(path, "--password-file").map_err(|error| {
            let (message, hint) = match error {
                BadSecret::Empty => ("is empty", "write the password into it"),
                BadSecret::Io(_) | BadSecret::Taken(_) => (
                    "cannot be read",
                    "check --password-file or BR_PASSWORD_FILE",
                ),
                _ => ("holds no password", ONE_LINE),
            };
            let message = format!("the password file {} {message}", path.display());
            let out = refused(message, hint);
            match error {
                BadSecret::Empty => out,
                error => out.because(&error),
            }
        })?;
        Ok(Self(secret))
    }

    fn from_command(command: &OsStr) -> Result<Self, CommandError> {
        const HINT: &str = "run the command of --password-command or BR_PASSWORD_COMMAND by hand: it must \
                            print the password as its only line and end with 0";
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).env_remove("BR_PASSWORD");
        shell.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        let output = shell.output().map_err(|error| {
            refused("cannot run the password command", "br needs `sh` for it").because(&error)
        })?;
        if !output.status.success() {
            drop(Secret::of_output(output.stdout));
            let message = format!("the password command failed: {}", output.status);
            return Err(refused(message, HINT));
        }
        let secret = Secret::of_output(output.stdout).map_err(|error| match error {
            BadSecret::Empty => refused("the password command printed no password", HINT),
            BadSecret::SeveralLines => refused(
                "the password command printed more than one line",
                "print one line only, as in --password-command 'pass show backup | head -n 1'",
            ),
            error => refused("the password command printed no password", HINT).because(&error),
        })?;
        Ok(Self(secret))
    }
}

/// What a password has to be.
const ONE_LINE: &str = "a password is one line of text that is not empty: br takes no line end and no byte order mark \
                        as part of it";

fn refused(message: impl Into<String>, hint: &str) -> CommandError {
    CommandError::new(ExitStatus::AccessDenied, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show() {
        let password = Password(Secret::of_argument("secret").unwrap());
        assert!(!format!("{password:?}").contains("secret"));
    }

    #[test]
    fn the_only_line_of_a_command_is_the_password() {
        let password = Password::from_command("printf 'one two\\r\\n'".as_ref()).unwrap();
        assert_eq!(password.as_bytes(), b"one two");
        let error = Password::from_command("echo secret; exit 3".as_ref()).unwrap_err();
        assert_eq!(error.status, ExitStatus::AccessDenied);
        assert!(!format!("{error:?}").contains("secret"));
        assert!(Password::from_command("true".as_ref()).is_err());
        assert!(Password::from_command("printf 'one\\ntwo\\n'".as_ref()).is_err());
    }
}
