//! Whether the connection to the server is encrypted: the options for it.
//!
//! [`ServerTlsArgs`] become a [`TlsMode`]. Invariant: a file with certificates is never ignored.

use std::path::PathBuf;

use br_matrixone::client::TlsMode;
use clap::{Args, ValueEnum};

use crate::error::CommandError;
use crate::output::format;

/// Says whether the connection to the server is encrypted.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerTlsArgs {
    /// Whether the connection to the server is encrypted
    #[arg(long, value_name = "MODE", value_enum, default_value_t = ModeArg::Preferred)]
    server_tls: ModeArg,

    /// Trust only the certificates in this file (PEM), with --server-tls verified [default: the public authorities]
    #[arg(long, value_name = "FILE")]
    server_ca_certificate: Option<PathBuf>,
}

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    /// Never
    Disabled,
    /// If the server offers it; the server's certificate is not verified
    Preferred,
    /// Always; the server's certificate is not verified
    Required,
    /// Always, and the server's certificate must be valid for --host
    Verified,
}

impl ServerTlsArgs {
    /// Reads the certificates, if there are any.
    pub(super) fn mode(&self) -> Result<TlsMode, CommandError> {
        let authorities = self.authorities()?;
        match self.server_tls {
            ModeArg::Verified => Ok(TlsMode::Verified { authorities }),
            _ if authorities.is_some() => Err(CommandError::usage(
                "--server-ca-certificate needs --server-tls verified",
                "add --server-tls verified, or leave --server-ca-certificate out",
            )),
            ModeArg::Disabled => Ok(TlsMode::Disabled),
            ModeArg::Preferred => Ok(TlsMode::Preferred),
            ModeArg::Required => Ok(TlsMode::Required),
        }
    }

    fn authorities(&self) -> Result<Option<Vec<u8>>, CommandError> {
        let Some(file) = &self.server_ca_certificate else {
            return Ok(None);
        };
        let name = format::path(file);
        let pem = std::fs::read(file).map_err(|error| {
            let message = format!("cannot read the certificate {name}");
            CommandError::usage(message, "check --server-ca-certificate").because(&error)
        })?;
        let mark = b"-----BEGIN CERTIFICATE-----";
        if !pem.windows(mark.len()).any(|part| part == mark) {
            let message = format!("there is no certificate in {name}");
            let hint = "name a file in PEM: it holds `-----BEGIN CERTIFICATE-----`";
            return Err(CommandError::usage(message, hint));
        }
        Ok(Some(pem))
    }
}
