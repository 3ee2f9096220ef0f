//! Check of the key slots: can each be opened, and is none there that the log removed?

use super::{CheckReport, Finding};
use crate::engine::view::View;
use crate::error::Result;
use crate::format::{Cipher, FormatError};
use crate::model::KeyId;
use crate::repository::{Io, Layout, read_key_slots};

/// Adds findings for slots that are unusable or removed, and for other objects in their folder.
pub(super) fn look(io: &Io, view: &View, report: &mut CheckReport) -> Result<()> {
    if io.cipher() == Cipher::None {
        return Ok(());
    }
    let mut ids = Vec::new();
    for object in io.list(Layout::KEYS)? {
        if let Some(id) = Layout::id::<KeyId>(&object.key) {
            ids.push(id);
        } else {
            let message = "it is no key, and br does not need it";
            report.findings.push(Finding::note(object.key, message));
        }
    }
    let removed = &view.position.state.keys_removed;
    for (id, slot) in io.block(read_key_slots(io.storage(), ids, None))? {
        let key = Layout::key_slot(id);
        let short = &id.to_string()[..8];
        let finding = match slot {
            Err(error @ FormatError::Unknown(_)) => Finding::note(key, error.to_string()),
            Err(error) => Finding::damage(
                key,
                format!(
                    "{error}: its password cannot open the repository; `br key remove {short}` removes it, and `br key add` adds a new one"
                ),
            ),
            Ok(_) if removed.contains(&id) => Finding::note(
                key,
                "this key was removed, but it exists, so its password still opens the repository: a removal was interrupted, or the \
                 object was put back; the next `br key add`, `remove`, `passwd` or `rotate` deletes it",
            ),
            Ok(slot) if removed.contains(&slot.name()) => Finding::note(
                key,
                format!(
                    "it is a key that was removed, under another name, so its password opens the repository: `br key remove {short}` removes it"
                ),
            ),
            Ok(_) => continue,
        };
        report.findings.push(finding);
    }
    Ok(())
}
