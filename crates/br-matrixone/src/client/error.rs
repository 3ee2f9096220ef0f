//! Errors of the client.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::server_version::NotMatrixOne;

/// A result of this module.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// Why an operation failed, and what the caller can do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The user belongs to an account that may not take backups. Nothing was sent.
    #[error(
        "user '{user}' belongs to account '{account}', but only users of the account sys can back up a cluster: use for example 'sys:dump'"
    )]
    NotSysAccount {
        /// The user as given.
        user: String,
        /// The user's account.
        account: String,
    },
    /// No server listens on the port.
    #[error(
        "{address} refused the connection: is MatrixOne running, and is that its port (6001 by default)?"
    )]
    Refused {
        /// Host and port.
        address: String,
    },
    /// The host is unknown or cannot be reached.
    #[error("cannot connect to {address}: check the host's name and the network")]
    Unreachable {
        /// Host and port.
        address: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// No response arrived in time. A retry may help.
    #[error("{address} did not answer within {after:?}: is it MatrixOne, and is it up?")]
    Timeout {
        /// Host and port.
        address: String,
        /// The timeout.
        after: Duration,
    },
    /// The server uses another protocol.
    #[error(
        "{address} does not speak the MySQL protocol: is that the port of MatrixOne (6001 by default)?"
    )]
    NotMySql {
        /// Host and port.
        address: String,
    },
    /// The server is another database. br sent it neither user nor password.
    #[error("{address} cannot be backed up this way: {found}")]
    NotMatrixOne {
        /// Host and port.
        address: String,
        /// The product that was found.
        #[source]
        found: NotMatrixOne,
    },
    /// The user or the password is wrong.
    #[error("MatrixOne does not let user '{user}' in: check user and password ({answer})")]
    WrongPassword {
        /// The user as given.
        user: String,
        /// What the server said.
        answer: String,
    },
    /// The server requires an unsupported login method.
    #[error(
        "MatrixOne requires the login method '{0}', and only mysql_native_password and caching_sha2_password are known: give the user a password of such a kind"
    )]
    AuthMethod(String),
    /// The server requires the password itself, and the connection is not encrypted. The password was not sent.
    #[error(
        "MatrixOne requires the password itself, and the connection is not encrypted: encrypt the connection, or give the user a password of the kind mysql_native_password"
    )]
    PasswordInClear,
    /// Encryption is required, and the server does not offer it. br sent it neither user nor password.
    #[error("{address} does not offer encrypted connections, and one is required")]
    TlsNotOffered {
        /// Host and port.
        address: String,
    },
    /// The connection could not be encrypted, or the server's certificate is not valid. The password was not sent.
    #[error("cannot encrypt the connection to {address}, or its certificate is not valid")]
    Tls {
        /// Host and port.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The server does not support the operation.
    #[error("{server} cannot {what}: that needs a newer release")]
    Unsupported {
        /// The server.
        server: String,
        /// The operation.
        what: &'static str,
    },
    /// The server returned an error.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The connection broke before the statement was sent, or outside of a backup: nothing is running.
    /// Connect again.
    #[error("the connection to MatrixOne was lost; nothing was started")]
    Lost(#[source] io::Error),
    /// The connection broke during a backup. The server may have finished, may have stopped, or may still be
    /// writing: check the files, and do not use that folder again.
    #[error(
        "the connection was lost during the backup, and the server may still be writing: check the files before relying on them, and use another folder for the next try"
    )]
    Ambiguous(#[source] io::Error),
    /// The caller cancelled.
    #[error("the backup was cancelled{}", if *.stopped { "" } else { ", but the server has not confirmed it and may still be writing" })]
    Cancelled {
        /// Whether the server confirmed that the statement has ended. The files that it wrote stay.
        stopped: bool,
        /// Why the statement could not be killed, if that failed.
        #[source]
        source: Option<Box<Self>>,
    },
}

/// An error response of the server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("MatrixOne says: {message} (error {code}){}", advice_or_nothing(*.code, .message))]
pub struct ServerError {
    /// The error number: MySQL's below 20000, MatrixOne's own from there.
    pub code: u16,
    /// The five characters of the SQL state; may be empty.
    pub state: String,
    /// The text, truncated if it is long, without br's keys.
    pub message: String,
}

