//! Exports an application's configuration, data files and certificates as one portable bundle, and checks that it is sound.
//!
//! ```sh
//! cargo run -p br-archive --example export_app -- /etc/myapp /var/lib/myapp /etc/ssl/myapp /var/backups
//! ```
//!
//! It needs only `br-archive`: no async runtime, no object store.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program may speak"
)]

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use br_archive::{
    BundleOptions, BundleProgress, BundleTime, BundleWriter, Event, Limits, MemberPath,
    NoBundleProgress, Selection, export, inspect,
};
use br_emqx::meta::Meta;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [config, data, certificates, to] = paths.as_slice() else {
        return Err("usage: export_app CONFIG DATA CERTIFICATES TO".into());
    };

    // The application's own version, so that an importer can check whether the bundle fits.
    let meta = Meta::new("standard", env!("CARGO_PKG_VERSION"));
    let options = BundleOptions::new(now()?, meta)
        .with_prefix("myapp-export")
        .with_origin("myapp", "config, data and certificates");
    let mut writer = BundleWriter::create(to, options)?;
    let everything = Selection::default();
    for (name, from) in [
        ("config", config),
        ("data", data),
        ("certificates", certificates),
    ] {
        let into = MemberPath::new(name)?;
        export(&mut writer, from, Some(&into), &everything, &mut Tell)?;
    }
    let report = writer.finish()?;
    println!("{} members in {}", report.members, report.path.display());

    verify(&report.path)
}

/// Reads the bundle again, as an importer would.
fn verify(bundle: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let inspection = inspect(bundle, &Limits::default(), None, &mut NoBundleProgress)?;
    match inspection.error() {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}

/// The time in UTC. An application that knows its time zone also passes the offset.
fn now() -> Result<BundleTime, Box<dyn std::error::Error>> {
    #[expect(clippy::disallowed_methods, reason = "here the time comes in")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(BundleTime::new(i64::try_from(since.as_millis())?, 0)?)
}

/// Prints the paths that are left out.
struct Tell;

impl BundleProgress for Tell {
    fn event(&mut self, event: Event<'_>) {
        if let Event::LeftOut { path, reason } = event {
            eprintln!("left out {}: {reason}", path.display());
        }
    }
}
