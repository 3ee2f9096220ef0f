//! The server without faults, with a third-party client.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex};

use br_test_matrixone::{
    Backend, Callback, ClusterOptions, MoServer, MoServerOptions, MoVersion, Outcome, Target,
};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;

use crate::support::{backup_sql, code, connect, full_sql, options, verify};

#[tokio::test]
async fn clients_log_in_and_run_small_queries() {
    for server in [
        MoServer::start(),
        MoServerOptions::default().with_auth_switch().start(),
        MoServerOptions::default().with_old_eof().start(),
    ] {
        let mut client = connect(&server).await;
        let version: Option<String> = client.query_first("select version()").await.unwrap();
        assert_eq!(version.as_deref(), Some("8.0.30-MatrixOne-v3.0.11"));
        let row: Option<(u64, String)> = client
            .query_first("SELECT @@max_allowed_packet, @@version_comment AS c limit 1")
            .await
            .unwrap();
        assert_eq!(row, Some((16_777_216, "MatrixOne".to_owned())));
        let id: Option<u32> = client.query_first("select connection_id()").await.unwrap();
        assert_eq!(id, Some(client.id()));
        let login = server.logins().remove(0);
        assert_eq!(
            (login.account.as_str(), login.user.as_str()),
            ("sys", "dump")
        );
        client
            .query_drop("SET time_zone = '+00:00', NAMES utf8mb4")
            .await
            .unwrap();
        client.ping().await.unwrap();
        assert_eq!(code(client.query_drop("select 1 from t").await), 1064);
        client.disconnect().await.unwrap();
    }
}

