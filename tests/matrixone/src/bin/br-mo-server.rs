//! A simulated MatrixOne server for manual tests.
//!
//! `br-mo-server --port P [--dir D] [--version V] [--objects N] [--appendable N] [--backend DISK|DISK-V2|S3] [--seed N]
//! [--delay-ms N]` serves until it is terminated; it prints one line when it is ready. Backups with a relative folder go
//! below the directory.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints its address, or an error"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use br_test_matrixone::{Backend, ClusterOptions, Fault, MoServerOptions, MoVersion, Point};

const USAGE: &str = "usage: br-mo-server --port P [--dir D] [--version V] [--objects N] [--appendable N] \
                     [--backend DISK|DISK-V2|S3] [--seed N] [--delay-ms N]";

#[derive(Debug)]
struct Arguments {
    port: Option<u16>,
    root: PathBuf,
    version: MoVersion,
    cluster: ClusterOptions,
    delay: Option<Duration>,
}

impl Arguments {
    /// `None` if they are invalid.
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self {
            port: None,
            root: PathBuf::from("."),
            version: MoVersion::V3_0_11,
            cluster: ClusterOptions::default(),
            delay: None,
        };
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--port" => arguments.port = Some(value.parse().ok()?),
                "--dir" => arguments.root = value.into(),
                "--version" => arguments.version = value.parse().ok()?,
                "--objects" => arguments.cluster.objects = value.parse().ok()?,
                "--appendable" => arguments.cluster.appendable = value.parse().ok()?,
                "--seed" => arguments.cluster.seed = value.parse().ok()?,
                "--backend" => {
                    let all = [Backend::Disk, Backend::DiskV2, Backend::S3];
                    let mut all = all.into_iter();
                    arguments.cluster.backend = all.find(|backend| backend.name() == value)?;
                }
                "--delay-ms" => {
                    arguments.delay = Some(Duration::from_millis(value.parse().ok()?));
                }
                _ => return None,
            }
        }
        Some(arguments)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse(std::env::args().skip(1));
    let Some((arguments, port)) = arguments.and_then(|all| all.port.map(|port| (all, port))) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let server = MoServerOptions::default()
        .with_port(port)
        .with_root(arguments.root)
        .with_version(arguments.version)
        .with_cluster(arguments.cluster)
        .start();
    if let Some(delay) = arguments.delay {
        server.always(Fault::Delay(Point::Written, delay));
    }
    let banner = arguments.version.banner();
    println!("listening on {} as {banner}", server.address());
    loop {
        std::thread::park();
    }
}
