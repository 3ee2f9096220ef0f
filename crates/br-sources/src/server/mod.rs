//! What all servers have in common: what they are, and the dumps that a backup has of them.
//!
//! Each kind of server has a function `probe`, which returns something that implements [`Server`]. A [`Dump`] is one file of the backup: what a
//! program writes, or what a reader reads from the server; [`ServerSource`] has all of them for a backup. [`Examine`] looks at a server without a backup. Invariant: a dump that ends without an error is complete.

use std::fmt;
use std::io::Read;
use std::process::Command;

use br_core::source::{LastCheck, Unpack};
use tokio_util::sync::CancellationToken;

mod error;
mod examine;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod launcher;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod program;
mod source;

pub use error::ServerError;
pub use examine::{Examine, Finding, Fix, MissingRights, Severity, Topic};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use launcher::Launcher;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use program::{message_of, output_of};
pub use source::{DumpOptions, ServerSource};

/// A server that answered.
pub trait Server: fmt::Debug + Send {
    /// The folder for its dumps in a backup, such as `mysql`.
    fn folder(&self) -> &'static str;

    /// Its version, such as `10.11.19-MariaDB`.
    fn version(&self) -> &str;

    /// What it is and where, in one line, such as `MariaDB 10.11.19 on db1, port 3306, /var/lib/mysql/`. A backup keeps it with each dump.
    fn description(&self) -> String;

    /// What its dumps will lack, or what may go wrong with them; one line each.
    fn warnings(&self) -> Vec<String>;

    /// Its dumps, in no particular order. `cancel` ends what a reader waits for: give it the token of the [`Context`](br_core::Context) that the
    /// backup gets.
    ///
    /// # Errors
    /// When a program is missing on this machine.
    fn dumps(&self, cancel: &CancellationToken) -> Result<Vec<Dump>, ServerError>;
}

/// One file in the backup of a server, or all of them.
#[non_exhaustive]
pub struct Dump {
    /// Its name, such as `dump.sql`. It may have any character but a slash. Empty for [`DumpContent::Archive`], which is the whole folder.
    pub name: String,
    /// The beginning of its last line, if its format has one.
    pub end_mark: Option<&'static str>,
    /// Where its content comes from.
    pub content: DumpContent,
    /// What is asked when the program has succeeded. Only programs have this.
    pub last_check: Option<LastCheck>,
}

/// Where the content of a dump comes from.
pub enum DumpContent {
    /// A program writes it to its standard output, for a [`CommandStream`](br_core::source::CommandStream). None of its arguments is a secret.
    Program(Command),
    /// A program writes all files of the folder to its standard output, for [`CommandStream::with_unpack`](br_core::source::CommandStream::with_unpack).
    Archive {
        /// The program. None of its arguments is a secret.
        command: Command,
        /// What takes its output apart, and fails if it is not complete.
        unpack: Box<dyn Unpack>,
    },
    /// A reader, for a [`StreamSource`](br_core::source::StreamSource). It connects to the server when it is first read, and fails if what the server sends is not complete.
    Reader(Box<dyn Read + Send>),
}

impl fmt::Debug for DumpContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(command) => f.debug_tuple("Program").field(command).finish(),
            Self::Archive { command, .. } => f.debug_tuple("Archive").field(command).finish(),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump")
            .field("name", &self.name)
            .field("end_mark", &self.end_mark)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

impl Dump {
    /// A dump that a program writes.
    #[must_use]
    pub fn of_program(name: impl Into<String>, command: Command) -> Self {
        Self::new(name, DumpContent::Program(command))
    }

    /// A dump that is read from the server.
    #[must_use]
    pub fn of_reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Self::new(name, DumpContent::Reader(Box::new(reader)))
    }

    /// All files of a server, which a program writes as one stream.
    #[must_use]
    pub fn of_archive(command: Command, unpack: impl Unpack + 'static) -> Self {
        let unpack = Box::new(unpack);
        Self::new("", DumpContent::Archive { command, unpack })
    }

    fn new(name: impl Into<String>, content: DumpContent) -> Self {
        // A database may have any name; a slash would make a folder.
        let name = name.into().replace('/', "_");
        Self {
            name,
            end_mark: None,
            content,
            last_check: None,
        }
    }

    /// Sets what is asked when the program has succeeded, for [`CommandStream::with_last_check`](br_core::source::CommandStream::with_last_check).
    #[must_use]
    pub fn with_last_check(
        mut self,
        check: impl FnOnce(&str) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.last_check = Some(Box::new(check));
        self
    }

    /// Sets the beginning of its last line.
    #[must_use]
    pub const fn with_end_mark(mut self, end_mark: &'static str) -> Self {
        self.end_mark = Some(end_mark);
        self
    }
}
