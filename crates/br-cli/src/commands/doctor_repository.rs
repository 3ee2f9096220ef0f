//! What `br doctor` finds out about a repository.

use std::time::Duration;

use br_core::Location;
use br_core::jiff::{SignedDuration, Timestamp};
use br_core::model::Backup;
use tokio::time::timeout;

use super::doctor_machine::{Use, space};
use crate::context::CommandContext;
use crate::error::CommandError;
use crate::hint::Kept;
use crate::output::doctor::Finding;
use crate::output::format;
use crate::password::Password;
use crate::storage::StoreLocation;

/// How long br waits for a repository.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How far a clock may be ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(2);
/// The age at which a backup is old.
const OLD: Duration = Duration::from_hours(7 * 24);

/// Opens a repository and lists its backups; `None` if that is not possible.
pub(super) async fn look(
    place: &StoreLocation,
    password: Result<Option<Password>, CommandError>,
    context: &CommandContext,
) -> Result<(Vec<Finding>, Option<Vec<Backup>>), CommandError> {
    let mut findings = Vec::new();
    let opened = tokio::select! {
        opened = timeout(TIME_LIMIT, open(place, password, context)) => opened,
        () = context.cancel.cancelled() => return Err(CommandError::interrupted()),
    };
    let backups = match opened {
        Ok(Ok((finding, backups))) => {
            findings.push(finding);
            Some(backups)
        }
        Ok(Err(error)) => {
            let error = context.advise(error.at_store(place.is_remote()), Kept::Nothing);
            findings.push(Finding::of_error(&error));
            None
        }
        Err(_) => {
            let message = format!("no answer within {} seconds", TIME_LIMIT.as_secs());
            let fix = "check the address and the network; `br storage probe` tests the store";
            findings.push(Finding::problem(message, fix));
            None
        }
    };
    if let Some(backups) = &backups {
        findings.extend(of_backups(backups, context));
    }
    if let Location::Local(folder) = &place.location
        && folder.is_dir()
    {
        findings.extend(space(folder, Use::Repository));
    }
    Ok((findings, backups))
}

async fn open(
    place: &StoreLocation,
    password: Result<Option<Password>, CommandError>,
    context: &CommandContext,
) -> Result<(Finding, Vec<Backup>), CommandError> {
    let (repository, _) = context.open_at(place, password?).await?;
    let backups = repository.backups(&context.engine()).await?;
    let encrypted = match (repository.is_encrypted(), repository.is_write_only()) {
        (true, true) => "encrypted, opened with a key that only writes",
        (true, false) => "encrypted",
        (false, _) => "not encrypted",
    };
    let count = format::counted(backups.len() as u64, "backup", "backups");
    let version = repository.config().version;
    let message = format!("opens: format {version}, {encrypted}, {count}");
    Ok((Finding::ok(message), backups))
}

/// What the list of backups says.
fn of_backups(backups: &[Backup], context: &CommandContext) -> Vec<Finding> {
    let mut findings = Vec::new();
    let damaged = backups.iter().filter(|backup| backup.damaged.is_some());
    let damaged = damaged.count() as u64;
    if damaged > 0 {
        let backups = format::counted(damaged, "backup has", "backups have");
        let message = format!("{backups} damaged or lost data, as a check found");
        let fix = "`br check --read-data` names it; docs/check.md says how to repair it";
        findings.push(Finding::warning(message, fix));
    }
    let now = context.runtime.clock.now();
    let newest = backups.iter().max_by_key(|backup| backup.finished);
    if let Some(newest) = newest {
        findings.push(if newest.finished > now + AHEAD {
            let time = format::local_time(newest.finished);
            let message = format!(
                "the newest backup is from the future ({time}, made by {}): the clock of that machine or of this one is wrong",
                format::text(&newest.host)
            );
            let fix = "set the clocks, for example with `timedatectl set-ntp true`";
            Finding::warning(message, fix)
        } else {
            Finding::ok("no backup is from the future: the clock of this machine is plausible")
        });
    }
    findings
}

/// How old the newest backup of a set is.
pub(super) fn last_backup(
    (set, host): (&str, &str),
    backups: &[Backup],
    now: Timestamp,
    br: &str,
) -> Finding {
    let mut own = backups.iter().filter(|backup| {
        let mut tags = backup.tags.iter();
        backup.host == host && tags.any(|tag| tag == set)
    });
    // The order of the list is that of the commits.
    let Some(newest) = own.next_back() else {
        let message = format!("there is no backup of this set and of {host} yet");
        return Finding::advice(message, format!("`{br} run {set}` makes one"));
    };
    let age = format::between(newest.finished, now);
    let ago = format::duration(age);
    if !newest.is_complete() {
        let message = format!("the newest backup, {ago} old, is incomplete");
        let fix = format!("`{br} show {}` says what it lacks", newest.id);
        return Finding::warning(message, fix);
    }
    if age > OLD {
        let message = format!("the newest backup is {ago} old");
        let fix = format!("run `{br} run {set}`, and look at its schedule");
        return Finding::warning(message, fix);
    }
    Finding::ok(format!("the newest backup is {ago} old, and complete"))
}

impl Finding {
    /// Says which repository it is about.
    pub(super) fn at(self, location: &str) -> Self {
        Self {
            message: format!("{location}: {}", self.message),
            ..self
        }
    }
}