/// The meaning of an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerReason {
    /// The user lacks a privilege.
    Denied,
    /// A file of the cluster no longer exists.
    FileNotFound,
    /// The folder is not empty.
    FileExists,
    /// The server does not accept the folder's name.
    InvalidPath,
    /// The bucket or the keys are wrong.
    BadStorage,
    /// The server does not know the statement.
    Syntax,
    /// The statement was killed.
    Interrupted,
    /// The server panicked.
    Panic,
    /// The server had an internal error.
    Internal,
    /// Anything else.
    Other,
}

impl ServerError {
    /// Returns the meaning of the error.
    #[must_use]
    pub fn reason(&self) -> ServerReason {
        reason(self.code, &self.message)
    }

    /// Returns what the user can do; `None` if the message says it.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        advice(self.reason())
    }
}

fn reason(code: u16, message: &str) -> ServerReason {
    let says = |text: &str| message.to_ascii_lowercase().contains(text);
    match code {
        1045 | 1142 | 1227 => ServerReason::Denied,
        1064 | 1149 | 20302 | 20303 => ServerReason::Syntax,
        1317 | 20104 => ServerReason::Interrupted,
        20405 => ServerReason::FileNotFound,
        20406 => ServerReason::FileExists,
        20411 => ServerReason::InvalidPath,
        20425 => ServerReason::BadStorage,
        // Both numbers are used for errors without a specific number: the text decides.
        1105 | 20101 if says("privilege") => ServerReason::Denied,
        1105 | 20101 if says("panic") => ServerReason::Panic,
        1105 | 20101 if says("already exists") => ServerReason::FileExists,
        1105 | 20101 if says("context canceled") => ServerReason::Interrupted,
        1105 | 20101 => ServerReason::Internal,
        _ => ServerReason::Other,
    }
}

fn advice(reason: ServerReason) -> Option<&'static str> {
    Some(match reason {
        ServerReason::Denied => "only users of the account sys can back up a cluster",
        ServerReason::FileNotFound => {
            "a file of the cluster was removed during the backup, or is missing already; try again in a new folder, and if it \
             stays check the cluster's own storage"
        }
        ServerReason::FileExists => {
            "the server overwrites nothing, so a failed backup cannot be repeated in the same folder: start a new one"
        }
        ServerReason::InvalidPath => "choose a folder named with letters, digits and - _ . / only",
        ServerReason::BadStorage => {
            "check endpoint, bucket, region and keys as the server sees them"
        }
        ServerReason::Syntax => {
            "the server is older or newer than its greeting says; tell us its version"
        }
        ServerReason::Panic => {
            "the server failed over the statement; its log says where. Do not use the folder again"
        }
        ServerReason::Internal => "the server's log says more. Do not use the folder again",
        ServerReason::Interrupted | ServerReason::Other => return None,
    })
}

fn advice_or_nothing(code: u16, message: &str) -> String {
    advice(reason(code, message)).map_or_else(String::new, |advice| format!("; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        for (code, message, reason) in [
            (
                20101,
                "internal error: do not have privilege to execute the statement",
                ServerReason::Denied,
            ),
            (
                20101,
                "internal error: panic runtime error: index out of range",
                ServerReason::Panic,
            ),
            (
                20101,
                "internal error: wait special checkpoint timeout",
                ServerReason::Internal,
            ),
            (
                20405,
                "file 0191_00000 is not found",
                ServerReason::FileNotFound,
            ),
            (
                20406,
                "file tae/tae_list already exists",
                ServerReason::FileExists,
            ),
            (1064, "SQL parser error", ServerReason::Syntax),
            (1105, "panic", ServerReason::Panic),
            (1317, "query interrupted", ServerReason::Interrupted),
            (1146, "no such table", ServerReason::Other),
        ] {
            let error = ServerError {
                code,
                state: String::new(),
                message: message.to_owned(),
            };
            assert_eq!(error.reason(), reason, "{message}");
        }
    }

    #[test]
    fn an_answer_comes_with_advice() {
        let error = ServerError {
            code: 20406,
            state: "HY000".to_owned(),
            message: "file mo_meta already exists".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "MatrixOne says: file mo_meta already exists (error 20406); the server overwrites nothing, so a failed backup cannot \
             be repeated in the same folder: start a new one"
        );
    }
}
