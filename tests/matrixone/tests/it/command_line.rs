//! The server with the command line client.

use std::process::Command;

use br_test_matrixone::{Fault, MoServer, MoServerOptions, Point};

use crate::support::{backup_sql, full_sql, skip};

/// Runs the command line client of MySQL or MariaDB; `None` if none is installed.
fn mysql(server: &MoServer, password: &str, sql: &str) -> Option<(bool, String)> {
    let mut names = ["mysql", "mariadb"].into_iter();
    let port = format!("--port={}", server.port());
    let password = format!("--password={password}");
    let output = names.find_map(|name| {
        let mut client = Command::new(name);
        client.args(["--no-defaults", "-h127.0.0.1", "-udump", &port, &password]);
        client.args(["--batch", "--skip-column-names", "-e", sql]);
        client.output().ok()
    })?;
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    Some((output.status.success(), text))
}

#[test]
fn the_command_line_client_works() {
    let folder = tempfile::tempdir().unwrap();
    for server in [
        MoServer::start(),
        MoServerOptions::default().with_auth_switch().start(),
        MoServerOptions::default().with_old_eof().start(),
    ] {
        let Some((good, text)) = mysql(&server, "111", "select version(), 1 as a") else {
            skip("there is no mysql");
            return;
        };
        assert!(good && text == "8.0.30-MatrixOne-v3.0.11\t1\n", "{text}");
        let login = server.logins().remove(0);
        assert!(login.accepted && login.attributes.contains_key("_client_name"));
        let (good, text) = mysql(&server, "112", "select 1").unwrap();
        assert!(!good && text.contains("ERROR 1045 (28000)"), "{text}");
        let path = folder.path().join(server.port().to_string());
        let (good, text) = mysql(&server, "111", &full_sql(&path)).unwrap();
        assert!(good && text.is_empty(), "{text}");
        assert!(path.join("mo_meta.sha256").exists());
        let (good, text) = mysql(&server, "111", &full_sql(&path)).unwrap();
        assert!(!good && text.contains("ERROR 20406 (HY000)"), "{text}");
        server.inject(Fault::Drop(Point::Files(5)));
        let (good, text) = mysql(&server, "111", &backup_sql(&folder)).unwrap();
        assert!(!good && text.contains("ERROR 2013"), "{text}");
        std::fs::remove_dir_all(folder.path().join("one")).unwrap();
    }
}
