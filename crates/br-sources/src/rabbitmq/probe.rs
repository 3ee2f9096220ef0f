//! What a server is, its definitions, and their import.

use std::collections::HashMap;
use std::io::{self, Cursor, Read};

use serde::de::IgnoredAny;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::api::{Api, Limits, MOST_SETTING, OVERVIEW, shortened};
use super::differences::{Definitions, Imported};
use super::options::RabbitMqOptions;
use crate::server::{Dump, Server, ServerError};

/// Where the API has the definitions.
const DEFINITIONS: &str = "definitions";
/// The tag of a user who may read and import all definitions.
pub(super) const ADMINISTRATOR: &str = "administrator";

/// A server that answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RabbitMqServer {
    /// Its version, such as `3.10.8`.
    pub version: String,
    /// The name of its cluster, such as `rabbit@host`.
    pub cluster: String,
    /// How many messages wait in queues. The server counts them every few seconds.
    pub messages: u64,
    api: Api,
}

impl RabbitMqServer {
    /// Asks the server. Blocks for some hundredths of a second; a server that does not accept a connection is given up after ten seconds.
    ///
    /// # Errors
    /// When the server does not answer or is no RabbitMQ with the management plugin, when the password is wrong, or the user is no administrator.
    pub fn probe(
        options: RabbitMqOptions,
        cancel: &CancellationToken,
    ) -> Result<Self, ServerError> {
        Self::probe_within(options, Limits::default(), cancel)
    }

    pub(super) fn probe_within(
        options: RabbitMqOptions,
        limits: Limits,
        cancel: &CancellationToken,
    ) -> Result<Self, ServerError> {
        options.check()?;
        let api = Api { options, limits };
        let overview = json(&api, OVERVIEW, cancel)?;
        let text = |key: &str| overview.get(key).and_then(Value::as_str);
        let Some(version) = text("rabbitmq_version") else {
            return Err(ServerError::Answer {
                answer: shortened(&overview.to_string()),
            });
        };
        // A user with fewer rights may see this much, so it would fail in the middle of the backup.
        let who = json(&api, "whoami", cancel)?;
        if !has_tag(&who, ADMINISTRATOR) {
            let message = format!(
                "give the user `{}` the tag `{ADMINISTRATOR}`: only a user with it can read all definitions",
                api.options.user
            );
            return Err(ServerError::NotPermitted { message });
        }
        let messages = overview.pointer("/queue_totals/messages");
        Ok(Self {
            version: version.to_owned(),
            cluster: text("cluster_name").unwrap_or_default().to_owned(),
            messages: messages.and_then(Value::as_u64).unwrap_or_default(),
            api,
        })
    }

    /// Imports definitions as a backup has them, asks the server for its definitions, and compares. Blocks until the server has imported everything.
    ///
    /// An import merges: it deletes nothing. What exists gets the properties of the backup, except queues and exchanges: the server skips them if they
    /// differ, and the result names them.
    ///
    /// # Errors
    /// When these are no definitions, the server refuses them, or it does not answer. Then a part of them may be imported.
    pub fn import(
        &self,
        definitions: &[u8],
        cancel: &CancellationToken,
    ) -> Result<Imported, ServerError> {
        let backup = Definitions::parse(definitions).map_err(|reason| ServerError::BadOption {
            what: "this file".to_owned(),
            reason,
        })?;
        let posted = self.api.post(DEFINITIONS, definitions.to_vec(), cancel);
        posted.map_err(|error| match error {
            // Then the server has read none of it.
            ServerError::Refused { message } if message.contains(MOST_SETTING) => {
                ServerError::Refused { message }
            }
            ServerError::Refused { message } => ServerError::Refused {
                message: format!(
                    "{message}; what comes before it in the definitions may be imported"
                ),
            },
            other => other,
        })?;
        let now = self.api.get(DEFINITIONS, cancel).map_err(|error| {
            let message = format!(
                "the definitions are imported, but br cannot read them again, perhaps because the user `{}` has the password of the backup now: {error}",
                self.api.options.user
            );
            match error {
                ServerError::Refused { .. } | ServerError::NotPermitted { .. } => {
                    ServerError::Refused { message }
                }
                other => other,
            }
        })?;
        let now = Definitions::parse(&now).map_err(|answer| ServerError::Answer { answer })?;
        Ok(backup.compare(&now))
    }
}

