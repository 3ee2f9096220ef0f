//! `br init-config`.

use std::os::unix::fs::PermissionsExt as _;

use super::Session;

/// The file with the lines to fill in filled in.
fn filled(text: &str) -> String {
    let line = |line: &str| {
        let is_open = line.contains("FILL IN") && line.starts_with("# ") && line.contains(" = ");
        if is_open {
            line[2..].to_owned()
        } else {
            line.to_owned()
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_preset_works_when_two_lines_are_filled_in() {
    let session = Session::new();
    for secret in ["main", "rabbitmq"] {
        session.write_secret(&format!("{secret}.password"), "secret\n");
    }
    session.write_secret("mysql.cnf", "[client]\n");
    for preset in [
        "files", "mysql", "postgres", "redis", "rabbitmq", "stack", "tinyflow",
    ] {
        let text = session
            .run(["init-config", "--preset", preset])
            .expect(0)
            .stdout;
        let text = text
            .replace("/etc/br/", "./")
            .replace("/srv/backup", "./repository");
        assert!(
            !text.contains("SET") && !text.contains("DATABASE"),
            "{text}"
        );
        session.write_secret("br.toml", &text);
        let check = ["--config", "br.toml", "config", "check"];
        let unfilled = session.run(check).expect(2);
        assert!(unfilled.stdout.contains("location"), "{unfilled}");
        let text = filled(&text);
        session.write_secret("br.toml", &text);
        let output = session.run(check).expect(0);
        assert!(
            output.stdout.contains("no mistakes"),
            "{preset}: {output}\n{text}"
        );
    }
}

#[test]
fn a_file_is_private_and_replaces_nothing() {
    let session = Session::new();
    let words = ["init-config", "--preset", "files", "--to", "br.toml"];
    session.run(words).expect(0);
    let mode = session
        .at("br.toml")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = session.run(words).expect(2);
    assert!(again.stderr.contains("cannot write br.toml"), "{again}");
}
