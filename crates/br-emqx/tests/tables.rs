//! Tests of tables in EMQX bundles: read, refuse, inspect, compare and merge.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{self, Cursor, Read};

use br_emqx::disk_log::{LogDamage, LogError, LogReader, LogWriter, MAX_ITEM_BYTES};
use br_emqx::table::{
    AtomStyle, MAX_PROBLEMS, MergeError, TableChanges, TableError, TableKind, TableProblem,
    TableReader, compare, inspect, merge,
};
use br_emqx::term::{Float, Term, TermError, decode, encode};

const TABLE: &str = "emqx_banned";

fn atoms(names: &[&str]) -> Term {
    Term::List(names.iter().map(|name| Term::atom(name)).collect())
}

fn pair(name: &str, value: Term) -> Term {
    Term::Tuple(vec![Term::atom(name), value])
}

fn header_of(kind: &str, version: &str) -> Term {
    let time = [1686, 238_470, 403_771].map(Term::Integer).to_vec();
    Term::Tuple(vec![
        Term::atom("log_header"),
        Term::atom(kind),
        Term::string(version),
        Term::string("4.21.2"),
        Term::atom("emqx@127.0.0.1"),
        Term::Tuple(time),
    ])
}

fn header() -> Term {
    header_of("backup_log", "1.2")
}

fn schema_of(name: &str, kind: &str, attributes: &[&str]) -> Term {
    let properties = vec![
        pair("name", Term::atom(name)),
        pair("type", Term::atom(kind)),
        pair("record_name", Term::atom("banned")),
        pair("attributes", atoms(attributes)),
    ];
    Term::Tuple(vec![
        Term::atom("schema"),
        Term::atom(name),
        Term::List(properties),
    ])
}

fn schema(kind: &str) -> Term {
    schema_of(TABLE, kind, &["who", "by"])
}

fn record(key: Term, value: &str) -> Term {
    Term::Tuple(vec![Term::atom(TABLE), key, Term::binary(value)])
}

fn row(key: &str, value: &str) -> Term {
    record(Term::binary(key), value)
}

fn log(items: &[Term]) -> Vec<u8> {
    let mut writer = LogWriter::new(Vec::new()).unwrap();
    for item in items {
        writer.write_item(&encode(item)).unwrap();
    }
    writer.finish().unwrap()
}

fn table_of(kind: &str, records: &[Term]) -> Vec<u8> {
    log(&[&[header(), schema(kind)], records].concat())
}

fn table(records: &[Term]) -> Vec<u8> {
    table_of("set", records)
}

fn problems(bytes: &[u8]) -> Vec<TableProblem> {
    inspect(TABLE, bytes).unwrap().problems
}

fn rows_of(bytes: &[u8]) -> Vec<Term> {
    let mut log = LogReader::new(bytes).unwrap();
    let mut rows = Vec::new();
    while let Some(item) = log.next_item().unwrap() {
        rows.push(decode(item.bytes).unwrap());
    }
    rows.split_off(2)
}

