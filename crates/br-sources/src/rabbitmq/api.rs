//! Requests to the management plugin, as functions that block.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::options::RabbitMqOptions;
use crate::server::ServerError;

/// What the API says about the server.
pub(super) const OVERVIEW: &str = "overview";
/// The most bytes of an answer.
const MOST: usize = 1 << 30;
/// The most bytes of an answer that refuses something.
const MOST_REASON: usize = 64 << 10;
/// The most characters of an answer in an error.
const SHOWN: usize = 300;

/// The setting of the server for the most bytes of an import.
pub(super) const MOST_SETTING: &str = "management.http.max_body_size";
/// What to say when the first answer of a server is not HTTP.
const OTHER_PORT: &str =
    "; the management plugin has another port than the queues, 15672 by default";
/// What to say when the answer to an import does not come.
const IN_THE_MIDDLE: &str = "; a part of the definitions may be imported";

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For a connection.
    pub(super) connect: Duration,
    /// For the next byte of an answer.
    pub(super) silence: Duration,
    /// For the answer to an import, which comes when everything is imported.
    pub(super) import: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            import: Duration::from_secs(30 * 60),
        }
    }
}

/// The management plugin of one server.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) options: RabbitMqOptions,
    pub(super) limits: Limits,
}

impl Api {
    /// The answer to `GET`.
    pub(super) fn get(
        &self,
        path: &str,
        cancel: &CancellationToken,
    ) -> Result<Vec<u8>, ServerError> {
        blocking(cancel, async {
            let request = self.client()?.get(self.options.address.of(path));
            let advice = if path == OVERVIEW { OTHER_PORT } else { "" };
            let answer = self.send(request, self.limits.silence, advice).await?;
            self.body(answer, MOST).await
        })
    }

    /// Sends JSON with `POST`.
    pub(super) fn post(
        &self,
        path: &str,
        body: Vec<u8>,
        cancel: &CancellationToken,
    ) -> Result<(), ServerError> {
        blocking(cancel, async {
            let request = self.client()?.post(self.options.address.of(path));
            let request = request.header("content-type", "application/json");
            let request = request.body(body);
            self.send(request, self.limits.import, IN_THE_MIDDLE)
                .await?;
            Ok(())
        })
    }

    fn client(&self) -> Result<Client, ServerError> {
        let mut builder = Client::builder()
            .user_agent(concat!("br/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.limits.connect)
            // Another server must not get the password.
            .redirect(reqwest::redirect::Policy::none())
            .http1_only();
        // An unencrypted connection does not need the certificates of the system.
        if self.options.address.is_plain() {
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| self.unreachable(&error))
    }

    /// Sends a request, and returns the answer if its status means success. An error about an answer that is none ends with `advice`.
    async fn send(
        &self,
        request: RequestBuilder,
        limit: Duration,
        advice: &str,
    ) -> Result<Response, ServerError> {
        let options = &self.options;
        let request = request.basic_auth(&options.user, Some(options.password.reveal()));
        let answer = match timeout(limit, request.send()).await {
            Err(_) => return Err(silent(limit)),
            Ok(Err(error)) if error.is_connect() => return Err(self.unreachable(&error)),
            Ok(Err(error)) => {
                let answer = format!("{}{advice}", deepest(&error));
                return Err(ServerError::Answer { answer });
            }
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let reason = self.body(answer, MOST_REASON).await.unwrap_or_default();
        Err(self.refusal(status, &reason_in(&reason)))
    }

    /// The whole body of an answer.
    async fn body(&self, mut answer: Response, most: usize) -> Result<Vec<u8>, ServerError> {
        let too_long = || ServerError::Answer {
            answer: format!("it is longer than {most} bytes"),
        };
        let length = answer.content_length().unwrap_or_default();
        if usize::try_from(length).map_or(true, |length| length > most) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        loop {
            let piece = match timeout(self.limits.silence, answer.chunk()).await {
                Err(_) => return Err(silent(self.limits.silence)),
                Ok(Err(error)) => {
                    let answer = format!(
                        "it ends after {} bytes, before its end: {}",
                        body.len(),
                        deepest(&error)
                    );
                    return Err(ServerError::Answer { answer });
                }
                Ok(Ok(None)) => return Ok(body),
                Ok(Ok(Some(piece))) => piece,
            };
            if body.len() + piece.len() > most {
                return Err(too_long());
            }
            body.extend_from_slice(&piece);
        }
    }

    /// What a status means, and what to do.
    fn refusal(&self, status: StatusCode, reason: &str) -> ServerError {
        let user = &self.options.user;
        let message = match status {
            // The server answers with this also when the password is right.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                if status == StatusCode::FORBIDDEN
                    || reason.contains("administrator")
                    || reason.contains("management user") =>
            {
                let message = format!("{reason}: give the user `{user}` the tag `administrator`");
                return ServerError::NotPermitted { message };
            }
            StatusCode::UNAUTHORIZED => {
                format!("{reason}: check the user `{user}` and its password")
            }
            StatusCode::NOT_FOUND => {
                let address = &self.options.address;
                format!(
                    "there is no management plugin at {address}: check the address, and enable it with `rabbitmq-plugins enable rabbitmq_management`"
                )
            }
            // Versions with a limit refuse it with one or the other.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST
                if status == StatusCode::PAYLOAD_TOO_LARGE || reason.contains("size limit") =>
            {
                format!(
                    "{reason}: raise `{MOST_SETTING}` in the configuration of the server, or import the file with `rabbitmqctl import_definitions`"
                )
            }
            status => format!("{reason} (HTTP status {})", status.as_u16()),
        };
        ServerError::Refused { message }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ServerError {
        let text = format!(
            "{}; check that the server runs and its management plugin is enabled",
            deepest(error)
        );
        ServerError::Unreachable {
            address: self.options.address(),
            source: io::Error::other(text),
        }
    }
}

fn silent(limit: Duration) -> ServerError {
    ServerError::Answer {
        answer: format!(
            "the server sent nothing for {} seconds",
            limit.as_secs_f32()
        ),
    }
}

/// The cause that says the most.
fn deepest(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = cause.to_string();
        next = cause.source();
    }
    text
}

/// The reason in a refusal: the server has it in JSON, sometimes as the numbers of characters.
fn reason_in(body: &[u8]) -> String {
    fn text(value: &Value) -> String {
        match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let character = |item: &Value| char::from_u32(u32::try_from(item.as_u64()?).ok()?);
                let characters: Option<String> = items.iter().map(character).collect();
                characters.unwrap_or_else(|| items.iter().map(text).collect::<Vec<_>>().join(" "))
            }
            other => other.to_string(),
        }
    }
    let parsed = serde_json::from_slice::<Value>(body).ok();
    let reason = parsed.as_ref().and_then(|value| value.get("reason"));
    let reason = reason.map_or_else(|| String::from_utf8_lossy(body).into_owned(), text);
    match shortened(&reason) {
        reason if reason.is_empty() => "it gives no reason".to_owned(),
        reason => reason,
    }
}

/// The beginning of a text, in one line.
pub(super) fn shortened(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Runs work in a runtime of its own, in a thread of its own, because a caller may be in another runtime.
fn blocking<T: Send>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, ServerError>> + Send,
) -> Result<T, ServerError> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|source| ServerError::Unreachable {
            address: "the network".to_owned(),
            source,
        })?;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(ServerError::Cancelled),
                done = work => done,
            }
        })
    };
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
