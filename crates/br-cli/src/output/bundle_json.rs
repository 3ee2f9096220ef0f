//! JSON output of the bundle commands: `docs/json.md` describes the shapes.
//!
//! Invariant: values of secrets are never printed, only their paths.

use std::path::Path;

use br_archive::{
    BundleDiff, Change, Finding, ImportReport, Inspection, MemberDifference, MemberPath,
    WriteReport, to_hex,
};
use br_core::engine::backup::BackupReport;
use br_emqx::config::{ChangeKind, DifferenceKind};
use br_emqx::table::{TableChanges, TableReport};
use br_emqx::table_sets;
use serde::Serialize;

use super::bundle::import_order;
use super::format;
use super::json::BackupJson;

/// The result of `export`.
#[derive(Debug, Serialize)]
pub(crate) struct ExportJson {
    path: String,
    name: String,
    members: u64,
    bytes: u64,
    bytes_stored: u64,
    sha256: String,
    left_out: u64,
    changed: Vec<String>,
    duration_seconds: f64,
}

impl ExportJson {
    pub(crate) fn new(report: &WriteReport, left_out: u64, seconds: f64) -> Self {
        Self {
            path: format::path(&report.path),
            name: report.name.directory().to_owned(),
            members: report.members,
            bytes: report.bytes,
            bytes_stored: report.stored_bytes,
            sha256: to_hex(&report.sha256),
            left_out,
            changed: report.changed.iter().map(ToString::to_string).collect(),
            duration_seconds: format::round_seconds(seconds),
        }
    }
}

/// The changes that `import` makes in a folder.
#[derive(Debug, Serialize)]
pub(crate) struct ImportJson<'a> {
    bundle: &'a str,
    edition: &'a str,
    version: &'a str,
    into: String,
    dry_run: bool,
    changes: Vec<ChangeJson<'a>>,
    warnings: Vec<FindingJson<'a>>,
    duration_seconds: f64,
}

impl<'a> ImportJson<'a> {
    pub(crate) fn new(report: &'a ImportReport, into: &Path, dry_run: bool, seconds: f64) -> Self {
        Self {
            bundle: report.inspection.name.directory(),
            edition: &report.inspection.meta.edition,
            version: &report.inspection.meta.version,
            into: format::path(into),
            dry_run,
            changes: import_order(&report.changes)
                .into_iter()
                .map(ChangeJson::from)
                .collect(),
            warnings: findings(&report.inspection.warnings),
            duration_seconds: format::round_seconds(seconds),
        }
    }
}

#[derive(Debug, Serialize)]
struct ChangeJson<'a> {
    path: &'a str,
    action: &'static str,
    size: u64,
    records: Option<RecordsJson<'a>>,
    keys: Option<Vec<KeyJson>>,
}

impl<'a> From<&'a Change> for ChangeJson<'a> {
    fn from(change: &'a Change) -> Self {
        let key = |key: &br_emqx::config::ConfigChange| KeyJson {
            path: key.path.to_string(),
            action: config_action(key.kind),
        };
        Self {
            path: change.path.as_str(),
            action: change.kind.name(),
            size: change.size,
            records: change.table.as_ref().map(RecordsJson::from),
            keys: change
                .config
                .as_ref()
                .map(|keys| keys.iter().map(key).collect()),
        }
    }
}

#[derive(Debug, Serialize)]
struct KeyJson {
    path: String,
    action: &'static str,
}

/// The word for output, also in JSON.
const fn config_action(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Inserted => "insert",
        ChangeKind::Updated => "update",
        ChangeKind::Unchanged => "unchanged",
        ChangeKind::Ignored => "ignored",
    }
}

#[derive(Debug, Serialize)]
struct RecordsJson<'a> {
    inserted: u64,
    updated: u64,
    unchanged: u64,
    only_in_base: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    inserted_keys: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    updated_keys: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    only_in_base_keys: &'a [String],
}

impl<'a> From<&'a TableChanges> for RecordsJson<'a> {
    fn from(table: &'a TableChanges) -> Self {
        Self {
            inserted: table.inserted,
            updated: table.updated,
            unchanged: table.unchanged,
            only_in_base: table.only_in_base,
            inserted_keys: &table.inserted_keys,
            updated_keys: &table.updated_keys,
            only_in_base_keys: &table.only_in_base_keys,
        }
    }
}

#[derive(Debug, Serialize)]
struct FindingJson<'a> {
    member: Option<&'a str>,
    message: &'a str,
    emqx: Option<&'a str>,
}

fn findings(findings: &[Finding]) -> Vec<FindingJson<'_>> {
    let json = |finding| {
        let Finding {
            member, text, emqx, ..
        }: &Finding = finding;
        FindingJson {
            member: member.as_ref().map(MemberPath::as_str),
            message: text,
            emqx: emqx.as_deref(),
        }
    };
    findings.iter().map(json).collect()
}

/// The result of `import` into the repository.
#[derive(Debug, Serialize)]
pub(crate) struct ImportedJson<'a> {
    bundle: &'a str,
    edition: &'a str,
    version: &'a str,
    backup: BackupJson,
    dry_run: bool,
    warnings: Vec<FindingJson<'a>>,
    duration_seconds: f64,
}

impl<'a> ImportedJson<'a> {
    pub(crate) fn new(inspection: &'a Inspection, report: &BackupReport, seconds: f64) -> Self {
        Self {
            bundle: inspection.name.directory(),
            edition: &inspection.meta.edition,
            version: &inspection.meta.version,
            backup: BackupJson::from(&report.backup),
            dry_run: report.dry_run,
            warnings: findings(&inspection.warnings),
            duration_seconds: format::round_seconds(seconds),
        }
    }
}

