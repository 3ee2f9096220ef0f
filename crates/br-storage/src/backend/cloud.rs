//! Code that Google Cloud Storage and Azure Blob Storage share.
//!
//! `object_store` reads the credentials from the environment. [`ConnectorFactory`] gives it an HTTP client
//! for the objects, for the services that issue tokens, or for the metadata service of the machine.
//! Invariant: only requests to the metadata service, which is on the local network, bypass the rules of
//! [`super::remote`].

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use async_trait::async_trait;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
        HttpService, ReqwestConnector,
    },
};

use super::{
    Backend,
    remote::{Connector, Server},
};
use crate::{error::Result, location::BucketLocation, options::StorageOptions};

/// Opens a bucket with the store that `build` makes from a connector. Sends no request.
///
/// `advice` says how to give credentials. It is part of the error when the metadata service has none either.
/// Without advice the metadata service is not used.
pub(super) fn open<S: object_store::ObjectStore>(
    server: &Server<'_>,
    location: &BucketLocation,
    options: &StorageOptions,
    advice: Option<&'static str>,
    build: impl FnOnce(ConnectorFactory) -> object_store::Result<S>,
) -> Result<Backend> {
    let (link, connector) = server.connect()?;
    let store = build(ConnectorFactory { connector, advice }).map_err(|error| match error {
        // The variant adds nothing but the name of a type.
        object_store::Error::Generic { source, .. } => server.refuse(source.to_string()),
        error => server.refuse(error.to_string()),
    })?;
    Ok(Backend {
        link: Some(link),
        rare_class: options.s3.storage_class.clone(),
        ..Backend::new(server.in_folder(store, location.prefix())?)
    })
}

/// Makes HTTP clients for `object_store`. The client options that `object_store` passes must be the defaults.
#[derive(Debug)]
pub(super) struct ConnectorFactory {
    connector: Connector,
    advice: Option<&'static str>,
}

impl HttpConnector for ConnectorFactory {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // By default, `object_store` allows `http` only for the metadata service.
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        match self.advice {
            Some(advice) if allow_http.as_deref() == Some("true") => {
                Ok(HttpClient::new(Metadata {
                    client: ReqwestConnector::default().connect(options)?,
                    advice,
                    has_answered: AtomicBool::new(false),
                }))
            }
            _ => Ok(self.connector.for_another_server().client()),
        }
    }
}

/// A client for the metadata service. Most machines have none; then its error says how to give credentials.
#[derive(Debug)]
struct Metadata {
    client: HttpClient,
    advice: &'static str,
    /// The service has issued credentials before, so a failure is temporary.
    has_answered: AtomicBool,
}

#[async_trait]
impl HttpService for Metadata {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.client.execute(request).await;
        let has_no_identity = match &answer {
            Ok(answer) => (400..=404).contains(&answer.status().as_u16()),
            Err(_) => true,
        };
        if has_no_identity && !self.has_answered.load(Relaxed) {
            let text = format!("no credentials were found: {}", self.advice);
            let cause = io::Error::new(io::ErrorKind::PermissionDenied, text);
            // `object_store` does not retry this kind.
            return Err(HttpError::new(HttpErrorKind::Unknown, cause));
        }
        self.has_answered.fetch_or(!has_no_identity, Relaxed);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error as _,
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;
    use crate::{Error, ErrorKind, NetworkOptions, Operation};

    /// Sends a request to a metadata service through the factory, and returns the error that users see.
    async fn ask(url: &str) -> Error {
        let network = NetworkOptions::default();
        let server = Server::new("gs://bucket".to_owned(), None, &network).unwrap();
        let (_, connector) = server.connect().unwrap();
        let advice = Some("write them down");
        let factory = ConnectorFactory { connector, advice };
        let options = ClientOptions::new().with_allow_http(true);
        let client = factory.connect(&options).unwrap();
        let request = http::Request::get(url).body(Vec::new().into());
        let error = client.execute(request.unwrap()).await.unwrap_err();
        assert_eq!(
            error.kind(),
            HttpErrorKind::Unknown,
            "the request is not retried"
        );
        let source = Box::new(error);
        let error = object_store::Error::Generic {
            store: "test",
            source,
        };
        Error::from_store(Operation::Read, None, "gs://bucket", &error)
    }

    #[tokio::test]
    async fn machine_without_identity_has_no_credentials() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let refusing = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1000]).unwrap();
            let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).unwrap();
        });
        for url in [&*refusing, "http://127.0.0.1:1/nobody-listens-here"] {
            let error = ask(url).await;
            assert_eq!(error.kind(), ErrorKind::Denied, "{url}");
            let cause = error.source().unwrap().to_string();
            assert_eq!(cause, "no credentials were found: write them down", "{url}");
        }
        server.join().unwrap();
    }
}
