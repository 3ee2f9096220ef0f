//! Which backups stay and which are deleted, for users and as JSON.

use br_core::ShortIds;
use br_core::model::retention::{
    Anomaly, GroupKey, KeepReason, RetentionDecision, RetentionGroup, RetentionPlan,
};
use br_core::model::{BackupId, escape};
use serde::Serialize;

use super::json::BackupJson;
use super::{Output, Table, format};
use crate::error::CommandError;

/// Columns to shorten on a narrow terminal, and their minimum width.
const SHRINK: [(&str, usize); 1] = [("WHY", 10)];

/// Prints a table for each group.
pub(crate) fn print(
    plan: &RetentionPlan,
    dry_run: bool,
    output: &Output,
) -> Result<(), CommandError> {
    let short = ShortIds::new(plan.decisions().map(|decision| decision.backup.id));
    let width = output.terminal_width().filter(|_| !output.is_verbose());
    let mut lines = output.lines();
    for (at, group) in plan.groups.iter().enumerate() {
        if at > 0 {
            lines.line("")?;
        }
        lines.line(&group_name(&group.key))?;
        let table = table(group, &short, dry_run, output.is_verbose());
        lines.table(table, width, &SHRINK)?;
    }
    let going = plan.removed().count() as u64;
    let (kept, going) = (
        plan.kept() as u64,
        format::counted(going, "backup", "backups"),
    );
    let verb = if dry_run {
        "would be deleted"
    } else {
        "to delete"
    };
    lines.line(&format!("\n{} kept, {going} {verb}", format::count(kept)))?;
    lines.finish()
}

fn table(group: &RetentionGroup, short: &ShortIds, dry_run: bool, full: bool) -> Table {
    let headings = ["", "ID", "TIME", "SIZE", "WHY"];
    let mut table = Table::new(&headings, &["SIZE"]);
    let goes = if dry_run { "would delete" } else { "delete" };
    for decision in &group.decisions {
        let backup = &decision.backup;
        table.row(vec![
            if decision.is_kept() { "keep" } else { goes }.to_owned(),
            if full {
                backup.id.to_string()
            } else {
                short.get(backup.id)
            },
            format::local_time(backup.started),
            format::size(backup.totals.bytes),
            why(decision),
        ]);
    }
    table
}

fn why(decision: &RetentionDecision) -> String {
    if !decision.is_kept() {
        return "no rule keeps it".to_owned();
    }
    let reasons: Vec<String> = decision.reasons.iter().map(reason).collect();
    let state = if decision.backup.damaged.is_some() {
        " (damaged)"
    } else if decision.backup.is_complete() {
        ""
    } else {
        " (incomplete)"
    };
    format!("{}{state}", reasons.join(", "))
}

fn reason(reason: &KeepReason) -> String {
    match reason {
        KeepReason::Last => "last".to_owned(),
        KeepReason::Every(period, label) => format!("{} {label}", period.name()),
        KeepReason::Oldest(period) => format!("oldest for {}", period.name()),
        KeepReason::Within(span) => format!("within {span}"),
        KeepReason::Tags(tags) => format!("tag {}", format::text(&tags.join(","))),
        KeepReason::Id => "named by --keep-id".to_owned(),
        KeepReason::Minimum => "minimum".to_owned(),
        KeepReason::Pinned => "pinned".to_owned(),
        KeepReason::Newest => "newest".to_owned(),
        KeepReason::LastComplete => "newest complete".to_owned(),
        KeepReason::LastProven => "newest verified".to_owned(),
        KeepReason::InFuture => "dated in the future".to_owned(),
        KeepReason::UnclearTime => "unclear time".to_owned(),
        KeepReason::Damage => "repository is damaged".to_owned(),
        KeepReason::Anomaly => "newest backup looks wrong".to_owned(),
        _ => "kept".to_owned(),
    }
}

