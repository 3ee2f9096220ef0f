//! Why a server cannot be dumped.

use std::io;

/// Why a server cannot be dumped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MySqlError {
    /// The client cannot be started.
    #[error("{program} cannot be started; install the client of the database, or correct PATH")]
    NoClient {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
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
    /// The dump program is missing.
    #[error("there is no dump program for {server}: install {program}")]
    NoDumpProgram {
        /// `MariaDB` or `MySQL`.
        server: &'static str,
        /// The program.
        program: &'static str,
    },
    /// The server has no database to dump.
    #[error("the server has no database besides its own")]
    NoDatabase,
    /// A database with this name cannot be dumped.
    #[error("`{name}` is no name of a database")]
    BadName {
        /// The name.
        name: String,
    },
}
