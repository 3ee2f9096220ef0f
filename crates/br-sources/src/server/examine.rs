//! What an examination finds out about a server, and how an administrator corrects it.
//!
//! The options of each kind of server implement [`Examine`]. Invariant: an examination changes nothing on the server, and no finding has a password.

use std::fmt;

use tokio_util::sync::CancellationToken;

use super::ServerError;

/// A server that can be examined before it is backed up.
pub trait Examine: fmt::Debug + Send {
    /// The folder of its dumps in a backup, such as `mysql`.
    fn folder(&self) -> &'static str;

    /// Asks the server and looks at the programs of this machine. All checks that are possible run, also if one of them fails.
    ///
    /// Blocks for some tenths of a second. It has no time limit: cancel `cancel` to end it. The last finding then says that there was no answer.
    fn examine(&self, cancel: &CancellationToken) -> Vec<Finding>;
}

/// How much a finding matters. The order is that of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// All is well.
    Ok,
    /// Something could be better, and does not concern this backup.
    Advice,
    /// The backup works, and lacks something or may be worth less than it seems.
    Warning,
    /// A backup fails, or is incomplete.
    Problem,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// Whether the server answers.
    Connection,
    /// The programs that the backup needs.
    Client,
    /// What the login may do.
    Rights,
    /// The data itself.
    Content,
    /// Logs from which the server can be restored to a later moment than that of the backup.
    Log,
    /// What the server keeps on disk.
    Persistence,
    /// Memory and disk space of the server, and the other servers that it works with.
    State,
}

/// Something that an examination found out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// How much it matters.
    pub severity: Severity,
    /// What was found, as one line without a password.
    pub message: String,
    /// How to correct it. Always there for [`Severity::Problem`].
    pub fix: Option<Fix>,
}

/// How to correct what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fix {
    /// What to do, as one line.
    Advice(String),
    /// Rights to give.
    Grant(MissingRights),
}

/// Rights that a login lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingRights {
    /// Their names, such as `SHOW VIEW`.
    pub rights: Vec<String>,
    /// The statements that give them, in the order in which an administrator runs them.
    pub statements: Vec<String>,
    /// Where the statements are typed, such as ``in `mariadb`, as an administrator of the server``.
    pub place: &'static str,
}

impl MissingRights {
    /// Rights, the statements that give them, and where these are typed.
    #[must_use]
    pub const fn new(rights: Vec<String>, statements: Vec<String>, place: &'static str) -> Self {
        Self {
            rights,
            statements,
            place,
        }
    }
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn ok(topic: Topic, message: impl Into<String>) -> Self {
        Self {
            topic,
            severity: Severity::Ok,
            message: message.into(),
            fix: None,
        }
    }

    /// Something to improve, and how.
    #[must_use]
    pub fn advice(topic: Topic, message: impl Into<String>, fix: Fix) -> Self {
        Self::bad(topic, Severity::Advice, message, fix)
    }

    /// Something that the backup lacks, and how to correct it.
    #[must_use]
    pub fn warning(topic: Topic, message: impl Into<String>, fix: Fix) -> Self {
        Self::bad(topic, Severity::Warning, message, fix)
    }

    /// Something that makes the backup fail, and how to correct it.
    #[must_use]
    pub fn problem(topic: Topic, message: impl Into<String>, fix: Fix) -> Self {
        Self::bad(topic, Severity::Problem, message, fix)
    }

    fn bad(topic: Topic, severity: Severity, message: impl Into<String>, fix: Fix) -> Self {
        Self {
            topic,
            severity,
            message: message.into(),
            fix: Some(fix),
        }
    }

    /// A question that was not answered. `fix` is for errors that do not say themselves what to do.
    #[must_use]
    pub fn of_error(topic: Topic, error: &ServerError, fix: &str) -> Self {
        let fix = match error {
            ServerError::NoClient { program, .. } => {
                format!(
                    "install the client of the database, which has `{program}`, or correct PATH"
                )
            }
            ServerError::NoDumpProgram { package, .. } => format!("install {package}"),
            ServerError::Cancelled => {
                return Self::problem(
                    topic,
                    "the server did not answer in time",
                    Fix::advice("look at the load and the log of the server"),
                );
            }
            _ => fix.to_owned(),
        };
        Self::problem(topic, error.in_one_line(), Fix::Advice(fix))
    }
}

impl Fix {
    /// What to do.
    #[must_use]
    pub fn advice(text: impl Into<String>) -> Self {
        Self::Advice(text.into())
    }
}

impl Severity {
    /// Its name, such as `problem`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Topic {
    /// Its name, such as `rights`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Client => "client",
            Self::Rights => "rights",
            Self::Content => "content",
            Self::Log => "log",
            Self::Persistence => "persistence",
            Self::State => "state",
        }
    }
}
