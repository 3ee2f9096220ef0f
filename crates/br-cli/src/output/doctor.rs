//! The findings of `br doctor`, as text and as JSON.
//!
//! [`Report`] collects them in the order in which they are shown. Invariant: each finding that is not `ok` says how to correct it.

use br_sources::server::{self, Fix, Severity};
use serde::Serialize;

use super::{Output, format};
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;

/// The part of a backup that a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Area {
    /// The configuration files.
    Configuration,
    /// A repository.
    Repository,
    /// Paths, streams and servers that are backed up.
    Source,
    /// The commands of a set, and its backups.
    Set,
    /// This machine.
    Machine,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) area: Area,
    /// The set that it belongs to.
    pub(crate) set: Option<String>,
    /// The part, such as `mysql`, or the location of a repository.
    pub(crate) source: Option<String>,
}

/// Something that br found out.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// One line.
    pub(crate) message: String,
    /// How to correct it, as one line.
    pub(crate) fix: Option<String>,
    /// What an administrator types to correct it.
    pub(crate) statements: Vec<String>,
}

impl Finding {
    /// All is well.
    pub(crate) fn ok(message: impl Into<String>) -> Self {
        Self::new(Severity::Ok, message, None)
    }

    /// Something to improve.
    pub(crate) fn advice(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Severity::Advice, message, Some(fix.into()))
    }

    /// Something that a backup lacks.
    pub(crate) fn warning(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message, Some(fix.into()))
    }

    /// Something that makes a backup fail.
    pub(crate) fn problem(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(Severity::Problem, message, Some(fix.into()))
    }

    /// An error of something that a backup does, too.
    pub(crate) fn of_error(error: &CommandError) -> Self {
        Self::problem(error.reasons(), error.hint.clone())
    }

    fn new(severity: Severity, message: impl Into<String>, fix: Option<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            fix,
            statements: Vec::new(),
        }
    }
}

impl From<server::Finding> for Finding {
    fn from(found: server::Finding) -> Self {
        let (fix, statements) = match found.fix {
            None => (None, Vec::new()),
            Some(Fix::Grant(missing)) => {
                let fix = format!("type {}", missing.place);
                (Some(fix), missing.statements)
            }
            Some(Fix::Advice(text)) => (Some(text), Vec::new()),
            Some(_) => (None, Vec::new()),
        };
        Self {
            severity: found.severity,
            message: found.message,
            fix,
            statements,
        }
    }
}

impl Subject {
    /// A repository.
    pub(crate) fn repository(location: &str) -> Self {
        Self::new(Area::Repository, None, Some(location))
    }

    /// A source of a set, or of the options.
    pub(crate) fn source(set: Option<&str>, source: &str) -> Self {
        Self::new(Area::Source, set, Some(source))
    }

    /// A set.
    pub(crate) fn set(name: &str) -> Self {
        Self::new(Area::Set, Some(name), None)
    }

    /// This machine.
    pub(crate) fn machine() -> Self {
        Self::new(Area::Machine, None, None)
    }

    /// The configuration files.
    pub(crate) fn configuration() -> Self {
        Self::new(Area::Configuration, None, None)
    }

    fn new(area: Area, set: Option<&str>, source: Option<&str>) -> Self {
        Self {
            area,
            set: set.map(str::to_owned),
            source: source.map(str::to_owned),
        }
    }

    fn heading(&self) -> String {
        let part = match (self.area, &self.source) {
            (Area::Configuration, _) => "configuration files".to_owned(),
            (Area::Machine, _) => "this machine".to_owned(),
            (Area::Repository, Some(location)) => format!("repository {location}"),
            (_, Some(source)) => source.clone(),
            (_, None) => String::new(),
        };
        match &self.set {
            None => part,
            Some(set) if part.is_empty() => format!("set {set}"),
            Some(set) => format!("set {set}: {part}"),
        }
    }
}

/// All findings.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(Subject, Vec<Finding>)>);

#[derive(Serialize)]
struct ReportJson<'r> {
    #[serde(rename = "type")]
    kind: &'static str,
    worst: &'static str,
    findings: Vec<FindingJson<'r>>,
}

#[derive(Serialize)]
struct FindingJson<'r> {
    area: Area,
    set: Option<&'r str>,
    source: Option<&'r str>,
    severity: &'static str,
    message: &'r str,
    fix: Option<&'r str>,
    statements: &'r [String],
}

impl Report {
    /// Adds findings about a subject.
    pub(crate) fn add(&mut self, subject: Subject, findings: impl IntoIterator<Item = Finding>) {
        let findings: Vec<Finding> = findings.into_iter().collect();
        if findings.is_empty() {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == subject) {
            Some((_, known)) => known.extend(findings),
            None => self.0.push((subject, findings)),
        }
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter().flat_map(|(_, findings)| findings)
    }

    /// Shows all findings, and returns the exit status.
    pub(crate) fn show(&self, output: &Output) -> CommandResult {
        if output.is_json() {
            output.document(&self.json())?;
        } else {
            self.print(output)?;
        }
        let has_problem = self
            .findings()
            .any(|finding| finding.severity == Severity::Problem);
        Ok(if has_problem {
            ExitStatus::Failure
        } else {
            ExitStatus::Ok
        })
    }

    fn json(&self) -> ReportJson<'_> {
        let worst = self.findings().map(|finding| finding.severity).max();
        let mut findings = Vec::new();
        for (subject, own) in &self.0 {
            findings.extend(own.iter().map(|finding| FindingJson {
                area: subject.area,
                set: subject.set.as_deref(),
                source: subject.source.as_deref(),
                severity: finding.severity.name(),
                message: &finding.message,
                fix: finding.fix.as_deref(),
                statements: &finding.statements,
            }));
        }
        ReportJson {
            kind: "doctor",
            worst: worst.unwrap_or(Severity::Ok).name(),
            findings,
        }
    }

    fn print(&self, output: &Output) -> Result<(), CommandError> {
        let is_quiet = output.console.quiet;
        let is_shown = |finding: &&Finding| !is_quiet || finding.severity >= Severity::Warning;
        let mut lines = output.lines();
        for (subject, findings) in &self.0 {
            let mut shown = findings.iter().filter(is_shown).peekable();
            if shown.peek().is_some() {
                lines.line(&subject.heading())?;
            }
            for finding in shown {
                let severity = finding.severity.name();
                lines.line(&format!("  {severity:<7}  {}", finding.message))?;
                if let Some(fix) = &finding.fix {
                    let colon = if finding.statements.is_empty() {
                        ""
                    } else {
                        ":"
                    };
                    lines.line(&format!("           fix: {fix}{colon}"))?;
                }
                for statement in &finding.statements {
                    lines.line(&format!("             {statement}"))?;
                }
            }
        }
        if !is_quiet {
            lines.line(&self.result())?;
        }
        lines.finish()
    }

    /// The numbers of findings that are not `ok`.
    fn result(&self) -> String {
        let count = |severity| {
            let same = self.findings().filter(|one| one.severity == severity);
            same.count() as u64
        };
        let parts = [
            (Severity::Problem, "problem", "problems"),
            (Severity::Warning, "warning", "warnings"),
            (Severity::Advice, "piece of advice", "pieces of advice"),
        ];
        let parts = parts.map(|(severity, one, many)| (count(severity), one, many));
        let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
        let parts: Vec<String> = parts
            .map(|(count, one, many)| format::counted(count, one, many))
            .collect();
        if parts.is_empty() {
            "all is well".to_owned()
        } else {
            parts.join(", ")
        }
    }
}
