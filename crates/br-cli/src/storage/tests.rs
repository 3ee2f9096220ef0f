//! Storage options, and the locations and options that they give.

use std::collections::HashMap;

use br_core::{S3Credentials, S3Encryption, Secret};
use clap::Parser;

use super::*;
use crate::exit_code::ExitStatus;

#[derive(Debug, Parser)]
struct Line {
    #[arg(long)]
    repo: Option<String>,
    #[command(flatten)]
    storage: StorageArgs,
}

fn parsed(line: &str) -> Line {
    let arguments = std::iter::once("br").chain(line.split_whitespace());
    Line::try_parse_from(arguments).unwrap()
}

fn find_with(line: &str, environment: &[(&str, &str)]) -> Result<StoreLocation, CommandError> {
    let line = parsed(line);
    let variables: HashMap<_, _> = environment.iter().copied().collect();
    let look_up = |name: &str| variables.get(name).map(OsString::from);
    StoreLocation::find(&line.storage, line.repo.as_deref(), &look_up)
}

fn find(line: &str) -> StoreLocation {
    find_with(line, &[]).unwrap_or_else(|error| panic!("{line}: {error:?}"))
}

/// The message and the hint of a usage error.
fn refused(line: &str) -> String {
    let error = find_with(line, &[]).unwrap_err();
    assert_eq!(error.status, ExitStatus::Usage, "{line}");
    format!("{} | {}", error.message, error.hint)
}

#[test]
fn repository_can_be_path_or_url() {
    for (line, expected) in [
        (
            "--repo s3://bucket/a --endpoint https://host:9",
            "s3://bucket/a?endpoint=https://host:9",
        ),
        ("--repo s3://bucket --region eu", "s3://bucket?region=eu"),
        ("--repo /srv/a", "/srv/a"),
    ] {
        assert_eq!(find(line).location.to_string(), expected, "{line}");
    }
}

#[test]
fn option_takes_precedence_over_environment() {
    let environment = [
        ("BR_REPOSITORY", "s3://bucket/a"),
        ("BR_S3_ENDPOINT", "https://one"),
        ("BR_S3_REGION", "eu"),
        ("BR_S3_ACCESS_KEY_ID", "id"),
        ("BR_S3_SECRET_ACCESS_KEY", "hunter2"),
    ];
    let place = find_with("", &environment).unwrap();
    let expected = "s3://bucket/a?endpoint=https://one&region=eu";
    assert_eq!(place.location.to_string(), expected);
    let keys = |id: &str| S3Credentials::Keys {
        access_key_id: id.to_owned(),
        secret_access_key: Secret::from("hunter2"),
        session_token: None,
    };
    assert_eq!(place.options.s3.credentials, keys("id"));
    let place = find_with("--endpoint https://two --access-key-id other", &environment).unwrap();
    assert_eq!(
        place.location.to_string(),
        "s3://bucket/a?endpoint=https://two&region=eu"
    );
    assert_eq!(place.options.s3.credentials, keys("other"));
    let place = find_with("--repo s3:https://three/bucket --profile p", &environment).unwrap();
    assert_eq!(
        place.location.to_string(),
        "s3://bucket?endpoint=https://three&region=eu"
    );
    assert_eq!(
        place.options.s3.credentials,
        S3Credentials::Profile("p".to_owned())
    );
    let place = find_with("--repo /srv", &environment).unwrap();
    assert_eq!(
        place.location.to_string(),
        "/srv",
        "options take precedence"
    );
    let half = find_with("", &environment[..4]).unwrap_err();
    assert_eq!(half.status, ExitStatus::Usage);
    assert!(half.hint.contains("BR_S3_SECRET_ACCESS_KEY"), "{half:?}");
    let none = find_with("--repo s3://bucket", &[]).unwrap();
    assert_eq!(none.options.s3.credentials, S3Credentials::Ambient);
}

