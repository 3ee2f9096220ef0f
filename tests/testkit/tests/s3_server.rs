//! The S3 server of the testkit behaves as configured, seen by an independent client.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use br_testkit::block_on;
use br_testkit::s3::{Fault, ObjectAttributes, Rule, S3Server, S3ServerOptions};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::signer::{
    HeaderMap, HeaderName, HeaderValue, Method, SignedUrlOptions, Signer as _,
};
use object_store::{
    ClientOptions, Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutPayload, Result,
    RetryConfig, UpdateVersion,
};

const BUCKET: &str = "bucket";

/// A server with a bucket.
fn server() -> S3Server {
    let server = S3Server::start();
    server.create_bucket(BUCKET);
    server
}

/// A client of it that never tries again.
fn builder(server: &S3Server) -> AmazonS3Builder {
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_bucket_name(BUCKET)
        .with_access_key_id(server.access_key())
        .with_secret_access_key(server.secret_key())
        .with_retry(retry)
}

fn client(server: &S3Server) -> AmazonS3 {
    builder(server).build().unwrap()
}

fn with_headers(server: &S3Server, headers: &[(&'static str, &'static str)]) -> AmazonS3 {
    let headers = headers.iter().map(|(name, value)| {
        let value = HeaderValue::from_static(value);
        (HeaderName::from_static(name), value)
    });
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_default_headers(headers.collect::<HeaderMap>());
    builder(server)
        .with_client_options(options)
        .build()
        .unwrap()
}

fn put(client: &AmazonS3, key: &str, content: impl Into<PutPayload>) -> Result<()> {
    block_on(client.put(&key.into(), content.into())).map(drop)
}

fn create(client: &AmazonS3, key: &str, content: &'static str) -> Result<()> {
    let options = PutMode::Create.into();
    block_on(client.put_opts(&key.into(), content.into(), options)).map(drop)
}

fn get(client: &AmazonS3, key: &str) -> Result<Bytes> {
    block_on(async { client.get(&key.into()).await?.bytes().await })
}

fn list(client: &AmazonS3) -> Vec<String> {
    let objects = client.list(None);
    block_on(
        objects
            .map(|meta| meta.unwrap().location.to_string())
            .collect(),
    )
}

/// Sends a request unchanged and reads until the connection ends: the response, and whether the connection was reset.
fn send(server: &S3Server, request: &str) -> (String, bool) {
    let address = server.endpoint().replace("http://", "");
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let end = socket.read_to_end(&mut answer);
    (String::from_utf8_lossy(&answer).into_owned(), end.is_err())
}

/// A request that was signed beforehand.
fn signed(server: &S3Server, method: &Method, key: &str, query: &str, headers: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let options = SignedUrlOptions::new().with_query(pairs);
    let client = client(server);
    let (key, expires) = (Path::from(key), Duration::from_secs(60));
    let url = client.signed_url_opts(method.clone(), &key, expires, &options);
    let url = block_on(url).unwrap();
    let (path, query) = (url.path(), url.query().unwrap());
    let head = format!(
        "{method} {path}?{query} HTTP/1.1\r\nhost: {}",
        url.authority()
    );
    format!("{head}\r\nconnection: close\r\n{headers}\r\n")
}

fn assume_role(server: &S3Server, fields: &str) -> String {
    let length = fields.len();
    let head = "POST / HTTP/1.1\r\nhost: sts\r\nconnection: close";
    let request = format!("{head}\r\ncontent-length: {length}\r\n\r\n{fields}");
    send(server, &request).0
}

/// Asserts that a request failed, with this text in the client's error.
#[track_caller]
fn fails<T: std::fmt::Debug>(result: Result<T>, with: &str) {
    let error = format!("{:?}", result.unwrap_err());
    assert!(error.contains(with), "{error}");
}

