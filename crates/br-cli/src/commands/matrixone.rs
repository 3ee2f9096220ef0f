//! A MatrixOne server as the thing to back up: understood, and not supported yet.
//!
//! Invariant: whoever names a server is told so; a backup without the server never looks like one with it.

use br_core::Secret;
use clap::Args;

use crate::context::CommandContext;
use crate::error::CommandError;
use crate::storage::parse_secret;

/// How `mo_br` names a server, beside `--host`.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// Port of the server
    #[arg(long, hide = true, value_name = "PORT")]
    port: Option<String>,

    /// User of the server
    #[arg(long, hide = true, value_name = "NAME")]
    user: Option<String>,

    /// Password of that user
    #[arg(
        id = "server_password",
        long = "password",
        hide = true,
        value_name = "PASSWORD",
        value_parser = parse_secret
    )]
    password: Option<Secret>,
}

impl ServerArgs {
    /// Refuses a server.
    pub(super) fn refuse(&self, context: &CommandContext) -> Result<(), CommandError> {
        if self.password.is_some() {
            context.warn_exposed("--password", "change it, if others use this machine");
        }
        if self.port.is_none() && self.user.is_none() && self.password.is_none() {
            return Ok(());
        }
        Err(CommandError::usage(
            "backing up a MatrixOne server is not supported yet",
            "leave out --port, --user and --password, and name files or folders to back up as PATH",
        ))
    }
}
