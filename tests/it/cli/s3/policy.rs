//! The policy of `docs/append-only.md` on a real server, with the keys of a second user.

use std::io::Write as _;
use std::process::{Command, Stdio};

use br_testkit::{BrCmd, Endpoint, noise, skip};

use super::super::Session;

/// The keys of one user of the server.
#[derive(Clone)]
struct Account {
    key: String,
    secret: String,
}

/// A bucket with versions, in which the writer may do what the policy allows.
pub(super) struct Bucket {
    endpoint: Endpoint,
    name: String,
    owner: Account,
    writer: Account,
    pub(super) session: Session,
}

impl Bucket {
    /// `None` if the environment names no server with a second user.
    fn new() -> Option<Self> {
        let bucket = Self::named("append-only")?;
        let owner = std::env::var("BR_TEST_S3_OWNER_ARN").ok()?;
        let writer = std::env::var("BR_TEST_S3_WRITER_ARN").ok()?;
        let policy = documented_policy(&bucket.name, &owner, &writer);
        bucket.as_owner("PUT", "", "");
        bucket.as_owner("PUT", "?versioning=", VERSIONING);
        bucket.as_owner("PUT", "?policy=", &policy);
        Some(bucket)
    }

    /// A bucket with object lock, without a default retention.
    pub(super) fn locking() -> Option<Self> {
        let bucket = Self::named("locking")?;
        let lock = "x-amz-bucket-object-lock-enabled: true";
        let (status, answer) = bucket.request_with(&bucket.owner, "PUT", "", "", Some(lock));
        assert_eq!(status, 200, "{answer}");
        Some(bucket)
    }

    fn named(name: &str) -> Option<Self> {
        let endpoint = Endpoint::from_env()?;
        let writer = |name: &str| std::env::var(format!("BR_TEST_S3_WRITER_{name}")).ok();
        let owner = Account {
            key: endpoint.access_key.clone(),
            secret: endpoint.secret_key.clone(),
        };
        Some(Self {
            name: format!("{name}-{}", std::process::id()),
            owner,
            writer: Account {
                key: writer("ACCESS_KEY_ID")?,
                secret: writer("SECRET_ACCESS_KEY")?,
            },
            endpoint,
            session: Session::new(),
        })
    }

