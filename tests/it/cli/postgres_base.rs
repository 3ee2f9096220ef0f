//! `br backup --postgres-base`, with a real PostgreSQL.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use br_testkit::{BrCmd, Postgres};

use super::postgres::{make_bank, with_transfers};
use super::{Session, json};

const BACKUP: [&str; 2] = ["backup", "--postgres-base"];

/// A br that finds the server.
fn br_for(session: &Session, server: &Postgres) -> BrCmd {
    let folder = server.folder().display().to_string();
    session
        .br
        .clone()
        .env("PGHOST", &folder)
        .env("PGUSER", "postgres")
}

/// A server that is started from the latest backup, after `pg_verifybackup` accepted it.
fn restored(session: &Session) -> Postgres {
    let server = Postgres::start_from(|data| {
        let target = data.display().to_string();
        let words = ["restore", "latest:postgres-base", "--target", &target];
        session.run(words).expect(0);
        verify(data);
    });
    server.unwrap()
}

/// What PostgreSQL itself says about a restored folder.
fn verify(data: &Path) {
    let verify = Postgres::program("pg_verifybackup").unwrap();
    let output = Command::new(verify).arg(data).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mode = |path: &str| fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("base"), 0o700);
    assert_eq!(mode("PG_VERSION"), 0o600);
    for empty in ["pg_notify", "pg_replslot", "pg_tblspc", "pg_stat_tmp"] {
        assert_eq!(mode(empty), 0o700, "{empty}");
        assert!(fs::read_dir(data.join(empty)).unwrap().next().is_none());
    }
    assert!(data.join("backup_label").exists());
    // pg_basebackup makes up an owner for this file.
    let owner = |path: &str| fs::metadata(data.join(path)).unwrap().uid();
    assert_eq!(owner("backup_manifest"), owner("PG_VERSION"));
}

