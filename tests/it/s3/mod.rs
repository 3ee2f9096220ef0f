//! Behaviour that only a server can get wrong, against the S3 server of the testkit.

mod cache;
mod conformance;
mod faults;
mod folder;
mod options;
mod requests;
mod two_machines;

use std::time::Duration;

use br_core::engine::backup::{BackupReport, backup};
use br_core::engine::check::{CheckOptions, CheckReport, ReadData, check};
use br_core::{
    CacheOptions, Context, InitOptions, Location, NetworkOptions, Repository, Result, S3Location,
    S3Options, Storage, StorageOptions,
};
use br_testkit::s3::S3Server;
use br_testkit::{MemorySource, TestRepo, block_on};

/// The bucket of every test here.
const BUCKET: &str = "bucket";

/// A separate server with a bucket.
struct Bucket {
    server: S3Server,
    options: StorageOptions,
    context: Context,
}

impl Bucket {
    fn new() -> Self {
        let server = S3Server::start();
        server.create_bucket(BUCKET);
        let s3 = S3Options::default().with_keys(server.access_key(), server.secret_key());
        let network = NetworkOptions::default()
            .with_stall_timeout(Duration::from_secs(2))
            .with_retry_for(Duration::from_secs(20));
        let options = StorageOptions::default().with_s3(s3).with_network(network);
        Self {
            server,
            options,
            context: br_testkit::context(1),
        }
    }

    fn location(&self) -> Location {
        let location = S3Location::new(BUCKET, "folder").unwrap();
        Location::S3(location.with_endpoint(&self.server.endpoint()).unwrap())
    }

    fn storage(&self) -> Storage {
        block_on(async { Storage::open(&self.location(), &self.options) }).unwrap()
    }

    fn init(&self) -> Result<Repository> {
        let options = InitOptions::default().with_storage(self.options.clone());
        block_on(Repository::init(&self.location(), &options, &self.context))
    }

    fn open(&self) -> Result<Repository> {
        block_on(Repository::open(&self.location(), &self.options, None))
    }

    /// Opens it with copies in a folder.
    fn open_cached(&self, folder: &std::path::Path) -> Repository {
        let repository = self.open().unwrap();
        let cache = CacheOptions::new(folder);
        repository.use_cache(&cache, &self.context).unwrap();
        repository
    }

    fn backup(&self, repository: &Repository, source: &MemorySource) -> Result<BackupReport> {
        let options = TestRepo::options("host");
        block_on(backup(repository, source.clone(), &options, &self.context))
    }

    fn check(&self, repository: &Repository) -> Result<CheckReport> {
        let options = CheckOptions::default().with_data(ReadData::All);
        block_on(check(repository, &options, &self.context))
    }

    /// Asserts that the repository is intact and contains this number of backups, without faults.
    fn assert_sound(&self, backups: usize, what: &str) {
        self.server.clear_faults();
        let repository = self.open().unwrap();
        let report = self.check(&repository).unwrap();
        assert!(report.is_sound(), "{what}: {:#?}", report.findings);
        let listed = block_on(repository.backups(&self.context)).unwrap();
        assert_eq!(listed.len(), backups, "{what}");
    }

    /// The requests since the last call.
    fn requests(&self) -> Vec<String> {
        let requests = self.server.requests();
        self.server.reset_requests();
        let name = |request: &br_testkit::s3::RequestInfo| {
            format!("{} {}", request.operation(), request.target())
        };
        requests.iter().map(name).collect()
    }
}

/// Some files.
fn source(seed: u64) -> MemorySource {
    let mut source = MemorySource::default();
    for number in 0..20 {
        let content = br_testkit::noise(seed * 100 + number, 10_000);
        source = source.file(&format!("folder/{number}"), content);
    }
    source
}
