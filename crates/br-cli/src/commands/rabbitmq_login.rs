//! Who logs in to a RabbitMQ server: the options for it.

use br_sources::rabbitmq::RabbitMqOptions;
use clap::Args;

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::exit_code::ExitStatus;
use crate::password::Password;

/// The variable with the password.
const PASSWORD: &str = "BR_RABBITMQ_PASSWORD";
/// The user that a new server has.
const USER: &str = "guest";

/// Who logs in to a RabbitMQ server.
#[derive(Debug, Clone, Args)]
pub(super) struct RabbitMqLoginArgs {
    /// User of RabbitMQ, who needs the tag `administrator` [default: guest]
    #[arg(long, value_name = "NAME")]
    rabbitmq_user: Option<String>,

    /// Where the password of RabbitMQ is: file:PATH, env:NAME, command:COMMAND or credential:NAME [default: env:BR_RABBITMQ_PASSWORD]
    #[arg(long, value_name = "REFERENCE")]
    rabbitmq_password: Option<String>,
}

impl RabbitMqLoginArgs {
    /// The server with this login. Reads the password.
    pub(super) fn options(
        &self,
        server: RabbitMqOptions,
        context: &CommandContext,
    ) -> Result<RabbitMqOptions, CommandError> {
        let reference = self.rabbitmq_password.as_deref();
        let password = Password::of_server(reference, PASSWORD, |name, file| {
            context.warn_of_file(name, file);
        })?;
        let Some(password) = password else {
            let message = "there is no password for RabbitMQ";
            let hint = format!("give --rabbitmq-password file:PATH, or set {PASSWORD}");
            return Err(CommandError::new(ExitStatus::AccessDenied, message, hint));
        };
        Ok(server
            .with_user(self.rabbitmq_user.as_deref().unwrap_or(USER))
            .with_password(password.to_text()?))
    }

    /// Refuses a login without a server, which `option` names, and a password in place of a reference.
    pub(super) fn check(&self, option: &str, has_server: bool) -> Result<(), CommandError> {
        let is_typed = self.rabbitmq_user.is_some() || self.rabbitmq_password.is_some();
        if is_typed && !has_server {
            let message =
                format!("--rabbitmq-user and --rabbitmq-password have no effect without {option}");
            return Err(CommandError::usage(message, "leave them out"));
        }
        Password::check_reference("--rabbitmq-password", self.rabbitmq_password.as_deref())
    }
}

/// The server at an address as typed.
pub(super) fn parse_address(text: &str) -> Result<RabbitMqOptions, CommandError> {
    RabbitMqOptions::new(text).map_err(|error| {
        let hint = "write for example http://127.0.0.1:15672";
        CommandError::usage(error.to_string(), hint)
    })
}
