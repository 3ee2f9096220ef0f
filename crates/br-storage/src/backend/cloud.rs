//! What the clouds of Google and Azure have in common.
//!
//! Who asks stands in the environment, where `object_store` looks for it. [`Doors`] hands it a way
//! to the objects, to the services that give out tokens, or to the metadata service of the machine,
//! whichever it wants. Invariant: only the metadata service, which is as good as local, is asked
//! without the rules of [`super::remote`].

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

/// Opens a bucket with a store that `build` makes with the way there. No request is made.
///
/// `advice` says how to give credentials, for when not even the machine has any; without advice the
/// machine is not asked.
pub(super) fn open<S: object_store::ObjectStore>(
    server: &Server<'_>,
    location: &BucketLocation,
    options: &StorageOptions,
    advice: Option<&'static str>,
    build: impl FnOnce(Doors) -> object_store::Result<S>,
) -> Result<Backend> {
    let (link, connector) = server.connect()?;
    let store = build(Doors { connector, advice }).map_err(|error| match error {
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

/// Hands ways to servers to `object_store`, whose own options must be the default.
#[derive(Debug)]
pub(super) struct Doors {
    connector: Connector,
    advice: Option<&'static str>,
}

impl HttpConnector for Doors {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Only a metadata service is asked in the clear by default.
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        match self.advice {
            Some(advice) if allow_http.as_deref() == Some("true") => {
                Ok(HttpClient::new(Metadata {
                    client: ReqwestConnector::default().connect(options)?,
                    advice,
                    has_answered: AtomicBool::new(false),
                }))
            }
            _ => Ok(self.connector.again().client()),
        }
    }
}

/// Says what to do when there is no metadata service, as almost everywhere.
#[derive(Debug)]
struct Metadata {
    client: HttpClient,
    advice: &'static str,
    /// It has given out credentials, and what fails now will pass.
    has_answered: AtomicBool,
}

#[async_trait]
impl HttpService for Metadata {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.client.execute(request).await;
        let knows_nobody = match &answer {
            Ok(answer) => (400..=404).contains(&answer.status().as_u16()),
            Err(_) => true,
        };
        if knows_nobody && !self.has_answered.load(Relaxed) {
            let text = format!("no credentials were found: {}", self.advice);
            let cause = io::Error::new(io::ErrorKind::PermissionDenied, text);
            // This kind is not tried again.
            return Err(HttpError::new(HttpErrorKind::Unknown, cause));
        }
        self.has_answered.fetch_or(!knows_nobody, Relaxed);
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

    /// Asks a metadata service through the doors, and returns the error as users see it.
    async fn ask(url: &str) -> Error {
        let network = NetworkOptions::default();
        let server = Server::new("gs://bucket".to_owned(), None, &network).unwrap();
        let (_, connector) = server.connect().unwrap();
        let advice = Some("write them down");
        let doors = Doors { connector, advice };
        let options = ClientOptions::new().with_allow_http(true);
        let client = doors.connect(&options).unwrap();
        let request = http::Request::get(url).body(Vec::new().into());
        let error = client.execute(request.unwrap()).await.unwrap_err();
        assert_eq!(
            error.kind(),
            HttpErrorKind::Unknown,
            "it is not tried again"
        );
        let source = Box::new(error);
        let error = object_store::Error::Generic {
            store: "test",
            source,
        };
        Error::from_store(Operation::Read, None, "gs://bucket", &error)
    }

    #[tokio::test]
    async fn a_machine_that_is_nobody_has_no_credentials() {
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
