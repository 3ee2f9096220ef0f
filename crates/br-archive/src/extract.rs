//! Extraction: writes the members of a bundle into a new folder, unchanged.
//!
//! [`extract`] is the entry point. Invariant: the folder is new or empty, and all members appear at once, after the whole bundle was read
//! and is sound.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::export::select_config;
use crate::import::{ImportOptions, set_time};
use crate::inspect::{Examined, Examiner, Inspection};
use crate::progress::BundleProgress;
use crate::reader::{BundleReader, Member};
use crate::select::is_config;
use crate::staging::{Staging, is_reserved};

/// Writes the members of a bundle, without its top directory, into the folder `into`, which must be empty and is created if it is missing.
/// Ignores the option `dry_run`.
///
/// # Errors
/// As [`import`](crate::import::import()), and if the folder is not empty.
pub fn extract(
    bundle: &Path,
    into: &Path,
    options: &ImportOptions,
    progress: &mut dyn BundleProgress,
) -> Result<Inspection> {
    let mut reader = BundleReader::open(bundle, &options.limits)?;
    let mut staging = Staging::open(into, options.id)?;
    if !staging.is_target_empty()? {
        let text = format!("the folder {} is not empty", into.display());
        return Err(Error::new(ErrorKind::Exists, text));
    }
    let mut examiner = Examiner::new();
    while let Some(mut member) = reader.next()? {
        let path = member.path().clone();
        let taken = take(&mut member, &mut examiner, &mut staging, options, progress);
        taken.map_err(|error| error.in_member(path.as_str()))?;
    }
    let inspection = examiner.finish(reader.name().clone(), options.node.as_ref())?;
    if let Some(error) = inspection.error() {
        return Err(error);
    }
    if progress.is_cancelled() {
        return Err(Error::cancelled());
    }
    inspection.require(&options.selection)?;
    staging.publish(options.sync)?;
    Ok(inspection)
}

fn take(
    member: &mut Member<'_>,
    examiner: &mut Examiner,
    staging: &mut Staging,
    options: &ImportOptions,
    progress: &mut dyn BundleProgress,
) -> Result<()> {
    let (path, header) = (member.path().clone(), member.header().clone());
    if is_reserved(&path) {
        return Err(Error::refused("this name is reserved for a running import"));
    }
    let wanted = options.selection.takes(&path);
    if member.is_directory() {
        return if wanted {
            staging.create_dir(&path)
        } else {
            Ok(())
        };
    }
    if !wanted {
        return examiner.examine(member, None, false, progress).map(drop);
    }
    let mut file = staging.create(&path, header.mode)?;
    let keys = options.selection.root_keys.as_deref();
    match keys.filter(|_| is_config(&path) && examiner.may_be_emqx()) {
        None => drop(examiner.examine(member, Some(&mut file), true, progress)?),
        Some(keys) => {
            let examined = examiner.examine(member, None, true, progress)?;
            if let Examined::Document(bytes) = examined {
                let bytes = select_config(&bytes, keys)?;
                let written = std::io::Write::write_all(&mut file, &bytes);
                written.map_err(|error| Error::io("cannot write a member", error))?;
            }
        }
    }
    set_time(&file, header.mtime)
}
