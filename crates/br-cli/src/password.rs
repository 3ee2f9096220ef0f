//! The repository's password: where it comes from, and that it does not go anywhere.
//!
//! [`Password`] is wiped when it is dropped. Invariant: it is never part of debug output, of an error or of an argument.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::cli::GlobalOptions;
use crate::context::variable;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::secret_file;

/// A password.
#[derive(Clone)]
pub(crate) struct Password(Zeroizing<Vec<u8>>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes the password from where the user says it is; `None` when nothing was said.
    ///
    /// Options come before the environment, a file before a command before the password itself.
    pub(crate) fn find(options: &GlobalOptions) -> Result<Option<Self>, CommandError> {
        if let Some(file) = &options.password_file {
            return Self::from_file(file).map(Some);
        }
        if let Some(command) = &options.password_command {
            return Self::from_command(command.as_ref()).map(Some);
        }
        if let Some(file) = variable("BR_PASSWORD_FILE") {
            return Self::from_file(&PathBuf::from(file)).map(Some);
        }
        if let Some(command) = variable("BR_PASSWORD_COMMAND") {
            return Self::from_command(&command).map(Some);
        }
        Ok(variable("BR_PASSWORD").map(|password| Self(Zeroizing::new(password.into_vec()))))
    }

    /// Asks on the terminal.
    pub(crate) fn ask(prompt: &str) -> Result<Self, CommandError> {
        match rpassword::prompt_password(prompt) {
            Ok(password) if password.is_empty() => Err(refused(
                "the password is empty",
                "type the password, or press Ctrl-C to stop",
            )),
            Ok(password) => Ok(Self(Zeroizing::new(password.into_bytes()))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
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
        let bytes = secret_file::read(path, "--password-file").map_err(|error| {
            let message = format!("cannot read the password file {}", path.display());
            refused(message, "check --password-file or BR_PASSWORD_FILE").because(&error)
        })?;
        if bytes.is_empty() {
            let message = format!("the password file {} is empty", path.display());
            return Err(refused(message, "write the password into it"));
        }
        Ok(Self(bytes))
    }

    fn from_command(command: &OsStr) -> Result<Self, CommandError> {
        const HINT: &str = "run the command of --password-command or BR_PASSWORD_COMMAND by hand: it must \
                            print the password on its first line and end with 0";
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).env_remove("BR_PASSWORD");
        shell.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        let output = shell.output().map_err(|error| {
            refused("cannot run the password command", "br needs `sh` for it").because(&error)
        })?;
        let mut bytes = Zeroizing::new(output.stdout);
        if !output.status.success() {
            let message = format!("the password command failed: {}", output.status);
            return Err(refused(message, HINT));
        }
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(bytes.len());
        bytes.truncate(end);
        if bytes.is_empty() {
            return Err(refused("the password command printed no password", HINT));
        }
        Ok(Self(bytes))
    }
}

fn refused(message: impl Into<String>, hint: &str) -> CommandError {
    CommandError::new(ExitStatus::AccessDenied, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show() {
        let password = Password(Zeroizing::new(b"secret".to_vec()));
        assert!(!format!("{password:?}").contains("secret"));
    }

    #[test]
    fn the_first_line_of_a_command_is_the_password() {
        let password = Password::from_command("printf 'one two\\nmore\\n'".as_ref()).unwrap();
        assert_eq!(password.as_bytes(), b"one two");
        let error = Password::from_command("echo secret; exit 3".as_ref()).unwrap_err();
        assert_eq!(error.status, ExitStatus::AccessDenied);
        assert!(!format!("{error:?}").contains("secret"));
        assert!(Password::from_command("true".as_ref()).is_err());
    }
}
