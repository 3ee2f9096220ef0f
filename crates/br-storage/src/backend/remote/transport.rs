//! Sends one request to a server.
//!
//! [`Transport`] is the lowest layer below `object_store`, and makes every attempt. It waits for a permit
//! from the gate, limits the rate, counts bytes, and cancels a request that transfers no byte within the
//! stall timeout. Invariant: timeouts depend on progress, never on the size of an object.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, RETRY_AFTER},
};
use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use tokio::time::Instant;

use super::{
    Health, Link,
    body::Watched,
    failure::{Unreachable, given_up, is_final, is_passing, kind_of, refused},
    gate::Pass,
    retry::{Retry, Verdict},
    throttle::PIECE,
};
#[cfg(feature = "s3")]
use crate::waiting::NetworkStatus;
use crate::{options::NetworkOptions, waiting::WaitCause};

/// The timeout for connecting to a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that waited longer than this for a permit is not sent.
const SIGNATURE_TIME: Duration = Duration::from_secs(600);
/// Connection attempts before the first response of a server.
const FIRST_ATTEMPTS: u32 = 4;
/// How long requests to a token service are retried. Keys are renewed minutes before they expire.
#[cfg(feature = "s3")]
const TOKEN_TIME: Duration = Duration::from_secs(20);

/// Makes the HTTP client for a server. `is_plain` says that its URL begins with `http://`.
pub(crate) fn build_client(
    options: &NetworkOptions,
    allow_http: bool,
    is_plain: bool,
) -> Result<reqwest::Client, reqwest::Error> {
    let mut certificates = Vec::new();
    for pem in &options.ca_certificates {
        certificates.extend(reqwest::Certificate::from_pem_bundle(pem)?);
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("br/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(options.connections)
        .redirect(reqwest::redirect::Policy::none())
        .https_only(!allow_http)
        .http1_only();
    // Loading the system's certificates takes time, and an unencrypted connection does not need them.
    builder = if is_plain && options.proxy.is_none() {
        builder.tls_certs_only(certificates)
    } else {
        builder.tls_certs_merge(certificates)
    };
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.reveal())?);
    }
    builder.build()
}

/// Gives [`Transport`] to `object_store`.
#[derive(Clone, Debug)]
pub(crate) struct Connector(Arc<Transport>);

impl Connector {
    pub(crate) fn new(client: reqwest::Client, link: Arc<Link>, stall: Duration) -> Self {
        let health = Arc::clone(&link.health);
        Self::with_health(client, link, health, stall)
    }

    fn with_health(
        client: reqwest::Client,
        link: Arc<Link>,
        health: Arc<Health>,
        stall: Duration,
    ) -> Self {
        Self(Arc::new(Transport {
            client,
            link,
            health,
            stall,
            has_answered: AtomicBool::new(false),
            unreached: AtomicU32::new(0),
        }))
    }

    /// Returns a connector with the same settings for another server. Whether one server has responded says
    /// nothing about the other.
    #[cfg(any(feature = "gcs", feature = "azure"))]
    pub(crate) fn for_another_server(&self) -> Self {
        let Transport {
            client,
            link,
            stall,
            ..
        } = &*self.0;
        Self::new(client.clone(), Arc::clone(link), *stall)
    }

    /// Returns a connector for a token service, whose failures are counted separately from those of the
    /// objects' server.
    #[cfg(feature = "s3")]
    pub(crate) fn for_tokens(&self) -> Self {
        let Transport {
            client,
            link,
            stall,
            ..
        } = &*self.0;
        let time = link.health.retry_for().min(TOKEN_TIME);
        let health = Arc::new(Health::new(time, NetworkStatus::default()));
        Self::with_health(client.clone(), Arc::clone(link), health, *stall)
    }

    /// Returns a client for requests that `object_store` does not offer.
    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }
}

impl HttpConnector for Connector {
    /// Ignores the options: the client already has the options of this crate.
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.client())
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.0.carry(request).await
    }
}

/// A response and the permit of its request.
type Answer = (http::Response<reqwest::Body>, Pass);

