//! Backups in a bucket, of a server in the test process.

use std::io;
use std::sync::{Arc, Mutex};

use br_test_matrixone::{Callback, Fault, MoServerOptions, S3Target, Target};
use br_testkit::s3::{S3Server, S3ServerOptions};
use br_testkit::{BrCmd, BrOutput};

use super::{Mo, assert_holds, id_of};

/// The keys of the manual's examples.
pub(super) const KEY: &str = "S0kwLuB4JofVEIAxWTqf";
pub(super) const SECRET: &str = "X24O7t3hccmqUZqvqvmLN8464E2Nbr0DWOu9Qs5A";
pub(super) const BUCKET: &str = "bucket1";

/// A cluster that reaches a bucket.
pub(super) struct Cloud {
    pub(super) mo: Mo,
    pub(super) s3: Arc<S3Server>,
    /// The statements that the MatrixOne server received.
    told: Arc<Mutex<Vec<S3Target>>>,
}

impl Cloud {
    pub(super) fn new(options: MoServerOptions) -> Self {
        let s3 = S3ServerOptions::default().with_keys(KEY, SECRET).start();
        s3.create_bucket(BUCKET);
        let s3 = Arc::new(s3);
        let told = Arc::new(Mutex::new(Vec::new()));
        let (server, log) = (Arc::clone(&s3), Arc::clone(&told));
        let options = options.with_s3(move |place| {
            log.lock().unwrap().push(place.clone());
            target(&server, place)
        });
        let mo = Mo::with(options);
        Self { mo, s3, told }
    }

    pub(super) fn with_password() -> Self {
        Self::new(MoServerOptions::default().with_password(super::PASSWORD))
    }

    /// A command line; `S3` is replaced by the bucket with its keys, and `KEYS` by the keys alone.
    #[track_caller]
    pub(super) fn run(&self, line: &str) -> BrOutput {
        self.run_with(&self.mo.br, line)
    }

    #[track_caller]
    fn run_with(&self, br: &BrCmd, line: &str) -> BrOutput {
        let keys = format!("--access_key_id {KEY} --secret_access_key {SECRET}");
        let bucket = format!(
            "--backup_dir s3 --endpoint {} --bucket {BUCKET} --filepath /backup1 --is_minio",
            self.s3.endpoint()
        );
        let line = line
            .replace(
                "LOCATION",
                &format!(
                    "--location s3:{}/{BUCKET}/backup1 --addressing path HYPHENS",
                    self.s3.endpoint()
                ),
            )
            .replace("S3", &format!("{bucket} KEYS"))
            .replace("HYPHENS", &keys.replace('_', "-"))
            .replace("KEYS", &keys);
        let output = self
            .mo
            .run_with(br, &line.replace("ENDPOINT", &self.s3.endpoint()));
        assert!(!output.to_string().contains(SECRET), "{output}");
        output
    }

    pub(super) fn backup(&self, more: &str) -> String {
        id_of(&self.run(&format!("backup SERVER S3 {more}")).expect(0))
    }

    fn object(&self, key: &str) -> Vec<u8> {
        let object = self.s3.object(BUCKET, key);
        object
            .unwrap_or_else(|| panic!("{key}: {:?}", self.s3.keys(BUCKET)))
            .to_vec()
    }
}

/// Writes an archive into a bucket, if the keys are right.
fn target(server: &Arc<S3Server>, place: &S3Target) -> Box<dyn Target> {
    let (server, place) = (Arc::clone(server), place.clone());
    Box::new(Callback(move |name: &str, bytes: &[u8]| {
        if (
            place.access_key_id.as_str(),
            place.secret_access_key.as_str(),
        ) != (KEY, SECRET)
        {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "InvalidAccessKeyId",
            ));
        }
        let key = place.key(name);
        if server.object(&place.bucket, &key).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        server.set_object(&place.bucket, &key, Some(bytes.to_vec().into()));
        Ok(())
    }))
}

