//! Repositories in S3, with a separate server for every test.

mod append_only;
mod lock;
mod policy;
mod probe;

use std::fs;
use std::time::{Duration, Instant};

use br_testkit::s3::{Fault, Rule, S3Server, S3ServerOptions};
use br_testkit::{BrCmd, BrOutput};

use super::{Session, json};

/// The keys of a server.
const KEY: &str = "AKIAEXAMPLE";
const SECRET: &str = "hunter2/hunter2+hunter2";
const BUCKET: &str = "bucket1";

/// A session with a server that has a bucket. The environment does not name them.
struct Cloud {
    session: Session,
    server: S3Server,
    br: BrCmd,
}

impl Cloud {
    fn new() -> Self {
        Self::with_keys(KEY, SECRET)
    }

    fn with_keys(key: &str, secret: &str) -> Self {
        let session = Session::new();
        let server = S3ServerOptions::default().with_keys(key, secret).start();
        server.create_bucket(BUCKET);
        let br = session.br.clone().env("BR_REPOSITORY", "");
        Self {
            session,
            server,
            br,
        }
    }

    /// With the keys and the repository in the environment.
    fn ready() -> Self {
        let mut cloud = Self::new();
        let url = cloud.url();
        cloud.br = cloud.signed().env("BR_REPOSITORY", &url);
        cloud
    }

    fn url(&self) -> String {
        format!("s3://{BUCKET}/backups?endpoint={}", self.server.endpoint())
    }

    /// A br with the keys in its environment.
    fn signed(&self) -> BrCmd {
        let br = self.br.clone();
        br.env("BR_S3_ACCESS_KEY_ID", self.server.access_key())
            .env("BR_S3_SECRET_ACCESS_KEY", self.server.secret_key())
    }

    #[track_caller]
    fn run(&self, arguments: &str) -> BrOutput {
        self.run_with(&self.br, arguments)
    }

    /// Runs br, and asserts that its output never contains the secret key.
    #[track_caller]
    fn run_with(&self, br: &BrCmd, arguments: &str) -> BrOutput {
        let output = br.run(arguments.split_whitespace());
        let text = output.to_string();
        assert!(!text.contains(self.server.secret_key()), "{text}");
        output
    }

