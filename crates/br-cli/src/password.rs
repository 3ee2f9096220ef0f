//! The repository's password: where br reads it from.
//!
//! [`Password::find`] decides. Invariant: an empty password is an error from every source: most likely a variable is not set,
//! and br must not create an unencrypted repository because of that.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::SecretReference;
use crate::environment::secret_variable;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::secret::{BadSecret, Secret};

/// A password.
#[derive(Debug, Clone)]
pub(crate) struct Password(Secret);

/// The options and variables that can give the password of a repository.
#[derive(Debug)]
pub(crate) struct PasswordNames {
    /// Option and variable for a file.
    file: [&'static str; 2],
    /// Option and variable for a command.
    command: [&'static str; 2],
    /// Variable for the password itself.
    value: &'static str,
}

impl PasswordNames {
    /// For the repository of the command.
    pub(crate) const REPOSITORY: Self = Self {
        file: ["--password-file", "BR_PASSWORD_FILE"],
        command: ["--password-command", "BR_PASSWORD_COMMAND"],
        value: "BR_PASSWORD",
    };
    /// For a second repository, which is only read.
    pub(crate) const SOURCE: Self = Self {
        file: ["--from-password-file", "BR_FROM_PASSWORD_FILE"],
        command: ["--from-password-command", "BR_FROM_PASSWORD_COMMAND"],
        value: "BR_FROM_PASSWORD",
    };
    /// For further repositories of a backup.
    pub(crate) const COPY_TO: Self = Self {
        file: ["--copy-to-password-file", "BR_COPY_TO_PASSWORD_FILE"],
        command: ["--copy-to-password-command", "BR_COPY_TO_PASSWORD_COMMAND"],
        value: "BR_COPY_TO_PASSWORD",
    };
}

impl Password {
    /// The password as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Reads the password from where the user says; `None` if the user says nothing. Calls `warn` with the name of the option or the
    /// variable before it reads a file.
    ///
    /// Options take precedence over the environment, and a file over a command over the password itself.
    pub(crate) fn find(
        names: &PasswordNames,
        file: Option<&Path>,
        command: Option<&str>,
        warn: impl FnOnce(&str, &Path),
    ) -> Result<Option<Self>, CommandError> {
        let is_typed = file.is_some() || command.is_some();
        let [option, variable] = names.file;
        let (named_by, file) = match file {
            None if !is_typed => (variable, secret_variable(variable)?.map(PathBuf::from)),
            file => (option, file.map(Path::to_owned)),
        };
        if let Some(file) = file {
            warn(named_by, &file);
            return Self::from_file(&file, &names.file.join(" or ")).map(Some);
        }
        let command = match command {
            None => secret_variable(names.command[1])?,
            command => command.map(OsString::from),
        };
        if let Some(command) = command {
            return Self::from_command(&command, &names.command.join(" or ")).map(Some);
        }
        let Some(value) = secret_variable(names.value)? else {
            return Ok(None);
        };
        Self::from_variable(names.value, value).map(Some)
    }

    /// Reads the secret that a configuration file refers to. Calls `warn` before it reads a file.
    pub(crate) fn of_reference(
        reference: &SecretReference,
        warn: impl FnOnce(&str, &Path),
    ) -> Result<Self, CommandError> {
        let shown = reference.to_string();
        if let Some(file) = reference.file()? {
            warn(&shown, &file);
            return Self::from_file(&file, &shown);
        }
        match reference {
            // The command itself may have a token in it.
            SecretReference::Command(command) => {
                Self::from_command(OsStr::new(command), "the reference `command:…`")
            }
            SecretReference::Variable(name) => {
                let value = secret_variable(name)?.ok_or_else(|| {
                    refused(
                        format!("{name} is not set, and a configuration file refers to it"),
                        "set the variable, or correct the configuration file",
                    )
                })?;
                Self::from_variable(name, value)
            }
            SecretReference::File(_) | SecretReference::Credential(_) | SecretReference::None => {
                Err(refused("the secret is in no file", ONE_LINE))
            }
        }
    }

    /// Reads the password of a server: the one that a typed reference names, or else that of a variable, if it is set. Calls `warn` before it
    /// reads a file.
    pub(crate) fn of_server(
        reference: Option<&str>,
        variable: &str,
        warn: impl FnOnce(&str, &Path),
    ) -> Result<Option<Self>, CommandError> {
        let Some(text) = reference else {
            let value = secret_variable(variable)?;
            return value
                .map(|value| Self::from_variable(variable, value))
                .transpose();
        };
        match SecretReference::parse(text) {
            None => Err(refused("there is no reference to the password", REFERENCES)),
            Some(SecretReference::None) => Ok(None),
            Some(reference) => Self::of_reference(&reference, warn).map(Some),
        }
    }

    /// Refuses a password in place of a reference to it, without repeating it.
    pub(crate) fn check_reference(
        option: &str,
        reference: Option<&str>,
    ) -> Result<(), CommandError> {
        match reference.map(SecretReference::parse) {
            Some(None) => {
                let message = format!("{option} is no reference to a password");
                Err(CommandError::usage(message, REFERENCES))
            }
            _ => Ok(()),
        }
    }

    /// The secret as text, for a key.
    pub(crate) fn to_text(&self) -> Result<br_core::Secret, CommandError> {
        self.0
            .to_text()
            .map_err(|error| refused("the key cannot be used", ONE_LINE).because(&error))
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

    /// Takes the value of a variable as the password.
    fn from_variable(name: &str, value: OsString) -> Result<Self, CommandError> {
        let secret = Secret::of_variable(value).map_err(|error| {
            let message = format!("cannot use the password in {name}");
            refused(message, ONE_LINE).because(&error)
        })?;
        Ok(Self(secret))
    }

    /// Takes the password from the output of the command that `option` names.
    pub(crate) fn from_command(command: &OsStr, option: &str) -> Result<Self, CommandError> {
        let hint = &*format!(
            "run the command of {option} yourself: it must print only the password, on one line, and exit with 0"
        );
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command);
        for name in SECRETS {
            shell.env_remove(name);
        }
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

/// Variables of br with secrets, which a password command does not need.
pub(crate) const SECRETS: [&str; 7] = [
    "BR_PASSWORD",
    "BR_FROM_PASSWORD",
    "BR_COPY_TO_PASSWORD",
    "BR_S3_SECRET_ACCESS_KEY",
    "BR_MATRIXONE_PASSWORD",
    "BR_REDIS_PASSWORD",
    "BR_RABBITMQ_PASSWORD",
];

/// How to say where a password is.
const REFERENCES: &str = "write file:PATH, env:NAME, command:COMMAND or credential:NAME; the password itself would be in the list of processes";

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
        let password =
            Password::from_command("printf 'one two\\r\\n'".as_ref(), "--password-command")
                .unwrap();
        assert_eq!(password.as_bytes(), b"one two");
        let error = Password::from_command("echo secret; exit 3".as_ref(), "--password-command")
            .unwrap_err();
        assert_eq!(error.status, ExitStatus::AccessDenied);
        assert!(!format!("{error:?}").contains("secret"));
        assert!(Password::from_command("true".as_ref(), "--password-command").is_err());
        assert!(
            Password::from_command("printf 'one\\ntwo\\n'".as_ref(), "--password-command").is_err()
        );
    }
}