impl Server for RabbitMqServer {
    fn folder(&self) -> &'static str {
        "rabbitmq"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn description(&self) -> String {
        let address = self.api.options.address();
        let cluster = if self.cluster.is_empty() {
            String::new()
        } else {
            format!(", cluster {}", self.cluster)
        };
        format!("RabbitMQ {} on {address}{cluster}", self.version)
    }

    fn warnings(&self) -> Vec<String> {
        if self.messages == 0 {
            return Vec::new();
        }
        let messages = match self.messages {
            1 => "1 message in queues is".to_owned(),
            count => format!("{count} messages in queues are"),
        };
        vec![format!(
            "{messages} not backed up: only the definitions are; to keep messages, let the programs that read them finish, or stop the server and back up its data folder"
        )]
    }

    fn dumps(&self, cancel: &CancellationToken) -> Result<Vec<Dump>, ServerError> {
        let reader = DefinitionsReader {
            api: self.api.clone(),
            cancel: cancel.clone(),
            content: None,
        };
        Ok(vec![Dump::of_reader("definitions.json", reader)])
    }
}

/// The definitions of a server, which it is asked for at the first read. All of them are checked before the first byte is passed on.
struct DefinitionsReader {
    api: Api,
    cancel: CancellationToken,
    content: Option<Cursor<Vec<u8>>>,
}

impl Read for DefinitionsReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let content = match &mut self.content {
            Some(content) => content,
            None => {
                let bytes = self.api.get(DEFINITIONS, &self.cancel);
                let bytes = bytes.and_then(|bytes| {
                    checked(bytes).map_err(|answer| ServerError::Answer { answer })
                });
                self.content
                    .insert(Cursor::new(bytes.map_err(io::Error::other)?))
            }
        };
        content.read(buffer)
    }
}

/// The bytes themselves, if they are whole definitions.
fn checked(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    // Without the values, which would take several times the memory.
    let keys = serde_json::from_slice::<HashMap<String, IgnoredAny>>(&bytes).map_err(|error| {
        // Definitions have secrets, which no error may show.
        let start = match bytes.trim_ascii_start() {
            [b'{', ..] => String::new(),
            _ => format!(": {}", beginning(&bytes)),
        };
        format!("the definitions are not one whole JSON object ({error}){start}")
    })?;
    match ["rabbit_version", "vhosts"]
        .iter()
        .find(|key| !keys.contains_key(**key))
    {
        Some(missing) => Err(format!("the definitions have no `{missing}`")),
        None => Ok(bytes),
    }
}

/// The beginning of an answer that is not JSON.
fn beginning(bytes: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(
        bytes.get(..1_000).unwrap_or(bytes),
    ))
}

/// The answer of a part of the API.
pub(super) fn json(
    api: &Api,
    path: &str,
    cancel: &CancellationToken,
) -> Result<Value, ServerError> {
    let bytes = api.get(path, cancel)?;
    serde_json::from_slice(&bytes).map_err(|_| ServerError::Answer {
        answer: format!(
            "{}; check that {} is a management plugin of RabbitMQ",
            beginning(&bytes),
            api.options.address()
        ),
    })
}

/// True if a user has a tag.
pub(super) fn has_tag(user: &Value, tag: &str) -> bool {
    tags(user).iter().any(|one| one == tag)
}

/// The tags of a user. Old versions have them as one text.
pub(super) fn tags(user: &Value) -> Vec<String> {
    let texts: Vec<&str> = match user.get("tags") {
        Some(Value::Array(tags)) => tags.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(tags)) => tags.split(',').collect(),
        _ => Vec::new(),
    };
    let tags = texts.into_iter().map(str::trim);
    let tags = tags.filter(|tag| !tag.is_empty());
    tags.map(str::to_owned).collect()
}
