//! Removal of metadata that breaks a rule of the format.
//!
//! [`Sanitizer`] changes an entry so that every reader accepts it. Invariant: invalid metadata never excludes a file's content from the
//! backup. The sanitizer drops invalid metadata and names it; it never changes an entry's content or link target.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Entry, EntryError, EntryKind, FileTime, Owner, Xattr, escape};

/// Drops metadata that readers would refuse.
#[derive(Debug, Default)]
pub(super) struct Sanitizer {
    /// Fingerprint of the first entry of each link group.
    groups: HashMap<u64, [u8; 16]>,
}

impl Sanitizer {
    /// Drops metadata that breaks a rule; returns a description of the dropped metadata.
    pub(super) fn sanitize(&mut self, entry: &mut Entry) -> Option<String> {
        let mut reasons = Vec::new();
        if entry.mode > 0o7777 {
            entry.mode &= 0o7777;
            reasons.push(EntryError::Mode.to_string());
        }
        for time in [&mut entry.mtime, &mut entry.ctime] {
            if let Err(error) = time.check() {
                time.nanos = 0;
                reasons.push(error.to_string());
            }
        }
        if let Err(error) = entry.owner.check() {
            entry.owner = Arc::new(Owner {
                uid: entry.owner.uid,
                gid: entry.owner.gid,
                ..Owner::default()
            });
            reasons.push(error.to_string());
        }
        sanitize_xattrs(&mut entry.xattrs, &mut reasons);
        if let Some(group) = entry.link_group {
            let what = fingerprint(&entry.kind);
            let is_folder = entry.kind == EntryKind::Directory;
            if is_folder || *self.groups.entry(group).or_insert(what) != what {
                entry.link_group = None;
                reasons.push("it differs from the other names of its link group".to_owned());
            }
        }
        reasons.dedup();
        (!reasons.is_empty()).then(|| format!("stored, but {}", reasons.join("; ")))
    }
}

/// Clears the change time of an entry with missing metadata, so that the next backup examines it again.
pub(super) const fn forget_change_time(entry: &mut Entry) {
    entry.ctime = FileTime::UNKNOWN;
}

fn sanitize_xattrs(xattrs: &mut Vec<Xattr>, reasons: &mut Vec<String>) {
    if !xattrs.is_sorted() {
        xattrs.sort_unstable();
    }
    let mut sum = 0;
    let mut last: Option<Vec<u8>> = None;
    xattrs.retain(|xattr| {
        let fits = sum + xattr.len() <= Xattr::MAX_SUM;
        let problem = match xattr.check() {
            Err(error) => error.to_string(),
            Ok(()) if last.as_ref() == Some(&xattr.name) => {
                "an extended attribute is given twice".to_owned()
            }
            Ok(()) if !fits => EntryError::XattrSum.to_string(),
            Ok(()) => {
                sum += xattr.len();
                last = Some(xattr.name.clone());
                return true;
            }
        };
        let name = &xattr.name[..xattr.name.len().min(Xattr::MAX_NAME)];
        reasons.push(format!(
            "its attribute `{}` is left out: {problem}",
            escape(name)
        ));
        false
    });
}

/// Hash of the parts of an entry that all names of one inode must share.
fn fingerprint(kind: &EntryKind) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(kind.name().as_bytes());
    match kind {
        EntryKind::File(file) => {
            hash.update(&file.size.to_le_bytes());
            for hole in &file.holes {
                hash.update(&hole.offset.to_le_bytes());
                hash.update(&hole.len.to_le_bytes());
            }
            match &file.content {
                crate::model::Content::Inline(bytes) => drop(hash.update(bytes)),
                crate::model::Content::Chunks(chunks) => {
                    for chunk in chunks {
                        hash.update(chunk.id.as_bytes());
                    }
                }
            }
        }
        EntryKind::Symlink(target) => drop(hash.update(target)),
        EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
            hash.update(&device.major.to_le_bytes());
            hash.update(&device.minor.to_le_bytes());
        }
        EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
    }
    let mut out = [0; 16];
    hash.finalize_xof().fill(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntryPath;

    fn fifo() -> Entry {
        Entry {
            path: EntryPath::new("p".as_bytes()).unwrap(),
            kind: EntryKind::Fifo,
            mode: 0o644,
            owner: Arc::default(),
            mtime: FileTime::default(),
            ctime: FileTime::default(),
            inode: 0,
            xattrs: Vec::new(),
            link_group: None,
        }
    }

    #[test]
    fn valid_entry_stays_unchanged() {
        let mut entry = fifo();
        assert_eq!(Sanitizer::default().sanitize(&mut entry), None);
        assert_eq!(entry, fifo());
    }

    #[test]
    fn bad_metadata_is_left_out_and_named() {
        let xattr = |name: &[u8], len| Xattr {
            name: name.to_vec(),
            value: vec![0; len],
        };
        let mut entry = fifo();
        entry.mode = 0o10_644;
        entry.mtime.nanos = u32::MAX;
        entry.owner = Arc::new(Owner {
            uid: 7,
            user: "u".repeat(1 << 20),
            ..Owner::default()
        });
        entry.xattrs = vec![
            xattr(b"user.b", 1),
            xattr(b"", 1),
            xattr(b"user.long", 65_537),
            xattr(b"user.b", 2),
            xattr(b"user.a", 65_536),
        ];
        let reason = Sanitizer::default().sanitize(&mut entry).unwrap();
        assert_eq!(entry.check(), Ok(()));
        assert_eq!(
            (entry.mode, entry.mtime.nanos, entry.owner.uid),
            (0o644, 0, 7)
        );
        assert_eq!(
            entry.xattrs,
            [xattr(b"user.a", 65_536), xattr(b"user.b", 1)]
        );
        for part in ["mode", "nanoseconds", "owner", "user.long", "twice"] {
            assert!(reason.contains(part), "{part} in {reason}");
        }
    }

    #[test]
    fn names_of_one_inode_are_one_file() {
        let mut sanitizer = Sanitizer::default();
        let mut first = fifo();
        first.link_group = Some(1);
        let mut same = first.clone();
        let mut other = first.clone();
        other.kind = EntryKind::Socket;
        for entry in [&mut first, &mut same] {
            assert_eq!(sanitizer.sanitize(entry), None);
        }
        assert!(sanitizer.sanitize(&mut other).is_some() && other.link_group.is_none());
    }
}