/// Money moves between accounts all the time, and the sum never changes. It must be right in every restored copy.
#[test]
fn a_server_starts_from_a_backup_that_was_made_under_writes() {
    let Some(server) = Postgres::start() else {
        return;
    };
    make_bank(&server);
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    let rounds = with_transfers(&server, || {
        for _ in 0..3 {
            br.run(BACKUP).expect(0);
            let copy = restored(&session);
            let sum = "SELECT sum(amount) FROM (SELECT * FROM one UNION ALL SELECT * FROM two) a";
            assert_eq!(copy.sql("bank", sum), "4000000\n");
            copy.sql(
                "bank",
                "INSERT INTO one VALUES (0, 0); CREATE TABLE more (id int)",
            );
        }
    });
    assert!(rounds > 10);
    let shown = session.run(["show", "latest"]).expect(0).stdout;
    for part in [
        "postgres-base, by pg_basebackup",
        "PostgreSQL 1",
        "timeline 1, 0/",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn a_small_change_stores_little() {
    let Some(server) = Postgres::start() else {
        return;
    };
    server.sql(
        "postgres",
        "CREATE TABLE item (id int, text text); INSERT INTO item SELECT n, md5(n::text) || md5((-n)::text) FROM generate_series(1, 200000) n",
    );
    // Otherwise the first look at a row writes into its page that it is visible.
    for settle in ["VACUUM (FREEZE, ANALYZE)", "CHECKPOINT"] {
        server.sql("postgres", settle);
    }
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    let back_up = || {
        let output = br.run(["backup", "--postgres-base", "--json"]).expect(0);
        let backup = json(&output.stdout)["backup"].clone();
        let number = |key: &str| backup[key].as_u64().unwrap();
        (
            number("bytes_read"),
            number("bytes_stored"),
            number("files_unchanged"),
            number("files_new"),
        )
    };
    let (read, first, ..) = back_up();
    assert!(read > 40 << 20 && first > 5 << 20, "{read} {first}");
    server.sql(
        "postgres",
        "UPDATE item SET text = 'changed' WHERE id = 100000",
    );
    let (read, second, unchanged, new) = back_up();
    println!("{first} {second} {unchanged} {new}");
    assert!(read > 40 << 20, "{read}");
    assert!(second < first / 20, "{first} {second}");
    assert!(unchanged > 900 && new < 10, "{unchanged} {new}");
    restored(&session);
}

/// The members of an archive: their names, and where header and content are.
fn members(archive: &[u8]) -> Vec<(String, usize, usize, usize)> {
    let text = |bytes: &[u8]| {
        let end = bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(bytes.len());
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    };
    let (mut at, mut all) = (0, Vec::new());
    while archive[at] != 0 {
        let len = usize::from_str_radix(text(&archive[at + 124..at + 136]).trim(), 8).unwrap();
        let end = at + 512 + len.next_multiple_of(512);
        all.push((text(&archive[at..at + 100]), at, at + 512, end));
        at = end;
    }
    all
}

fn without(archive: &[u8], name: &str) -> Vec<u8> {
    let all = members(archive);
    let (_, from, _, to) = all.iter().find(|(one, ..)| one.starts_with(name)).unwrap();
    [&archive[..*from], &archive[*to..]].concat()
}

fn flipped(archive: &[u8], name: &str, at: usize) -> Vec<u8> {
    let all = members(archive);
    let (_, _, from, _) = all.iter().find(|(one, ..)| one.starts_with(name)).unwrap();
    let mut archive = archive.to_vec();
    archive[from + at] ^= 1;
    archive
}

/// A stream and how its program ends, and what br must say of it.
type Damage = (Vec<u8>, &'static str, &'static str);

const OK: &str = "exit 0";

/// Every way in which a stream can be incomplete.
fn damages(archive: &[u8]) -> Vec<Damage> {
    let all = members(archive);
    let mut names = all.iter().rev().map(|(name, ..)| name);
    let wal = names.find(|name| name.starts_with("pg_wal/0")).unwrap();
    let manifest_at = all.last().unwrap().1;
    let cut = |len: usize| archive[..len].to_vec();
    let flip = |name: &str| flipped(archive, name, 100);
    let drop = |name: &str| without(archive, name);
    let twice = [&archive[..512 * 2], archive].concat();
    let longer = [archive, b"more"].concat();
    let lost = "echo lost >&2; exit 1";
    vec![
        (
            flip("global/pg_control"),
            OK,
            "global/pg_control does not have the SHA-256",
        ),
        (flip("backup_manifest"), OK, "backup_manifest"),
        (
            drop("base/1/PG_VERSION"),
            OK,
            "base/1/PG_VERSION is missing",
        ),
        (drop("backup_manifest"), OK, "there is no backup_manifest"),
        (drop(wal), OK, "the backup needs timeline 1, 0/"),
        (cut(archive.len() / 2), OK, "instead of"),
        (cut(manifest_at), OK, "there is no backup_manifest"),
        (cut(manifest_at + 5_000), OK, "backup_manifest"),
        (cut(0), OK, "it is empty"),
        (b"no archive at all".repeat(100), OK, "not accepted"),
        (twice, OK, "backup_label occurs twice"),
        (longer, OK, "something follows the archive"),
        (
            archive.to_vec(),
            lost,
            "pg_basebackup failed with exit code 1: lost",
        ),
        (cut(archive.len() / 2), "exit 4", "failed with exit code 4"),
        (
            cut(100_000),
            "kill -9 $$",
            "pg_basebackup was ended by signal 9",
        ),
    ]
}

/// Writes a `pg_basebackup` that writes this stream, and ends so.
fn fake(session: &Session, archive: &[u8], end: &str) {
    let tools = session.at("tools");
    fs::create_dir_all(&tools).unwrap();
    fs::write(session.at("stream"), archive).unwrap();
    let stream = session.at("stream").display().to_string();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in --version) echo 'pg_basebackup (PostgreSQL) 99';; *) cat '{stream}'; {end};; esac\n"
    );
    let program = tools.join("pg_basebackup");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_damaged_stream_never_becomes_a_backup() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let session = Session::with_repository();
    let options = [
        "--pgdata=-",
        "--format=tar",
        "--wal-method=fetch",
        "--manifest-checksums=SHA256",
        "--checkpoint=fast",
    ];
    let mut program = server.client("pg_basebackup");
    let archive = program.args(options).output().unwrap();
    assert!(archive.status.success(), "{archive:?}");
    let archive = archive.stdout;
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", session.at("tools").display());
    let br = br_for(&session, &server).env("PATH", &path);
    for (damaged, end, reason) in damages(&archive) {
        fake(&session, &damaged, end);
        let output = br.run(BACKUP).expect(1);
        assert!(output.stderr.contains(reason), "{reason}: {output}");
        assert!(output.stderr.contains("nothing was backed up"), "{output}");
        assert!(session.run(["list", "--quiet"]).expect(0).stdout.is_empty());
    }
    // Next to files, the backup has everything else.
    fake(&session, &without(&archive, "base/1/PG_VERSION"), OK);
    let both = ["backup", "docs", "--postgres-base"];
    let partial = br.run(both).expect(3);
    let reason = "base/1/PG_VERSION is missing";
    assert!(partial.stderr.contains(reason), "{partial}");
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    assert!(
        listed.contains("docs/a.txt") && !listed.contains("postgres-base"),
        "{listed}"
    );
    // What is not damaged is accepted, and what was stored before is used.
    fake(&session, &archive, OK);
    br.run(both).expect(0);
    restored(&session);
}

