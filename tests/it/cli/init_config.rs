//! `br init-config`.

use std::os::unix::fs::PermissionsExt as _;

use super::Session;

/// The file with the values filled in.
fn filled(text: &str, preset: &str) -> String {
    let value = match preset {
        "mysql" | "postgres" => "all",
        "redis" => "127.0.0.1:6379",
        "rabbitmq" => "http://127.0.0.1:15672",
        _ => "/etc/hostname",
    };
    text.replacen("FILL IN\"", "./repository\"", 1)
        .replace("FILL IN\"", &format!("{value}\""))
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
        let text = text.replace("/etc/br/", "./");
        assert!(
            !text.contains("SET") && !text.contains("DATABASE"),
            "{text}"
        );
        session.write_secret("br.toml", &text);
        let check = ["--config", "br.toml", "config", "check"];
        let unfilled = session.run(check).expect(2);
        let open = text.matches("FILL IN\"").count();
        let named = unfilled.stdout.matches("still says FILL IN").count();
        assert_eq!((open, named), (2, 2), "{preset}: {unfilled}");
        let text = filled(&text, preset);
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