#[test]
fn objects_are_put_read_listed_and_deleted() {
    let server = server();
    let client = client(&server);
    put(&client, "a/one", "first").unwrap();
    assert_eq!(get(&client, "a/one").unwrap(), "first");
    assert_eq!(server.object(BUCKET, "a/one").unwrap(), "first");
    let part = block_on(client.get_range(&"a/one".into(), 1..3)).unwrap();
    assert_eq!(part, "ir");
    let meta = block_on(client.head(&"a/one".into())).unwrap();
    assert_eq!(meta.size, 5);
    block_on(client.copy(&"a/one".into(), &"a/two".into())).unwrap();
    assert_eq!(list(&client), ["a/one", "a/two"]);
    block_on(client.delete(&"a/one".into())).unwrap();
    assert_eq!(server.keys(BUCKET), ["a/two"]);
    assert!(matches!(get(&client, "a/one"), Err(Error::NotFound { .. })));
    server.set_object(BUCKET, "a/two", None);
    assert!(list(&client).is_empty());
}

#[test]
fn large_object_is_read_back_unchanged() {
    let server = server();
    let client = client(&server);
    let content = Bytes::from(br_testkit::noise(1, 64 << 20));
    put(&client, "large", content.clone()).unwrap();
    assert!(get(&client, "large").unwrap() == content);
    assert_eq!(
        (server.bytes_in(), server.bytes_out()),
        (64 << 20, 64 << 20)
    );
}

#[test]
fn lists_come_in_pages() {
    let server = server();
    let client = client(&server);
    let keys: Vec<String> = (0..2500).map(|n| format!("{}/{n:04}", n % 3)).collect();
    for key in &keys {
        server.set_object(BUCKET, key, Some(Bytes::from_static(b"x")));
    }
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(list(&client), sorted);
    assert_eq!(server.counts()["LIST"], 3);

    let offset = Path::from("1/1000");
    let rest = client.list_with_offset(None, &offset).count();
    let expected = sorted.iter().filter(|key| key.as_str() > "1/1000").count();
    assert_eq!(block_on(rest), expected);

    let top = block_on(client.list_with_delimiter(None)).unwrap();
    let groups: Vec<&str> = top.common_prefixes.iter().map(Path::as_ref).collect();
    assert_eq!(groups, ["0", "1", "2"]);
    assert!(top.objects.is_empty());

    server.reset_requests();
    let paths = keys.into_iter().map(|key| Ok(Path::from(key)));
    let deleted = client.delete_stream(futures::stream::iter(paths).boxed());
    assert_eq!(block_on(deleted.count()), 2500);
    assert_eq!(server.counts()["DELETE"], 3);
    assert!(server.keys(BUCKET).is_empty());
}

