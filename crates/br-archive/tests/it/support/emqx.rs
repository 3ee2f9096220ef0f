//! Tables as EMQX exports them.

use br_emqx::disk_log::{LogReader, LogWriter};
use br_emqx::term::{Term, decode, encode};

fn pair(name: &str, value: Term) -> Term {
    Term::Tuple(vec![Term::atom(name), value])
}

fn atoms(names: &[&str]) -> Term {
    Term::List(names.iter().map(|name| Term::atom(name)).collect())
}

pub(crate) fn header() -> Term {
    let time = [1686, 238_470, 403_771].map(Term::Integer).to_vec();
    Term::Tuple(vec![
        Term::atom("log_header"),
        Term::atom("backup_log"),
        Term::string("1.2"),
        Term::string("4.21.2"),
        Term::atom("emqx@127.0.0.1"),
        Term::Tuple(time),
    ])
}

pub(crate) fn schema(table: &str, attributes: &[&str]) -> Term {
    let properties = vec![
        pair("name", Term::atom(table)),
        pair("type", Term::atom("set")),
        pair("record_name", Term::atom(table)),
        pair("attributes", atoms(attributes)),
    ];
    Term::Tuple(vec![
        Term::atom("schema"),
        Term::atom(table),
        Term::List(properties),
    ])
}

pub(crate) fn row(table: &str, key: &str, value: &str) -> Term {
    Term::Tuple(vec![
        Term::atom(table),
        Term::binary(key),
        Term::binary(value),
    ])
}

pub(crate) fn log(items: &[Term]) -> Vec<u8> {
    let mut writer = LogWriter::new(Vec::new()).unwrap();
    for item in items {
        writer.write_item(&encode(item)).unwrap();
    }
    writer.finish().unwrap()
}

/// A table with these records.
pub(crate) fn table(name: &str, rows: &[(&str, &str)]) -> Vec<u8> {
    let mut items = vec![header(), schema(name, &["key", "value"])];
    items.extend(rows.iter().map(|(key, value)| row(name, key, value)));
    log(&items)
}

/// The records of a table, as text, sorted.
pub(crate) fn rows(bytes: &[u8]) -> Vec<String> {
    let mut log = LogReader::new(bytes).unwrap();
    let mut out = Vec::new();
    while let Some(item) = log.next_item().unwrap() {
        out.push(decode(item.bytes).unwrap().to_string());
    }
    let mut rows = out.split_off(2);
    rows.sort();
    rows
}
