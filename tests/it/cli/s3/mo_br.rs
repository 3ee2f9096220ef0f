//! Command lines as the manual of `mo_br` has them.

use super::{BUCKET, Cloud};

/// The keys of the manual's examples.
const KEY: &str = "S0kwLuB4JofVEIAxWTqf";
const SECRET: &str = "X24O7t3hccmqUZqvqvmLN8464E2Nbr0DWOu9Qs5A";
/// How it names a database server.
const SERVER: &str = "--host 127.0.0.1 --port 6001 --user dump --password 111";

fn minio(cloud: &Cloud) -> String {
    format!(
        "--backup_dir s3 --endpoint {} --access_key_id {KEY} --secret_access_key {SECRET} --bucket {BUCKET} \
         --filepath /backup1 --is_minio",
        cloud.server.endpoint()
    )
}

#[test]
fn the_examples_for_minio_work_with_paths() {
    let cloud = Cloud::with_keys(KEY, SECRET);
    let there = minio(&cloud);
    let output = cloud.run(&format!("init {there}")).expect(0);
    assert!(
        output.stderr.contains("warning: --secret-access-key"),
        "{output}"
    );
    cloud
        .run(&format!("backup --host 127.0.0.1 {there} docs"))
        .expect(0);
    let list = cloud.run(&format!("list {there} true --json")).expect(0);
    let id = super::json(&list.stdout)["backups"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let increment =
        format!("backup --host 127.0.0.1 {there} --backup_type incremental --base_id {id} docs");
    cloud.run(&increment).expect(0);
    let keys = cloud.server.keys(BUCKET);
    assert!(
        keys.iter().all(|key| key.starts_with("backup1/")),
        "{keys:?}"
    );
    // The same repository in the other spelling, and with the prefix that the manual has for `check` and `restore`.
    let prefixed = there
        .replace(" --", " --backup_")
        .replacen("--backup_dir", "--backup-dir", 1);
    cloud.run(&format!("check {prefixed}")).expect(0);
    cloud
        .run(&format!("restore latest --target out {prefixed}"))
        .expect(0);
    assert!(cloud.session.at("out/docs/a.txt").exists());
    let url = format!("s3:{}/{BUCKET}/backup1", cloud.server.endpoint());
    let named = cloud.signed().env("BR_REPOSITORY", &url);
    let keys = format!("--access_key_id {KEY} --secret_access_key {SECRET}");
    cloud
        .run_with(&named, &format!("delete {id} {keys}"))
        .expect(0);
}

#[test]
fn the_examples_for_a_file_system_work_with_paths() {
    let cloud = Cloud::new();
    let there = "--backup_dir filesystem --path yourpath";
    cloud
        .run(&format!("backup --init --host 127.0.0.1 {there} docs"))
        .expect(0);
    assert!(cloud.session.at("yourpath/br.json").exists());
    let list = cloud.run(&format!("list {there} --json")).expect(0);
    assert!(list.stdout.contains("docs"), "{list}");
    let filtered = cloud
        .run("list -r yourpath --path nothing --json")
        .expect(0);
    assert!(
        !filtered.stdout.contains("docs"),
        "--path is a filter otherwise: {filtered}"
    );
}

/// With the options of a server it is a backup of that server, and paths have no place in it.
#[test]
fn a_database_server_is_no_path() {
    let cloud = Cloud::with_keys(KEY, SECRET);
    let there = minio(&cloud);
    for (arguments, expected) in [
        (
            format!("backup {SERVER} {there} docs"),
            "unexpected argument 'docs'",
        ),
        (
            "backup --port 6001 docs -r yourpath".to_owned(),
            "unexpected argument 'docs'",
        ),
        ("backup --user dump".to_owned(), "not said where"),
        ("backup -r yourpath".to_owned(), "<PATH>"),
    ] {
        let output = cloud.run(&arguments).expect(2);
        assert!(output.stderr.contains(expected), "{output}");
        assert!(!output.stderr.contains("111"), "{output}");
    }
    // Nobody listens there.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let server = SERVER.replace("6001", &port.to_string());
    for place in [there.as_str(), "--backup_dir filesystem --path yourpath"] {
        let output = cloud.run(&format!("backup {server} {place}")).expect(13);
        assert!(
            output.stderr.contains("warning: --password can be seen"),
            "{output}"
        );
        assert!(output.stderr.contains("refused the connection"), "{output}");
    }
    assert!(!cloud.session.at("yourpath").exists());
    assert_eq!(cloud.server.keys(BUCKET), Vec::<String>::new());
}