#[test]
fn backup_in_bucket_works_like_backup_in_folder() {
    let cloud = Cloud::with_password();
    let full = cloud.backup("");
    cloud.mo.server.cluster().insert(3);
    let objects = cloud.mo.objects();
    let increment = cloud.backup(&format!("--backup_type incremental --base_id {full}"));
    let keys = cloud.s3.keys(BUCKET);
    assert!(
        keys.iter().all(|key| key.starts_with("backup1/")),
        "{keys:?}"
    );
    assert!(keys.contains(&format!("backup1/incremental-{increment}/mo_meta")));
    let list = cloud.run("list").expect(0).stdout;
    assert!(
        list.contains("BackupDir: s3") && list.contains("FilePath: backup1"),
        "{list}"
    );
    cloud.run(&format!("list {full} KEYS")).expect(0);
    let typed = "--backup_access_key_id ID --backup_secret_access_key SECRET";
    let typed = typed.replace("ID", KEY).replace("SECRET", SECRET);
    cloud.run(&format!("check {increment} {typed}")).expect(0);
    let all = cloud.run("check S3").expect(0).stdout;
    assert!(all.contains(&full) && all.contains(&increment), "{all}");

    // To a folder: the same layout as in the bucket, without checksums of blocks.
    let line = format!("restore {increment} {typed} --restore_dir filesystem --restore_path mo");
    cloud.run(&line).expect(0);
    assert_holds(
        &super::contents(&cloud.mo.at("mo/mo-data/shared")),
        &objects,
    );

    // To a bucket, as a cluster on S3 has its files.
    let to = "--restore_dir s3 --restore_endpoint ENDPOINT --restore_access_key_id ID --restore_secret_access_key SECRET \
              --restore_bucket bucket1 --restore_filepath cluster --restore_region us-east-1 --restore_compression none \
              --restore_is_minio --checksum --parallelism 2";
    let to = to.replace("ID", KEY).replace("SECRET", SECRET);
    let output = cloud
        .run(&format!("restore {increment} {typed} {to}"))
        .expect(0);
    assert!(output.stdout.contains("Bucket: bucket1"), "{output}");
    for object in &objects {
        assert!(cloud.object(&format!("cluster/data/{}", object.name)) == object.content());
    }
    assert!(!cloud.object("cluster/hk_data").is_empty());

    let refused = cloud.run(&format!("delete {full} KEYS")).expect(2);
    assert!(refused.stderr.contains(&increment), "{refused}");
    cloud.run(&format!("delete {increment} KEYS")).expect(0);
    cloud.run(&format!("delete {full} KEYS")).expect(0);
    let keys = cloud.s3.keys(BUCKET);
    assert!(
        keys.iter().all(|key| key.starts_with("cluster/")),
        "{keys:?}"
    );
    let catalogue = std::fs::read_to_string(cloud.mo.at("br-matrixone.json")).unwrap();
    assert!(!catalogue.contains(SECRET) && !catalogue.contains(KEY));
}