/// The first error of the strict reader.
fn refusal(bytes: &[u8]) -> Option<TableProblem> {
    let all = || -> Result<(), TableError> {
        let mut reader = TableReader::open(TABLE, bytes)?;
        while reader.next_record()?.is_some() {}
        Ok(())
    };
    match all() {
        Ok(()) => None,
        Err(TableError::Problem(problem)) => Some(problem),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_table_is_read() {
    let bytes = table_of("ordered_set", &[row("a", "1"), row("b", "2")]);
    let mut reader = TableReader::open(TABLE, bytes.as_slice()).unwrap();
    assert!(reader.is_closed());
    assert_eq!(reader.header().version, "1.2");
    assert_eq!(reader.header().mnesia_version, "4.21.2");
    assert_eq!(reader.header().node, "emqx@127.0.0.1");
    assert_eq!(reader.header().written_unix_micros, 1_686_238_470_403_771);
    assert_eq!(reader.schema().kind, TableKind::OrderedSet);
    assert_eq!(reader.schema().attributes, ["who", "by"]);
    assert_eq!(reader.schema().record_name, "banned");
    let first = reader.next_record().unwrap().unwrap();
    assert_eq!(first.key, Term::binary("a"));
    assert_eq!(first.values, [Term::binary("1")]);
    assert_eq!(first.bytes, encode(&row("a", "1")));
    assert!(reader.next_record().unwrap().is_some());
    assert!(reader.next_record().unwrap().is_none());

    let report = inspect(TABLE, bytes.as_slice()).unwrap();
    assert!(report.is_sound() && report.is_closed);
    assert_eq!(report.rows, 2);
    assert_eq!(report.problems, []);
    assert_eq!(report.atoms, Some(AtomStyle::Utf8));
    assert_eq!(report.schema.as_ref(), Some(reader.schema()));
}

#[test]
fn latin1_atoms_show_an_older_erlang() {
    let mut writer = LogWriter::new(Vec::new()).unwrap();
    let mut item = encode(&header());
    item.splice(3..5, [100, 0, 10]);
    assert_eq!(decode(&item).unwrap(), header());
    writer.write_item(&item).unwrap();
    writer.write_item(&encode(&schema("bag"))).unwrap();
    let report = inspect(TABLE, writer.finish().unwrap().as_slice()).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.atoms, Some(AtomStyle::Latin1));
}

#[test]
fn every_problem_is_named() {
    let good = [header(), schema("set"), row("a", "1")];
    let with = |item: Term| log(&[&good[..], &[item, row("z", "9")]].concat());
    let offset = log(&good).len() as u64;
    let other = |fields: &[&str]| Term::Tuple(fields.iter().map(|name| Term::atom(name)).collect());
    let after_good = [
        (with(schema("set")), TableProblem::SeveralSchemas { offset }),
        (
            with(schema_of("emqx_admin", "set", &["a", "b"])),
            TableProblem::UnexpectedTable {
                table: "emqx_admin".into(),
            },
        ),
        (
            with(other(&["schema", "emqx_admin"])),
            TableProblem::DeletesTable {
                offset,
                table: "emqx_admin".into(),
            },
        ),
        (
            with(other(&[TABLE, "key"])),
            TableProblem::DeletesRecord { offset },
        ),
        (
            with(other(&["emqx_admin", "key", "secret"])),
            TableProblem::ForeignRecord {
                offset,
                table: "emqx_admin".into(),
                arity: 3,
            },
        ),
        (
            with(other(&[TABLE, "a", "b", "c"])),
            TableProblem::Arity {
                offset,
                arity: 4,
                expected: 3,
            },
        ),
        (with(Term::Integer(1)), TableProblem::NotARecord { offset }),
        (
            with(Term::Tuple(vec![])),
            TableProblem::NotARecord { offset },
        ),
    ];
    for (bytes, problem) in after_good {
        assert_eq!(refusal(&bytes).as_ref(), Some(&problem));
        let report = inspect(TABLE, bytes.as_slice()).unwrap();
        assert_eq!((report.rows, report.is_sound()), (2, false), "{problem}");
        assert_eq!(report.problems, [problem]);
    }
}

#[test]
fn problems_before_the_records_are_named() {
    let good = [header(), schema("set"), row("a", "1")];
    let both = |bytes: &[u8], problem: TableProblem| {
        assert_eq!(refusal(bytes).as_ref(), Some(&problem));
        assert_eq!(problems(bytes).first(), Some(&problem));
    };
    both(b"corrupted", LogDamage::NotALog.into());
    both(b"", LogDamage::NotALog.into());
    both(&log(&[]), TableProblem::MissingHeader);
    both(&log(&good[1..]), TableProblem::MissingHeader);
    both(&log(&good[..1]), TableProblem::NoSchema);
    both(&log(&[header(), row("a", "1")]), TableProblem::NoSchema);
    both(
        &log(&[header_of("decision_log", "1.2"), schema("set")]),
        TableProblem::HeaderKind {
            kind: "decision_log".into(),
        },
    );
    both(
        &log(&[header_of("backup_log", "1.9"), schema("set")]),
        TableProblem::Version {
            version: "1.9".into(),
        },
    );
    let second = log(&[header()]).len() as u64;
    both(
        &log(&[header(), schema_of(TABLE, "heap", &["a", "b"])]),
        TableProblem::Schema {
            offset: second,
            property: "type",
        },
    );
    both(
        &log(&[header(), schema_of(TABLE, "set", &["a"])]),
        TableProblem::Schema {
            offset: second,
            property: "attributes",
        },
    );
}

#[test]
fn a_broken_term_does_not_end_the_inspection() {
    let mut writer = LogWriter::new(Vec::new()).unwrap();
    for item in [
        encode(&header()),
        encode(&schema("set")),
        vec![131, 82],
        encode(&row("a", "1")),
    ] {
        writer.write_item(&item).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let offset = log(&[header(), schema("set")]).len() as u64;
    let problem = TableProblem::Term {
        offset,
        error: TermError::Tag(82),
    };
    assert_eq!(
        problem.to_string(),
        format!("a term has the unknown tag 82, at offset {offset}")
    );
    assert_eq!(refusal(&bytes), Some(problem.clone()));
    let report = inspect(TABLE, bytes.as_slice()).unwrap();
    assert_eq!((report.rows, report.problems), (1, vec![problem]));
}

#[test]
fn problems_are_counted_and_the_first_ones_kept() {
    let report = inspect(TABLE, table(&vec![Term::Integer(1); 100]).as_slice()).unwrap();
    assert_eq!(
        (report.problem_count, report.problems.len()),
        (100, MAX_PROBLEMS)
    );
}

#[test]
fn problems_have_the_names_of_emqx_and_show_no_values() {
    let message = |problem: TableProblem| problem.emqx_message(TABLE, "data/backup/x/mnesia/t");
    assert_eq!(
        message(LogDamage::NotALog.into()).unwrap(),
        r#"{not_a_log_file,"data/backup/x/mnesia/t"}"#
    );
    assert_eq!(
        message(TableProblem::UnexpectedTable {
            table: "Admin".into()
        })
        .unwrap(),
        "{unexpected_table,'Admin'}"
    );
    assert_eq!(
        message(TableProblem::ForeignRecord {
            offset: 9,
            table: "x".into(),
            arity: 3
        })
        .unwrap(),
        "{bad_backup_record,emqx_banned,{x,_,_}}"
    );
    assert_eq!(
        message(TableProblem::MissingHeader).unwrap(),
        r#""Missing header. Cannot be used as backup.""#
    );
    assert_eq!(message(TableProblem::DeletesRecord { offset: 9 }), None);
}

#[test]
fn a_log_that_was_not_closed_is_a_warning_until_it_is_torn() {
    let mut bytes = table(&[row("a", "1"), row("b", "2")]);
    bytes[4..8].copy_from_slice(&[6, 7, 8, 9]);
    assert_eq!(refusal(&bytes), None);
    let report = inspect(TABLE, bytes.as_slice()).unwrap();
    assert_eq!(
        (report.rows, report.is_closed, report.is_sound()),
        (2, false, true)
    );
    assert_eq!(report.problems, [TableProblem::NotClosed]);

    bytes.pop();
    let offset = table(&[row("a", "1")]).len() as u64;
    let torn = TableProblem::from(LogDamage::TornTail { offset });
    assert_eq!(refusal(&bytes), Some(torn.clone()));
    assert_eq!(problems(&bytes), [TableProblem::NotClosed, torn]);
    bytes[4..8].copy_from_slice(&[99, 88, 77, 11]);
    assert_eq!(
        refusal(&bytes),
        Some(LogDamage::Truncated { offset }.into())
    );
}

#[test]
fn large_items_have_a_checksum_of_their_size() {
    let sized = |len: usize| {
        let item = row("big", &"x".repeat(len - encode(&row("big", "")).len()));
        assert_eq!(encode(&item).len(), len);
        item
    };
    let (below, above) = (sized(65_527), sized(65_528));
    let small = table(std::slice::from_ref(&below));
    let large = table(std::slice::from_ref(&above));
    assert_eq!(large.len(), small.len() + 17);
    assert_eq!(rows_of(&small), [below]);
    assert_eq!(rows_of(&large), [above]);
    let offset = table(&[]).len();
    let mut damaged = large;
    damaged[offset + 8] ^= 1;
    let checksum = LogDamage::SizeChecksum {
        offset: offset as u64,
    };
    assert_eq!(refusal(&damaged), Some(checksum.into()));
}

#[test]
fn items_of_older_logs_have_no_checksum() {
    let item = encode(&row("a", &"x".repeat(70_000)));
    let mut bytes = table(&[]);
    bytes.extend((item.len() as u32).to_be_bytes());
    bytes.extend([12, 33, 44, 55]);
    bytes.extend(&item);
    assert_eq!(refusal(&bytes), None);
    assert_eq!(inspect(TABLE, bytes.as_slice()).unwrap().rows, 1);
    // A merge rewrites the log.
    let mut out = Vec::new();
    merge(TABLE, bytes.as_slice(), Cursor::new(table(&[])), &mut out).unwrap();
    assert_eq!(rows_of(&out), [decode(&item).unwrap()]);
}

#[test]
fn claimed_sizes_allocate_nothing() {
    let claim = |size: u32, magic: [u8; 4]| {
        let mut bytes = log(&[]);
        bytes.extend(size.to_be_bytes());
        bytes.extend(magic);
        match LogReader::new(bytes.as_slice()).unwrap().next_item() {
            Err(LogError::Damage(damage)) => damage,
            other => panic!("{other:?}"),
        }
    };
    let old = [12, 33, 44, 55];
    let offset = 8;
    assert_eq!(
        claim(u32::MAX, old),
        LogDamage::TooLarge {
            offset,
            size: u32::MAX
        }
    );
    assert_eq!(claim(MAX_ITEM_BYTES, old), LogDamage::Truncated { offset });
    assert_eq!(claim(100, *b"bWLA"), LogDamage::Truncated { offset });
    assert_eq!(claim(100, *b"bWLB"), LogDamage::ItemMagic { offset });
    let error = LogWriter::new(io::sink())
        .unwrap()
        .write_item(&vec![0; MAX_ITEM_BYTES as usize + 1]);
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn hostile_bytes_give_a_report_or_an_error() {
    let map = Term::map(vec![(Term::atom("k"), Term::Integer(1 << 40))]).unwrap();
    let bytes = table(&[record(map, "1"), row("b", "2")]);
    let mut sound = 0;
    let mut look = |bytes: &[u8]| {
        let report = inspect(TABLE, bytes).unwrap();
        assert_eq!(refusal(bytes).is_none(), report.is_sound(), "{report:?}");
        sound += usize::from(report.is_sound());
        for problem in &report.problems {
            assert!(!problem.to_string().is_empty());
            let _ = problem.emqx_message(TABLE, "f");
        }
        let mut out = Vec::new();
        let _ = merge(TABLE, bytes, Cursor::new(bytes), &mut out);
    };
    for len in 0..bytes.len() {
        look(&bytes[..len]);
    }
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            look(&bytes);
        }
    }
    assert!(sound > 3, "a truncation between items cannot be detected");
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("gone"))
    }
}

