//! Whether the connection to a server is encrypted.
//!
//! A [`TlsMode`] is the caller's choice. Invariant: a mode that requires encryption never falls back to an unencrypted
//! connection.

use std::fmt;

use mysql_async::SslOpts;

/// Whether the connection to a server is encrypted, and whether the server's certificate is verified.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsMode {
    /// Not encrypted.
    Disabled,
    /// Encrypted if the server offers it. The certificate is not verified.
    #[default]
    Preferred,
    /// Encrypted, or there is no connection. The certificate is not verified: another server could answer.
    Required,
    /// Encrypted, and the certificate must be valid for the name of the host.
    Verified {
        /// The certificates (PEM) of the authorities to trust; `None` trusts the public ones.
        authorities: Option<Vec<u8>>,
    },
}

impl TlsMode {
    /// Returns how to encrypt a connection to a server that offers it or does not; `None` for an unencrypted connection.
    pub(super) fn options(&self, host: &str, is_offered: bool) -> Result<Option<SslOpts>, NoTls> {
        let options = SslOpts::default().with_danger_tls_hostname_override(Some(host.to_owned()));
        match self {
            Self::Disabled => Ok(None),
            Self::Preferred if !is_offered => Ok(None),
            _ if !is_offered => Err(NoTls),
            Self::Preferred | Self::Required => {
                Ok(Some(options.with_danger_accept_invalid_certs(true)))
            }
            Self::Verified { authorities: None } => Ok(Some(options)),
            Self::Verified {
                authorities: Some(authorities),
            } => Ok(Some(
                options
                    .with_disable_built_in_roots(true)
                    .with_root_certs(vec![authorities.clone().into()]),
            )),
        }
    }
}

impl fmt::Debug for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "Disabled",
            Self::Preferred => "Preferred",
            Self::Required => "Required",
            Self::Verified { .. } => "Verified",
        })
    }
}

/// The server does not offer the encryption that is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoTls;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_preferred_falls_back_to_unencrypted() {
        let verified = TlsMode::Verified { authorities: None };
        for (mode, offered, not_offered) in [
            (TlsMode::Disabled, Some(false), Some(false)),
            (TlsMode::Preferred, Some(true), Some(false)),
            (TlsMode::Required, Some(true), None),
            (verified, Some(true), None),
        ] {
            let encrypts = |is_offered| {
                let options = mode.options("localhost", is_offered);
                options.ok().map(|options| options.is_some())
            };
            assert_eq!(encrypts(true), offered, "{mode:?}");
            assert_eq!(encrypts(false), not_offered, "{mode:?}");
        }
    }

    #[test]
    fn certificate_is_accepted_unverified_only_on_request() {
        for (mode, accepts) in [
            (TlsMode::Required, true),
            (TlsMode::Verified { authorities: None }, false),
        ] {
            let options = mode.options("localhost", true).unwrap().unwrap();
            assert_eq!(options.accept_invalid_certs(), accepts, "{mode:?}");
            assert!(!options.skip_domain_validation());
        }
    }
}