#[test]
fn all_bucket_options_reach_server() {
    let cloud = Cloud::with_password();
    let role = "arn:aws:iam::123456789012:role/backup";
    let id = cloud.backup(&format!(
        "--region us-west-2 --compression zstd --role_arn {role} --parallelism 4 --meta_path here.meta"
    ));
    let told = cloud.told.lock().unwrap().remove(0);
    assert_eq!(told.endpoint, cloud.s3.endpoint());
    assert_eq!(
        (told.bucket.as_str(), told.is_minio, told.parallelism),
        (BUCKET, true, 4)
    );
    assert_eq!(
        (told.region.as_str(), told.role_arn.as_str()),
        ("us-west-2", role)
    );
    assert_eq!(told.filepath, format!("backup1/full-{id}"));
    assert_eq!(told.secret_access_key, SECRET);
    assert!(
        !cloud.s3.assumed_roles().is_empty(),
        "br reads with the same role"
    );
    let statement = cloud.mo.server.statements().remove(0).text;
    assert!(
        !statement.contains(SECRET) && !statement.contains("zstd"),
        "{statement}"
    );
    let place = format!(
        "--backup_dir s3 --backup_endpoint ENDPOINT --backup_access_key_id {KEY} --backup_secret_access_key {SECRET} \
         --backup_bucket {BUCKET} --backup_filepath /backup1 --backup_region us-west-2 --backup_compression zstd \
         --backup_role_arn {role} --backup_is_minio"
    );
    cloud.run(&format!("check {place}")).expect(0);
    cloud
        .run(&format!("check {place} --meta_path here.meta"))
        .expect(0);
    let to = "--restore_dir filesystem --restore_path mo --meta_path here.meta --checksum --parallelism 1";
    cloud.run(&format!("restore {place} {to}")).expect(0);
    let to = format!(
        "--restore_dir s3 --restore_endpoint ENDPOINT --restore_access_key_id {KEY} --restore_secret_access_key {SECRET} \
         --restore_bucket {BUCKET} --restore_filepath x --restore_role_arn {role}"
    );
    cloud.run(&format!("restore {place} {to}")).expect(0);
    assert!(!cloud.object("x/hk_data").is_empty());
}

#[test]
fn keys_come_from_the_environment() {
    let cloud = Cloud::with_password();
    let br = cloud.mo.br.clone();
    let signed = br
        .env("BR_S3_ACCESS_KEY_ID", KEY)
        .env("BR_S3_SECRET_ACCESS_KEY", SECRET);
    let signed = signed.env("BR_S3_ENDPOINT", &cloud.s3.endpoint());
    let line = format!("matrixone backup SERVER --location s3://{BUCKET} --addressing path");
    let output = cloud.run_with(&signed, &line).expect(0);
    assert!(!output.stderr.contains("warning"), "{output}");
    let id = id_of(&output);
    cloud.run_with(&signed, &format!("check {id}")).expect(0);
    // Different keys, or no known key.
    let other = signed.clone().env("BR_S3_SECRET_ACCESS_KEY", "wrong");
    cloud.run_with(&other, &format!("check {id}")).expect(12);
    cloud.run_with(&other, &format!("delete {id}")).expect(12);
    let output = cloud.run_with(&other, &line);
    assert!(output.stderr.contains("InvalidAccessKeyId"), "{output}");
    output.expect(1);
}

#[test]
fn damage_in_a_bucket_is_found_too() {
    let cloud = Cloud::with_password();
    let id = cloud.backup("");
    let keys = cloud.s3.keys(BUCKET);
    let key = keys.iter().find(|key| key.ends_with("_00000")).unwrap();
    let mut bytes = cloud.object(key);
    bytes[100] ^= 1;
    cloud.s3.set_object(BUCKET, key, Some(bytes.into()));
    let output = cloud.run(&format!("check {id} KEYS")).expect(14);
    assert!(output.stdout.contains("SHA-256"), "{output}");
    cloud.s3.set_object(BUCKET, key, None);
    let output = cloud.run(&format!("list {id} KEYS")).expect(14);
    assert!(output.stdout.contains("it is missing"), "{output}");
    cloud.mo.server.inject(Fault::Skip {
        every: 7,
        listed: true,
    });
    cloud.run("backup SERVER S3").expect(14);
    assert_eq!(cloud.mo.states().pop().unwrap().1, "failed");
}

#[test]
fn missing_bucket_is_named() {
    let cloud = Cloud::with_password();
    let id = cloud.backup("");
    let nowhere = "check --backup_dir s3 --endpoint ENDPOINT --bucket nobucket KEYS";
    let output = cloud.run(nowhere).expect(10);
    assert!(output.stderr.contains("NoSuchBucket"), "{output}");
    let empty =
        "check --backup_dir s3 --endpoint ENDPOINT --bucket bucket1 --filepath nothing KEYS";
    let output = cloud.run(empty).expect(10);
    assert!(
        output.stderr.contains("no backup of MatrixOne in"),
        "{output}"
    );
    cloud.run(&format!("list {id} --not_check_data")).expect(0);
}
