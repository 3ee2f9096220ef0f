//! Output of the bundle commands for users, in the style of EMQX.
//!
//! Invariant: values of secrets are never printed, only their paths.

use std::path::Path;

use br_archive::{
    Change, Finding, META_PATH, MemberPath, WriteReport, is_config, namespace, table_name,
};
use br_emqx::config::ChangeKind;
use br_emqx::table::TableChanges;
use br_emqx::table_sets;

use super::format;

/// The result of `export`, in the words of EMQX's manual.
pub(crate) fn exported_lines(report: &WriteReport) -> Vec<String> {
    let path = format::path(&report.path);
    let files = format::counted(report.members, "file", "files");
    let (bytes, stored) = (
        format::size(report.bytes),
        format::size(report.stored_bytes),
    );
    vec![
        format!("Data has been successfully exported to {path}."),
        format!("{files}, {bytes} in {stored}"),
    ]
}

/// Progress of an export or an import, line by line: a heading once, then EMQX's lines.
#[derive(Debug, Clone)]
pub(crate) struct Narration {
    verb: &'static str,
    has_tables: bool,
    has_files: bool,
}

impl Narration {
    /// For an export.
    pub(crate) const fn exporting() -> Self {
        Self::new("Exporting")
    }

    /// For an import.
    pub(crate) const fn importing() -> Self {
        Self::new("Importing")
    }

    const fn new(verb: &'static str) -> Self {
        Self {
            verb,
            has_tables: false,
            has_files: false,
        }
    }

    /// The first line.
    pub(crate) fn begin(&self, bundle: &Path) -> String {
        let direction = if self.verb == "Exporting" {
            "to"
        } else {
            "from"
        };
        format!(
            "{} data {direction} \"{}\"...",
            self.verb,
            format::path(bundle)
        )
    }

    /// The lines for a member.
    pub(crate) fn member(&mut self, path: &MemberPath) -> Vec<String> {
        let verb = self.verb;
        if let Some(table) = table_name(path) {
            let mut lines = Vec::new();
            if !std::mem::replace(&mut self.has_tables, true) {
                lines.push(format!("{verb} built-in database..."));
            }
            let table = format::text(table);
            lines.push(format!("{verb} {table} database table..."));
            return lines;
        }
        match namespace(path) {
            Some(namespace) => {
                let namespace = format::text(namespace);
                vec![format!(
                    "{verb} cluster configuration for namespace {namespace}..."
                )]
            }
            None if path.as_str() == META_PATH => Vec::new(),
            None if is_config(path) => vec![format!("{verb} cluster configuration...")],
            None if std::mem::replace(&mut self.has_files, true) => Vec::new(),
            None => vec![format!("{verb} additional files...")],
        }
    }
}

/// The order in which EMQX imports: configurations, then tables from back to front.
pub(crate) fn import_order(changes: &[Change]) -> Vec<&Change> {
    let mut order: Vec<_> = changes.iter().collect();
    order.sort_by_key(|change| {
        let table = table_name(&change.path);
        let place = table.and_then(table_sets::export_order);
        let place = place.map_or(0, |place| usize::MAX - place);
        (
            table.is_some(),
            !is_config(&change.path),
            place,
            change.path.as_str(),
        )
    });
    order
}

/// The change of a file in a few words: `3 records: 1 inserted, 2 unchanged, 5 kept`.
pub(crate) fn details(change: &Change) -> String {
    if let Some(table) = &change.table {
        return records(table, "kept");
    }
    let Some(config) = &change.config else {
        return format::size(change.size);
    };
    let count = |kind| config.iter().filter(|change| change.kind == kind).count() as u64;
    parts(
        "keys",
        &[
            (count(ChangeKind::Inserted), "inserted"),
            (count(ChangeKind::Updated), "updated"),
            (count(ChangeKind::Unchanged), "unchanged"),
            (count(ChangeKind::Ignored), "ignored by EMQX"),
        ],
    )
}

/// The changes of the records of a table. `others` says what happens to those that only the base has.
pub(crate) fn records(table: &TableChanges, others: &str) -> String {
    parts(
        "records",
        &[
            (table.inserted, "inserted"),
            (table.updated, "updated"),
            (table.unchanged, "unchanged"),
            (table.only_in_base, others),
        ],
    )
}

fn parts(what: &str, counts: &[(u64, &str)]) -> String {
    let parts = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts
        .map(|(count, word)| format!("{} {word}", format::count(*count)))
        .collect();
    if parts.is_empty() {
        format!("no {what}")
    } else {
        format!("{what}: {}", parts.join(", "))
    }
}

/// A finding on one line.
pub(crate) fn finding(finding: &Finding) -> String {
    let text = match &finding.member {
        Some(member) => format!("{}: {}", format::text(member.as_str()), finding.text),
        None => finding.text.clone(),
    };
    match &finding.emqx {
        Some(emqx) => format::text(&format!("{text} ({emqx})")),
        None => format::text(&text),
    }
}
