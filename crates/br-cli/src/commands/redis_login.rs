//! Who logs in to a Redis server: the options for it.

use br_sources::redis::{RedisAddress, RedisOptions};
use clap::Args;

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::password::Password;

/// The variable with the password.
const PASSWORD: &str = "BR_REDIS_PASSWORD";

/// Who logs in to a Redis server.
#[derive(Debug, Clone, Args)]
pub(super) struct RedisLoginArgs {
    /// User of Redis [default: the default user of the server]
    #[arg(long, value_name = "NAME")]
    redis_user: Option<String>,

    /// Where the password of Redis is: file:PATH, env:NAME, command:COMMAND or credential:NAME [default: env:BR_REDIS_PASSWORD, if it is set]
    #[arg(long, value_name = "REFERENCE")]
    redis_password: Option<String>,
}

impl RedisLoginArgs {
    /// The server with this login. Reads the password.
    pub(super) fn options(
        &self,
        server: RedisOptions,
        context: &CommandContext,
    ) -> Result<RedisOptions, CommandError> {
        let password =
            Password::of_server(self.redis_password.as_deref(), PASSWORD, |name, file| {
                context.warn_of_file(name, file);
            })?;
        Ok(server
            .with_user(self.redis_user.clone())
            .with_password(password.map(|password| password.to_text()).transpose()?))
    }

    /// Refuses a login without a server, which `option` names, and a password in place of a reference.
    pub(super) fn check(&self, option: &str, has_server: bool) -> Result<(), CommandError> {
        let is_typed = self.redis_user.is_some() || self.redis_password.is_some();
        if is_typed && !has_server {
            let message =
                format!("--redis-user and --redis-password have no effect without {option}");
            return Err(CommandError::usage(message, "leave them out"));
        }
        Password::check_reference("--redis-password", self.redis_password.as_deref())
    }
}

/// The address of a server as typed. An error does not repeat it if it has a password.
pub(super) fn parse_address(text: &str) -> Result<RedisAddress, CommandError> {
    text.parse::<RedisAddress>().map_err(|error| {
        let hint = "write HOST:PORT or the path of a socket, such as 127.0.0.1:6379";
        CommandError::usage(error.to_string(), hint)
    })
}