/// What is wrong with the newest backup of a group, after "it has".
pub(crate) fn anomaly_text(anomaly: &Anomaly) -> String {
    let files = |number| format::counted(number, "file", "files");
    match anomaly {
        Anomaly::Empty { usual } => format!("no data; {} are usual", format::size(*usual)),
        Anomaly::FewBytes { bytes, usual } => {
            let (bytes, usual) = (format::size(*bytes), format::size(*usual));
            format!("{bytes}; {usual} are usual")
        }
        Anomaly::FewFiles { files: few, usual } => {
            format!("{}; {} are usual", files(*few), format::count(*usual))
        }
        other => other.to_string(),
    }
}

/// `host web1, paths /etc /home, files`.
pub(crate) fn group_name(key: &GroupKey) -> String {
    let mut parts = Vec::new();
    parts.extend(
        key.host
            .as_ref()
            .map(|host| format!("host {}", format::text(host))),
    );
    if let Some(paths) = &key.paths {
        let paths: Vec<Vec<u8>> = paths.iter().cloned().collect();
        parts.push(format!("paths {}", format::paths(&paths)));
    }
    parts.extend(key.origin.as_ref().map(|origin| format::text(origin)));
    if let Some(tags) = &key.tags {
        let names: Vec<_> = tags.iter().map(|tag| format::text(tag)).collect();
        parts.push(if tags.is_empty() {
            "no tags".to_owned()
        } else {
            format!("tags {}", names.join(","))
        });
    }
    if parts.is_empty() {
        "all backups".to_owned()
    } else {
        parts.join(", ")
    }
}

/// The result of `forget`.
#[derive(Debug, Serialize)]
pub(crate) struct ForgetJson {
    dry_run: bool,
    groups: Vec<GroupJson>,
    deleted: Vec<String>,
    bytes_freed: Option<u64>,
}

#[derive(Debug, Serialize)]
struct GroupJson {
    host: Option<String>,
    paths: Option<Vec<String>>,
    origin: Option<String>,
    tags: Option<Vec<String>>,
    anomaly: Option<String>,
    backups: Vec<DecisionJson>,
}

#[derive(Debug, Serialize)]
struct DecisionJson {
    keep: bool,
    reasons: Vec<ReasonJson>,
    backup: BackupJson,
}

#[derive(Debug, Serialize)]
struct ReasonJson {
    rule: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<String>,
}

impl ForgetJson {
    pub(crate) fn new(
        plan: &RetentionPlan,
        dry_run: bool,
        deleted: &[BackupId],
        bytes_freed: Option<u64>,
    ) -> Self {
        Self {
            dry_run,
            groups: plan.groups.iter().map(GroupJson::from).collect(),
            deleted: deleted.iter().map(BackupId::to_string).collect(),
            bytes_freed,
        }
    }
}

impl From<&RetentionGroup> for GroupJson {
    fn from(group: &RetentionGroup) -> Self {
        let key = &group.key;
        let paths = |paths: &std::collections::BTreeSet<Vec<u8>>| {
            paths.iter().map(|path| escape(path)).collect()
        };
        Self {
            host: key.host.clone(),
            paths: key.paths.as_ref().map(paths),
            origin: key.origin.clone(),
            tags: key.tags.as_ref().map(|tags| tags.iter().cloned().collect()),
            anomaly: group.anomaly.map(|anomaly| anomaly.to_string()),
            backups: group.decisions.iter().map(DecisionJson::from).collect(),
        }
    }
}

impl From<&RetentionDecision> for DecisionJson {
    fn from(decision: &RetentionDecision) -> Self {
        Self {
            keep: decision.is_kept(),
            reasons: decision.reasons.iter().map(ReasonJson::from).collect(),
            backup: BackupJson::from(&decision.backup),
        }
    }
}

impl From<&KeepReason> for ReasonJson {
    fn from(reason: &KeepReason) -> Self {
        Self {
            rule: reason.name(),
            period: reason.period(),
        }
    }
}
