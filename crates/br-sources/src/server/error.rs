//! Why a server cannot be backed up.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;

/// Why a server cannot be backed up, or a backup not be given to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The client cannot be started.
    #[error("{program} cannot be started; install the client of the database, or correct PATH")]
    NoClient {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// There is no connection to the server.
    #[error("no connection to {address}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The server cannot connect to this machine, as a restore needs it.
    #[error("no connection to {address}, where the server must connect to br")]
    NoWayBack {
        /// The address of this machine.
        address: IpAddr,
        /// Why.
        source: io::Error,
    },
    /// The server has keys, and the restore may not replace them.
    #[error("the server cannot be used: it has {keys} keys, which the restore would delete")]
    HasKeys {
        /// How many.
        keys: u64,
    },
    /// A restore has failed, and the server may not be a master any more.
    #[error(
        "the server may still be a replica of br; when it answers again, send it: {}",
        commands.join("; ")
    )]
    StillReplica {
        /// What makes it a master again. Passwords are not in it.
        commands: Vec<String>,
        /// Why br could not do it.
        source: Box<Self>,
    },
    /// The server has functions, and the restore may not replace them.
    #[error("the server cannot be used: it has functions, which the restore would delete")]
    HasFunctions,
    /// The server refuses the connection or a question.
    #[error("the server cannot be used: {message}")]
    Refused {
        /// What the server or its client said.
        message: String,
    },
    /// The login works, and lacks a right.
    #[error("the server cannot be used: {message}")]
    NotPermitted {
        /// Which right, and how to get it.
        message: String,
    },
    /// The answer of the server is not understood.
    #[error("the answer of the server is not understood: {answer}")]
    Answer {
        /// The answer.
        answer: String,
    },
    /// No program on this machine can dump the server.
    #[error("{server} needs {program}, and there is {found}; install {package}")]
    NoDumpProgram {
        /// The server, such as `PostgreSQL 17`.
        server: String,
        /// The program that is needed.
        program: String,
        /// What there is, such as `none`.
        found: String,
        /// What to install.
        package: String,
    },
    /// The server has nothing to dump.
    #[error("the server has no database besides its own that the user may see")]
    NoDatabases,
    /// The server has no such database.
    #[error("the server has no database `{name}` that accepts connections")]
    NoDatabase {
        /// The name.
        name: String,
    },
    /// The server has no such table.
    #[error("the server has no table `{name}` that the user may see")]
    NoTable {
        /// The name, with that of its database.
        name: String,
    },
    /// The server has a database of this name, and the restore may not replace it.
    #[error("the server has a database `{name}`, which the restore would delete")]
    HasDatabase {
        /// The name.
        name: String,
    },
    /// A restore has failed, and the database that it would have replaced has another name.
    #[error("the database `{name}` is now called `{aside}`; give it its name again")]
    StillAside {
        /// Its name.
        name: String,
        /// The name that it has now.
        aside: String,
        /// Why br could not do it.
        source: Box<Self>,
    },
    /// Others are connected to the database that a restore would replace.
    #[error("the database `{name}` cannot be replaced while others are connected to it: {by}")]
    InUse {
        /// The name.
        name: String,
        /// The names of their programs or users.
        by: String,
    },
    /// An address, a name or a password cannot be used.
    #[error("{what} cannot be used: {reason}")]
    BadOption {
        /// What, such as ``the address `ftp://host` ``.
        what: String,
        /// Why.
        reason: String,
    },
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl ServerError {
    /// The error and its causes, in one line.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }
}