#[test]
fn groups_and_keys_share_pages_in_order() {
    let server = server();
    for key in ["a/1", "a/2", "b", "c/1", "d/", "d/1", "e"] {
        server.set_object(BUCKET, key, Some(Bytes::new()));
    }
    let client = client(&server);
    let mut token = None;
    let mut seen = Vec::new();
    loop {
        let options = PaginatedListOptions {
            delimiter: Some("/".into()),
            max_keys: Some(1),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let page = block_on(client.list_paginated(None, options)).unwrap();
        let (objects, groups) = (page.result.objects, page.result.common_prefixes);
        seen.extend(
            objects
                .into_iter()
                .map(|object| object.location.to_string()),
        );
        seen.extend(groups.into_iter().map(|group| format!("{group}/")));
        token = page.page_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a/", "b", "c/", "d/", "e"]);
}

#[test]
fn uploads_in_parts_are_seen_when_completed() {
    let server = server();
    let client = client(&server);
    let key = Path::from("big");
    let part = Bytes::from(br_testkit::noise(2, 5 << 20));
    block_on(async {
        let mut upload = client.put_multipart(&key).await.unwrap();
        upload.put_part(part.clone().into()).await.unwrap();
        upload.put_part("end".into()).await.unwrap();
        assert_eq!(server.uploads(), [(BUCKET.to_owned(), "big".to_owned())]);
        assert!(server.keys(BUCKET).is_empty());
        upload.complete().await.unwrap();
    });
    assert!(server.uploads().is_empty());
    assert_eq!(server.counts()["UPLOAD"], 4);
    let content = server.object(BUCKET, "big").unwrap();
    assert!(content.starts_with(&part) && content.ends_with(b"end"));
    assert_eq!(content.len(), part.len() + 3);

    block_on(async {
        let mut upload = client.put_multipart(&"small".into()).await.unwrap();
        upload.put_part("too".into()).await.unwrap();
        upload.put_part("small".into()).await.unwrap();
        fails(upload.complete().await, "EntityTooSmall");
        upload.abort().await.unwrap();
    });
    assert!(server.uploads().is_empty());
    assert_eq!(server.keys(BUCKET), ["big"]);
}

#[test]
fn open_uploads_are_listed_with_their_age() {
    let server = server();
    let client = client(&server);
    for key in ["in/a", "in/b", "out"] {
        block_on(client.put_multipart(&key.into())).unwrap();
    }
    server.set_upload_age(Duration::from_secs(400 * 24 * 3600));
    let list = |query| send(&server, &signed(&server, &Method::GET, "", query, "")).0;
    let answer = list("uploads&prefix=in/");
    assert_eq!(answer.matches("<Upload>").count(), 2, "{answer}");
    let year = jiff::Timestamp::try_from(server_time() - Duration::from_secs(400 * 24 * 3600));
    let year = &year.unwrap().to_string()[..4];
    assert!(answer.contains(&format!("<Initiated>{year}")), "{answer}");
    let answer = list("uploads&max-uploads=2");
    assert!(answer.contains("<NextKeyMarker>in/b<"), "{answer}");
    let answer = list("uploads&max-uploads=2&key-marker=in/b");
    assert!(answer.contains("<Key>out<"), "{answer}");
    assert_eq!(answer.matches("<Upload>").count(), 1, "{answer}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server's time is the system's"
)]
fn server_time() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[test]
fn one_of_many_writers_creates_an_object() {
    let server = server();
    let client = Arc::new(client(&server));
    let writers = (0..16).map(|n| {
        let client = Arc::clone(&client);
        let options = PutMode::Create.into();
        async move {
            client
                .put_opts(&"k".into(), format!("{n}").into(), options)
                .await
        }
    });
    let results = block_on(join_all(writers));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let lost = |result: &&Result<_>| matches!(result, Err(Error::AlreadyExists { .. }));
    assert_eq!(results.iter().filter(lost).count(), 15);
}

#[test]
fn an_update_needs_the_version_it_replaces() {
    let server = server();
    let client = client(&server);
    let version = block_on(client.put(&"k".into(), "one".into())).unwrap();
    let update = |content: &'static str| {
        let mode = PutMode::Update(UpdateVersion::from(version.clone()));
        block_on(client.put_opts(&"k".into(), content.into(), mode.into()))
    };
    update("two").unwrap();
    assert!(matches!(update("three"), Err(Error::Precondition { .. })));
    assert_eq!(get(&client, "k").unwrap(), "two");
}

#[test]
fn requests_with_unknown_keys_are_refused() {
    let server = server();
    let build = |builder: AmazonS3Builder| builder.build().unwrap();
    let stranger = build(builder(&server).with_access_key_id("other"));
    fails(put(&stranger, "k", "x"), "InvalidAccessKeyId");
    let guesser = build(builder(&server).with_secret_access_key("guess"));
    fails(put(&guesser, "k", "x"), "SignatureDoesNotMatch");
    let nobody = build(builder(&server).with_skip_signature(true));
    fails(put(&nobody, "k", "x"), "AccessDenied");
    assert!(server.keys(BUCKET).is_empty());

    let server = S3ServerOptions::default()
        .with_keys("other", "guess")
        .start();
    server.create_bucket(BUCKET);
    put(&client(&server), "k", "x").unwrap();
}

#[test]
fn session_tokens_are_required_and_credentials_expire() {
    let server = server();
    let plain = client(&server);
    let session = builder(&server).with_token("tok").build().unwrap();
    server.set_token(Some("tok"));
    fails(put(&plain, "k", "x"), "InvalidToken");
    put(&session, "k", "x").unwrap();
    server.set_token(None);
    put(&plain, "k", "x").unwrap();
    server.expire_credentials();
    fails(get(&plain, "k"), "ExpiredToken");
    server.renew_credentials();
    get(&plain, "k").unwrap();
}

#[test]
fn a_role_that_was_assumed_may_write() {
    let server = server();
    let role = builder(&server)
        .with_access_key_id("ASIA-role")
        .with_secret_access_key("role-secret");
    let with_token = role.clone().with_token("role-token").build().unwrap();
    fails(put(&with_token, "k", "x"), "InvalidAccessKeyId");
    let answer = assume_role(
        &server,
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam&ExternalId=x%20y",
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("<SecretAccessKey>role-secret<"), "{answer}");
    let roles = [("arn:aws:iam".to_owned(), Some("x y".to_owned()))];
    assert_eq!(server.assumed_roles(), roles);
    put(&with_token, "k", "x").unwrap();
    fails(put(&role.build().unwrap(), "k", "x"), "InvalidToken");
    assert_eq!(server.counts()["STS"], 1);
    assert!(assume_role(&server, "Action=Other").contains("InvalidAction"));
}

#[test]
fn conditional_writes_can_be_ignored_or_refused() {
    let server = server();
    let client = client(&server);
    server.ignore_conditions(true);
    create(&client, "k", "one").unwrap();
    create(&client, "k", "two").unwrap();
    assert_eq!(get(&client, "k").unwrap(), "two");
    server.ignore_conditions(false);
    assert!(matches!(
        create(&client, "k", "three"),
        Err(Error::AlreadyExists { .. })
    ));
    server.refuse_conditions(true);
    fails(create(&client, "new", "x"), "NotImplemented");
    put(&client, "new", "x").unwrap();
}

#[test]
fn lists_may_be_stale() {
    let server = server();
    let client = client(&server);
    put(&client, "old", "x").unwrap();
    server.stale_lists(true);
    put(&client, "new", "x").unwrap();
    block_on(client.delete(&"old".into())).unwrap();
    assert_eq!(list(&client), ["old"]);
    assert_eq!(get(&client, "new").unwrap(), "x");
    server.stale_lists(false);
    assert_eq!(list(&client), ["new"]);
}

#[test]
fn range_requests_can_be_ignored() {
    let server = server();
    server.set_object(BUCKET, "k", Some(Bytes::from_static(b"0123456789")));
    let read = || {
        let request = signed(&server, &Method::GET, "k", "", "range: bytes=2-4\r\n");
        send(&server, &request).0
    };
    let part = read();
    assert!(
        part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n234"),
        "{part}"
    );
    server.ignore_ranges(true);
    let whole = read();
    assert!(
        whole.starts_with("HTTP/1.1 200") && whole.ends_with("\r\n0123456789"),
        "{whole}"
    );
}

#[test]
fn checksums_are_verified() {
    let server = server();
    for sum in [Checksum::SHA256, Checksum::CRC64NVME] {
        let client = builder(&server)
            .with_checksum_algorithm(sum)
            .build()
            .unwrap();
        put(&client, "k", "content").unwrap();
    }
    server.set_object(BUCKET, "k", None);
    let wrong = [
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-checksum-crc32c", "AAAAAA=="),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
    ];
    for header in wrong {
        fails(
            put(&with_headers(&server, &[header]), "k", "x"),
            "BadDigest",
        );
    }
    assert!(server.keys(BUCKET).is_empty());
    // Of "x".
    let right = ("content-md5", "ndTkYSaMgDT1yFZOFVxnpg==");
    put(&with_headers(&server, &[right]), "k", "x").unwrap();
}

#[test]
fn attributes_are_kept() {
    let server = server();
    let client = with_headers(
        &server,
        &[
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
            ("x-amz-object-lock-mode", "COMPLIANCE"),
            (
                "x-amz-object-lock-retain-until-date",
                "2030-01-02T03:04:05Z",
            ),
        ],
    );
    let expected = ObjectAttributes {
        storage_class: Some("STANDARD_IA".to_owned()),
        server_side_encryption: Some("aws:kms".to_owned()),
        kms_key: Some("key-1".to_owned()),
        lock_mode: Some("COMPLIANCE".to_owned()),
        lock_until: Some("2030-01-02T03:04:05Z".parse().unwrap()),
    };
    put(&client, "one", "x").unwrap();
    assert_eq!(server.attributes(BUCKET, "one"), expected);
    block_on(async {
        let mut upload = client.put_multipart(&"parts".into()).await.unwrap();
        upload.put_part("x".into()).await.unwrap();
        upload.complete().await.unwrap();
    });
    assert_eq!(server.attributes(BUCKET, "parts"), expected);
    let head = send(&server, &signed(&server, &Method::HEAD, "one", "", "")).0;
    assert!(head.contains("x-amz-storage-class: STANDARD_IA"), "{head}");
    server.set_object(BUCKET, "plain", Some(Bytes::new()));
    assert_eq!(
        server.attributes(BUCKET, "plain"),
        ObjectAttributes::default()
    );
}

#[test]
fn fork_is_independent_of_original() {
    let server = server();
    server.set_object(BUCKET, "k", Some(Bytes::from_static(b"x")));
    server.fork_bucket(BUCKET, "copy");
    server.set_object(BUCKET, "k", None);
    assert_eq!(server.keys("copy"), ["k"]);
    assert_eq!(server.object("copy", "k").unwrap(), "x");
    assert!(server.keys(BUCKET).is_empty());
}

#[test]
fn a_status_comes_before_or_after_the_effect() {
    let server = server();
    let client = client(&server);
    let (code, name) = (503, "SlowDown");
    server.inject(Rule::once(Fault::Status { code, name }).method("PUT"));
    fails(put(&client, "k", "x"), "SlowDown");
    assert!(server.keys(BUCKET).is_empty());
    put(&client, "k", "x").unwrap();
    let (code, name) = (500, "InternalError");
    server.inject(Rule::once(Fault::StatusAfter { code, name }));
    fails(put(&client, "late", "x"), "InternalError");
    assert_eq!(server.keys(BUCKET), ["k", "late"]);
}

#[test]
fn a_connection_is_dropped_before_or_after_the_effect() {
    let server = server();
    let client = client(&server);
    server.inject(Rule::once(Fault::DropBefore));
    put(&client, "k", "x").unwrap_err();
    assert!(server.keys(BUCKET).is_empty());
    server.inject(Rule::once(Fault::DropAfter));
    put(&client, "k", "x").unwrap_err();
    assert_eq!(server.keys(BUCKET), ["k"]);
    server.inject(Rule::once(Fault::DropAfter));
    let (answer, was_reset) = send(&server, &signed(&server, &Method::GET, "k", "", ""));
    assert!(answer.is_empty() && was_reset, "{answer}");
}

#[test]
fn a_body_is_cut_or_altered() {
    let server = server();
    let client = client(&server);
    server.set_object(BUCKET, "k", Some(Bytes::from_static(b"0123456789")));
    server.inject(Rule::once(Fault::CutBody(4)));
    let (answer, was_reset) = send(&server, &signed(&server, &Method::GET, "k", "", ""));
    assert!(answer.contains("content-length: 10\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n0123") && was_reset, "{answer}");
    server.inject(Rule::once(Fault::CutBody(0)));
    let (answer, was_reset) = send(&server, &signed(&server, &Method::GET, "k", "", ""));
    assert!(answer.ends_with("\r\n\r\n") && was_reset, "{answer}");
    server.inject(Rule::once(Fault::CutBody(10)));
    assert_eq!(get(&client, "k").unwrap(), "0123456789");
    server.inject(Rule::once(Fault::FlipByte(3)));
    assert_eq!(get(&client, "k").unwrap(), "0122456789");
    assert_eq!(get(&client, "k").unwrap(), "0123456789");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn an_answer_is_late_or_slow() {
    let server = server();
    let client = client(&server);
    server.set_object(BUCKET, "k", Some(Bytes::from_static(b"0123456789")));
    let time = |wanted: u64| {
        let start = std::time::Instant::now();
        assert_eq!(get(&client, "k").unwrap(), "0123456789");
        let wanted = Duration::from_millis(wanted);
        assert!(start.elapsed() >= wanted, "{:?}", start.elapsed());
    };
    server.inject(Rule::once(Fault::Delay(Duration::from_millis(100))));
    time(100);
    let pause = Duration::from_millis(50);
    server.inject(Rule::once(Fault::SlowBody { chunk: 3, pause }));
    time(150);
    server.set_latency(Duration::from_millis(60));
    time(60);
}

#[test]
fn a_request_may_hang() {
    let server = server();
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_timeout(Duration::from_millis(200));
    let impatient = builder(&server)
        .with_client_options(options)
        .build()
        .unwrap();
    server.inject(Rule::once(Fault::Hang));
    fails(put(&impatient, "k", "x"), "TimedOut");
    assert!(server.keys(BUCKET).is_empty());
    put(&impatient, "k", "x").unwrap();
    server.inject(Rule::always(Fault::Hang));
    // The server ends although a request still hangs.
    let hanging = std::thread::spawn({
        let request = signed(&server, &Method::GET, "k", "", "");
        let mut socket = TcpStream::connect(server.endpoint().replace("http://", "")).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        move || socket.read(&mut [0]).unwrap_or(0)
    });
    let address = server.endpoint().replace("http://", "");
    drop(server);
    assert_eq!(hanging.join().unwrap(), 0);
    TcpStream::connect(address).unwrap_err();
}

#[test]
fn rules_choose_their_requests() {
    let server = server();
    let client = client(&server);
    let (code, name) = (400, "Chosen");
    let fault = Fault::Status { code, name };
    server.inject(
        Rule::always(fault)
            .method("PUT")
            .matching("/sick/")
            .after(1)
            .times(2),
    );
    let results: Vec<bool> = (0..4)
        .map(|_| {
            put(&client, "healthy/k", "x").unwrap();
            put(&client, "sick/k", "x").is_ok()
        })
        .collect();
    assert_eq!(results, [true, false, false, true]);
    get(&client, "sick/k").unwrap();

    server.hook(move |request| (request.operation() == "HEAD").then_some(fault));
    get(&client, "sick/k").unwrap();
    block_on(client.head(&"sick/k".into())).unwrap_err();
    server.inject(Rule::always(fault));
    get(&client, "sick/k").unwrap_err();
    server.clear_faults();
    block_on(client.head(&"sick/k".into())).unwrap();
}

#[test]
fn requests_are_counted() {
    let server = server();
    let client = client(&server);
    put(&client, "a", "123").unwrap();
    get(&client, "a").unwrap();
    block_on(client.head(&"a".into())).unwrap();
    list(&client);
    block_on(client.delete(&"a".into())).unwrap();
    let counts = ["DELETE", "GET", "HEAD", "LIST", "PUT"];
    let counts = counts.map(|name| (name.to_owned(), 1));
    assert_eq!(server.counts(), counts.into());
    let requests = server.requests();
    assert_eq!(
        (requests[0].method.as_str(), requests[0].bytes_in),
        ("PUT", 3)
    );
    assert_eq!(requests[0].path, "/bucket/a");
    assert!(requests[3].query.contains("list-type=2"), "{requests:?}");
    assert_eq!(server.max_concurrent(), 1);

    server.reset_requests();
    assert!(server.requests().is_empty() && server.bytes_in() == 0);
    server.set_latency(Duration::from_millis(50));
    let key = Path::from("a");
    block_on(join_all((0..5).map(|_| client.head(&key))));
    assert_eq!(server.max_concurrent(), 5);
}

/// A process that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_program_serves_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let counts_file = folder.path().join("counts");
    let mut command = Command::new(env!("CARGO_BIN_EXE_br-s3-server"));
    command.args(["--port", "0", "--bucket", BUCKET, "--latency-ms", "1"]);
    command.arg("--counts-file").arg(&counts_file);
    command.env("AWS_ACCESS_KEY_ID", "key");
    command.env("AWS_SECRET_ACCESS_KEY", "secret");
    let mut program = Program(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let output = program.0.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    let endpoint = line.trim().strip_prefix("listening on ").unwrap();

    let client = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name(BUCKET)
        .with_access_key_id("key")
        .with_secret_access_key("secret");
    put(&client.build().unwrap(), "k", "x").unwrap();
    let counts = || {
        let mut socket = TcpStream::connect(endpoint.replace("http://", "")).unwrap();
        let request = "GET /_counts HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.rsplit_once("\r\n").unwrap().1.to_owned()
    };
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(
        std::fs::read_to_string(&counts_file).unwrap(),
        r#"{"PUT":1}"#
    );
    assert_eq!(counts(), r#"{"PUT":1}"#);
    assert_eq!(counts(), "{}");

    let id = rustix::process::Pid::from_child(&program.0);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(program.0.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(&counts_file).unwrap(), "{}");
}
