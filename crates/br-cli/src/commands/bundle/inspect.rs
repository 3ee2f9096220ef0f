//! `br bundle inspect`: shows the contents of a bundle.

use std::path::PathBuf;

use br_archive::{ConfigReport, Inspection, inspect};
use br_emqx::table::TableReport;
use br_emqx::table_sets;
use clap::Args;
use jiff::Timestamp;

use crate::bundles::{self, CODES, LimitArgs, NodeArgs};
use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::bundle::finding;
use crate::output::bundle_json::InspectionJson;
use crate::output::{Lines, Table, format};

const EXAMPLES: &str = "\
  br bundle inspect emqx-export-2023-06-19-15-14-19.947.tar.gz
  br bundle inspect br-export-2026-11-20-08-13-00.250.tar.gz -v   # every file, and where secrets are
  br bundle inspect emqx-export-*.tar.gz --json | jq '.tables[] | {name, rows}'";

/// Show the contents of a bundle
///
/// For EMQX bundles, this also shows tables and their records, the keys of the configuration, where secrets and certificates
/// are (never their values), and what EMQX would skip without a message.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(super) struct InspectArgs {
    /// Bundle file, with its original name
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    node: NodeArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) async fn run(args: InspectArgs, context: &CommandContext) -> CommandResult {
    let (file, limits, node) = (args.file, args.limits.limits(), args.node.node());
    let inspection = bundles::run(context, move |progress| {
        inspect(&file, &limits, node.as_ref(), progress)
    })
    .await?;
    let output = &context.output;
    if output.is_json() {
        output.document(&InspectionJson::from(&inspection))?;
        return Ok(ExitStatus::Ok);
    }
    output.fields(&fields(&inspection, output.is_verbose()))?;
    let mut lines = output.lines();
    if output.is_verbose() {
        files(&inspection, &mut lines)?;
        places(&inspection.configs, &mut lines)?;
    }
    if !inspection.tables.is_empty() {
        lines.line("")?;
        tables(&inspection.tables, &mut lines)?;
    }
    let found = inspection.problems.iter().map(|found| ("problem", found));
    let found = found.chain(inspection.warnings.iter().map(|found| ("warning", found)));
    for (at, (label, found)) in found.enumerate() {
        if at == 0 {
            lines.line("")?;
        }
        lines.line(&format!("{label}: {}", finding(found)))?;
    }
    lines.finish()?;
    Ok(ExitStatus::Ok)
}

fn fields(inspection: &Inspection, verbose: bool) -> Vec<(&'static str, String)> {
    let files = format::counted(inspection.members.len() as u64, "file", "files");
    let (bytes, stored) = (
        format::size(inspection.bytes),
        format::size(inspection.stored_bytes),
    );
    let mut out = vec![
        ("bundle", format::text(inspection.name.directory())),
        ("edition", format::text(&inspection.meta.edition)),
        ("version", format::text(&inspection.meta.version)),
        ("content", format!("{files}, {bytes} in {stored}")),
    ];
    if let Some(manifest) = &inspection.manifest {
        out.push(("made", made(manifest)));
        if !manifest.source.is_empty() {
            out.push(("source", format::text(&manifest.source)));
        }
        if !manifest.selection.is_all() {
            out.push(("part", "only a part of the source was exported".to_owned()));
        }
        if manifest.left_out > 0 {
            let count = format::counted(manifest.left_out, "thing", "things");
            out.push(("left out", format!("{count} of the source")));
        }
    }
    for config in &inspection.configs {
        let roots = config.roots.iter().map(|root| format::text(root));
        out.push((label(config), roots.collect::<Vec<_>>().join(", ")));
    }
    if inspection.is_emqx {
        out.push(("secrets", secrets(&inspection.configs, verbose)));
        let sensitive = sensitive(&inspection.tables);
        if !sensitive.is_empty() {
            out.push(("credentials", sensitive));
        }
    }
    out
}

fn label(config: &ConfigReport) -> &'static str {
    match config.namespace {
        None => "root keys",
        Some(_) => "namespace keys",
    }
}

fn made(manifest: &br_archive::Manifest) -> String {
    let time = Timestamp::from_millisecond(manifest.time.unix_millis());
    let time = time.map_or_else(|_| manifest.time.to_rfc3339(), format::local_time);
    format!("{time} by {}", format::text(&manifest.program))
}

/// The number of secrets.
fn secrets(configs: &[ConfigReport], verbose: bool) -> String {
    let all = || configs.iter().flat_map(|config| &config.secrets);
    let secrets = all().filter(|secret| secret.kind.is_secret()).count() as u64;
    let certificates = all().count() as u64 - secrets;
    if secrets + certificates == 0 {
        return "none found in the configuration".to_owned();
    }
    let secrets = format::counted(secrets, "secret", "secrets");
    let certificates = format::counted(certificates, "certificate", "certificates");
    let hint = if verbose { "" } else { " (-v shows where)" };
    format!("{secrets} and {certificates} in plain text{hint}")
}

/// The tables that hold credentials.
fn sensitive(tables: &[TableReport]) -> String {
    let holds = |table: &&TableReport| {
        let set = table_sets::set_of(&table.name);
        table.rows > 0
            && set.is_some_and(|set| {
                table_sets::is_sensitive(set) || matches!(set, "builtin_authn" | "psk")
            })
    };
    let names = tables.iter().filter(holds);
    let names: Vec<_> = names.map(|table| format::text(&table.name)).collect();
    names.join(", ")
}

fn tables(reports: &[TableReport], lines: &mut Lines) -> Result<(), CommandError> {
    let mut table = Table::new(
        &["TABLE", "SET", "RECORDS", "WRITTEN", "NODE"],
        &["RECORDS"],
    );
    for report in reports {
        let header = report.header.as_ref();
        let written = header.and_then(|header| {
            let time = Timestamp::from_microsecond(header.written_unix_micros);
            time.ok().map(format::local_time)
        });
        table.row(vec![
            format::text(&report.name),
            table_sets::set_of(&report.name).unwrap_or("-").to_owned(),
            match header {
                _ if !report.is_sound() => "damaged".to_owned(),
                Some(_) => format::count(report.rows),
                None => "-".to_owned(),
            },
            written.unwrap_or_else(|| "-".to_owned()),
            header.map_or_else(|| "-".to_owned(), |header| format::text(&header.node)),
        ]);
    }
    lines.table(table, None, &[])
}

fn files(inspection: &Inspection, lines: &mut Lines) -> Result<(), CommandError> {
    lines.line("")?;
    let mut table = Table::new(&["SIZE", "CHANGED", "PATH"], &["SIZE"]);
    for member in &inspection.members {
        let seconds = i64::try_from(member.header.mtime).unwrap_or(0);
        let time = Timestamp::from_second(seconds).map(format::local_time);
        table.row(vec![
            format::size(member.header.size),
            time.unwrap_or_else(|_| "-".to_owned()),
            format::text(member.path.as_str()),
        ]);
    }
    lines.table(table, None, &[])
}

fn places(configs: &[ConfigReport], lines: &mut Lines) -> Result<(), CommandError> {
    let all = configs
        .iter()
        .flat_map(|config| config.secrets.iter().map(move |secret| (config, secret)));
    for (at, (config, secret)) in all.enumerate() {
        if at == 0 {
            lines.line("")?;
        }
        let file = format::text(config.path.as_str());
        let path = format::text(&secret.path.to_string());
        lines.line(&format!("{}: {file} {path}", secret.kind.name()))?;
    }
    Ok(())
}