#[test]
fn the_program_runs_through_another_one_and_with_a_service() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let session = Session::with_repository();
    let through = ["backup", "--postgres-base", "--postgres-through", "env X=1"];
    br_for(&session, &server).run(through).expect(0);
    let folder = server.folder().display();
    session.write("services", format!("[own]\nhost={folder}\nuser=postgres\n"));
    let services = session.at("services").display().to_string();
    let service = ["backup", "--postgres-base", "--postgres-service", "own"];
    let br = session.br.clone().env("PGSERVICEFILE", &services);
    br.run(service).expect(0);
    br.run(BACKUP).expect(1);
    // Dumps of the same server may be in the same backup.
    let both = ["--postgres", "all"];
    br.run(service.iter().chain(&both)).expect(0);
    let listed = session.run(["ls", "latest"]).expect(0).stdout;
    for part in ["postgres/postgres.dump", "postgres-base/PG_VERSION"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    restored(&session);
}

/// Lets the server read its configuration again, which it does soon after.
fn reload(server: &Postgres) {
    server.sql("postgres", "SELECT pg_reload_conf()");
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn what_a_server_lacks_is_named_with_its_fix() {
    let Some(server) = Postgres::start() else {
        return;
    };
    server.sql("postgres", "CREATE ROLE \"the reader\" LOGIN");
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    let reader = br.clone().env("PGUSER", "the reader");
    let fix = "ALTER ROLE \"the reader\" REPLICATION;";
    let denied = reader.run(BACKUP).expect(1);
    assert!(denied.stderr.contains(fix), "{denied}");
    let words = ["doctor", "--postgres-base", "--json"];
    let found = reader.run(words).expect(1);
    let text = found.stdout.replace("\\\"", "\"");
    assert!(text.contains(fix), "{found}");
    server.sql("postgres", fix);
    let found = reader.run(words).expect(0);
    assert!(found.stdout.contains("may copy the server"), "{found}");
    assert!(found.stdout.contains("wal_keep_size"), "{found}");
    reader.run(BACKUP).expect(0);
    // No line in pg_hba.conf.
    let hba = server.folder().join("data/pg_hba.conf");
    let lines = fs::read_to_string(&hba).unwrap();
    fs::write(&hba, lines.replace("replication", "nothing")).unwrap();
    reload(&server);
    let refused = br.run(BACKUP).expect(1);
    assert!(refused.stderr.contains("replication postgres"), "{refused}");
    br.run(words).expect(1);
    fs::write(&hba, lines).unwrap();
    reload(&server);
    // Tablespaces.
    let space = server.folder().join("space").display().to_string();
    let make = format!("COPY (SELECT 1) TO PROGRAM 'mkdir -p {space}'");
    server.sql("postgres", &make);
    let create = format!("CREATE TABLESPACE other LOCATION '{space}'");
    server.sql("postgres", &create);
    let refused = br.run(BACKUP).expect(1);
    assert!(refused.stderr.contains("tablespaces (other)"), "{refused}");
    assert!(refused.stderr.contains("use --postgres"), "{refused}");
    server.sql("postgres", "DROP TABLESPACE other");
    // An old program.
    let tools = session.at("tools");
    fs::create_dir(&tools).unwrap();
    let script = |name: &str, text: &str| {
        fs::write(tools.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    script("pg_basebackup", "echo 'pg_basebackup (PostgreSQL) 9.6'");
    script(
        "psql",
        "case \"$*\" in *unnest*) printf '99.0\\n990000\\nhere\\nme\\ntrue\\nreplica\\n10\\n0\\n\\n';; *) echo 990000;; esac",
    );
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let newer = br.clone().env("PATH", &path).run(BACKUP).expect(1);
    assert!(newer.stderr.contains("postgresql-client-99"), "{newer}");
    script("psql", "echo 120000");
    let older = br.env("PATH", &path).run(BACKUP).expect(1);
    assert!(older.stderr.contains("use --postgres"), "{older}");
}

#[test]
fn a_set_has_a_base_backup_and_its_plan_names_the_way_back() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let session = Session::with_repository();
    let set = "[repositories.main]\nlocation = \"./repository\"\n[sets.shop]\nrepository = \"main\"\npaths = [\"docs\"]\n";
    session.write_secret("br.toml", format!("{set}postgres-base = true\n"));
    let br = br_for(&session, &server);
    let run = |words: &[&str]| br.run(["--config", "br.toml"].iter().chain(words));
    run(&["run", "shop"]).expect(0);
    let plan = run(&["restore", "latest", "--plan"]).expect(0);
    for part in ["by hand", ":postgres-base --target DIR"] {
        assert!(plan.stderr.contains(part), "{part}: {plan}");
    }
    assert!(!plan.stderr.contains("does not name it"), "{plan}");
    // The application must not start without it.
    for (words, code, part) in [
        (&["--execute", "--yes"][..], 2, "restore it first"),
        (
            &["--execute", "--yes", "--only", "postgres-base"],
            2,
            "by hand",
        ),
        (&["--execute", "--yes", "--only", "files"], 0, ""),
    ] {
        let words = [&["restore", "latest"], words].concat();
        let output = run(&words).expect(code);
        assert!(output.stderr.contains(part), "{output}");
    }
    // A backup from before the key was added lacks this part.
    session.write_secret("br.toml", format!("{set}postgres-base = false\n"));
    run(&["run", "shop"]).expect(0);
    session.write_secret("br.toml", format!("{set}postgres-base = true\n"));
    let plan = run(&["restore", "latest", "--plan"]).expect(0);
    assert!(
        plan.stderr.contains("does not have postgres-base"),
        "{plan}"
    );
}

#[test]
fn what_the_server_leaves_out_makes_no_backup() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    br.run(BACKUP).expect(0);
    let data = server.folder().join("data");
    let (file, away) = (
        data.join("postgresql.auto.conf"),
        server.folder().join("away"),
    );
    fs::rename(&file, &away).unwrap();
    symlink(&away, &file).unwrap();
    let output = br.run(BACKUP).expect(1);
    for part in ["behind a link", "postgresql.auto.conf"] {
        assert!(output.stderr.contains(part), "{output}");
    }
}

#[test]
fn a_tablespace_that_is_made_during_the_backup_makes_no_backup() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let session = Session::with_repository();
    let space = server.folder().join("space").display().to_string();
    let make = format!("COPY (SELECT 1) TO PROGRAM 'mkdir -p {space}'");
    server.sql("postgres", &make);
    let real = Postgres::program("pg_basebackup").unwrap();
    let psql = Postgres::program("psql").unwrap();
    session.write(
        "then",
        format!(
            "#!/bin/sh\ncase \"$1\" in *pg_basebackup) ;; *) exec \"$@\";; esac\ncase \"$*\" in *--version*) exec \"$@\";; esac\n\
             shift; '{real}' \"$@\" && '{psql}' -qc \"CREATE TABLESPACE late LOCATION '{space}'\" postgres\n"
        ),
    );
    let then = session.at("then");
    fs::set_permissions(&then, fs::Permissions::from_mode(0o755)).unwrap();
    let through = then.display().to_string();
    let words = ["backup", "--postgres-base", "--postgres-through", &through];
    let output = br_for(&session, &server).run(words).expect(1);
    assert!(output.stderr.contains("tablespaces (late)"), "{output}");
}

