//! How br logs in to RabbitMQ: the options that a backup and a restore share.

use std::path::Path;

use br_core::Secret;
use br_sources::rabbitmq::RabbitMqOptions;

use crate::environment::secret_variable;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::password::Password;
use crate::secret;

/// The option for the file of the password.
pub(super) const PASSWORD_FILE: &str = "--rabbitmq-password-file";
/// The user that a new server has.
pub(super) const USER: &str = "guest";
/// The variable for the password.
const VARIABLE: &str = "BR_RABBITMQ_PASSWORD";
const ONE_LINE: &str = "set the password as one line of text";

/// The server at the address that `option` names.
pub(super) fn options(
    option: &str,
    address: &str,
    user: &str,
    file: Option<&Path>,
) -> Result<RabbitMqOptions, CommandError> {
    let options = RabbitMqOptions::new(address).map_err(|error| {
        let hint = "write for example http://127.0.0.1:15672";
        CommandError::usage(format!("{option}: {error}"), hint)
    })?;
    Ok(options.with_user(user).with_password(password(file)?))
}

fn password(file: Option<&Path>) -> Result<Secret, CommandError> {
    if let Some(file) = file {
        let password = Password::from_file(file, PASSWORD_FILE)?;
        let text = std::str::from_utf8(password.as_bytes());
        return text.map(Secret::new).map_err(|_| {
            let message = format!("the password in {} is not text in UTF-8", file.display());
            CommandError::new(ExitStatus::AccessDenied, message, ONE_LINE)
        });
    }
    let Some(value) = secret_variable(VARIABLE)? else {
        let hint = format!("give {PASSWORD_FILE}, or set {VARIABLE}");
        let message = "there is no password for RabbitMQ";
        return Err(CommandError::new(ExitStatus::AccessDenied, message, hint));
    };
    let secret = secret::Secret::of_variable(value).and_then(|secret| secret.to_text());
    secret.map_err(|error| {
        let message = format!("cannot use the password in {VARIABLE}");
        CommandError::new(ExitStatus::AccessDenied, message, ONE_LINE).because(&error)
    })
}
