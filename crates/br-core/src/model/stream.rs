//! What a backup knows of the streams in it.

use jiff::Timestamp;
use serde::Serialize;

use super::text::escaped;

/// How a stream in a backup came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamRecord {
    /// Its path in the backup, raw bytes.
    #[serde(serialize_with = "escaped")]
    pub path: Vec<u8>,
    /// The program that wrote it, without its arguments, because these may contain passwords. `None` for a stream that no program of br
    /// wrote, such as standard input.
    pub program: Option<String>,
    /// The server that it is a dump of, such as `MariaDB 10.11.19 on db1, port 3306`.
    pub server: Option<String>,
    /// The text with which its format ends, if the format has one. The backup checked that the stream ends with it.
    pub end_mark: Option<String>,
    /// The position of the database that a dump says it is of, such as `CHANGE MASTER TO …`.
    pub position: Option<String>,
    /// The format in which it was already compressed, such as `gzip`.
    pub compression: Option<String>,
    /// When the backup began to read it, or started its program.
    pub began: Option<Timestamp>,
    /// When it had ended.
    pub ended: Option<Timestamp>,
    /// What the program wrote to its standard error: at most [`StreamRecord::MAX_MESSAGES`] bytes.
    pub messages: String,
}

impl StreamRecord {
    /// Maximum length of the messages, in bytes. Of longer ones, a part in the middle is missing.
    pub const MAX_MESSAGES: usize = 16 << 10;
    /// Maximum number of records of a backup. Further ones are dropped.
    pub const MAX_NUMBER: usize = 1_000;

    /// The record of a stream at a path.
    #[must_use]
    pub fn new(path: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            program: None,
            server: None,
            end_mark: None,
            position: None,
            compression: None,
            began: None,
            ended: None,
            messages: String::new(),
        }
    }

    /// Sets the program that wrote it, without arguments.
    #[must_use]
    pub fn with_program(mut self, program: Option<String>) -> Self {
        self.program = program;
        self
    }

    /// Sets the server that it is a dump of.
    #[must_use]
    pub fn with_server(mut self, server: Option<String>) -> Self {
        self.server = server;
        self
    }

    /// Sets the text with which its format ends.
    #[must_use]
    pub fn with_end_mark(mut self, end_mark: Option<String>) -> Self {
        self.end_mark = end_mark;
        self
    }

    /// Sets the position of the database.
    #[must_use]
    pub fn with_position(mut self, position: Option<String>) -> Self {
        self.position = position;
        self
    }

    /// Sets the format in which it was already compressed.
    #[must_use]
    pub fn with_compression(mut self, compression: Option<String>) -> Self {
        self.compression = compression;
        self
    }

    /// Sets when it began and when it had ended. A backup sets them itself.
    #[must_use]
    pub const fn with_times(mut self, began: Option<Timestamp>, ended: Option<Timestamp>) -> Self {
        self.began = began;
        self.ended = ended;
        self
    }

    /// Sets the messages of the program. Removes a part in the middle if they are too long.
    #[must_use]
    pub fn with_messages(mut self, messages: String) -> Self {
        self.messages = shortened(messages);
        self
    }
}

/// The text with at most [`StreamRecord::MAX_MESSAGES`] bytes.
pub(crate) fn shortened(text: String) -> String {
    /// Length of the beginning that stays. The end matters more: it has the error.
    const HEAD: usize = StreamRecord::MAX_MESSAGES / 4;
    const GAP: &str = "\n…\n";
    if text.len() <= StreamRecord::MAX_MESSAGES {
        return text;
    }
    let head = &text[..text.floor_char_boundary(HEAD)];
    let tail = text.len() - (StreamRecord::MAX_MESSAGES - HEAD - GAP.len());
    let tail = &text[text.ceil_char_boundary(tail)..];
    format!("{head}{GAP}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_keep_their_beginning_and_their_end() {
        let record = StreamRecord::new("a");
        let short = record.clone().with_messages("short".to_owned());
        assert_eq!(short.messages, "short");
        let long = format!("first{}last", "ä".repeat(20_000));
        let long = record.with_messages(long).messages;
        assert!(long.starts_with("first") && long.ends_with("last"));
        assert!(long.len() <= StreamRecord::MAX_MESSAGES, "{}", long.len());
    }
}
