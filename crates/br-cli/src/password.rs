//! The repository's password: where br reads it from.
//!
//! [`Password::find`] decides. Invariant: an empty password is an error from every source: most likely a variable is not set,
//! and br must not create an unencrypted repository because of that.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::environment::secret_variable;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::global_options::GlobalOptions;
use crate::secret::{BadSecret, Secret};

/// A password.
#[derive(Debug, Clone)]
pub(crate) struct Password(Secret);

impl Password {
    /// The password as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The password file, if the user names one.
    ///
    /// The option takes precedence over the environment.
    pub(crate) fn file(options: &GlobalOptions) -> Result<Option<PathBuf>, CommandError> {
        if options.password_file.is_some() || options.password_command.is_some() {
            return Ok(options.password_file.clone());
        }
        Ok(secret_variable("BR_PASSWORD_FILE")?.map(PathBuf::from))
    }

    /// Reads the password from the given source; `None` if no source is given.
    ///
    /// Options take precedence over the environment, and a file over a command over the password itself.
    pub(crate) fn find(options: &GlobalOptions) -> Result<Option<Self>, CommandError> {
        if let Some(file) = Self::file(options)? {
            return Self::from_file(&file, "--password-file or BR_PASSWORD_FILE").map(Some);
        }
        if let Some(command) = &options.password_command {
            return Self::from_command(command.as_ref(), COMMAND).map(Some);
        }
        if let Some(command) = secret_variable("BR_PASSWORD_COMMAND")? {
            return Self::from_command(&command, COMMAND).map(Some);
        }
        Self::of_variable("BR_PASSWORD")
    }

    /// The password in a variable, if the variable is set.
    pub(crate) fn of_variable(name: &str) -> Result<Option<Self>, CommandError> {
        let Some(value) = secret_variable(name)? else {
            return Ok(None);
        };
        let secret = Secret::of_variable(value).map_err(|error| {
            refused(format!("cannot use the password in {name}"), ONE_LINE).because(&error)
        })?;
        Ok(Some(Self(secret)))
    }

    /// Prompts for the password on the terminal.
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

    /// Prompts for a new password, twice.
    pub(crate) fn ask_new() -> Result<Self, CommandError> {
        let password = Self::ask("New password for the repository: ")?;
        let again = Self::ask("Repeat the password: ")?;
        if password.as_bytes() == again.as_bytes() {
            Ok(password)
        } else {
            Err(refused("the passwords differ", "run the command again"))
        }
    }

    /// Reads the password from the file that `option` names.
    pub(crate) fn from_file(path: &Path, option: &str) -> Result<Self, CommandError> {
        let first = option.split(' ').next().unwrap_or(option);
        let secret = Secret::of_file(path, first).map_err(|error| {
            let check = format!("check {option}");
            let (message, hint) = match error {
                BadSecret::Empty => ("is empty", "write the password into it"),
                BadSecret::Io(_) | BadSecret::Taken(_) => ("cannot be read", &*check),
                _ => ("contains no valid password", ONE_LINE),
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

    /// Takes the password from the output of the command that `option` names.
    pub(crate) fn from_command(command: &OsStr, option: &str) -> Result<Self, CommandError> {
        let hint = &*format!(
            "run the command of {option} yourself: it must print only the password, on one line, and exit with 0"
        );
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).env_remove("BR_PASSWORD");
        shell.env_remove("BR_FROM_PASSWORD");
        shell.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        let output = shell.output().map_err(|error| {
            refused("cannot run the password command", "br runs it with `sh`").because(&error)
        })?;
        if !output.status.success() {
            drop(Secret::of_output(output.stdout));
            let message = format!("the password command failed: {}", output.status);
            return Err(refused(message, hint));
        }
        let secret = Secret::of_output(output.stdout).map_err(|error| match error {
            BadSecret::Empty => refused("the password command printed no password", hint),
            BadSecret::SeveralLines => refused(
                "the password command printed more than one line",
                "print one line only, as in --password-command 'pass show backup | head -n 1'",
            ),
            error => refused("the password command printed no password", hint).because(&error),
        })?;
        Ok(Self(secret))
    }
}

/// The options that name a command for the password.
const COMMAND: &str = "--password-command or BR_PASSWORD_COMMAND";

/// The rule for passwords.
const ONE_LINE: &str = "a password is one line of text and must not be empty; br ignores a line break at the end and a byte \
                        order mark at the start";

fn refused(message: impl Into<String>, hint: &str) -> CommandError {
    CommandError::new(ExitStatus::AccessDenied, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_password() {
        let password = Password(Secret::of_argument("secret").unwrap());
        assert!(!format!("{password:?}").contains("secret"));
    }

    #[test]
    fn command_output_of_one_line_is_password() {
        let password = Password::from_command("printf 'one two\\r\\n'".as_ref(), COMMAND).unwrap();
        assert_eq!(password.as_bytes(), b"one two");
        let error = Password::from_command("echo secret; exit 3".as_ref(), COMMAND).unwrap_err();
        assert_eq!(error.status, ExitStatus::AccessDenied);
        assert!(!format!("{error:?}").contains("secret"));
        assert!(Password::from_command("true".as_ref(), COMMAND).is_err());
        assert!(Password::from_command("printf 'one\\ntwo\\n'".as_ref(), COMMAND).is_err());
    }
}
