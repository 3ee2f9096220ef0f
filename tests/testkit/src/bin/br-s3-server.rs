//! An S3 server in memory, for measuring how programs use one.
//!
//! `br-s3-server --port P [--latency-ms N] [--bucket NAME] [--counts-file F]` serves until it is interrupted or terminated.
//! It accepts the key pair in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. The counts file has the
//! number of requests by kind. `GET /_counts` returns it and counts from 0 again.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "that is how it says where it listens, or what is wrong"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use br_testkit::s3::{S3Server, S3ServerOptions};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "usage: br-s3-server --port P [--latency-ms N] [--bucket NAME]... [--counts-file F]";

/// How often the counts are written.
const INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Arguments {
    port: Option<u16>,
    latency: Duration,
    buckets: Vec<String>,
    counts_file: Option<PathBuf>,
}

impl Arguments {
    /// `None` when they are invalid.
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self::default();
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--port" => arguments.port = Some(value.parse().ok()?),
                "--latency-ms" => arguments.latency = Duration::from_millis(value.parse().ok()?),
                "--bucket" => arguments.buckets.push(value),
                "--counts-file" => arguments.counts_file = Some(value.into()),
                _ => return None,
            }
        }
        Some(arguments)
    }
}

fn start(arguments: &Arguments, port: u16) -> S3Server {
    let mut options = S3ServerOptions::default().with_port(port);
    let key = std::env::var("AWS_ACCESS_KEY_ID");
    if let (Ok(key), Ok(secret)) = (key, std::env::var("AWS_SECRET_ACCESS_KEY")) {
        options = options.with_keys(key, secret);
    }
    let server = options.start();
    server.set_latency(arguments.latency);
    for bucket in &arguments.buckets {
        server.create_bucket(bucket);
    }
    server
}

/// Writes the counts whenever they changed.
async fn write_counts(server: &S3Server, path: &Path) -> std::io::Result<()> {
    let mut written: Option<BTreeMap<String, u64>> = None;
    loop {
        let counts = server.counts();
        if written.as_ref() != Some(&counts) {
            replace(path, &counts)?;
            written = Some(counts);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Writes the counts atomically, so that a reader never sees half of them.
fn replace(path: &Path, counts: &BTreeMap<String, u64>) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    std::fs::write(&draft, serde_json::to_vec(counts)?)?;
    std::fs::rename(draft, path)
}

async fn serve(server: &S3Server, counts_file: Option<&Path>) -> std::io::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    println!("listening on {}", server.endpoint());
    let writing = async {
        match counts_file {
            Some(path) => write_counts(server, path).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        result = writing => return result,
    }
    counts_file.map_or(Ok(()), |path| replace(path, &server.counts()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse(std::env::args().skip(1));
    let Some((arguments, port)) = arguments.and_then(|all| all.port.map(|port| (all, port))) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let server = start(&arguments, port);
    match serve(&server, arguments.counts_file.as_deref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("br-s3-server: {error}");
            ExitCode::FAILURE
        }
    }
}
