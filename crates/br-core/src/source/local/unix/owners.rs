//! Names of users and groups.
//!
//! [`Owners`] looks up each number once. Invariant: equal numbers share one [`Owner`] in memory.

use std::collections::HashMap;
use std::sync::Arc;

use nix::unistd::{Gid, Group, Uid, User};

use crate::model::Owner;

/// A cache of owners.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// The last result: most entries have the same owner as the previous one.
    last: Option<Arc<Owner>>,
    known: HashMap<(u32, u32), Arc<Owner>>,
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    /// Returns the owner with these numbers, and with the names that the system has for them.
    pub(super) fn get(&mut self, uid: u32, gid: u32) -> Arc<Owner> {
        if let Some(last) = &self.last
            && (last.uid, last.gid) == (uid, gid)
        {
            return Arc::clone(last);
        }
        let owner = match self.known.get(&(uid, gid)) {
            Some(owner) => Arc::clone(owner),
            None => self.look_up(uid, gid),
        };
        self.last = Some(Arc::clone(&owner));
        owner
    }

    /// Looks up the names. A failed lookup gives an empty name, because the numbers are sufficient.
    fn look_up(&mut self, uid: u32, gid: u32) -> Arc<Owner> {
        let user = self.users.entry(uid).or_insert_with(|| {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map(|user| user.name).unwrap_or_default()
        });
        let group = self.groups.entry(gid).or_insert_with(|| {
            let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
            group.map(|group| group.name).unwrap_or_default()
        });
        let owner = Arc::new(Owner {
            uid,
            gid,
            user: user.clone(),
            group: group.clone(),
        });
        self.known.insert((uid, gid), Arc::clone(&owner));
        owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_once() {
        let mut owners = Owners::default();
        let root = owners.get(0, 0);
        assert_eq!((root.user.as_str(), root.uid), ("root", 0));
        let nobody = owners.get(4_000_000_000, 0);
        assert_eq!((nobody.user.as_str(), &nobody.group), ("", &root.group));
        assert!(Arc::ptr_eq(&root, &owners.get(0, 0)));
    }
}