    pub(super) fn as_owner(&self, method: &str, path: &str, body: &str) -> String {
        let (status, answer) = self.request(&self.owner, method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    pub(super) fn request_of_owner(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.request(&self.owner, method, path, body)
    }

    fn request(&self, account: &Account, method: &str, path: &str, body: &str) -> (u16, String) {
        self.request_with(account, method, path, body, None)
    }

    /// Sends a signed request about the bucket. Returns the status and the answer.
    fn request_with(
        &self,
        account: &Account,
        method: &str,
        path: &str,
        body: &str,
        header: Option<&str>,
    ) -> (u16, String) {
        let separator = if path.starts_with('?') || path.is_empty() {
            ""
        } else {
            "/"
        };
        let url = format!("{}/{}{separator}{path}", self.endpoint.url, self.name);
        let sum = sha256(body.as_bytes());
        let mut curl = Command::new("curl")
            .args(["-q", "--silent", "--noproxy", "*", "--max-time", "20"])
            .args(["--write-out", "\n%{http_code}", "--request", method])
            .args([
                "--aws-sigv4",
                &format!("aws:amz:{}:s3", self.endpoint.region),
            ])
            .args(["--user", &format!("{}:{}", account.key, account.secret)])
            .args(["--header", &format!("x-amz-content-sha256: {sum}")])
            .args(header.iter().flat_map(|header| ["--header", header]))
            .args(["--data-binary", "@-", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        curl.stdin
            .take()
            .unwrap()
            .write_all(body.as_bytes())
            .unwrap();
        let output = curl.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (answer, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), answer.to_owned())
    }

    pub(super) fn br_of_owner(&self) -> BrCmd {
        self.br(&self.owner)
    }

    fn br(&self, account: &Account) -> BrCmd {
        let url = format!("s3://{}/backups?endpoint={}", self.name, self.endpoint.url);
        let br = self.session.br.clone().env("BR_REPOSITORY", &url);
        br.env("BR_S3_ACCESS_KEY_ID", &account.key)
            .env("BR_S3_SECRET_ACCESS_KEY", &account.secret)
            .env("BR_S3_REGION", &self.endpoint.region)
            .env("BR_CACHE_DIR", &format!("cache-{}", account.key))
    }

    /// Key and version of each object and each delete marker.
    pub(super) fn versions(&self) -> Vec<(String, String)> {
        let answer = self.as_owner("GET", "?versions=", "");
        let field = |of: &str, name: &str| {
            let from = of.find(&format!("<{name}>")).unwrap() + name.len() + 2;
            of[from..].split('<').next().unwrap().to_owned()
        };
        let items = answer
            .split("<Version>")
            .flat_map(|part| part.split("<DeleteMarker>"));
        items
            .skip(1)
            .map(|item| (field(item, "Key"), field(item, "VersionId")))
            .collect()
    }
}

const VERSIONING: &str = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
const SUSPENDED: &str = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Suspended</Status></VersioningConfiguration>";

/// The second policy of the document, for a bucket and its users.
fn documented_policy(bucket: &str, owner: &str, writer: &str) -> String {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/append-only.md");
    let document = std::fs::read_to_string(document).unwrap();
    let policy = document.split("```json\n").nth(2).unwrap();
    let policy = policy.split("```").next().unwrap();
    policy
        .replace("my-bucket", bucket)
        .replace("arn:aws:iam:::user/owner", owner)
        .replace("arn:aws:iam:::user/writer", writer)
}

fn sha256(bytes: &[u8]) -> String {
    let mut sum = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sum.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = sum.wait_with_output().unwrap().stdout;
    String::from_utf8_lossy(&output[..64]).into_owned()
}

#[test]
fn thief_of_writer_keys_loses_against_the_documented_policy_on_a_real_server() {
    let Some(bucket) = Bucket::new() else {
        skip("no BR_TEST_S3_WRITER_ACCESS_KEY_ID; docs/testing.md explains how to start a server");
        return;
    };
    let (owner, writer) = (bucket.br(&bucket.owner), bucket.br(&bucket.writer));
    owner.run(["init"]).expect(0);
    writer.run(["backup", "docs", "--host", "h"]).expect(0);
    bucket.session.write("docs/large", noise(5, 20 << 20));
    writer.run(["backup", "docs", "--host", "h"]).expect(0);
    writer.run(["check", "--read-data"]).expect(0);
    let head = owner.run(["export-head"]).expect(0).stdout;
    let before = bucket.versions();

    // The thief deletes: objects, versions, the bucket and its rules.
    let thief = |method: &str, path: &str, body: &str| {
        let (status, answer) = bucket.request(&bucket.writer, method, path, body);
        assert_eq!(status, 403, "{method} {path}: {answer}");
    };
    for (key, version) in &before {
        thief("DELETE", key, "");
        thief("DELETE", &format!("{key}?versionId={version}"), "");
    }
    thief("DELETE", "", "");
    thief("DELETE", "?policy=", "");
    thief("PUT", "?versioning=", SUSPENDED);
    assert_eq!(bucket.versions(), before, "nothing was deleted");

    // The thief overwrites every object. The server keeps the versions before.
    for (key, _) in &before {
        let (status, answer) = bucket.request(&bucket.writer, "PUT", key, "false");
        assert_eq!(status, 200, "{key}: {answer}");
    }
    let output = owner.run(["check", "--read-data"]);
    assert_ne!(output.code, Some(0), "the check sees it: {output}");
    let kept = bucket.versions();
    assert!(before.iter().all(|version| kept.contains(version)));

    // The owner removes the false versions.
    for (key, version) in kept.iter().filter(|version| !before.contains(version)) {
        bucket.as_owner("DELETE", &format!("{key}?versionId={version}"), "");
    }
    owner
        .run(["check", "--read-data", "--expect", head.trim()])
        .expect(0);
    owner
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
    let restored = std::fs::read(bucket.session.at("out/docs/large")).unwrap();
    assert_eq!(restored, noise(5, 20 << 20));
    // An owner's prune removes what is not in use.
    writer.run(["delete", "latest~1", "--yes"]).expect(0);
    owner.run(["prune", "--max-unused", "0%"]).expect(0);
    owner.run(["check", "--read-data"]).expect(0);
}