    /// Compares an output without the parts that differ each time.
    fn assert_output(&self, name: &str, output: &BrOutput) {
        let address = self.server.endpoint();
        let text = |text: &str| text.replace(&address, "http://[SERVER]");
        let output = BrOutput {
            code: output.code,
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        self.session.assert_output(name, &output);
    }
}

#[test]
fn every_command_works() {
    let cloud = Cloud::ready();
    cloud.assert_output("s3 init", &cloud.run("init").expect(0));
    cloud.run("init").expect(1);
    cloud.run("backup docs --host h").expect(0);
    let second = cloud.run("backup docs --host h --json").expect(0);
    let second = json(&second.stdout);
    assert_eq!(second["backup"]["kind"], "incremental");
    assert_eq!(second["backup"]["files_unchanged"], 2);
    assert!(cloud.run("show latest").expect(0).stdout.contains("docs"));
    assert!(cloud.run("ls latest").expect(0).stdout.contains("a.txt"));
    cloud.run("check --read-data").expect(0);
    cloud.run("restore latest --target out").expect(0);
    assert_eq!(
        fs::read(cloud.session.at("out/docs/a.txt")).unwrap(),
        b"hello\n"
    );
    let noise = fs::read(cloud.session.at("out/docs/sub/b.bin")).unwrap();
    assert_eq!(noise, br_testkit::noise(1, 50_000));
    assert_eq!(
        cloud.run("dump latest docs/a.txt").expect(0).stdout,
        "hello\n"
    );
    let list = json(&cloud.run("list --json").expect(0).stdout);
    let ids: Vec<_> = list["backups"].as_array().unwrap().iter().collect();
    assert_eq!(ids.len(), 2);
    let first = ids[0]["id"].as_str().unwrap();
    cloud.run(&format!("diff {first} latest")).expect(0);
    cloud.run(&format!("delete {first} --yes")).expect(0);
    cloud.run("delete latest --yes").expect(0);
    let packs = || {
        let keys = cloud.server.keys(BUCKET);
        keys.iter().filter(|key| key.contains("/packs/")).count()
    };
    assert!(packs() > 0);
    cloud.run("prune --max-unused 0%").expect(0);
    cloud.run("check").expect(0);
    cloud.run("stats").expect(0);
    let keys = cloud.server.keys(BUCKET);
    assert!(
        keys.iter().all(|key| key.starts_with("backups/")),
        "{keys:?}"
    );
    assert!(!keys.iter().any(|key| key.contains("/probe/")), "{keys:?}");
}

#[test]
fn encrypted_repository_works_in_bucket() {
    let mut cloud = Cloud::ready();
    cloud.br = cloud.br.env("BR_PASSWORD", "open sesame");
    cloud.run("init").expect(0);
    cloud.run("backup docs").expect(0);
    cloud.run("restore latest --target out").expect(0);
    assert_eq!(
        fs::read(cloud.session.at("out/docs/a.txt")).unwrap(),
        b"hello\n"
    );
    let wrong = cloud.br.clone().env("BR_PASSWORD", "close sesame");
    cloud.run_with(&wrong, "list").expect(12);
}

#[test]
fn backup_without_init_creates_no_repository_in_bucket() {
    let cloud = Cloud::ready();
    cloud.assert_output("s3 no repository", &cloud.run("backup docs").expect(10));
    assert_eq!(cloud.server.keys(BUCKET), Vec::<String>::new());
}

#[test]
fn wrong_keys_and_missing_buckets_are_distinguished() {
    let cloud = Cloud::ready();
    let stranger = cloud.br.clone().env("BR_S3_ACCESS_KEY_ID", "AKIANOBODY");
    cloud.assert_output("s3 wrong id", &cloud.run_with(&stranger, "list").expect(12));
    let wrong = cloud.br.clone().env("BR_S3_SECRET_ACCESS_KEY", "letmein");
    for command in ["init", "list", "backup docs", "storage probe"] {
        let output = cloud.run_with(&wrong, command).expect(12);
        assert!(
            output.stderr.contains("secret access key is wrong"),
            "{output}"
        );
        assert!(
            output.stderr.contains("hint: check the access key"),
            "{output}"
        );
        assert!(!output.stderr.contains("letmein"), "{output}");
    }
    let elsewhere = format!("s3://nobucket/x?endpoint={}", cloud.server.endpoint());
    let elsewhere = cloud.br.clone().env("BR_REPOSITORY", &elsewhere);
    for command in ["init", "list", "backup docs", "storage probe"] {
        let output = cloud.run_with(&elsewhere, command).expect(10);
        assert!(output.stderr.contains("NoSuchBucket"), "{output}");
        assert!(output.stderr.contains("create the bucket"), "{output}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn unreachable_server_fails_within_seconds() {
    let cloud = Cloud::new();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let endpoint = format!("http://127.0.0.1:{port}");
    let br = cloud.signed().env("BR_REPOSITORY", "s3://bucket1/x");
    for command in ["list", "init"] {
        let start = Instant::now();
        let output = cloud.run_with(&br, &format!("{command} --endpoint {endpoint}"));
        assert!(start.elapsed() < Duration::from_secs(30), "{output}");
        let output = output.expect(13);
        assert!(output.stderr.contains(&endpoint), "{output}");
        assert!(output.stderr.contains("attempts"), "{output}");
        assert!(
            output.stderr.contains("hint: check the connection"),
            "{output}"
        );
    }
}

#[test]
fn mistakes_are_explained() {
    let cloud = Cloud::new();
    for (arguments, expected) in [
        (
            "list -r s3://bucket1/x --endpoint http://minio.example:9000",
            "--allow-http",
        ),
        (
            "init -r s3://bucket1/x --endpoint http://minio.example:9000",
            "--allow-http",
        ),
        ("list -r s3:bucket1", "s3://BUCKET/FOLDER"),
        ("list -r s3://bucket1/a//b", "the folder in a bucket"),
        (
            "list -r s3://bucket1 --endpoint minio:9000",
            "correct --endpoint",
        ),
        ("list -r s3://bucket1 --profile nobody", "nobody"),
        (
            "list -r s3://bucket1 --access-key-id x",
            "BR_S3_SECRET_ACCESS_KEY",
        ),
        ("list --bucket bucket1", "-r s3://BUCKET/FOLDER"),
        (
            "list -r repository --endpoint http://localhost:9",
            "--endpoint is for repositories in S3",
        ),
        ("list --endpoint=", "empty"),
        (
            "list -r s3://key:hunter2@bucket1",
            "keys do not belong in a location",
        ),
    ] {
        let output = cloud.run(arguments).expect(2);
        assert!(output.stderr.contains(expected), "{arguments}: {output}");
        assert!(output.stderr.contains("\nhint: "), "{arguments}: {output}");
        assert!(!output.stderr.contains("hunter2"), "{arguments}: {output}");
    }
    // Error messages do not repeat a secret that was typed in the wrong place.
    for arguments in [
        format!("list --secret-acess-key={SECRET}"),
        format!("list --server-side-encryption {SECRET} -r s3://bucket1"),
        format!("list --secret-access-key {SECRET} --secret-access-key {SECRET}"),
        format!("list --json --secret-access-key {SECRET} --secret-access-key {SECRET}"),
    ] {
        cloud.run(&arguments).expect(2);
    }
}

#[test]
fn keys_are_read_from_all_documented_sources() {
    let cloud = Cloud::ready();
    cloud.run("init").expect(0);
    let url = cloud.url();
    let bare = cloud.session.br.clone().env("BR_REPOSITORY", &url);
    let list = |br: &BrCmd, arguments: &str| {
        let output = cloud.run_with(br, &format!("list {arguments}")).expect(0);
        assert!(!output.stderr.contains("warning"), "{output}");
    };
    let aws = bare.clone().env("AWS_ACCESS_KEY_ID", KEY);
    list(&aws.env("AWS_SECRET_ACCESS_KEY", SECRET), "");
    cloud.session.write_secret("key", format!("{SECRET}\n"));
    list(
        &bare,
        &format!("--access-key-id {KEY} --secret-access-key-file key"),
    );
    let named = bare.clone().env("BR_S3_SECRET_ACCESS_KEY", SECRET);
    list(&named, &format!("--access-key-id {KEY}"));
    let profile = |name: &str| {
        format!("[{name}]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    };
    cloud
        .session
        .write("profiles", profile("work") + "[default]\n");
    let by_file = bare.clone().env("AWS_SHARED_CREDENTIALS_FILE", "profiles");
    list(&by_file, "--profile work");
    list(&by_file.clone().env("AWS_PROFILE", "work"), "");
    cloud.session.write(".aws/credentials", profile("default"));
    list(&bare, "");
    // Without keys, br would query the metadata service of the machine, so the test disables it.
    let lost = bare
        .clone()
        .env("HOME", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "none");
    let lost = lost
        .env("AWS_CONFIG_FILE", "none")
        .env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    let output = cloud.run_with(&lost, "list").expect(12);
    assert!(
        output
            .stderr
            .contains("hint: give keys with --access-key-id"),
        "{output}"
    );
    // Options take precedence over the environment.
    let both = cloud.br.clone().env("BR_S3_ACCESS_KEY_ID", "AKIANOBODY");
    list(&both, &format!("--access-key-id {KEY}"));
    list(
        &both.env("BR_S3_ENDPOINT", "http://127.0.0.1:1"),
        "--profile default",
    );
}

#[test]
fn secret_on_command_line_has_warning() {
    let cloud = Cloud::new();
    let arguments = format!(
        "init -r {} --access-key-id {KEY} --secret-access-key {SECRET}",
        cloud.url()
    );
    cloud.assert_output("s3 secret typed", &cloud.run(&arguments).expect(0));
    let quiet = cloud
        .run(&format!("{} -q", arguments.replace("init", "list")))
        .expect(0);
    assert!(
        quiet.stderr.contains("warning: --secret-access-key"),
        "{quiet}"
    );
    let wrong = arguments
        .replace(KEY, "AKIANOBODY")
        .replace("init", "list --json");
    let wrong = cloud.run(&wrong).expect(12);
    let first = json(wrong.stderr.lines().next().unwrap());
    assert_eq!(first["type"], "warning");
}

#[test]
fn a_role_is_assumed() {
    let cloud = Cloud::ready();
    let role = "--role-arn arn:aws:iam::123456789012:role/backup --external-id 42";
    cloud.run(&format!("init {role}")).expect(0);
    cloud.run(&format!("backup docs {role}")).expect(0);
    let roles = cloud.server.assumed_roles();
    assert_eq!(roles.len(), 2, "{roles:?}");
    assert!(roles[0].0.contains("role/backup"), "{roles:?}");
    assert_eq!(roles[0].1.as_deref(), Some("42"));
}

#[test]
fn classes_and_encryption_reach_the_server() {
    let cloud = Cloud::ready();
    cloud.run("init").expect(0);
    let options = "--storage-class STANDARD_IA --server-side-encryption kms:key/1 --connections 2 \
                   --limit-upload 10M --limit-download 10M";
    cloud.run(&format!("backup docs {options}")).expect(0);
    let keys = cloud.server.keys(BUCKET);
    let of = |part: &str| {
        let keys = keys.iter().filter(|key| key.contains(part));
        let all = keys.map(|key| format!("{:?}", cloud.server.attributes(BUCKET, key)));
        all.collect::<Vec<_>>()
    };
    let rare = |all: &[String]| {
        all.iter()
            .filter(|text| text.contains("STANDARD_IA"))
            .count()
    };
    assert_eq!(rare(&of("/packs/")), 1, "the data: {:?}", of("/packs/"));
    assert_eq!(of("/packs/").len(), 2, "the tree is in a separate pack");
    assert_eq!(rare(&of("/log/")), 0);
    assert!(
        of("/log/").iter().all(|text| text.contains("key/1")),
        "{:?}",
        of("/log/")
    );
}

#[test]
fn store_that_overwrites_has_warning() {
    let cloud = Cloud::ready();
    cloud.server.ignore_conditions(true);
    cloud.assert_output("s3 init overwrites", &cloud.run("init").expect(0));
    for command in ["backup docs --host h", "delete latest --yes", "prune"] {
        let output = cloud.run(command).expect(0);
        assert!(
            output
                .stderr
                .contains("warning: this store does not refuse"),
            "{output}"
        );
        let warnings = output.stderr.matches("warning: ").count();
        assert_eq!(warnings, 1, "{output}");
    }
    let output = cloud.run("list").expect(0);
    assert!(!output.stderr.contains("warning"), "{output}");
}

/// br waits for a server that fails, reports that it waits, and gives up after the retry time.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long it takes is what is tested"
)]
fn wait_for_server_that_answers_503_is_reported() {
    let cloud = Cloud::ready();
    cloud.run("init").expect(0);
    let busy = Fault::Status {
        code: 503,
        name: "SlowDown",
    };
    cloud.server.inject(Rule::always(busy));
    let start = Instant::now();
    let output = cloud.run("list --retry-for 5s --no-cache").expect(13);
    let time = start.elapsed();
    assert!(
        time >= Duration::from_secs(5) && time < Duration::from_secs(20),
        "{time:?}"
    );
    for expected in [
        "note: server answers 503, waiting (",
        "503 SlowDown",
        "(tried again for 5 s)",
    ] {
        assert!(output.stderr.contains(expected), "{output}");
    }
    assert!(!output.stderr.contains("<?xml"), "{output}");
    cloud.server.clear_faults();
    cloud.server.inject(Rule::always(busy).method("PUT"));
    let output = cloud
        .run("backup docs --json --retry-for 6s --no-cache")
        .expect(13);
    let is_told = |line: &str| {
        let line = json(line);
        let waiting = line["waiting"].as_str().unwrap_or_default();
        line["type"] == "status" && waiting.starts_with("server answers 503, waiting (")
    };
    assert!(output.stderr.lines().any(is_told), "{output}");
    cloud.server.clear_faults();
    cloud.run("backup docs").expect(0);
    cloud.run("check --read-data").expect(0);
}

#[test]
fn folder_in_bucket_can_have_spaces_and_any_letters() {
    let mut cloud = Cloud::new();
    cloud.br = cloud.signed();
    let endpoint = cloud.server.endpoint();
    for (number, folder) in ["mein Ordner/ü", "100%25/why%3F", "日本 +&=;'()"]
        .iter()
        .enumerate()
    {
        let url = format!("s3://{BUCKET}/{folder}?endpoint={endpoint}");
        let br = cloud.br.clone().env("BR_REPOSITORY", &url);
        let made = cloud.run_with(&br, "init --json").expect(0);
        assert_eq!(json(&made.stdout)["location"], url.as_str());
        cloud.run_with(&br, "backup docs").expect(0);
        cloud.run_with(&br, "prune --max-unused 0%").expect(0);
        let out = format!("out{number}");
        cloud
            .run_with(&br, &format!("restore latest --target {out}"))
            .expect(0);
        assert_eq!(
            fs::read(cloud.session.at(&format!("{out}/docs/a.txt"))).unwrap(),
            b"hello\n"
        );
        cloud.run_with(&br, "check --read-data").expect(0);
        let literal = folder.replace("%25", "%").replace("%3F", "?");
        let below = format!("{literal}/br.json");
        assert!(cloud.server.keys(BUCKET).contains(&below), "{below}");
    }
}

#[test]
fn endpoint_is_read_from_aws_variables() {
    let cloud = Cloud::new();
    let repository = format!("s3://{BUCKET}/x");
    let br = cloud.signed().env("BR_REPOSITORY", &repository);
    let endpoint = cloud.server.endpoint();
    let wrong = "http://127.0.0.1:1";
    let of_s3 = br
        .clone()
        .env("AWS_ENDPOINT_URL_S3", &endpoint)
        .env("AWS_ENDPOINT_URL", wrong);
    cloud.run_with(&of_s3, "init").expect(0);
    let of_all = br.clone().env("AWS_ENDPOINT_URL", &endpoint);
    cloud.run_with(&of_all, "list").expect(0);
    let own = br
        .env("BR_S3_ENDPOINT", &endpoint)
        .env("AWS_ENDPOINT_URL_S3", wrong);
    cloud.run_with(&own, "list").expect(0);
}