#[test]
fn br_endpoint_variable_takes_precedence_over_aws() {
    let all = [
        ("BR_S3_ENDPOINT", "https://br"),
        ("AWS_ENDPOINT_URL_S3", "https://s3"),
        ("AWS_ENDPOINT_URL", "https://aws"),
    ];
    let place = |line: &str, environment: &[(&str, &str)]| {
        let place = find_with(line, environment).unwrap();
        place.location.to_string()
    };
    for (from, endpoint) in [(0, "https://br"), (1, "https://s3"), (2, "https://aws")] {
        let expected = format!("s3://bucket/a?endpoint={endpoint}");
        assert_eq!(place("--repo s3://bucket/a", &all[from..]), expected);
    }
    let typed = place("--repo s3://bucket --endpoint https://x", &all);
    assert_eq!(typed, "s3://bucket?endpoint=https://x");
    let in_url = place("--repo s3://bucket?endpoint=https://y", &all);
    assert_eq!(in_url, "s3://bucket?endpoint=https://y");
    let ignored = [all[2], ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
    assert_eq!(place("--repo s3://bucket", &ignored), "s3://bucket");
    let wrong = find_with("--repo s3://bucket", &[("AWS_ENDPOINT_URL", "host:1")]).unwrap_err();
    assert!(wrong.hint.contains("correct AWS_ENDPOINT_URL"), "{wrong:?}");
}

#[test]
fn every_storage_option_reaches_library() {
    let place = find(
        "--repo s3://bucket --no-sign-request --addressing virtual --allow-http --proxy http://p:1 \
         --storage-class STANDARD_IA --server-side-encryption kms:a:b --connections 3 --limit-upload 5M \
         --limit-download 1K --retry-for 10m",
    );
    let StorageOptions { network, s3, .. } = place.options;
    assert_eq!(s3.credentials, S3Credentials::Anonymous);
    assert_eq!(s3.addressing, Addressing::VirtualHost);
    assert_eq!(s3.storage_class.as_deref(), Some("STANDARD_IA"));
    assert_eq!(s3.encryption, Some(S3Encryption::KmsKey("a:b".to_owned())));
    assert!(network.allow_http);
    assert_eq!(network.proxy, Some("http://p:1".into()));
    assert_eq!(network.connections, 3);
    assert_eq!(network.upload_limit, Some(5 << 20));
    assert_eq!(network.download_limit, Some(1 << 10));
    assert_eq!(network.retry_for, std::time::Duration::from_secs(600));
    let role = find("--repo s3://bucket --role-arn arn:r --external-id e")
        .options
        .s3
        .role;
    let role = role.unwrap();
    assert_eq!(
        (role.arn.as_str(), role.external_id.as_deref()),
        ("arn:r", Some("e"))
    );
    let path = find("--repo s3://bucket --addressing path").options.s3;
    assert_eq!(path.addressing, Addressing::Path);
    let default = find("--repo s3://bucket").options.s3;
    assert_eq!(default.addressing, Addressing::Auto);
}

/// Invalid command lines, and words of the error messages.
const REFUSED: &[(&str, &str)] = &[
    ("", "--repo PATH"),
    ("--repo /a --endpoint https://h", "--endpoint is for"),
    (
        "--repo s3://bucket?endpoint=https://a --endpoint https://b",
        "different servers",
    ),
    (
        "--repo s3://bucket?region=a --region b",
        "different regions",
    ),
    (
        "--repo s3://bucket --endpoint host:9000",
        "correct --endpoint",
    ),
    (
        "--repo s3://bucket --access-key-id a",
        "--secret-access-key-file",
    ),
    (
        "--repo s3://bucket --secret-access-key a",
        "--access-key-id",
    ),
    (
        "--repo s3://bucket --profile a --access-key-id b",
        "contradict",
    ),
    (
        "--repo s3://bucket --no-sign-request --profile b",
        "contradict",
    ),
    ("--repo s3://bucket --external-id b", "--role-arn"),
    (
        "--repo s3://bucket --secret-access-key a --secret-access-key-file b",
        "contradict",
    ),
    ("--repo s3://bucket --server-side-encryption aes", "kms:KEY"),
    (
        "--repo s3://bucket --ca-certificate /nowhere",
        "--ca-certificate",
    ),
    (
        "--repo s3://bucket --ca-certificate /dev/null",
        "no certificate",
    ),
    ("--repo s3://bucket --proxy socks5://h", "http://HOST:PORT"),
    ("--repo /a --limit-upload 1M", "--limit-upload is for"),
    ("--repo sftp:host:/a", "s3://BUCKET/FOLDER"),
];

#[test]
fn contradicting_storage_options_are_refused() {
    for (line, expected) in REFUSED {
        let text = refused(line);
        assert!(text.contains(expected), "{line}: {text}");
    }
    find("--repo s3://bucket?endpoint=https://a --endpoint https://a/");
}

#[test]
fn key_is_read_from_file() {
    let folder = std::env::temp_dir().join(format!("br-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("key");
    let line = |what: &str| format!("--repo s3://bucket {what}{}", file.display());
    std::fs::write(&file, "hunter2\n").unwrap();
    let place = find(&line("--access-key-id i --secret-access-key-file "));
    let S3Credentials::Keys {
        secret_access_key, ..
    } = place.options.s3.credentials
    else {
        panic!("keys were given");
    };
    assert_eq!(secret_access_key.reveal(), "hunter2");
    let customer = line("--server-side-encryption customer-key-file:");
    let error = find_with(&customer, &[]).unwrap_err();
    assert_eq!(error.status, ExitStatus::AccessDenied);
    assert!(!format!("{error:?}").contains("hunter2"));
    let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let encryption = find(&customer).options.s3.encryption;
    assert_eq!(
        encryption,
        Some(S3Encryption::CustomerKey(Secret::from(key)))
    );
    std::fs::write(&file, "\n").unwrap();
    assert!(
        find_with(&customer, &[])
            .unwrap_err()
            .message
            .contains("is empty")
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn typed_secret_has_warning_and_is_not_shown() {
    let line = parsed(
        "--secret-access-key hunter2 --proxy http://u:hunter2@p --server-side-encryption hunter2",
    );
    let exposed: Vec<_> = line.storage.exposed().map(|(option, _)| option).collect();
    assert_eq!(exposed, ["--secret-access-key", "the password in --proxy"]);
    assert!(!format!("{line:?}").contains("hunter2"));
    let line = parsed("--secret-access-key-file f --proxy http://p");
    assert_eq!(line.storage.exposed().count(), 0);
}