/// The contents of a bundle.
#[derive(Debug, Serialize)]
pub(crate) struct InspectionJson<'a> {
    bundle: &'a str,
    edition: &'a str,
    version: &'a str,
    sound: bool,
    bytes: u64,
    bytes_stored: u64,
    members: Vec<MemberJson<'a>>,
    tables: Vec<TableJson<'a>>,
    configs: Vec<ConfigJson<'a>>,
    manifest: Option<ManifestJson<'a>>,
    problems: Vec<FindingJson<'a>>,
    warnings: Vec<FindingJson<'a>>,
}

impl<'a> From<&'a Inspection> for InspectionJson<'a> {
    fn from(inspection: &'a Inspection) -> Self {
        let member = |member: &'a br_archive::InspectedMember| MemberJson {
            path: member.path.as_str(),
            size: member.header.size,
            mode: format!("{:04o}", member.header.mode),
            mtime: member.header.mtime,
            sha256: to_hex(&member.sha256),
        };
        Self {
            bundle: inspection.name.directory(),
            edition: &inspection.meta.edition,
            version: &inspection.meta.version,
            sound: inspection.is_sound(),
            bytes: inspection.bytes,
            bytes_stored: inspection.stored_bytes,
            members: inspection.members.iter().map(member).collect(),
            tables: inspection.tables.iter().map(TableJson::from).collect(),
            configs: inspection.configs.iter().map(ConfigJson::from).collect(),
            manifest: inspection.manifest.as_ref().map(ManifestJson::from),
            problems: findings(&inspection.problems),
            warnings: findings(&inspection.warnings),
        }
    }
}

#[derive(Debug, Serialize)]
struct MemberJson<'a> {
    path: &'a str,
    size: u64,
    mode: String,
    mtime: u64,
    sha256: String,
}

#[derive(Debug, Serialize)]
struct TableJson<'a> {
    name: &'a str,
    set: Option<&'static str>,
    rows: u64,
    attributes: Option<&'a [String]>,
    written_unix_micros: Option<i64>,
    node: Option<&'a str>,
    mnesia_version: Option<&'a str>,
    sound: bool,
    problems: Vec<String>,
}

impl<'a> From<&'a TableReport> for TableJson<'a> {
    fn from(table: &'a TableReport) -> Self {
        let header = table.header.as_ref();
        Self {
            name: &table.name,
            set: table_sets::set_of(&table.name),
            rows: table.rows,
            attributes: table.schema.as_ref().map(|schema| &schema.attributes[..]),
            written_unix_micros: header.map(|header| header.written_unix_micros),
            node: header.map(|header| header.node.as_str()),
            mnesia_version: header.map(|header| header.mnesia_version.as_str()),
            sound: table.is_sound(),
            problems: table.problems.iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct ConfigJson<'a> {
    path: &'a str,
    namespace: Option<&'a str>,
    root_keys: &'a [String],
    secrets: Vec<SecretJson>,
}

#[derive(Debug, Serialize)]
struct SecretJson {
    path: String,
    kind: &'static str,
    secret: bool,
}

impl<'a> From<&'a br_archive::ConfigReport> for ConfigJson<'a> {
    fn from(config: &'a br_archive::ConfigReport) -> Self {
        let secret = |secret: &br_emqx::config::Secret| SecretJson {
            path: secret.path.to_string(),
            kind: secret.kind.name(),
            secret: secret.kind.is_secret(),
        };
        Self {
            path: config.path.as_str(),
            namespace: config.namespace.as_deref(),
            root_keys: &config.roots,
            secrets: config.secrets.iter().map(secret).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct ManifestJson<'a> {
    program: &'a str,
    source: &'a str,
    time: String,
    offset_seconds: i32,
    left_out: u64,
    whole: bool,
}

impl<'a> From<&'a br_archive::Manifest> for ManifestJson<'a> {
    fn from(manifest: &'a br_archive::Manifest) -> Self {
        Self {
            program: &manifest.program,
            source: &manifest.source,
            time: manifest.time.to_rfc3339(),
            offset_seconds: manifest.time.offset_seconds(),
            left_out: manifest.left_out,
            whole: manifest.selection.is_all(),
        }
    }
}

/// The differences between two bundles.
#[derive(Debug, Serialize)]
pub(crate) struct BundleDiffJson<'a> {
    from: &'a str,
    to: &'a str,
    members: Vec<MemberDifferenceJson<'a>>,
}

impl<'a> From<&'a BundleDiff> for BundleDiffJson<'a> {
    fn from(diff: &'a BundleDiff) -> Self {
        let member = |member: &'a MemberDifference| MemberDifferenceJson {
            path: member.path.as_str(),
            difference: member.kind.name(),
            records: member.table.as_ref().map(RecordsJson::from),
            keys: member.config.as_ref().map(|config| {
                let keys = config.differences.iter();
                keys.map(|key| DifferenceKeyJson {
                    path: key.path.to_string(),
                    difference: difference(key.kind),
                })
                .collect()
            }),
            note: member.note.as_deref(),
        };
        Self {
            from: diff.first.name.directory(),
            to: diff.second.name.directory(),
            members: diff.members.iter().map(member).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct MemberDifferenceJson<'a> {
    path: &'a str,
    difference: &'static str,
    records: Option<RecordsJson<'a>>,
    keys: Option<Vec<DifferenceKeyJson>>,
    note: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct DifferenceKeyJson {
    path: String,
    difference: &'static str,
}

/// The word for output, also in JSON.
const fn difference(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Added => "added",
        DifferenceKind::Removed => "removed",
        DifferenceKind::Changed => "changed",
    }
}
