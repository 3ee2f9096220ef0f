//! The server with injected faults.

use std::time::Duration;

use br_test_matrixone::{Fault, MoServer, MoServerOptions, MoVersion, Outcome, Point};
use mysql_async::prelude::Queryable as _;

use crate::support::{backup_sql, code, connect, full_sql, is_lost, until, verify};

#[tokio::test]
async fn kill_ends_running_backup() {
    let folder = tempfile::tempdir().unwrap();
    let server = MoServer::start();
    server.inject(Fault::Hang(Point::Files(10)));
    let mut client = connect(&server).await;
    let id = client.id();
    let sql = backup_sql(&folder);
    let backup = tokio::spawn(async move { code(client.query_drop(sql).await) });
    until(|| server.waiting() == 1).await;
    let mut other = connect(&server).await;
    other.query_drop(format!("KILL QUERY {id}")).await.unwrap();
    assert_eq!(backup.await.unwrap(), 1317);
    let kills = server.kills();
    assert_eq!((kills[0].connection, kills[0].hit), (u64::from(id), true));
    assert_eq!(server.backups()[0].outcome, Outcome::Refused(1317));
    assert!(!folder.path().join("one/mo_meta").exists());
    assert_eq!(code(other.query_drop("KILL 7").await), 20101);
}

#[tokio::test]
async fn old_releases_continue_to_copy_after_cancellation() {
    for (version, objects) in [(MoVersion::V4_1, true), (MoVersion::V4_2, false)] {
        let folder = tempfile::tempdir().unwrap();
        let server = MoServerOptions::default().with_version(version).start();
        server.inject(Fault::Delay(Point::Files(10), Duration::from_secs(2)));
        let mut client = connect(&server).await;
        let id = client.id();
        let sql = backup_sql(&folder);
        let backup = tokio::spawn(async move { code(client.query_drop(sql).await) });
        until(|| server.waiting() == 1).await;
        let mut other = connect(&server).await;
        other.query_drop(format!("KILL QUERY {id}")).await.unwrap();
        assert_eq!(backup.await.unwrap(), 1317);
        let count = std::fs::read_dir(folder.path().join("one/tae"))
            .unwrap()
            .count();
        assert_eq!(count >= 20, objects, "{version}: {count}");
        assert!(!folder.path().join("one/tae/tae_list").exists());
    }
}

#[tokio::test]
async fn connections_drop_before_within_and_after() {
    let cases = [
        (Fault::Drop(Point::Start), false, Some(Outcome::Dropped)),
        (Fault::Drop(Point::Files(12)), false, Some(Outcome::Dropped)),
        (Fault::Drop(Point::Written), true, Some(Outcome::Dropped)),
        (Fault::DropAndFinish(Point::Files(12)), true, None),
        (
            Fault::Crash(Point::Files(12)),
            false,
            Some(Outcome::Crashed),
        ),
    ];
    for (fault, complete, outcome) in cases {
        let folder = tempfile::tempdir().unwrap();
        let server = MoServer::start();
        server.inject(fault.clone());
        let mut client = connect(&server).await;
        let result = client.query_drop(backup_sql(&folder)).await;
        assert!(is_lost(&result), "{fault:?}: {result:?}");
        until(|| server.running() == 0).await;
        let found = server.backups()[0].outcome.clone();
        match outcome {
            Some(outcome) => assert_eq!(found, outcome),
            None => assert!(matches!(found, Outcome::Done(_)), "{found:?}"),
        }
        let end = folder.path().join("one/mo_meta.sha256");
        assert_eq!(end.exists(), complete, "{fault:?}");
        let litter = std::fs::read_dir(folder.path().join("one")).map_or(0, |items| {
            let names = items.map(|item| item.unwrap().file_name());
            names
                .filter(|name| name.to_string_lossy().starts_with(".tmp."))
                .count()
        });
        assert_eq!(litter == 1, matches!(fault, Fault::Crash(_)), "{fault:?}");
        // The fault has struck, and the server accepts connections again.
        let mut client = connect(&server).await;
        let again = full_sql(&folder.path().join("again"));
        client.query_drop(again).await.unwrap();
    }
}

#[tokio::test]
async fn disconnected_client_ends_its_backup() {
    let folder = tempfile::tempdir().unwrap();
    let server = MoServer::start();
    server.inject(Fault::Hang(Point::Written));
    let mut client = connect(&server).await;
    let sql = backup_sql(&folder);
    let backup = tokio::spawn(async move { client.query_drop(sql).await });
    until(|| server.waiting() == 1).await;
    backup.abort();
    until(|| server.running() == 0).await;
    assert_eq!(server.backups()[0].outcome, Outcome::Dropped);
    until(|| server.connections() == 0).await;
}

#[tokio::test]
async fn injected_errors_and_holes_occur() {
    let folder = tempfile::tempdir().unwrap();
    let server = MoServer::start();
    let mut client = connect(&server).await;
    server.inject(Fault::NotFound(12));
    let result = client.query_drop(full_sql(&folder.path().join("a"))).await;
    let Err(mysql_async::Error::Server(error)) = result else {
        unreachable!("it is refused: {result:?}");
    };
    assert_eq!((error.code, error.state.as_str()), (20405, "HY000"));
    assert!(error.message.starts_with("file 0") && error.message.ends_with(" is not found"));
    for (name, listed, holes) in [("b", false, "holes=0"), ("c", true, "holes=4")] {
        server.inject(Fault::Skip { every: 5, listed });
        let path = folder.path().join(name);
        client.query_drop(full_sql(&path)).await.unwrap();
        if let Some((good, text)) = verify(&path) {
            assert!(good != listed && text.contains(holes), "{text}");
        }
    }
    let why = "internal error: no space left on device";
    server.inject(Fault::Fail {
        at: Point::Files(3),
        code: 20101,
        text: why.to_owned(),
    });
    let result = client.query_drop(full_sql(&folder.path().join("d"))).await;
    assert!(result.unwrap_err().to_string().contains(why));
    assert_eq!(server.statements().last().unwrap().error, Some(20101));
}

#[tokio::test]
async fn backups_run_concurrently_unless_exclusive() {
    for exclusive in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let server = MoServer::start();
        server.set_exclusive(exclusive);
        server.inject(Fault::Hang(Point::Start));
        let mut client = connect(&server).await;
        let (id, sql) = (client.id(), full_sql(&folder.path().join("a")));
        let first = tokio::spawn(async move { client.query_drop(sql).await });
        until(|| server.waiting() == 1).await;
        assert!(server.protection().is_some());
        let mut client = connect(&server).await;
        let second = code(client.query_drop(full_sql(&folder.path().join("b"))).await);
        assert_eq!(second, if exclusive { 20101 } else { 0 });
        // The end of the second removes the protection of the first.
        assert_eq!(server.protection().is_some(), exclusive);
        assert_eq!(server.most_running(), if exclusive { 1 } else { 2 });
        client.query_drop(format!("KILL {id}")).await.unwrap();
        // Not only the statement ends: the connection is also closed, before or after the answer.
        first.await.unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn stopped_server_ends_running_backups() {
    let folder = tempfile::tempdir().unwrap();
    let server = MoServer::start();
    server.inject(Fault::Hang(Point::Files(3)));
    let mut client = connect(&server).await;
    let idle = connect(&server).await;
    let sql = backup_sql(&folder);
    let backup = tokio::spawn(async move { client.query_drop(sql).await });
    until(|| server.waiting() == 1).await;
    let address = server.address();
    drop(server);
    assert!(is_lost(&backup.await.unwrap()));
    assert!(std::net::TcpStream::connect(address).is_err());
    drop(idle);
}