#[derive(Debug)]
struct Transport {
    client: reqwest::Client,
    link: Arc<Link>,
    health: Arc<Health>,
    stall: Duration,
    has_answered: AtomicBool,
    /// Failed connection attempts to a server that has never responded.
    unreached: AtomicU32,
}

impl Transport {
    /// Sends the request until a response is final or the time limit is reached.
    async fn carry(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let start = Instant::now();
        let mut retry = Retry::new(&self.health);
        loop {
            let moved = Moved::new();
            let attempt = self.attempt(request.clone(), start, &moved).await;
            let cause = match &attempt {
                Ok((answer, _)) if !is_passing(answer.status()) => {
                    self.health.answered();
                    return self.hand_on(attempt).await;
                }
                Ok((answer, _)) => WaitCause::Answer(answer.status().as_u16()),
                Err(error) if is_final(error) => return self.hand_on(attempt).await,
                Err(_) => WaitCause::NoAnswer,
            };
            let attempt = match attempt {
                // The rest of the response is not needed, and the next request needs the permit.
                Ok((answer, pass)) => {
                    let error = refused(answer, self.stall).await;
                    drop(pass);
                    error
                }
                Err(error) => error,
            };
            match retry.after_failure(cause, moved.has_moved()).await {
                Verdict::Again => {}
                Verdict::SignAgain => return Err(attempt),
                Verdict::GiveUp => return Err(given_up(&attempt, retry.tried_for())),
            }
        }
    }

    /// Sends the request once.
    async fn attempt(
        &self,
        request: HttpRequest,
        start: Instant,
        moved: &Arc<Moved>,
    ) -> Result<Answer, HttpError> {
        let pass = self.link.gate.enter().await;
        if start.elapsed() > SIGNATURE_TIME {
            // Servers accept a signature for fifteen minutes. The layers above make a new one.
            let text = "the request waited too long to be sent".to_owned();
            return Err(HttpError::new(
                HttpErrorKind::Unknown,
                Unreachable::now(text),
            ));
        }
        let counters = &self.link.counters;
        counters.requests.fetch_add(1, Relaxed);
        let request = self.prepare(request, moved)?;
        let answer = tokio::select! {
            answer = self.client.execute(request) => answer.map_err(|error| self.classify(error)),
            () = moved.stalls_for(self.stall) => Err(self.stalled()),
        };
        let answer: http::Response<reqwest::Body> = match answer {
            Ok(answer) => answer.into(),
            Err(error) => {
                counters.failed.fetch_add(1, Relaxed);
                return Err(error);
            }
        };
        self.has_answered.store(true, Relaxed);
        self.note(answer.status(), answer.headers());
        Ok((answer, pass))
    }

    /// Passes the result of an attempt to the layer above.
    async fn hand_on(&self, attempt: Result<Answer, HttpError>) -> Result<HttpResponse, HttpError> {
        let (answer, pass) = attempt?;
        if matches!(
            answer.status(),
            StatusCode::NOT_IMPLEMENTED | StatusCode::INSUFFICIENT_STORAGE
        ) {
            // The layer above would treat this as a server error and retry for minutes.
            return Err(refused(answer, self.stall).await);
        }
        let (parts, body) = answer.into_parts();
        let body = Watched {
            inner: body,
            link: Arc::clone(&self.link),
            health: Arc::clone(&self.health),
            stall: self.stall,
            deadline: Box::pin(tokio::time::sleep(self.stall)),
            held: None,
            pass: Some(pass),
        };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }

