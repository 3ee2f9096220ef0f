//! `br storage`: tests a store; needs no repository.

use br_core::{Capabilities, ErrorKind, Location, Speed, Storage, Traffic};
use clap::{Args, Subcommand};

use crate::context::CommandContext;
use crate::error::{CommandError, CommandResult};
use crate::exit_code::ExitStatus;
use crate::help::{examples, exit_codes};
use crate::output::format;
use crate::output::probe::{ProbeJson, Verdict};
use crate::storage::StoreLocation;

/// Number of objects of each size that the speed test writes and reads.
const ROUNDS: usize = 8;
/// Size of the larger objects.
const LEN: usize = 4 << 20;

const EXAMPLES: &str = "\
  br storage probe s3://bucket/folder
  br storage probe s3://bucket --endpoint https://minio.example:9000 --profile minio
  br storage probe /mnt/nfs --quick";

const CODES: &[ExitStatus] = &[
    ExitStatus::Ok,
    ExitStatus::Failure,
    ExitStatus::Usage,
    ExitStatus::RepositoryNotFound,
    ExitStatus::AccessDenied,
    ExitStatus::StorageUnavailable,
    ExitStatus::Interrupted,
];

/// Test the store of a repository
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
pub(crate) struct StorageCommand {
    #[command(subcommand)]
    verb: Verb,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Verb {
    Probe(ProbeArgs),
}

/// Test what a store supports and how fast it is
///
/// This needs no repository. br writes a few objects below `probe/`, reads, lists and deletes them. Then it writes and reads
/// 8 objects of 4 MiB to measure the speed.
///
/// The exit code is 0 if the store can hold a repository, and 1 if it cannot.
#[derive(Debug, Args)]
#[command(
    after_help = exit_codes(CODES),
    after_long_help = examples(EXAMPLES, &exit_codes(CODES))
)]
struct ProbeArgs {
    /// Store: a path or a URL [default: the store of the repository]
    #[arg(value_name = "URL")]
    url: Option<String>,

    /// Do not measure the speed
    #[arg(long)]
    quick: bool,
}

pub(crate) async fn run(args: &StorageCommand, context: &CommandContext) -> CommandResult {
    match &args.verb {
        Verb::Probe(args) => probe(args, context).await,
    }
}

/// The result of a probe.
struct Findings {
    capabilities: Option<Capabilities>,
    speed: Option<Speed>,
    traffic: Option<Traffic>,
    verdict: Verdict,
}

async fn probe(args: &ProbeArgs, context: &CommandContext) -> CommandResult {
    context.refuse_password_options("a probe needs none")?;
    let place = context.place_at(args.url.as_deref())?;
    let findings = tokio::select! {
        findings = look(&place, args.quick, context) => findings?,
        () = context.cancel.cancelled() => return Err(CommandError::interrupted()),
    };
    let output = &context.output;
    let Findings {
        capabilities,
        speed,
        traffic,
        verdict,
    } = &findings;
    if output.is_json() {
        let text = place.location.to_string();
        output.document(&ProbeJson::new(
            &text,
            *capabilities,
            *speed,
            *traffic,
            verdict,
        ))?;
    } else {
        output.fields(&fields(&place, &findings))?;
    }
    Ok(match verdict {
        Verdict::Unusable(_) => ExitStatus::Failure,
        Verdict::SeveralWriters | Verdict::OneWriter(_) => ExitStatus::Ok,
    })
}

/// Tests the store.
async fn look(
    place: &StoreLocation,
    quick: bool,
    context: &CommandContext,
) -> Result<Findings, CommandError> {
    let storage = Storage::open(&place.location, &place.options)
        .map_err(|error| place.explain(error.into()))
        .map_err(|error| match error.status {
            ExitStatus::RepositoryNotFound => {
                error.with_hint("create the folder, or name another one")
            }
            _ => error,
        })?;
    let name = format::hex(&random(context));
    let found = storage.probe(&name).await.map_err(br_core::Error::from);
    let capabilities = match found {
        Ok(found) => found,
        // The store answers, but not correctly: this is the result of the probe.
        Err(error) if matches!(error.kind(), ErrorKind::Invalid) => {
            return Ok(Findings {
                capabilities: None,
                speed: None,
                traffic: storage.traffic(),
                verdict: Verdict::Unusable(vec![format::causes(&error)]),
            });
        }
        Err(error) => return Err(place.explain(error)),
    };
    let verdict = Verdict::of(&capabilities);
    let usable = !matches!(verdict, Verdict::Unusable(_));
    let speed = if usable && !quick {
        let speed = storage.measure(&name, ROUNDS, LEN).await;
        Some(speed.map_err(|error| place.explain(error.into()))?)
    } else {
        None
    };
    Ok(Findings {
        capabilities: Some(capabilities),
        speed,
        traffic: storage.traffic(),
        verdict,
    })
}

/// A unique name for the objects of this probe.
fn random(context: &CommandContext) -> [u8; 8] {
    let mut bytes = [0; 8];
    context.runtime.random.fill(&mut bytes);
    bytes
}

fn fields(place: &StoreLocation, findings: &Findings) -> Vec<(&'static str, String)> {
    let Findings {
        capabilities,
        speed,
        traffic,
        verdict,
    } = findings;
    let mut out = vec![
        ("store", place.location.to_string()),
        ("answers", kind(&place.location)),
    ];
    if let Some(found) = capabilities {
        out.extend(capability_fields(found));
    }
    if let Some(speed) = speed {
        out.extend([
            ("write latency", format::millis(speed.write_latency)),
            ("read latency", format::millis(speed.read_latency)),
            ("write rate", format::mebibytes(speed.write_rate)),
            ("read rate", format::mebibytes(speed.read_rate)),
        ]);
    }
    if let Some(traffic) = traffic {
        let mut text = format::count(traffic.requests);
        if traffic.failed > 0 {
            text.push_str(&format!(", {} failed", format::count(traffic.failed)));
        }
        if traffic.slowed > 0 {
            let slowed = format::count(traffic.slowed);
            text.push_str(&format!(", {slowed} answered with a request to slow down"));
        }
        out.push(("requests", text));
    }
    out.push(("verdict", verdict.to_string()));
    out
}

fn kind(location: &Location) -> String {
    match location {
        Location::Local(_) => "a folder of this machine".to_owned(),
        Location::Memory => "the memory of this process".to_owned(),
        Location::S3(there) => {
            let server = there.endpoint().map_or("AWS", |endpoint| endpoint);
            format!("the bucket {} at {server}", there.bucket())
        }
        _ => "a store".to_owned(),
    }
}

fn capability_fields(found: &Capabilities) -> [(&'static str, String); 4] {
    let answer = |good: bool, otherwise: &str| {
        if good {
            "yes".to_owned()
        } else {
            format!("no: {otherwise}")
        }
    };
    [
        (
            "refuses to overwrite",
            answer(
                found.exclusive_create,
                "writers could overwrite each other's objects; only one br at a time may write",
            ),
        ),
        (
            "reads parts",
            answer(
                found.ranges,
                "br cannot read parts of packs, which it needs",
            ),
        ),
        (
            "fresh listings",
            answer(
                found.fresh_lists,
                "new backups may be listed late; only one br at a time may write",
            ),
        ),
        (
            "deletes",
            answer(
                found.deletes,
                "`br prune` cannot free space, and the objects of this test stay below probe/",
            ),
        ),
    ]
}