#[test]
fn read_errors_are_not_table_problems() {
    let bytes = table(&[row("a", "1")]);
    for len in [0, 4, 8, 20, bytes.len()] {
        let input = || bytes[..len].chain(Failing);
        assert_eq!(
            inspect(TABLE, input()).unwrap_err().kind(),
            io::ErrorKind::Other
        );
        let error = compare(TABLE, bytes.as_slice(), input(), 0).unwrap_err();
        assert!(
            matches!(error, MergeError::Incoming(TableError::Io(_))),
            "{error:?}"
        );
    }
}

/// Merges, and checks that `compare` gives the same counts.
fn merged(base: &[u8], incoming: &[u8]) -> (TableChanges, Vec<u8>) {
    let mut out = Vec::new();
    // Bytes before the table show that the second read starts at the original position.
    let mut input = Cursor::new([b"before".as_slice(), incoming].concat());
    input.set_position(6);
    let changes = merge(TABLE, base, input, &mut out).unwrap();
    assert_eq!(compare(TABLE, base, incoming, 0).unwrap(), changes);
    (changes, out)
}

fn counts(changes: &TableChanges) -> [u64; 4] {
    [
        changes.inserted,
        changes.updated,
        changes.unchanged,
        changes.only_in_base,
    ]
}

#[test]
fn a_merge_updates_by_key_and_keeps_the_rest() {
    let base = table(&[row("a", "1"), row("b", "2"), row("c", "3")]);
    let incoming = table(&[row("d", "4"), row("b", "x"), row("a", "1")]);
    let (changes, out) = merged(&base, &incoming);
    assert_eq!(counts(&changes), [1, 1, 1, 1]);
    assert_eq!(
        rows_of(&out),
        [row("a", "1"), row("c", "3"), row("d", "4"), row("b", "x")]
    );
    // A second merge changes no byte.
    let (changes, again) = merged(&out, &incoming);
    assert_eq!(counts(&changes), [0, 0, 3, 1]);
    assert_eq!(again, out);

    let listed = compare(TABLE, base.as_slice(), incoming.as_slice(), 9).unwrap();
    assert_eq!(listed.inserted_keys, [r#"<<"d">>"#]);
    assert_eq!(listed.updated_keys, [r#"<<"b">>"#]);
    assert_eq!(listed.only_in_base_keys, [r#"<<"c">>"#]);
}

#[test]
fn listed_keys_are_bounded() {
    let many: Vec<Term> = (0..50).map(|n| record(Term::Integer(n), "v")).collect();
    let long = row(&"k".repeat(5000), "v");
    let changes = compare(TABLE, table(&[long]).as_slice(), table(&many).as_slice(), 3).unwrap();
    assert_eq!(counts(&changes), [50, 0, 0, 1]);
    assert_eq!(changes.inserted_keys, ["0", "1", "2"]);
    assert_eq!(changes.only_in_base_keys[0].chars().count(), 201);
    assert!(changes.updated_keys.is_empty());
}

#[test]
fn last_record_with_a_key_counts() {
    let base = table(&[row("a", "1"), row("a", "2"), row("b", "1")]);
    let incoming = table(&[row("a", "3"), row("a", "2"), row("c", "1"), row("c", "2")]);
    let (changes, out) = merged(&base, &incoming);
    assert_eq!(counts(&changes), [1, 0, 1, 1]);
    assert_eq!(rows_of(&out), [row("a", "2"), row("b", "1"), row("c", "2")]);
    // The base contains the incoming record, but a later record of the base replaces it.
    let base = table(&[row("a", "2"), row("a", "1")]);
    let (changes, out) = merged(&base, &table(&[row("a", "2")]));
    assert_eq!(counts(&changes), [0, 1, 0, 0]);
    assert_eq!(rows_of(&out), [row("a", "2")]);
}

#[test]
fn bags_are_merged_by_whole_records() {
    let base = table_of("bag", &[row("a", "1"), row("a", "2")]);
    let incoming = table_of("bag", &[row("a", "2"), row("a", "3"), row("a", "3")]);
    let (changes, out) = merged(&base, &incoming);
    assert_eq!(counts(&changes), [1, 0, 1, 1]);
    assert_eq!(rows_of(&out), [row("a", "1"), row("a", "2"), row("a", "3")]);
}

#[test]
fn ordered_tables_treat_whole_floats_as_integers() {
    let one = record(Term::Integer(1), "old");
    let float = record(Term::Float(Float::new(1.0).unwrap()), "new");
    let merge_as = |kind| {
        let incoming = table_of(kind, std::slice::from_ref(&float));
        rows_of(&merged(&table_of(kind, std::slice::from_ref(&one)), &incoming).1)
    };
    assert_eq!(merge_as("ordered_set"), std::slice::from_ref(&float));
    assert_eq!(merge_as("set"), [one.clone(), float.clone()]);
}

#[test]
fn the_definition_is_that_of_the_base() {
    let base = log(&[header_of("backup_log", "1.1"), schema("set"), row("a", "1")]);
    let (_, out) = merged(&base, &table_of("ordered_set", &[row("b", "2")]));
    let report = inspect(TABLE, out.as_slice()).unwrap();
    assert_eq!(report.header.unwrap().version, "1.1");
    assert_eq!(report.schema.unwrap().kind, TableKind::Set);
    assert_eq!(report.rows, 2);
}

#[test]
fn other_fields_are_refused() {
    let incoming = log(&[header(), schema_of(TABLE, "set", &["who", "why"])]);
    let error = compare(TABLE, table(&[]).as_slice(), incoming.as_slice(), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the table has other fields: who, why instead of who, by"
    );
    assert_eq!(error.emqx_message(), Some("different_table_schema"));
}

#[test]
fn api_keys_with_old_field_name_are_accepted() {
    let app = |field: &str| {
        log(&[
            header(),
            schema_of("emqx_app", "set", &["name", field, "created_at"]),
        ])
    };
    let (old, new) = (app("desc"), app("extra"));
    let fits = |base: &[u8], incoming: &[u8]| compare("emqx_app", base, incoming, 0).is_ok();
    assert!(fits(&new, &old) && fits(&old, &old) && fits(&new, &new));
    assert!(!fits(&old, &new) && !fits(&app("other"), &old));
    // Only for that table.
    let other = |field| log(&[header(), schema_of(TABLE, "set", &["name", field])]);
    assert!(
        compare(
            TABLE,
            other("extra").as_slice(),
            other("desc").as_slice(),
            0
        )
        .is_err()
    );
}

#[test]
fn merge_error_names_the_broken_table() {
    let good = table(&[row("a", "1")]);
    let bad = table(&[Term::Integer(1)]);
    let base = compare(TABLE, bad.as_slice(), good.as_slice(), 0).unwrap_err();
    assert!(
        matches!(base, MergeError::Base(TableError::Problem(_))),
        "{base:?}"
    );
    let incoming = merge(TABLE, good.as_slice(), Cursor::new(bad), io::sink()).unwrap_err();
    assert!(
        matches!(incoming, MergeError::Incoming(TableError::Problem(_))),
        "{incoming:?}"
    );
}
