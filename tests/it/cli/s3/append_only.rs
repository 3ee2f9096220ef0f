//! A writer whose key of the bucket cannot delete or overwrite.

use br_core::object_store::aws::{AmazonS3, AmazonS3Builder};
use br_core::object_store::path::Path;
use br_core::object_store::{MultipartUpload as _, ObjectStoreExt as _, PutPayload};
use br_testkit::s3::S3Server;
use br_testkit::{BrCmd, block_on, noise};

use super::{BUCKET, Cloud, json};

/// A br with the writer's keys.
fn writer(cloud: &Cloud) -> BrCmd {
    let (key, secret) = S3Server::writer_keys();
    let br = cloud.br.clone().env("BR_CACHE_DIR", "writer-cache");
    br.env("BR_S3_ACCESS_KEY_ID", key)
        .env("BR_S3_SECRET_ACCESS_KEY", secret)
}

/// A client of the bucket with the writer's keys, which is not br.
fn thief(cloud: &Cloud) -> AmazonS3 {
    let (key, secret) = S3Server::writer_keys();
    let builder = AmazonS3Builder::new()
        .with_bucket_name(BUCKET)
        .with_endpoint(cloud.server.endpoint())
        .with_region("us-east-1")
        .with_allow_http(true)
        .with_access_key_id(key)
        .with_secret_access_key(secret);
    builder.build().unwrap()
}

#[test]
fn writer_without_right_to_delete_backs_up_and_reads() {
    let cloud = Cloud::ready();
    cloud.br.run(["init"]).expect(0);
    let writer = writer(&cloud);
    writer.run(["backup", "docs", "--host", "h"]).expect(0);
    cloud.session.write("docs/large", noise(5, 3 << 20));
    writer.run(["backup", "docs", "--host", "h"]).expect(0);
    for command in [
        &["list"][..],
        &["check", "--read-data"],
        &["restore", "latest", "--target", "out"],
        &["tag", "add", "kept", "latest"],
        &["export-head"],
    ] {
        writer.run(command).expect(0);
    }
    assert_eq!(cloud.server.uploads(), [], "no upload is left");
}

#[test]
fn thief_of_writer_keys_deletes_and_replaces_nothing() {
    let cloud = Cloud::ready();
    cloud.br.run(["init"]).expect(0);
    let writer = writer(&cloud);
    writer.run(["backup", "docs", "--host", "h"]).expect(0);
    let head = cloud.br.run(["export-head"]).expect(0).stdout;
    let keys = cloud.server.keys(BUCKET);
    let before: Vec<_> = keys
        .iter()
        .map(|key| cloud.server.object(BUCKET, key))
        .collect();
    let thief = thief(&cloud);
    block_on(async {
        for key in &keys {
            let path = Path::parse(key).unwrap();
            assert!(thief.delete(&path).await.is_err(), "{key}");
            let put = thief.put(&path, PutPayload::from_static(b"x")).await;
            assert!(put.is_err(), "{key}");
            let mut parts = thief.put_multipart(&path).await.unwrap();
            parts.put_part(PutPayload::from_static(b"x")).await.unwrap();
            assert!(parts.complete().await.is_err(), "{key}");
            let other = Path::parse(&keys[0]).unwrap();
            assert!(thief.copy(&other, &path).await.is_err(), "{key}");
        }
    });
    let after: Vec<_> = keys
        .iter()
        .map(|key| cloud.server.object(BUCKET, key))
        .collect();
    assert!(before == after, "every object is as it was");
    // With br: a prune and a removal of the backup delete nothing either.
    let id = json(&cloud.br.run(["list", "--json"]).expect(0).stdout);
    let id = id["backups"][0]["id"].as_str().unwrap().to_owned();
    writer.run(["delete", &id, "--yes"]).expect(0);
    let undeleted = cloud.br.run(["undelete", &id]).expect(0);
    assert!(undeleted.stderr.contains("1 backup"), "{undeleted}");
    cloud
        .br
        .run(["check", "--read-data", "--expect", head.trim()])
        .expect(0);
    cloud.br.run(["restore", &id, "--target", "out"]).expect(0);
}

#[test]
fn prune_by_a_writer_deletes_nothing_and_the_owner_completes_it() {
    let cloud = Cloud::ready();
    cloud.br.run(["init"]).expect(0);
    let writer = writer(&cloud);
    writer.run(["backup", "docs", "--host", "h"]).expect(0);
    cloud.session.write("docs/a.txt", "changed");
    writer.run(["backup", "docs", "--host", "h"]).expect(0);
    writer.run(["delete", "latest~1", "--yes"]).expect(0);
    let keys = cloud.server.keys(BUCKET).len();
    writer.run(["prune", "--max-unused", "0%"]).expect(3);
    assert!(cloud.server.keys(BUCKET).len() >= keys);
    cloud.br.run(["check", "--read-data"]).expect(0);
    cloud.br.run(["prune", "--max-unused", "0%"]).expect(0);
    cloud.br.run(["check", "--read-data"]).expect(0);
    cloud
        .br
        .run(["restore", "latest", "--target", "out"])
        .expect(0);
}