    fn prepare(
        &self,
        request: HttpRequest,
        moved: &Arc<Moved>,
    ) -> Result<reqwest::Request, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let url = url
            .parse()
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let body = match body.as_bytes() {
            Some(bytes) if bytes.len() <= PIECE => {
                let sent = bytes.len() as u64;
                self.link.counters.bytes_sent.fetch_add(sent, Relaxed);
                bytes.clone().into()
            }
            _ => {
                // The client does not know the length of a body in pieces, and S3 refuses requests without it.
                let length = body.content_length().into();
                request
                    .headers_mut()
                    .entry(CONTENT_LENGTH)
                    .or_insert(length);
                self.spread(body, moved)
            }
        };
        *request.body_mut() = Some(body);
        Ok(request)
    }

    /// Sends a large body in pieces, so that its progress is visible and its rate can be limited.
    fn spread(&self, body: HttpRequestBody, moved: &Arc<Moved>) -> reqwest::Body {
        let pieces = body.into_data_stream().flat_map(|data| {
            let pieces = match data {
                Ok(bytes) => split(bytes).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(pieces)
        });
        let (link, moved) = (Arc::clone(&self.link), Arc::clone(moved));
        reqwest::Body::wrap_stream(pieces.then(move |piece| {
            let (link, moved) = (Arc::clone(&link), Arc::clone(&moved));
            async move {
                if let (Ok(bytes), Some(up)) = (&piece, &link.up) {
                    // Waiting for the rate limit does not count as a stall.
                    let turn = up.book(bytes.len());
                    moved.note_at(turn);
                    tokio::time::sleep_until(turn).await;
                }
                let sent = piece.as_ref().map_or(0, Bytes::len) as u64;
                link.counters.bytes_sent.fetch_add(sent, Relaxed);
                moved.note();
                piece
            }
        }))
    }

    fn note(&self, status: StatusCode, headers: &HeaderMap) {
        let too_many = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        if too_many {
            let seconds = headers
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok());
            let seconds = seconds.and_then(|text| text.trim().parse().ok());
            self.link.gate.slow_down(seconds.map(Duration::from_secs));
            self.link.counters.slowed.fetch_add(1, Relaxed);
        } else if status.is_success() {
            self.link.gate.succeeded();
        }
        if status.is_server_error() || too_many {
            self.link.counters.failed.fetch_add(1, Relaxed);
        }
    }

    /// Decides how the layer above may treat a failed attempt.
    fn classify(&self, error: reqwest::Error) -> HttpError {
        let mut kind = kind_of(&error);
        let mut attempts = None;
        let mut is_final = false;
        if kind == HttpErrorKind::Connect && !self.has_answered.load(Relaxed) {
            let tried = self.unreached.fetch_add(1, Relaxed) + 1;
            attempts = Some(tried);
            if tried >= FIRST_ATTEMPTS {
                // `object_store` does not retry this kind, so that the user learns of a mistyped address
                // within seconds.
                kind = HttpErrorKind::Unknown;
                is_final = true;
            }
        }
        let mut cause = Unreachable::new(&error.without_url(), attempts);
        cause.is_final = is_final;
        HttpError::new(kind, cause)
    }

    fn stalled(&self) -> HttpError {
        let text = format!("no byte moved for {} s", self.stall.as_secs_f32());
        HttpError::new(HttpErrorKind::Timeout, Unreachable::now(text))
    }
}

fn split(mut bytes: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(bytes.len() / PIECE + 1);
    while bytes.len() > PIECE {
        pieces.push(bytes.split_to(PIECE));
    }
    pieces.push(bytes);
    pieces
}

/// When a request last transferred bytes.
#[derive(Debug)]
struct Moved {
    start: Instant,
    millis: AtomicU64,
    has_moved: AtomicBool,
}

impl Moved {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
            has_moved: AtomicBool::new(false),
        })
    }

    fn note(&self) {
        self.has_moved.store(true, Relaxed);
        self.note_at(Instant::now());
    }

    fn note_at(&self, at: Instant) {
        let millis = at.saturating_duration_since(self.start).as_millis() as u64;
        self.millis.fetch_max(millis, Relaxed);
    }

    /// Returns whether any bytes were transferred.
    fn has_moved(&self) -> bool {
        self.has_moved.load(Relaxed)
    }

    async fn stalls_for(&self, time: Duration) {
        loop {
            let last = self.start + Duration::from_millis(self.millis.load(Relaxed));
            if Instant::now() >= last + time {
                return;
            }
            tokio::time::sleep_until(last + time).await;
        }
    }
}
