//! Carrying one request to a server.
//!
//! [`Transport`] is the lowest layer below `object_store`: it sees every attempt, also those
//! which the layers above repeat. It waits for room at the gate, spaces bytes in time, counts,
//! and gives up a request of which no byte moves. Invariant: time-outs look at progress, never at
//! the size of an object.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use tokio::time::{Instant, Sleep};

use super::{Link, gate::Pass, throttle::PIECE};
use crate::options::NetworkOptions;

/// No server takes longer to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that waited for longer is not sent any more.
const SIGNATURE_TIME: Duration = Duration::from_secs(600);
/// No more is read of an answer that says no.
const MAX_REFUSAL: usize = 64 << 10;
/// A server that has never answered is asked so often.
const FIRST_ATTEMPTS: u32 = 4;

/// Makes the HTTP client for a server at a URL of a scheme, or of either.
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
    // Those of the system take a while to be read, for nothing if nothing is encrypted.
    builder = match is_plain && options.proxy.is_none() {
        true => builder.tls_certs_only(certificates),
        false => builder.tls_certs_merge(certificates),
    };
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.reveal())?);
    }
    builder.build()
}

/// Hands [`Transport`] to `object_store`.
#[derive(Clone, Debug)]
pub(crate) struct Connector(Arc<Transport>);

impl Connector {
    pub(crate) fn new(client: reqwest::Client, link: Arc<Link>, stall: Duration) -> Self {
        Self(Arc::new(Transport {
            client,
            link,
            stall,
            has_answered: AtomicBool::new(false),
            unreached: AtomicU32::new(0),
        }))
    }

    /// The same way to another server: whether one has answered says nothing of the other.
    #[cfg(any(feature = "gcs", feature = "azure"))]
    pub(crate) fn again(&self) -> Self {
        let Transport {
            client,
            link,
            stall,
            ..
        } = &*self.0;
        Self::new(client.clone(), Arc::clone(link), *stall)
    }

    /// A client for requests that `object_store` does not know.
    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }
}

impl HttpConnector for Connector {
    /// The options are those of this crate already.
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

#[derive(Debug)]
struct Transport {
    client: reqwest::Client,
    link: Arc<Link>,
    stall: Duration,
    has_answered: AtomicBool,
    /// Attempts to reach a server that has never answered.
    unreached: AtomicU32,
}

impl Transport {
    async fn carry(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let start = Instant::now();
        let pass = self.link.gate.enter().await;
        if start.elapsed() > SIGNATURE_TIME {
            // Servers take signatures for fifteen minutes; the layers above make a new one.
            let text = "the request waited too long for its turn".to_owned();
            return Err(HttpError::new(HttpErrorKind::Unknown, Unreachable(text)));
        }
        let counters = &self.link.counters;
        counters.requests.fetch_add(1, Relaxed);
        let moved = Moved::new();
        let request = self.prepare(request, &moved)?;
        let answer = tokio::select! {
            answer = self.client.execute(request) => answer.map_err(|error| self.classify(error)),
            () = moved.stands_still_for(self.stall) => Err(self.stalled()),
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
        if answer.status() == StatusCode::NOT_IMPLEMENTED {
            // A server error to the layer above, which would ask again for minutes.
            return Err(refused(answer, self.stall).await);
        }
        let (parts, body) = answer.into_parts();
        let body = Watched {
            inner: body,
            link: Arc::clone(&self.link),
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
        *request.body_mut() = Some(match body.as_bytes() {
            Some(bytes) if bytes.len() <= PIECE => {
                let sent = bytes.len() as u64;
                self.link.counters.bytes_sent.fetch_add(sent, Relaxed);
                bytes.clone().into()
            }
            _ => self.spread(body, moved),
        });
        Ok(request)
    }

    /// A large body goes out in pieces, so that it can be seen to move, and be slowed.
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
                    // Waiting for one's turn is no standstill.
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

    /// Decides what the layer above may do about a failed attempt.
    fn classify(&self, error: reqwest::Error) -> HttpError {
        let mut kind = kind_of(&error);
        let mut attempts = None;
        if kind == HttpErrorKind::Connect && !self.has_answered.load(Relaxed) {
            let tried = self.unreached.fetch_add(1, Relaxed) + 1;
            attempts = Some(tried);
            if tried >= FIRST_ATTEMPTS {
                // This kind is not tried again: nobody waits minutes to learn of a typing error.
                kind = HttpErrorKind::Unknown;
            }
        }
        HttpError::new(kind, Unreachable::new(&error.without_url(), attempts))
    }

    fn stalled(&self) -> HttpError {
        let text = format!("no byte moved for {} s", self.stall.as_secs_f32());
        HttpError::new(HttpErrorKind::Timeout, Unreachable(text))
    }
}

/// An answer that will not change, as an error that is not tried again.
async fn refused(answer: http::Response<reqwest::Body>, time: Duration) -> HttpError {
    let (parts, body) = answer.into_parts();
    let body = http_body_util::Limited::new(body, MAX_REFUSAL).collect();
    let body = tokio::time::timeout(time, body).await.map(Result::ok);
    let body = body.ok().flatten().map(http_body_util::Collected::to_bytes);
    let body = body.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let text = format!(
        "Server returned non-2xx status code: {}: {text}",
        parts.status
    );
    HttpError::new(HttpErrorKind::Unknown, Unreachable(text))
}

fn split(mut bytes: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::with_capacity(bytes.len() / PIECE + 1);
    while bytes.len() > PIECE {
        pieces.push(bytes.split_to(PIECE));
    }
    pieces.push(bytes);
    pieces
}

/// As `object_store` does it for its own client.
fn kind_of(error: &reqwest::Error) -> HttpErrorKind {
    if error.is_timeout() && !error.is_connect() {
        return HttpErrorKind::Timeout;
    }
    if error.is_connect() {
        return HttpErrorKind::Connect;
    }
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as K;
            match cause.kind() {
                K::TimedOut => return HttpErrorKind::Timeout,
                K::ConnectionAborted | K::ConnectionReset | K::BrokenPipe | K::UnexpectedEof => {
                    return HttpErrorKind::Interrupted;
                }
                _ => {}
            }
        }
        next = cause.source();
    }
    // The connection was closed before an answer came, which is what hyper does not say in a type.
    if error.is_request() || error.is_body() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    }
}

