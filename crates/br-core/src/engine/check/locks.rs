//! Check of the locks: does everything that backups need stay locked long enough?

use std::time::Duration;

use super::{CheckReport, Finding};
use crate::engine::lock::{Found, Needed, after, retentions};
use crate::engine::view::View;
use crate::error::Result;
use crate::repository::Io;

/// The object of findings about many objects.
const LOCKS: &str = "locks";

/// Adds a finding if objects are not locked for a time. Asks the server about each object. Missing objects are not its subject.
pub(super) fn look(io: &Io, view: &View, time: Duration, report: &mut CheckReport) -> Result<()> {
    let needed = match Needed::find(io, view) {
        Ok(needed) => needed,
        Err(error) if error.is_damage() => {
            let message = "they were not checked, because a manifest is damaged";
            report.findings.push(Finding::note(LOCKS, message));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let now = io.context.runtime.clock.now();
    let end = after(now, time);
    let (mut short, mut unlocked, mut first) = (0_u64, 0_u64, end);
    for (_, found) in retentions(io, needed.keys)? {
        match found {
            Found::Lock(Some((_, until))) if until > now => {
                short += u64::from(until < end);
                first = first.min(until);
            }
            Found::Lock(_) => unlocked += 1,
            Found::Missing => {}
        }
    }
    let mut problems = Vec::new();
    if unlocked > 0 {
        problems.push(format!(
            "{unlocked} objects that backups need are not locked"
        ));
    }
    if short > 0 {
        let until = first.strftime("%Y-%m-%d %H:%M UTC");
        problems.push(format!(
            "{short} objects are locked for a shorter time, the first until {until}"
        ));
    }
    if !problems.is_empty() {
        let message = format!("{}; `br lock extend` locks them", problems.join(", and "));
        report.findings.push(Finding::warning(LOCKS, message));
    }
    Ok(())
}