#[test]
fn a_data_folder_is_restored_only_into_an_empty_folder() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let session = Session::with_repository();
    let br = br_for(&session, &server);
    let both = ["backup", "docs", "--postgres-base"];
    br.run(both).expect(0);
    let restore = |words: &[&str]| session.br.run(["restore"].iter().chain(words));
    let folder = ["latest:postgres-base", "--target", "new"];
    restore(&folder).expect(0);
    let refused = restore(&folder).expect(2);
    assert!(refused.stderr.contains("not empty"), "{refused}");
    session.write("new/other", "x");
    let replaced = restore(&[&folder[..], &["--delete"]].concat());
    replaced.expect(0);
    assert!(!session.at("new/other").exists());
    session.write("new/postmaster.pid", "1");
    let used = restore(&[&folder[..], &["--delete"]].concat()).expect(1);
    assert!(used.stderr.contains("a PostgreSQL server runs"), "{used}");
    // The same in a restore of everything, and not in one of other paths.
    let all = ["latest", "--target", "all"];
    restore(&all).expect(0);
    let again = restore(&all).expect(2);
    assert!(again.stderr.contains("all/postgres-base"), "{again}");
    restore(&["latest", "docs", "--target", "all"]).expect(0);
    // No other stream may be there.
    for name in ["postgres-base/zz", "docs.sql/x"] {
        let stream = format!("{name}=echo x");
        let words = ["--stream", "docs.sql=echo y", "--stream", &stream];
        let below = br.run(BACKUP.iter().chain(&words)).expect(2);
        assert!(below.stderr.contains("is below the stream"), "{below}");
    }
}