/// Why there was no answer, in one line: the layer above prints no causes.
#[derive(Debug)]
struct Unreachable(String);

impl Unreachable {
    fn new(error: &reqwest::Error, attempts: Option<u32>) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let more = cause.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            next = cause.source();
        }
        if let Some(attempts) = attempts.filter(|attempts| *attempts > 1) {
            text = format!("{text} ({attempts} attempts)");
        }
        Self(text)
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Unreachable {}

/// When a request last moved.
#[derive(Debug)]
struct Moved {
    start: Instant,
    millis: AtomicU64,
}

impl Moved {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
        })
    }

    fn note(&self) {
        self.note_at(Instant::now());
    }

    fn note_at(&self, at: Instant) {
        let millis = at.saturating_duration_since(self.start).as_millis() as u64;
        self.millis.fetch_max(millis, Relaxed);
    }

    async fn stands_still_for(&self, time: Duration) {
        loop {
            let last = self.start + Duration::from_millis(self.millis.load(Relaxed));
            if Instant::now() >= last + time {
                return;
            }
            tokio::time::sleep_until(last + time).await;
        }
    }
}

/// The body of an answer, slowed, counted, and given up when it stands still.
struct Watched {
    inner: reqwest::Body,
    link: Arc<Link>,
    stall: Duration,
    deadline: Pin<Box<Sleep>>,
    /// What came, and when it may be handed on.
    held: Option<(Frame<Bytes>, Pin<Box<Sleep>>)>,
    /// Given back as soon as nothing more comes: the layer above keeps a broken body while it waits for another.
    pass: Option<Pass>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if this.held.is_some() {
            return this.poll_held(context);
        }
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.deadline.as_mut().reset(Instant::now() + this.stall);
                let len = frame.data_ref().map_or(0, Bytes::len);
                this.link
                    .counters
                    .bytes_received
                    .fetch_add(len as u64, Relaxed);
                let Some(down) = &this.link.down else {
                    return Poll::Ready(Some(Ok(frame)));
                };
                let turn = tokio::time::sleep_until(down.book_through(len));
                this.held = Some((frame, Box::pin(turn)));
                this.poll_held(context)
            }
            Poll::Ready(Some(Err(error))) => {
                this.pass = None;
                let kind = kind_of(&error);
                let error = Unreachable::new(&error.without_url(), None);
                Poll::Ready(Some(Err(HttpError::new(kind, error))))
            }
            Poll::Ready(None) => {
                this.pass = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(this.deadline.as_mut().poll(context));
                this.pass = None;
                let text = format!("no byte came for {} s", this.stall.as_secs_f32());
                let error = HttpError::new(HttpErrorKind::Timeout, Unreachable(text));
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.held {
            Some(_) => SizeHint::default(),
            None => self.inner.size_hint(),
        }
    }
}

impl Watched {
    /// Hands on what is held when its time has come.
    fn poll_held(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some((_, turn)) = &mut self.held {
            ready!(turn.as_mut().poll(context));
        }
        self.deadline.as_mut().reset(Instant::now() + self.stall);
        Poll::Ready(self.held.take().map(|(frame, _)| Ok(frame)))
    }
}