#[tokio::test]
async fn login_and_backup_need_permission() {
    let server = MoServerOptions::default().with_account("acc1").start();
    for (user, password, expected) in [
        ("dump", "111", 0),
        ("root", "111", 0),
        ("sys:root:moadmin", "111", 0),
        ("dump?role=__MO_OB__", "111", 0),
        ("dump", "112", 1045),
        ("dump", "", 1045),
        ("somebody", "111", 1045),
        ("acc2#admin", "111", 1045),
    ] {
        let result = Conn::new(options(&server, user, password)).await;
        assert_eq!(code(result), expected, "{user}");
    }
    let options = options(&server, "acc1:admin:accountadmin", "111");
    let mut client = Conn::new(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(code(client.query_drop(backup_sql(&folder)).await), 20101);
    assert!(server.backups().is_empty());
}

#[tokio::test]
async fn a_full_and_an_incremental_backup_make_a_chain() {
    for (version, backend) in [
        (MoVersion::V3_0_11, Backend::Disk),
        (MoVersion::V4_2, Backend::DiskV2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let cluster = ClusterOptions {
            backend,
            objects: 40,
            ..ClusterOptions::default()
        };
        let server = MoServerOptions::default()
            .with_version(version)
            .with_cluster(cluster)
            .start();
        let mut client = connect(&server).await;
        let path = |name: &str| folder.path().join(name);
        let first = path("full-01942b54-0000-7000-8000-000000000001");
        client.query_drop(full_sql(&first)).await.unwrap();
        assert_eq!(client.affected_rows(), 0);
        let Outcome::Done(summary) = server.backups()[0].outcome.clone() else {
            unreachable!("it is done");
        };
        server.cluster().rewrite(5);
        let second = path("incremental-01942b54-0000-7000-8000-000000000002");
        let (second, base) = (second.display(), summary.backup_ts);
        let sql = format!(
            "BACKUP 'x' FILESYSTEM '{second}' PARALLELISM '4' TYPE 'incremental' TIMESTAMP '{base}';"
        );
        client.query_drop(sql).await.unwrap();
        assert_eq!(server.backups()[1].base, Some(base));
        if let Some((good, text)) = verify(folder.path()) {
            assert!(good && text.contains("type=incremental"), "{text}");
        }
        // A second run into the same folder is refused.
        assert_eq!(code(client.query_drop(full_sql(&first)).await), 20406);
    }
}

#[tokio::test]
async fn each_release_has_its_grammar() {
    let folder = tempfile::tempdir().unwrap();
    let server = MoServer::start();
    let mut client = connect(&server).await;
    let path = folder.path().display().to_string();
    let plain = format!("backup 'x' filesystem '{path}/a'");
    let parallel = format!("BACKUP 'x' FILESYSTEM '{path}/b' PARALLELISM '0'");
    let typed = format!("BACKUP \"x\" FILESYSTEM \"{path}/c\" PARALLELISM '1' TYPE 'full'");
    let s3 = "BACKUP 'x' S3OPTION {'endpoint'='disk','bucket'='b','parallelism'='9'}";
    let cases = [
        (MoVersion::V1_0, [0, 1064, 1064, 20300]),
        (MoVersion::V1_1_3, [1064, 0, 1064, 0]),
        (MoVersion::V3_0_11, [1064, 0, 0, 0]),
    ];
    for (number, (version, expected)) in cases.into_iter().enumerate() {
        server.set_version(version);
        for (sql, expected) in [&plain, &parallel, &typed, s3].into_iter().zip(expected) {
            let sql = sql.replace(&path, &format!("{path}/{number}"));
            let sql = sql.replace("'b','p", &format!("'{path}/{number}/d','p"));
            assert_eq!(
                code(client.query_drop(&sql).await),
                expected,
                "{version} {sql}"
            );
        }
    }
    let wrong = [
        ("BACKUP x FILESYSTEM '/y' PARALLELISM '1'", 1064),
        ("BACKUP 'x' FILESYSTEM '/y' PARALLELISM 1", 1064),
        (
            "BACKUP 'x' FILESYSTEM '/y' PARALLELISM '1' TIMESTAMP '1-1' TYPE 'full'",
            1064,
        ),
        ("BACKUP 'x' S3OPTION {}", 1064),
        ("BACKUP 'x' S3OPTION {'bucket'='b',}", 1064),
        ("BACKUP DATABASE db TO '/y'", 1064),
        ("BACKUP 'x' FILESYSTEM '/y' PARALLELISM ''", 1105),
        ("BACKUP 'x' FILESYSTEM '/y' PARALLELISM '65536'", 1105),
        ("BACKUP 'x' FILESYSTEM '/y z' PARALLELISM '1'", 20411),
        (
            "BACKUP 'x' FILESYSTEM '/y' PARALLELISM '1' TIMESTAMP 'yesterday'",
            1105,
        ),
        (
            "BACKUP 'x' S3OPTION {'endpoint'='disk','bukket'='b'}",
            20300,
        ),
        (
            "BACKUP 'x' S3OPTION {'endpoint'='http://h','bucket'='b'}",
            20101,
        ),
    ];
    for (sql, expected) in wrong {
        assert_eq!(code(client.query_drop(sql).await), expected, "{sql}");
    }
    let panic = client.query_drop(wrong[9].0).await.unwrap_err().to_string();
    assert!(
        panic.contains("panic format of ts must be physical-logical"),
        "{panic}"
    );
}

#[tokio::test]
async fn backups_to_s3_go_to_the_test_writer() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&written);
    let server = MoServerOptions::default()
        .with_s3(move |place| -> Box<dyn Target> {
            let (seen, place) = (Arc::clone(&seen), place.clone());
            Box::new(Callback(move |name: &str, _: &[u8]| {
                let mut seen = seen.lock().unwrap();
                if place.bucket != "b" || place.secret_access_key != "SK" {
                    return Err(Error::from(ErrorKind::PermissionDenied));
                }
                seen.push(place.key(name));
                Ok(())
            }))
        })
        .start();
    let mut client = connect(&server).await;
    let sql = "BACKUP 'x' S3OPTION {'endpoint'='http://127.0.0.1:9','access_key_id'='AK',\
               'secret_access_key'='SK','bucket'='b','filepath'='/r/full-1','is_minio'='true'} TYPE 'full'";
    client.query_drop(sql).await.unwrap();
    let names = written.lock().unwrap().clone();
    assert_eq!(names.last().unwrap(), "r/full-1/mo_meta.sha256");
    let logged = server.statements().pop().unwrap();
    assert!(
        !logged.text.contains("AK") && !logged.text.contains("'SK'"),
        "{}",
        logged.text
    );
    assert_eq!(
        code(client.query_drop(sql.replace("SK", "no")).await),
        20101
    );
}

#[tokio::test]
async fn protection_is_acquired_and_released() {
    let server = MoServer::start();
    let mut client = connect(&server).await;
    let add = "select mo_ctl('dn','DiskCleaner','add_checker.backup.1735893768313706438-1')";
    let remove = "select mo_ctl('dn','DiskCleaner','remove_checker.backup.')";
    let answer: Option<String> = client.query_first(add).await.unwrap();
    assert!(answer.unwrap().contains("OK"));
    assert_eq!(server.protection().unwrap(), "backup.1735893768313706438-1");
    client.query_drop(remove).await.unwrap();
    assert_eq!(server.protection(), None);
    server.set_version(MoVersion::V2_1);
    assert_eq!(code(client.query_drop(add).await), 20101);
}
