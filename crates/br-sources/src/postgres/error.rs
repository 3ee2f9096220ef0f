//! Why a server cannot be dumped.

use std::io;

/// Why a server cannot be dumped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The client cannot be started.
    #[error("psql cannot be started; install the client of PostgreSQL, or correct PATH")]
    NoClient(#[source] io::Error),
    /// The server refuses the connection or a question.
    #[error("the server does not answer: {message}")]
    Refused {
        /// What the client said.
        message: String,
    },
    /// The answer of the server is not understood.
    #[error("the answer of the server is not understood: {answer}")]
    Answer {
        /// The answer.
        answer: String,
    },
    /// Every `pg_dump` on this machine is older than the server.
    #[error(
        "the server is PostgreSQL {server}, and pg_dump must not be older: {found}; install postgresql-client-{server}"
    )]
    NoDumpProgram {
        /// Major version of the server.
        server: u32,
        /// What was found.
        found: String,
    },
    /// The server has no such database.
    #[error("the server has no database `{name}` that accepts connections")]
    NoDatabase {
        /// The name.
        name: String,
    },
}
